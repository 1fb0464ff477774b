"""waypost diff OLD NEW: which places get another answer."""

import argparse
from pathlib import Path

from rich.console import Console

from geodata.regions import Regions
from steering import offline
from steering.commands.command import BAD, GOOD, Command, add_json, add_weight_by, open_console, print_json, weigh
from steering.offline import Client, Offline
from steering.records import RECORDS_BY_TYPE
from steering.settings import LoadBalancer, Settings, load_settings
from steering.traffic import Change, find_changes, show_shares
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
    regions = offline.load_regions(both[1])
    places = offline.list_places("country", regions)
    clients = places | _named_places(both, regions)
    questions = {
        (name_to_text(balancer.name), RECORDS_BY_TYPE[number].name): None
        for settings in both
        for balancer in settings.load_balancers
        for number in balancer.types
    }
    with offline.open_zones(both[0]) as old_zones, offline.open_zones(both[1]) as new_zones:
        old, new = Offline(both[0], old_zones, {}), Offline(both[1], new_zones, {})
        weights = weigh(arguments.weight_by, new, places)
        changes: list[Change] = []
        for name, rrtype in questions:
            before, after = (world.traffic(name, rrtype, clients) for world in (old, new))
            changes += find_changes(f"{name} {rrtype}", before, after, weights, by_records=True)
    if arguments.json:
        print_json(changes)
    else:
        _show(changes, open_console())
    return BAD if changes else GOOD


def _named_places(both: list[Settings], regions: Regions) -> dict[str, Client]:
    """A client of every subdivision and network that a rule of either configuration names."""
    balancers: list[LoadBalancer] = [balancer for settings in both for balancer in settings.load_balancers]
    subdivisions = {name for balancer in balancers for name in balancer.subdivision_pools}
    networks = {network for balancer in balancers for network in balancer.network_pools}
    return {name: offline.make_client(None, name, None, regions) for name in sorted(subdivisions)} | {
        network: Client(subnet=network) for network in sorted(networks)
    }


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
