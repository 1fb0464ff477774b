"""waypost impact CONFIG --down POOL…: where the traffic of each country goes when something is down."""

import argparse

import msgspec
from rich.console import Console
from rich.table import Table

from steering.commands.command import (
    BAD,
    GOOD,
    Command,
    UsageError,
    add_config,
    add_json,
    add_weight_by,
    add_what_if,
    open_console,
    print_json,
    weigh,
)
from steering.offline import answers as offline
from steering.offline.answers import Offline
from steering.offline.traffic import Change, PlaceTraffic, find_changes, show_shares, sum_shares
from steering.records import RECORDS_BY_TYPE
from steering.settings_file import load_settings
from steering.wire import name_to_text


class Impact(msgspec.Struct, frozen=True):
    """What a change of health or weights does to one name."""

    question: str
    """The name and the types for which this is so."""
    before: dict[str, float]
    """How much of the world each pool takes, or "no answer"."""
    after: dict[str, float]
    fallback: tuple[str, ...]
    """Places that land on a fallback pool, and did not before."""
    fail_open: tuple[str, ...]
    """The same of those who get pools that are down."""
    fail_closed: tuple[str, ...]
    """The same of those who get nothing."""
    changes: tuple[Change, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    parser.add_argument("--name", help="only this name (default: every load balancer)")
    add_what_if(parser.add_argument_group("what is otherwise"))
    add_weight_by(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """waypost impact CONFIG"""
    if not (arguments.down or arguments.up or arguments.weight):
        raise UsageError("nothing is otherwise: give --down, --up or --weight")
    settings = load_settings(arguments.config)
    regions = offline.load_regions(settings)
    clients = offline.list_places("country", regions)
    changed = offline.override_weights(settings, dict(arguments.weight))
    health = offline.override_health(settings, arguments.down, {}, arguments.up)
    impacts = []
    with offline.open_zones(settings) as zones:
        old, new = Offline(settings, zones, {}), Offline(changed, zones, health)
        weights = weigh(arguments.weight_by, old, clients)
        for balancer in settings.load_balancers:
            name = name_to_text(balancer.name)
            if arguments.name and arguments.name.rstrip(".").lower() != name.rstrip("."):
                continue
            # Types that the same pools answer alike are told of once.
            alike: dict[str, tuple[Impact, list[str]]] = {}
            for rrtype in (RECORDS_BY_TYPE[number].name for number in balancer.types):
                before, after = (world.traffic(name, rrtype, clients) for world in (old, new))
                impact = _compare(name, before, after, weights)
                alike.setdefault(repr(impact), (impact, []))[1].append(rrtype)
            impacts += [
                msgspec.structs.replace(impact, question=" ".join((name, *types))) for impact, types in alike.values()
            ]
    if not impacts:
        raise UsageError(f"no load balancer is called {arguments.name}")
    if arguments.json:
        print_json(impacts)
    else:
        _show(impacts, open_console())
    return BAD if any(places for impact in impacts for _, places in _list_landed(impact)) else GOOD


def _compare(question: str, before: list[PlaceTraffic], after: list[PlaceTraffic], weights: dict[str, float]) -> Impact:
    fallback, fail_open, fail_closed = (
        tuple(new.place for old, new in zip(before, after, strict=True) if new.when_down == word != old.when_down)
        for word in ("fallback", "fail_open", "fail_closed")
    )
    changes = find_changes(question, before, after, weights)
    shares = sum_shares(before, weights), sum_shares(after, weights)
    return Impact(question, *shares, fallback, fail_open, fail_closed, changes)


def _list_landed(impact: Impact) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (
        ("on a fallback pool", impact.fallback),
        ("on pools that are down (fail_open)", impact.fail_open),
        ("without an answer (fail_closed)", impact.fail_closed),
    )


def _show(impacts: list[Impact], console: Console) -> None:
    for impact in impacts:
        console.print(impact.question, style="bold")
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("  pool", "before", "after"):
            table.add_column(heading)
        for pool in impact.before | impact.after:
            shares = (f"{part.get(pool, 0.0):.1%}" for part in (impact.before, impact.after))
            table.add_row(f"  {pool}", *shares)
        console.print(table)
        for change in impact.changes:
            console.print(
                f"  {change.share:.1%} of the traffic: {show_shares(change.before)} -> {show_shares(change.after)}:"
                f" {' '.join(change.places)}"
            )
        for where, places in _list_landed(impact):
            if places:
                console.print(f"  {where} now: {' '.join(places)}", style="red")


COMMAND = Command(
    "Show where the traffic of each country goes when pools or origins are down, or weights are others; exit status 1"
    " if anybody lands on a fallback pool, on pools that are down, or nowhere.",
    add_arguments,
    run,
)
