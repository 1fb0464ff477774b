"""The commands of waypost. Each is a function of its arguments that returns the exit status:
0 good, 1 the thing asked about is not good, 2 usage.
"""

import argparse
import functools
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from geodata.errors import GeoError
from geodata.regions import REGIONS, REGIONS_FILE, Regions
from steering import offline
from steering.balance.explain import PoolReason
from steering.balance.pools import Health, Verdict
from steering.control import run_control
from steering.log import start_log
from steering.messages import Status, ZoneStatus
from steering.offline import Client, OfflineError, Told
from steering.prepare import load_places
from steering.problems import SettingsError
from steering.serve.control_socket import ControlError, ask_control
from steering.settings import Settings, load_settings
from steering.supervisor import ListenError, supervise
from steering.values import parse_address, parse_country, parse_subdivision
from steering.worker import run_worker
from steering.world import rules_in_use
from steering.zones.check import ZoneWarning, check_zone
from steering.zones.load import LoadReport, ZonesError
from steering.zones.store import StoreError
from steering.zones.zonefile import ZoneFileError, read_zone

GOOD, BAD, USAGE = 0, 1, 2
PIPE_WIDTH = 500
"""Columns of a table that no terminal shows."""

INTERRUPTED = 130
Refusal = (SettingsError, GeoError, ZonesError, StoreError, ListenError, ControlError)
"""What a command cannot go on after; the text of each says what is wrong and where."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line."""
    parsed = make_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.run
    try:
        return command(parsed)
    except Refusal as error:
        print(error, file=sys.stderr)
        return BAD
    except OfflineError as error:
        print(error, file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return BAD


def make_parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    parser = argparse.ArgumentParser(
        prog="waypost", description="DNS answers by the health of your sites and the place of the client."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=summary)
        command.set_defaults(run=run)
        command.add_argument("config", type=Path, metavar="CONFIG", help="the configuration, a TOML file")
        return command

    run = add("run", run_run, "Probe and answer, until SIGTERM or Ctrl-C; SIGHUP reloads, all or nothing.")
    run.add_argument("--verbose", "-v", action="store_true", help="log more")
    check = add(
        "check",
        run_check,
        "Report every problem of the configuration, its zones and its geo data; exit status 1 if there is any."
        " Warnings are about zones that can be served, in which something does not work as it is meant.",
    )
    check.add_argument("--strict", action="store_true", help="exit status 1 for a warning, too")
    check.add_argument("--json", action="store_true")
    answer = add(
        "answer",
        run_answer,
        "Show what a client gets and why, without a server; exit status 1 if the answer is no data.",
    )
    answer.add_argument("name", metavar="NAME")
    answer.add_argument("type", metavar="TYPE", nargs="?", default="A")
    who = answer.add_argument_group("the client (default: one that nobody knows the place of)")
    who.add_argument("--from", dest="address", metavar="ADDRESS", type=_checked(parse_address), help="IPv4 or IPv6")
    who.add_argument("--country", type=_checked(lambda text: parse_country(text.upper())), help="two letters, like FR")
    who.add_argument("--subdivision", type=_checked(lambda text: parse_subdivision(text.upper())), help="like US-CA")
    who.add_argument("--region", choices=REGIONS)
    what_if = answer.add_argument_group("health (default: everything is up)")
    what_if.add_argument(
        "--down",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="an origin, or POOL/ORIGIN, that is down; may be repeated",
    )
    what_if.add_argument("--live", action="store_true", help="the health that the running waypost sees")
    answer.add_argument("--json", action="store_true")
    status = add(
        "status",
        run_status,
        "Show what the running waypost sees: pools, origins, zones, workers; exit status 1 if a pool is down.",
    )
    status.add_argument("--json", action="store_true")
    return parser


def _checked(parse: Callable[[str], str]) -> Callable[[str], str]:
    def convert(text: str) -> str:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def run_run(arguments: argparse.Namespace) -> int:
    """waypost run CONFIG"""
    settings = load_settings(arguments.config)
    start_log(sys.stderr, logging.DEBUG if arguments.verbose else logging.INFO)
    listen = [
        (host.strip("[]"), int(port)) for host, _, port in (each.rpartition(":") for each in settings.server.listen)
    ]
    state = Path(settings.server.state)
    try:
        return supervise(
            listen,
            settings.server.workers,
            state,
            functools.partial(run_control, arguments.config, settings),
            functools.partial(run_worker, state),
        )
    except OSError as error:  # of the state directory
        print(f"{error.filename or state}: {error.strerror}", file=sys.stderr)
        return BAD


class CheckReport(msgspec.Struct, frozen=True):
    """What `waypost check` found; `good` is what its exit status says."""

    good: bool
    problems: tuple[str, ...]
    warnings: tuple[ZoneWarning, ...]


def run_check(arguments: argparse.Namespace) -> int:
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
            if settings.geo or rules_in_use(settings.load_balancers):
                summary += f", places of {len(load_places(settings).places) - 1} kinds"
        except GeoError as error:
            problems += error.problems
        try:
            warnings += _check_zones(settings)
        except (ZonesError, ZoneFileError) as error:
            problems += map(str, error.problems)
        except StoreError as error:
            problems.append(str(error))
    good = not problems and not (arguments.strict and warnings)
    if arguments.json:
        report = CheckReport(good, tuple(problems), tuple(warnings))
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        if problems:
            print("\n".join(problems), file=sys.stderr)
        else:
            print(f"{arguments.config}: {'good' if good else 'not good'} ({summary})")
        for warning in warnings:
            print(f"warning: {warning}")
    return GOOD if good else BAD


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
                if zone.primaries:  # its records are elsewhere
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


def run_answer(arguments: argparse.Namespace) -> int:
    """waypost answer CONFIG NAME TYPE"""
    settings = load_settings(arguments.config)
    client = _client_of(arguments, settings)
    health = _live_health(settings) if arguments.live else {}
    health = offline.override_health(settings, arguments.down, health)
    with offline.open_zones(settings) as zones:
        told = offline.answer_offline(settings, zones, client, arguments.name, arguments.type, health)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(told)).decode())
    else:
        show_told(told, _open_console())
    return GOOD if told.answer else BAD


