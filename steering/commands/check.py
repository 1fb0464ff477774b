"""waypost check CONFIG: every problem of a configuration, and what its zones warn of."""

import argparse
import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress

from geodata.errors import GeoError
from steering.commands.command import BAD, GOOD, Command, add_config, add_json, print_json
from steering.offline import answers as offline
from steering.prepare import load_places
from steering.problems import ConfigurationError, SettingsError
from steering.secret_files import load_keys
from steering.settings import Settings
from steering.settings_file import load_settings
from steering.wire import name_to_text
from steering.world import rules_in_use
from steering.zones.check import ZoneWarning, check_zone
from steering.zones.load import LoadReport, ZonesError
from steering.zones.store import StoreError
from steering.zones.zonefile import ZoneFileError, read_zone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    parser.add_argument("--strict", action="store_true", help="exit status 1 for a warning, too")
    add_json(parser)


class CheckReport(msgspec.Struct, frozen=True):
    """What `waypost check` found; `good` is what its exit status says."""

    good: bool
    problems: tuple[str, ...]
    warnings: tuple[ZoneWarning, ...]


def run(arguments: argparse.Namespace) -> int:
    """waypost check CONFIG"""
    problems: list[str] = []
    warnings: list[ZoneWarning] = []
    summary = ""
    try:
        settings = load_settings(arguments.config)
    except SettingsError as error:
        problems += map(str, error.problems)
    else:
        summary = (
            f"{len(settings.zones)} zones, {len(settings.load_balancers)} load balancers, {len(settings.pools)} pools"
        )
        try:
            if settings.geo or rules_in_use(settings):
                summary += f", places of {len(load_places(settings).places) - 1} kinds"
        except GeoError as error:
            problems += error.problems
        try:
            load_keys(settings, arguments.config)
        except ConfigurationError as error:
            problems += error.problems
        try:
            warnings += [*_check_notify(settings), *_check_zones(settings)]
        except (ZonesError, ZoneFileError) as error:
            problems += map(str, error.problems)
        except StoreError as error:
            problems.append(str(error))
    good = not problems and not (arguments.strict and warnings)
    if arguments.json:
        print_json(CheckReport(good, tuple(problems), tuple(warnings)))
    else:
        if problems:
            print("\n".join(problems), file=sys.stderr)
        else:
            print(f"{arguments.config}: {'good' if good else 'not good'} ({summary})")
        for warning in warnings:
            print(f"warning: {warning}")
    return GOOD if good else BAD


def _check_notify(settings: Settings) -> Iterator[ZoneWarning]:
    """The zones of whose changes servers are told that then may not have them."""
    for zone in settings.zones:
        if zone.notify and not zone.allow_transfer:
            apex = name_to_text(zone.name)
            yield ZoneWarning(apex, apex, "it has notify, but no allow_transfer: who is told may not transfer it")


def _check_zones(settings: Settings) -> Iterator[ZoneWarning]:
    """The warnings of all zones; raises ZonesError, ZoneFileError or StoreError."""
    steered: dict[bytes, set[int]] = {}
    for balancer in settings.load_balancers:
        steered.setdefault(balancer.name, set()).update(balancer.types)
    names = 0
    with _late_progress() as progress:
        # One zone says nothing until it has been read: the bar only moves to and fro.
        reading = progress.add_task("reading zones", total=len(settings.zones) if len(settings.zones) > 1 else None)

        def on_read(report: LoadReport) -> None:
            nonlocal names
            names += report.names
            progress.advance(reading)

        with offline.open_zones(settings, on_read) as zones:
            checking = progress.add_task("checking zones", total=2 * names)
            for zone in settings.zones:
                if zone.primaries or zone.catalog:  # its records are elsewhere; nobody resolves a catalog
                    continue
                yield from check_zone(
                    zones,
                    zones.zones[zone.name],
                    functools.partial(read_zone, Path(zone.file), zone.name) if zone.file else tuple,
                    steered,
                    functools.partial(progress.advance, checking),
                )


@contextmanager
def _late_progress() -> Iterator[Progress]:
    """A progress bar that shows after a second, and on a terminal only."""
    console = Console(stderr=True)
    progress = Progress(console=console, transient=True)
    timer = threading.Timer(1.0, progress.start)
    if console.is_interactive:
        timer.start()
    try:
        yield progress
    finally:
        timer.cancel()
        if console.is_interactive:
            timer.join()
            progress.stop()


COMMAND = Command(
    "Report every problem of the configuration, its zones and its geo data; exit status 1 if there is any."
    " Warnings are about zones that can be served, in which something does not work as it is meant.",
    add_arguments,
    run,
)
