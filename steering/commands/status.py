"""waypost status CONFIG: what the running waypost sees."""

import argparse
import time

import msgspec
from rich.console import Console
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
    open_console,
    print_json,
    show_overrides,
    state_text,
)
from steering.messages import OriginStatus, Status
from steering.settings import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """waypost status CONFIG"""
    settings = load_settings(arguments.config)
    status = ask_status(settings)
    if arguments.json:
        print_json(status)
    else:
        show_status(status, open_console())
    return GOOD if all(pool.up or not pool.enabled for pool in status.pools) else BAD


def show_status(status: Status, console: Console) -> None:
    """Pools and origins, then what is ordered, notifiers, zones and workers."""
    now = time.time()
    console.print(f"{status.configuration}: running for {_duration(now - status.since)} (pid {status.pid})")
    if status.held:
        console.print(Text(f"STATES ARE HELD, the network of this machine seems broken: {status.held}", "bold red"))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("pool", "origin", "address", "state", "for", "rtt", "last result", "besides"):
        table.add_column(heading)
    for pool in status.pools:
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
    console.print(table)
    if status.overrides:
        show_overrides(status.overrides, console)
    for name, courier in status.notifiers.items():
        trouble = f", in trouble: {courier.error}" if courier.error else ""
        console.print(f"notifier {name}: {courier.delivered} delivered, {courier.waiting} waiting{trouble}")
    for zone in status.zones:
        console.print(f"zone {zone.name} serial {zone.serial}")
    for worker in status.workers:
        console.print(
            f"worker {worker.number} (pid {worker.pid}): {worker.udp} packets by UDP, {worker.tcp} messages by TCP"
        )


def _besides(origin: OriginStatus, now: float) -> str:
    """Why an origin counts otherwise than by its checks, and what it warns of."""
    parts = [] if origin.cause in ("", "forced", "maintenance") else [origin.cause]
    if origin.override is not None:
        each = origin.override
        share = f" {origin.share:.0%}" if each.state == "draining" else ""
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
