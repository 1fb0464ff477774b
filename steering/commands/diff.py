"""waypost diff OLD NEW: which places get another answer."""

import argparse
import ipaddress
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console

from geodata.place import Place
from geodata.ranges import Network, parse_network
from geodata.regions import REGIONS, Regions
from steering.balance.matches import Match
from steering.balance.rules import matches_of
from steering.commands.command import BAD, GOOD, Command, add_json, add_weight_by, open_console, print_json, weigh
from steering.offline import answers as offline
from steering.offline.answers import Client, Offline
from steering.offline.traffic import Change, find_changes, show_shares
from steering.records import RECORDS_BY_TYPE
from steering.settings_file import load_settings
from steering.wire import name_to_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    for name in ("old", "new"):
        parser.add_argument(name, type=Path, metavar=name.upper(), help="a configuration, a TOML file")
    add_weight_by(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """waypost diff OLD NEW"""
    both = [load_settings(path) for path in (arguments.old, arguments.new)]
    tables = [offline.load_regions(settings) for settings in both]
    countries = dict.fromkeys(country for table in tables for country in table.countries)
    matches = [match for settings in both for balancer in settings.load_balancers for match in matches_of(balancer)]
    # The same places, which are in other regions if the table of regions is another.
    old_clients, new_clients = (
        {country: offline.make_client(country, None, None, table) for country in countries}
        | _named_places(matches, tables, table)
        for table in tables
    )
    questions = {
        (name_to_text(balancer.name), RECORDS_BY_TYPE[number].name): None
        for settings in both
        for balancer in settings.load_balancers
        for number in balancer.types
    }
    with offline.open_zones(both[0]) as old_zones, offline.open_zones(both[1]) as new_zones:
        old, new = Offline(both[0], old_zones, {}), Offline(both[1], new_zones, {})
        weights = weigh(arguments.weight_by, new, countries)
        changes: list[Change] = []
        for name, rrtype in questions:
            before, after = old.traffic(name, rrtype, old_clients), new.traffic(name, rrtype, new_clients)
            changes += find_changes(f"{name} {rrtype}", before, after, weights, by_records=True)
    if arguments.json:
        print_json(changes)
    else:
        _show(changes, open_console())
    return BAD if changes else GOOD


def _named_places(matches: Sequence[Match], tables: Sequence[Regions], regions: Regions) -> dict[str, Client]:
    """Clients whom no country stands for, and whom a rule names: of subdivisions, of regions that have no country as a
    whole, of networks, of AS numbers in the places of their rule, and of nowhere known; and of subdivisions that have
    changed their region."""
    named = {place for match in matches for place in (*match.subdivisions, *match.regions)}
    parts = {member for table in tables for region in REGIONS for member in table.members(region) if "-" in member}
    named |= {part for part in parts if len({table.region_of(part[:2], part) for table in tables}) > 1}
    whole = set.intersection(*({table.region_of(country) for country in table.countries} for table in tables))
    places = {
        name: _client_of("regions" if name in REGIONS else "subdivisions", name, regions) for name in named - whole
    }
    for match in matches:
        kind = next(
            (kind for kind in ("subdivisions", "countries", "regions", "continents") if getattr(match, kind)), ""
        )
        for asn in match.asns:
            for name in getattr(match, kind, ("anywhere",)):
                places[f"{name} AS{asn}"] = _client_of(kind, name, regions, asn)
    networks = {network: parse_network(network) for match in matches for network in match.networks}
    for text, network in networks.items():
        address = _find_outside(network, networks.values())
        if address is not None:
            places[text] = Client(address)
    return dict(sorted(places.items())) | {"unknown": Client()}


def _client_of(kind: str, name: str, regions: Regions, asn: int | None = None) -> Client:
    """A client of what the list of a Match has."""
    if kind in ("", "continents"):
        return Client(place=Place(name if kind else None, asn=asn))
    country, subdivision, region = (name if kind == each else None for each in ("countries", "subdivisions", "regions"))
    return offline.make_client(country, subdivision, region, regions, asn)


def _find_outside(network: Network, networks: Collection[Network]) -> str | None:
    """An address of a network that is in none of those inside it; None if they fill it."""
    bits, start, length = network
    end = start + (1 << bits - length)
    inner = [
        (first, first + (1 << bits - size))
        for family, first, size in networks
        if family == bits and size > length and start <= first < end
    ]
    for address in (start, *sorted(stop for _, stop in inner)):
        if address < end and not any(first <= address < stop for first, stop in inner):
            return str((ipaddress.IPv4Address if bits == 32 else ipaddress.IPv6Address)(address))
    return None


def _show(changes: list[Change], console: Console) -> None:
    question = ""
    for change in changes:
        if change.question != question:
            question = change.question
            console.print(question, style="bold")
        console.print(f"  - {show_shares(change.before)}", style="red")
        console.print(f"  + {show_shares(change.after)}", style="green")
        console.print(f"    {change.share:.1%} of the traffic: {' '.join(change.places)}")
    if not changes:
        console.print("every place gets the same answers")


COMMAND = Command(
    "Show which places get another answer from the second configuration, while everything is up; exit status 1 if any.",
    add_arguments,
    run,
)
