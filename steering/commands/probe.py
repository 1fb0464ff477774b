"""TRIO: waypost probe CONFIG: the probe daemon alone; and with --once, every target probed once, for scripts."""

import argparse
import functools
import logging
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import trio
from rich.console import Console
from rich.table import Table

from monitors.health import Key, Row, step
from monitors.monitor import Result, Target
from monitors.ping import PingNotPermitted, check_ping_permission
from monitors.probes import ping_families
from monitors.probes.external import ExternalMonitor
from monitors.scheduler import probe_once
from steering.commands.command import (
    BAD,
    GOOD,
    Command,
    UsageError,
    add_config,
    add_json,
    open_console,
    print_json,
    state_text,
)
from steering.control import run_control, without_answers
from steering.health.judgement import Watch, judge_watches
from steering.health.keeper import OriginName, watches_of
from steering.log import start_log
from steering.problems import did_you_mean
from steering.settings import Settings
from steering.settings_file import load_settings
from steering.supervisor import supervise
from steering.worker import run_worker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    parser.add_argument(
        "targets",
        metavar="TARGET",
        nargs="*",
        help="with --once: an origin, POOL/ORIGIN or an address, or a pattern of it; without any, everything",
    )
    parser.add_argument("--once", action="store_true", help="probe once, print what was seen, and end")
    parser.add_argument("--verbose", "-v", action="store_true", help="log more")
    add_json(parser)


class OnceResult(msgspec.Struct, frozen=True):
    """What the checks of an origin saw; by a monitor group, how it is judged."""

    pool: str
    origin: str
    address: str
    monitor: str
    up: bool
    rtt: float | None
    """Seconds."""
    reason: str
    evidence: str
    warning: str


class OnceReport(msgspec.Struct, frozen=True):
    """What `waypost probe --once` saw; `good` is what its exit status says."""

    good: bool
    results: tuple[OnceResult, ...]


def run(arguments: argparse.Namespace) -> int:
    """waypost probe CONFIG"""
    if not arguments.once and (arguments.targets or arguments.json):
        raise UsageError("targets and --json are for --once")
    settings = load_settings(arguments.config)
    if arguments.once:
        return _probe_once(settings, arguments)
    return _probe_on(settings, arguments)


def _probe_on(settings: Settings, arguments: argparse.Namespace) -> int:
    start_log(sys.stderr, logging.DEBUG if arguments.verbose else logging.INFO)
    if settings.zones or (settings.load_balancers and not settings.updates):
        logging.getLogger("waypost").info("%s: zones and load balancers are for `waypost run`", arguments.config)
    settings = without_answers(settings)
    state = Path(settings.server.state)
    try:
        return supervise(
            (),
            0,
            state,
            functools.partial(run_control, arguments.config, settings, False),
            functools.partial(run_worker, state),
        )
    except OSError as error:  # of the state directory
        print(f"{error.filename or state}: {error.strerror}", file=sys.stderr)
        return BAD


def _probe_once(settings: Settings, arguments: argparse.Namespace) -> int:
    watches = probed_by(settings)
    chosen = choose_origins(settings, arguments.targets)
    targets = {watch.key: watch.target for pool, origin, _ in chosen for watch in watches[pool, origin]}.values()
    try:
        check_ping_permission(ping_families(targets))
    except PingNotPermitted as error:
        raise UsageError(str(error)) from error
    rows: dict[Key, Row] = {}

    def note(target: Target, result: Result) -> None:
        rows[target.key] = step(None, result, target.monitor, 0.0)

    trio.run(probe_once, targets, note, None, settings.server.resolvers)
    monitors = {pool.name: pool.monitor or "" for pool in settings.pools}
    results = []
    for pool, origin, address in chosen:
        state = judge_watches(watches[pool, origin], rows, 0.0)
        assert state is not None, "each of them has a result"
        warnings = [row.warning for watch in watches[pool, origin] if (row := rows[watch.key]).warning]
        said = (state.up, state.rtt, state.reason, state.evidence, "; ".join(warnings))
        results.append(OnceResult(pool, origin, address, monitors[pool], *said))
    report = OnceReport(all(result.up for result in results), tuple(results))
    if arguments.json:
        print_json(report)
    else:
        show_results(report.results, open_console())
    return GOOD if report.good else BAD


def choose_origins(settings: Settings, words: Iterable[str]) -> list[tuple[str, str, str]]:
    """Pool, name and address of each origin that is probed and that a word chooses; of all without any word.

    Raises UsageError for a word that chooses none.
    """
    watched = probed_by(settings)
    probed = [
        (pool.name, origin.name, origin.endpoint)
        for pool in settings.pools
        for origin in pool.origins
        if (pool.name, origin.name) in watched
    ]
    names = [(each, {each[1], f"{each[0]}/{each[1]}", each[2]}) for each in probed]
    chosen = set() if (words := list(words)) else set(probed)
    for word in words:
        found = {each for each, its_names in names if any(fnmatchcase(name, word) for name in its_names)}
        if not found:
            known = sorted(set().union(*(its_names for _, its_names in names)))
            raise UsageError(f"{word}: no origin that is probed has this name or address{did_you_mean(word, known)}")
        chosen |= found
    return [each for each in probed if each in chosen]


def probed_by(settings: Settings) -> dict[OriginName, tuple[Watch, ...]]:
    """What probes each origin, where any probe has a say. Monitors that wait for reports are not asked: whatever they
    could say is a guess."""
    probing = {
        name: tuple(watch for watch in watches if not isinstance(watch.monitor, ExternalMonitor))
        for name, watches in watches_of(settings).items()
    }
    return {name: watches for name, watches in probing.items() if any(each.role != "only watches" for each in watches)}


def show_results(results: Iterable[OnceResult], console: Console) -> None:
    """A table on a terminal, a line for each origin elsewhere."""
    table = Table(box=None, header_style="bold", pad_edge=False, show_header=console.is_terminal)
    for heading in ("origin", "address", "state", "rtt", "result"):
        table.add_column(heading)
    for each in results:
        cells = (
            f"{each.pool}/{each.origin}",
            each.address,
            state_text("up" if each.up else "down"),
            "" if each.rtt is None else f"{each.rtt * 1000:.1f} ms",
            str(each.reason)
            + (f" ({each.evidence})" if each.evidence else "")
            + (f"; {each.warning}" if each.warning else ""),
        )
        if console.is_terminal:
            table.add_row(*cells)
        else:
            console.print(*filter(None, cells))
    if console.is_terminal:
        console.print(table)


COMMAND = Command(
    "Probe and tell, without answering, until SIGTERM or Ctrl-C; --once: probe once, exit status 1 if any is down.",
    add_arguments,
    run,
)
