"""waypost status CONFIG: what the running waypost sees."""

import argparse
import time
from collections.abc import Iterable
from typing import NoReturn

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from monitors.notify.wording import time_in_words
from steering.commands.command import (
    BAD,
    GOOD,
    Command,
    add_config,
    add_json,
    ask_status,
    describe_order,
    list_overrides,
    open_console,
    print_json,
    state_text,
)
from steering.messages import ExportStatus, OriginStatus, PoolStatus, Status, UpdateStatus, ZoneStatus
from steering.serve.control_socket import ControlError
from steering.settings import Settings
from steering.settings_file import load_settings

WATCH_INTERVAL = 2.0
"""Seconds between two looks of --watch, unless it says otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        type=_parse_interval,
        const=WATCH_INTERVAL,
        help=f"look again and again, every {WATCH_INTERVAL:g} seconds unless given, until Ctrl-C",
    )
    add_json(parser)


def _parse_interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError("expected a number of seconds from 0.1 to 86400")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """waypost status CONFIG"""
    settings = load_settings(arguments.config)
    if arguments.watch is not None:
        try:
            watch(settings, open_console(), arguments.watch, as_json=arguments.json)
        except KeyboardInterrupt:
            return GOOD
    status = ask_status(settings)
    if arguments.json:
        print_json(status)
    else:
        open_console().print(show_status(status))
    is_answered = all(pool.up or not pool.enabled for pool in status.pools)
    return GOOD if is_answered and not any(zone.expired for zone in status.zones) else BAD


def watch(settings: Settings, console: Console, interval: float, *, as_json: bool) -> NoReturn:
    """Show what the running waypost sees, anew every `interval` seconds: in one place on a terminal, else a block, or
    a line of JSON, each time. It may go away meanwhile, and come back."""
    if as_json or not console.is_terminal:
        while True:
            seen, shown = _look(settings)
            if as_json:
                print(msgspec.json.encode(seen).decode(), flush=True)
            else:
                console.print(shown)
                console.print()
            time.sleep(interval)
    with Live(_look(settings)[1], console=console, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(_look(settings)[1], refresh=True)


def _look(settings: Settings) -> tuple[Status | dict[str, str], RenderableType]:
    """The status, or why there is none; and how that is shown."""
    try:
        status = ask_status(settings)
    except ControlError as error:
        return {"error": str(error)}, Text(f"{time.strftime('%H:%M:%S')} {error}; looking again", "bold red")
    return status, show_status(status)


def show_status(status: Status) -> Group:
    """Pools and origins, then what is ordered, notifiers, zones, workers, and files and zones of other servers."""
    now = time.time()
    parts: list[RenderableType] = []
    parts.append(f"{status.configuration}: in force for {_duration(now - status.since)} (pid {status.pid})")
    if status.held:
        parts.append(Text(f"STATES ARE HELD, the network of this machine seems broken: {status.held}", "bold red"))
    if status.pools:
        parts.append(_pools_table(status.pools, now))
    parts += list_overrides(status.overrides)
    for name, courier in status.notifiers.items():
        trouble = f", in trouble: {courier.error}" if courier.error else ""
        parts.append(f"notifier {name}: {courier.delivered} delivered, {courier.waiting} waiting{trouble}")
    for zone in status.zones:
        parts.append(Text(_zone_text(zone, now), "bold red" if zone.error or zone.expired else ""))
        parts += [
            Text(f"  NOTIFY to {each.server}: {each.reason}, for {_duration(now - each.since)}", "bold red")
            for each in zone.unheard
        ]
    parts += [
        f"worker {worker.number} (pid {worker.pid}): {worker.udp} packets by UDP, {worker.tcp} messages by TCP"
        for worker in status.workers
    ]
    parts += [_export_text(export, now) for export in status.exports]
    parts += [_update_text(update) for update in status.updates]
    return Group(*parts)


def _pools_table(pools: Iterable[PoolStatus], now: float) -> Table:
    """A row for each pool, for each of its origins, and for each monitor of an origin that has several."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("pool", "origin", "address", "state", "for", "rtt", "last result", "besides"):
        table.add_column(heading)
    for pool in pools:
        needs = f"{pool.healthy} of {len(pool.origins)}, needs {pool.minimum_origins}"
        table.add_row(
            pool.name,
            "",
            "",
            state_text(_word(pool.up if pool.enabled else None, "disabled")),
            "",
            "",
            needs,
            pool.cause,
        )
        for origin in pool.origins:
            word = "unmonitored" if pool.monitor is None else "no result yet"
            table.add_row(
                "",
                origin.name,
                origin.address,
                state_text(_word(origin.up, word if origin.enabled else "disabled")),
                "" if origin.since is None else _duration(now - origin.since),
                "" if origin.rtt is None else f"{origin.rtt * 1000:.1f} ms",
                origin.reason + (f" ({origin.evidence})" if origin.evidence else ""),
                _besides(origin, now),
            )
            for monitor in origin.monitors:
                table.add_row(
                    "",
                    "",
                    f"  {monitor.name}",
                    state_text(_word(monitor.up, "no result yet")),
                    "",
                    "" if monitor.rtt is None else f"{monitor.rtt * 1000:.1f} ms",
                    monitor.reason + (f" ({monitor.evidence})" if monitor.evidence else ""),
                    monitor.role,
                )
    return table