def _client_of(arguments: argparse.Namespace, settings: Settings) -> Client:
    place = (arguments.country, arguments.subdivision, arguments.region)
    if arguments.address is not None:
        if any(place):
            raise OfflineError("--from looks the place up: leave out --country, --subdivision and --region")
        return Client(address=arguments.address)
    regions = Regions.load(Path(settings.regions) if settings.regions else REGIONS_FILE)
    return offline.make_client(*place, regions)


def _live_health(settings: Settings) -> Health:
    return {
        (pool.monitor, origin.address): Verdict(origin.up, origin.flip_after or math.inf)
        for pool in _ask_status(settings).pools
        if pool.monitor is not None
        for origin in pool.origins
        if origin.up is not None
    }


def _open_console() -> Console:
    """For text that came from elsewhere, which is no markup; in a pipe a line stays a line."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


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
        for pool in reason.pools:
            _show_pool(pool, reason.fallback and pool.share > 0, console)
        console.print(f"  ttl       {reason.ttl} s: {reason.ttl_reason}")
    if not told.reasons:
        console.print("steered     no: the same answer for every client")


def _show_pool(pool: PoolReason, fallback: bool, console: Console) -> None:
    line = Text(f"  pool      {pool.name}: ")
    line.append(pool.state, STATE_STYLES.get(pool.state, "dim"))
    line.append(f", {pool.healthy} healthy, needs {pool.minimum_origins}")
    if fallback:
        line.append(" -> answers as the fallback", "bold")
    elif pool.share:
        line.append(f" -> answers{'' if pool.share == 1 else f' {pool.share:.1%}'}", "bold")
    console.print(line)
    for origin in pool.origins:
        entry = Text(f"    origin  {origin.name} {origin.address}: ")
        entry.append(origin.state, STATE_STYLES.get(origin.state, "dim"))
        if origin.weight != 1:
            entry.append(f", weight {origin.weight:g}")
        console.print(entry)


STATE_STYLES = {"up": "green", "down": "bold red"}


def run_status(arguments: argparse.Namespace) -> int:
    """waypost status CONFIG"""
    settings = load_settings(arguments.config)
    status = _ask_status(settings)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(status)).decode())
    else:
        show_status(status, _open_console())
    return GOOD if all(pool.up or not pool.enabled for pool in status.pools) else BAD


def _ask_status(settings: Settings) -> Status:
    reply = ask_control(Path(settings.server.state), {"command": "status"})
    try:
        return msgspec.convert(reply, Status)
    except msgspec.ValidationError as error:
        raise ControlError(f"the running waypost is of another version: {error}") from error


def show_status(status: Status, console: Console) -> None:
    """Pools and origins, then zones and workers."""
    now = time.time()
    console.print(f"{status.configuration}: running for {_duration(now - status.since)} (pid {status.pid})")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("pool", "origin", "address", "state", "for", "rtt", "last result"):
        table.add_column(heading)
    for pool in status.pools:
        needs = f"{pool.healthy} of {len(pool.origins)}, needs {pool.minimum_origins}"
        table.add_row(pool.name, "", "", _state_text(pool.up if pool.enabled else None, "disabled"), "", "", needs)
        for origin in pool.origins:
            word = "unmonitored" if pool.monitor is None else "no result yet"
            table.add_row(
                "",
                origin.name,
                origin.address,
                _state_text(origin.up, word if origin.enabled else "disabled"),
                "" if origin.since is None else _duration(now - origin.since),
                "" if origin.rtt is None else f"{origin.rtt * 1000:.1f} ms",
                origin.reason + (f" ({origin.evidence})" if origin.evidence else ""),
            )
    console.print(table)
    for zone in status.zones:
        console.print(_zone_text(zone, now))
    for worker in status.workers:
        console.print(
            f"worker {worker.number} (pid {worker.pid}): {worker.udp} packets by UDP, {worker.tcp} messages by TCP"
        )


def _zone_text(zone: ZoneStatus, now: float) -> str:
    text = f"zone {zone.name} " + ("never transferred" if zone.serial is None else f"serial {zone.serial}")
    if zone.expired and zone.serial is not None:
        text += ", expired"
    for what, moment in (("checked", zone.last_check), ("changed", zone.last_change)):
        if moment is not None:
            text += f", {what} {_duration(now - moment)} ago"
    if zone.next_try is not None:
        text += f", next try in {_duration(zone.next_try - now)}"
    return text + (f": {zone.error}" if zone.error else "")


def _state_text(up: bool | None, otherwise: str) -> Text:
    word = otherwise if up is None else "up" if up else "down"
    return Text(word, STATE_STYLES.get(word, "dim"))


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
