"""waypost answer CONFIG NAME TYPE: what a client gets and why."""

import argparse
import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from geodata.regions import REGIONS, Regions
from monitors.address import parse_address
from steering.balance.explain import PoolReason
from steering.balance.pools import Health, Verdict
from steering.commands.command import (
    BAD,
    GOOD,
    Command,
    UsageError,
    add_config,
    add_json,
    add_question,
    add_what_if,
    as_number,
    ask_status,
    checked,
    moment,
    open_console,
    print_json,
    state_text,
)
from steering.offline import answers as offline
from steering.offline.answers import Client, Told
from steering.offline.traffic import PlaceTraffic, show_shares
from steering.settings import Settings
from steering.settings_file import load_settings
from steering.values import parse_country, parse_network, parse_subdivision


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    add_question(parser)
    who = parser.add_argument_group("the client (default: one that nobody knows the place of)")
    who.add_argument("--from", dest="address", metavar="ADDRESS", type=checked(parse_address), help="IPv4 or IPv6")
    who.add_argument("--subnet", type=checked(parse_network), help="told by its resolver (RFC 7871), like 192.0.2.0/24")
    who.add_argument("--resolver", metavar="ADDRESS", type=checked(parse_address), help="whose packet it is")
    who.add_argument("--country", type=checked(lambda text: parse_country(text.upper())), help="two letters, like FR")
    who.add_argument("--subdivision", type=checked(lambda text: parse_subdivision(text.upper())), help="like US-CA")
    who.add_argument("--region", choices=REGIONS)
    who.add_argument("--asn", type=as_number, help="an AS number")
    who.add_argument("--every", choices=("country", "region"), help="a table of what each of them gets")
    what_if = parser.add_argument_group("health (default: everything is up)")
    add_what_if(what_if)
    begin = what_if.add_mutually_exclusive_group()
    begin.add_argument("--live", action="store_true", help="the health that the running waypost sees")
    begin.add_argument(
        "--at", metavar="TIME", type=moment, help="with the maintenance that is planned then, like 2026-12-01T22:00:00Z"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """waypost answer CONFIG NAME TYPE"""
    settings = offline.override_weights(load_settings(arguments.config), dict(arguments.weight))
    health: Health = {}
    if arguments.live:
        health = _live_health(settings)
    elif arguments.at is not None:
        health = offline.plan_health(settings, arguments.at)
    health = offline.override_health(settings, arguments.down, health, arguments.up)
    regions = offline.load_regions(settings)
    with offline.open_zones(settings) as zones:
        world = offline.Offline(settings, zones, health)
        if arguments.every:
            if _client_of(arguments, regions) != Client():
                raise UsageError("--every says who asks: leave out all that does, too")
            clients = offline.list_places(arguments.every, regions)
            rows = world.traffic(arguments.name, arguments.type, clients)
            if arguments.json:
                print_json(rows)
            else:
                open_console().print(_tabulate(rows))
            return GOOD if any(row.answers for row in rows) else BAD
        told = world.tell(_client_of(arguments, regions), arguments.name, arguments.type)
    if arguments.json:
        print_json(told)
    else:
        show_told(told, open_console())
    return GOOD if told.answer else BAD


def _client_of(arguments: argparse.Namespace, regions: Regions) -> Client:
    place = (arguments.country, arguments.subdivision, arguments.region)
    if arguments.address or arguments.subnet or arguments.resolver:
        if any(place) or arguments.asn is not None:
            raise UsageError(
                "an address has a place of its own: leave out --country, --subdivision, --region and --asn"
            )
        return Client(arguments.address, subnet=arguments.subnet, resolver=arguments.resolver)
    return offline.make_client(*place, regions, arguments.asn)


def _tabulate(rows: list[PlaceTraffic]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("place", "pools", "rule", "records"):
        table.add_column(heading)
    for row in rows:
        rule = row.rule + (f", {row.when_down}" if row.when_down else "")
        table.add_row(row.place, show_shares(row.pools) if row.pools else "", rule, show_shares(row.answers))
    return table


def _live_health(settings: Settings) -> Health:
    return {
        (pool.name, origin.name): Verdict(
            origin.up is not False,
            math.inf if origin.flip_after is None else origin.flip_after,
            origin.share,
            origin.rtt,
            origin.addresses,
            origin.cause,
        )
        for pool in ask_status(settings).pools
        for origin in pool.origins
        # Nothing is known of the others, unless somebody has ordered something.
        if origin.up is not None or origin.override is not None
    }


def show_told(told: Told, console: Console) -> None:
    """The answer as dig prints it, then the reasons."""
    console.print(f";; {told.question} for {told.client}: {told.rcode}")
    for title, lines in (("", told.answer), ("authority", told.authority), ("additional", told.additional)):
        if lines and title:
            console.print(f";; {title}")
        for line in lines:
            console.print(Text(line, "bold" if not title else ""))
    console.print()
    console.print(f"client      {offline.describe_place(told.place)} ({told.place_source})")
    if told.scope is not None:
        console.print(f"scope       /{told.scope}: every client inside this prefix gets the same")
    for reason in told.reasons:
        console.print(f"steered     {reason.load_balancer} {reason.type} by {reason.policy}, rule {reason.rule}")
        if reason.by_key:
            console.print("  hash      the client's /24 (IPv6: /48) decides which of several it gets")
        for pool in reason.pools:
            _show_pool(pool, reason.fallback and pool.share > 0, reason.when_down, console)
        if reason.fallback and reason.when_down == "fail_closed":
            console.print("  nobody    answers: all pools are down, and the rule says fail_closed")
        console.print(f"  ttl       {reason.ttl} s: {reason.ttl_reason}")
    if not told.reasons:
        console.print("steered     no: the same answer for every client")
        if told.elsewhere:
            console.print(f"zone        {told.elsewhere} has its records from its primaries: they are not known here")


def _show_pool(pool: PoolReason, fallback: bool, when_down: str, console: Console) -> None:
    line = Text(f"  pool      {pool.name}: ")
    line.append_text(state_text(pool.state))
    line.append(f", {pool.healthy} healthy, needs {pool.minimum_origins}")
    if pool.distance is not None:
        line.append(f", {pool.distance:,.0f} km away")
    if pool.rtt is not None:
        line.append(f", round trip {pool.rtt * 1000:.1f} ms")
    if pool.room != 1:
        line.append(f", takes {pool.room:.1%} of its traffic")
    if fallback:
        line.append(" -> answers " + ("although it is down" if when_down == "fail_open" else "as the fallback"), "bold")
    elif pool.share:
        line.append(f" -> answers{'' if pool.share == 1 else f' {pool.share:.1%}'}", "bold")
    console.print(line)
    for origin in pool.origins:
        entry = Text(f"    origin  {origin.name} {origin.address}: ")
        entry.append_text(state_text(origin.state))
        if origin.cause:
            entry.append(f" ({origin.cause})")
        if origin.weight != 1:
            entry.append(f", weight {origin.weight:g}")
        if origin.share != 1:
            entry.append(f", takes {origin.share:.1%} of its traffic")
        console.print(entry)


COMMAND = Command(
    "Show what a client gets and why, without a server; exit status 1 if the answer is no data.", add_arguments, run
)