def _zone_text(zone: ZoneStatus, now: float) -> str:
    text = f"zone {zone.name} " + ("never transferred" if zone.serial is None else f"serial {zone.serial}")
    if zone.expired and zone.serial is not None:
        text += ", expired"
    for what, moment in (("checked", zone.last_check), ("changed", zone.last_change)):
        if moment is not None:
            text += f", {what} {_duration(now - moment)} ago"
    if zone.next_try is not None:
        text += f", next try in {_duration(zone.next_try - now)}"
    if zone.error and not zone.expired and zone.expires is not None:
        text += f", expires in {_duration(zone.expires - now)}"
    return text + (f": {zone.error}" if zone.error else "")


def _export_text(export: ExportStatus, now: float) -> Text:
    if export.problem:
        return Text(f"file {export.path}: cannot be written ({export.problem})", "bold red")
    when = "not yet written" if export.written is None else f"looked after {_duration(now - export.written)} ago"
    return Text(f"file {export.path}: {when}")


def _update_text(update: UpdateStatus) -> Text:
    place = f"update of {update.zone} at {update.where}"
    if update.problem:
        return Text(f"{place}: {update.problem}", "bold red")
    if update.conflicts:
        return Text(f"{place}: somebody else has written there (conflicts: {update.conflicts}; see the log)", "yellow")
    return Text(f"{place}: as it should be")


def _besides(origin: OriginStatus, now: float) -> str:
    """Why an origin counts otherwise than by its checks, and what it warns of."""
    parts = [] if origin.cause in ("", "forced", "maintenance") else [origin.cause]
    takes = f"{origin.share:.0%}" if origin.share != 1 else ""
    if takes and (origin.override is None or origin.override.state != "draining"):
        parts.append(f"takes {takes} of its traffic")
    if origin.override is not None:
        each = origin.override
        share = f" {takes}" if takes and each.state == "draining" else ""
        by = each.by if each.since <= now else f"{each.by} from {time_in_words(each.since)}"
        parts.append(f"{each.state}{share} {describe_order(msgspec.structs.replace(each, by=by))}")
    return "; ".join([*parts, *([f"warning: {origin.warning}"] if origin.warning else [])])


def _word(up: bool | None, otherwise: str) -> str:
    return otherwise if up is None else "up" if up else "down"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


COMMAND = Command(
    "Show what the running waypost sees: pools, origins, zones, workers; exit status 1 if a pool is down.",
    add_arguments,
    run,
)
