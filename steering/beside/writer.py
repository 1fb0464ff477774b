"""TRIO: the writer of files for other DNS servers: anew when health changes what is in them, and whole or not at all.

A file is replaced by a new one of the same name, so that nobody reads half of it. It is written at most once in
WRITE_INTERVAL. What cannot be written is logged once, shown in the status, and tried again: it stops nothing else.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import msgspec
import trio

from steering.balance.pools import Health, give_addresses
from steering.beside import AnyExport, render
from steering.beside.export import OriginState
from steering.files import replace_file
from steering.messages import ExportStatus
from steering.records.a import A
from steering.records.aaaa import AAAA
from steering.records.cname import CNAME
from steering.records.mx import MX
from steering.settings import Origin, Pool
from steering.wire import name_to_text

WRITE_INTERVAL = 1.0
"""Seconds between two writes."""
RETRY_INTERVAL = 10.0
"""Seconds until what could not be written is tried again."""

logger = logging.getLogger("waypost.export")


class ExportWriter:
    """What is to be written, and what is in the files."""

    def __init__(self, read_health: Callable[[], Health]) -> None:
        self._read_health = read_health
        self._exports: tuple[AnyExport, ...] = ()
        self._pools: tuple[Pool, ...] = ()
        self._written: dict[str, bytes] = {}
        """Content by path, of what this process has written."""
        self._states: dict[str, ExportStatus] = {}
        """By the path of the export."""
        self._changed = trio.Event()

    def replace(self, exports: Sequence[AnyExport], pools: Sequence[Pool]) -> None:
        """Write these exports from now on."""
        self._exports, self._pools = tuple(exports), tuple(pools)
        self._states = {each.path: self._states.get(each.path, ExportStatus(each.path)) for each in exports}
        # A file that somebody has replaced or removed is put right by a reload.
        self._written = dict.fromkeys(self._written, b"")
        self.mark_changed()

    def mark_changed(self) -> None:
        """Health is another than before."""
        self._changed.set()

    def status(self) -> tuple[ExportStatus, ...]:
        """How each export fares, in the order of the configuration."""
        return tuple(self._states.values())

    async def run(self) -> None:
        """Write what changes, until cancelled."""
        while True:
            with trio.move_on_after(RETRY_INTERVAL if any(each.problem for each in self.status()) else float("inf")):
                await self._changed.wait()
            self._changed = trio.Event()
            await self.write()
            await trio.sleep(WRITE_INTERVAL)

    async def write(self) -> None:
        """Write every file whose content is another than what is in it, and remove those of pools that are gone."""
        health = self._read_health()
        wanted: dict[str, bytes] = {}
        for export in self._exports:
            files = render(export, list(judge_origins(self._pools, export.pools, health)))
            wanted |= files
            problem = ""
            for path, content in files.items():
                if self._written.get(path) != content:
                    problem = await self._write(path, content) or problem
            self._note(export.path, problem)
        for path in self._written.keys() - wanted.keys():
            del self._written[path]
            await trio.to_thread.run_sync(_remove, Path(path))

    async def _write(self, path: str, content: bytes) -> str:
        """Write one file; what prevents it, or ""."""
        # The server that reads it is another user.
        write = partial(replace_file, Path(path), content, durable=True, mode=0o644)
        try:
            await trio.to_thread.run_sync(write)
        except OSError as error:
            self._written.pop(path, None)
            return f"{path}: {error.strerror or error}"
        self._written[path] = content
        return ""

    def _note(self, path: str, problem: str) -> None:
        before = self._states.get(path)
        if before is None:  # reloaded meanwhile
            return
        if problem and problem != before.problem:
            logger.error("cannot write %s; trying again every %g s", problem, RETRY_INTERVAL)
        elif before.problem and not problem:
            logger.info("%s is written again", path)
        written = before.written if problem else time.time()
        self._states[path] = msgspec.structs.replace(before, written=written, problem=problem)


def judge_origins(pools: Sequence[Pool], globs: Sequence[str], health: Health) -> Iterator[OriginState]:
    """The state of every origin of the pools that a pattern matches."""
    for pool in pools:
        if any(fnmatchcase(pool.name, glob) for glob in globs):
            for origin in pool.origins:
                yield judge_origin(pool, origin, health)


def judge_origin(pool: Pool, origin: Origin, health: Health) -> OriginState:
    """The state of one origin; whoever takes no traffic is down."""
    verdict = health.get((pool.name, origin.name))
    if verdict is not None:
        up: bool | None = verdict.up and verdict.share > 0
        origin = give_addresses(origin, verdict)
    else:
        up = None if pool.monitor else True
    return OriginState(
        pool.name,
        origin.name,
        addresses=tuple(str(ip_address(rdata)) for kind in (A, AAAA) for rdata in origin.records.get(kind.type, ())),
        aliases=tuple(name_to_text(rdata) for rdata in origin.records.get(CNAME.type, ())),
        exchangers=tuple(
            name_to_text(target) for rdata in origin.records.get(MX.type, ()) if (target := MX.target(rdata))
        ),
        enabled=pool.enabled and origin.enabled,
        up=up,
        flip_after=None if verdict is None else verdict.flip_after,
    )


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            logger.warning("%s: %s", path, error.strerror)
