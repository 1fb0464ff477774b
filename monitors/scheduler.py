"""TRIO: when each target is probed, for how long, how often again, and who is told.

Theory of operation. The time axis of a target is a grid: one due time per interval, shifted by a phase that
follows from its name and address, so that targets spread over the interval and keep their places through
reloads. Due times are computed from the grid and never from the end of a probe, so nothing drifts; a probe
that runs past due times skips them. A new target does not wait for its place: its first probe comes at once,
or as soon as the pace of first probes allows.

One task takes due targets from a heap and starts one task per probe. Nothing else waits for a clock. It wakes for
those that are due within a TICK together, as waking costs more than starting a probe.

What a probe takes of the machine (`Monitor.takes`) is limited. One that has to wait for its share starts late, and its
timeout begins when it starts.
"""

import gc
import hashlib
import heapq
import math
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import msgspec
import trio

from monitors import probes
from monitors.attempt import attempt
from monitors.monitor import Reason, Result, Takes, Target
from monitors.tools import Tools, open_tools

Probe = Callable[[Target], Awaitable[Result]]

TICK = 0.01
"""Seconds between two looks at what is due."""

SHARE_OF_FILES = 0.8
"""Of the files that this process may have open, for probes: each has one connection at a time. The rest is for
everything else. Memory needs no limit, as a target has one probe at a time: some 9 kB."""

PROCESSES = 500
"""Commands that run at the same time."""

COLLECT_AT_LEAST = 10_000
COLLECT_PER_TARGET = 64
"""Allocations after which Python's collector looks for garbage among what is new: so many at least, and so many for
each target. It would otherwise go through the thousands of probes that wait for silent targets, each of 50 objects or
more, for a tenth of a second, again and again. Checks leave no garbage."""

FIRST_PROBES_PER_SECOND = 500.0
"""The pace of first probes, unless there are so many targets that they are always probed faster than that."""


class Statistics(msgspec.Struct, frozen=True):
    """Counters since the scheduler was opened. Lag is start − due, in seconds; `lag_seconds` is the sum over
    all probes."""

    targets: int
    running: int
    started: int
    retried: int
    skipped: int
    lag_seconds: float
    lag_maximum: float


@asynccontextmanager
async def open_scheduler(
    on_result: Callable[[Target, Result], None], probe: Probe | None = None
) -> AsyncIterator["Scheduler"]:
    """A scheduler without targets, which calls `on_result` for each finished probe, retries included in one
    result.

    `probe` is how a target is probed; without it, by the kind of its monitor. What `on_result` raises ends
    the scheduler. At the end everything that runs is cancelled, and unreported.
    """
    thresholds = gc.get_threshold()
    _set_collector(0)
    try:
        async with open_tools() as tools, trio.open_nursery() as nursery:
            scheduler = Scheduler(nursery, on_result, probe or (lambda target: probes.probe(target, tools)), tools)
            nursery.start_soon(scheduler._run)
            yield scheduler
            nursery.cancel_scope.cancel()
    finally:
        gc.set_threshold(*thresholds)


async def probe_once(
    targets: Iterable[Target],
    on_result: Callable[[Target, Result], None],
    probe: Probe | None = None,
    nameservers: tuple[tuple[str, int], ...] = (),
) -> None:
    """Probe each target once, all at the same time as far as files allow, with retries as a scheduler does.

    Host names are looked up at `nameservers`, or without any at those of the system.
    """
    async with open_tools() as tools, trio.open_nursery() as nursery:
        tools.resolver.nameservers = nameservers
        scheduler = Scheduler(nursery, on_result, probe or (lambda target: probes.probe(target, tools)), tools)

        async def check(target: Target) -> None:
            async with scheduler._limits[target.monitor.takes]:
                on_result(target, await scheduler._attempts(target))

        for target in targets:
            nursery.start_soon(check, target)


class Scheduler:
    """Made by `open_scheduler`."""

    def __init__(
        self, nursery: trio.Nursery, on_result: Callable[[Target, Result], None], probe: Probe, tools: Tools
    ) -> None:
        self.tools = tools
        """Those of its probes; they are closed with it."""
        self._nursery = nursery
        self._on_result = on_result
        self._probe = probe
        self._opened = trio.current_time()
        self._next_first_probe = self._opened
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._due: list[tuple[float, int, _Watch]] = []
        self._sleep = trio.CancelScope()
        self._limits = {
            Takes.NOTHING: trio.CapacityLimiter(math.inf),
            Takes.FILE: trio.CapacityLimiter(max(1, int(SHARE_OF_FILES * allow_files()))),
            Takes.PROCESS: trio.CapacityLimiter(PROCESSES),
        }
        self._pushed = self._running = self._started = self._retried = self._skipped = 0
        self._lag_seconds = self._lag_maximum = 0.0
        self._moved = self._opened
        self._longest_timeout = 0.0

    def replace(self, targets: Iterable[Target]) -> None:
        """Watch `targets` from now on, one probe for all that share their key.

        Targets that were watched before go on undisturbed; those that are missing now are dropped, in the
        middle of a probe if need be, and no result of theirs is reported any more. A changed monitor makes a
        new target.
        """
        wanted = {target.key: target for target in targets}
        for key, watch in list(self._watches.items()):
            if wanted.get(key) != watch.target:
                del self._watches[key]
                watch.drop()
        pace = max(FIRST_PROBES_PER_SECOND, sum(1 / target.monitor.interval for target in wanted.values()))
        for key, target in wanted.items():
            if key not in self._watches:
                self._watches[key] = watch = _Watch(target, self._opened)
                self._next_first_probe = max(self._next_first_probe, trio.current_time())
                self._push(self._next_first_probe, watch)
                self._next_first_probe += 1 / pace
        self._longest_timeout = max((target.monitor.timeout for target in wanted.values()), default=0.0)
        _set_collector(len(wanted))
        self._sleep.cancel()

    async def wait_first_results(self, targets: Iterable[Target], deadline_seconds: float) -> set[Target]:
        """Wait until each of `targets` has had a result, for at most `deadline_seconds`; return those that
        have had none.

        Targets that are not watched, or cease to be, are not waited for, and are returned.
        """
        wanted = {target: self._watches.get(target.key) for target in targets}
        with trio.move_on_after(deadline_seconds):
            for target, watch in wanted.items():
                if watch is not None and watch.target == target:
                    await watch.wait_settled()
        return {target for target, watch in wanted.items() if not (watch and watch.target == target and watch.reported)}

    def find(self, monitor: str, address: str) -> Target | None:
        """The target of this monitor and address, if it is watched."""
        watch = self._watches.get((monitor, address))
        return watch.target if watch else None

    def probe_now(self, target: Target) -> None:
        """Probe a watched target at once, besides its due times. A probe of it that runs already is left alone."""
        watch = self._watches.get(target.key)
        if watch is not None and watch.target == target and watch.running is None:
            watch.running = trio.CancelScope()
            self._nursery.start_soon(self._check, watch, watch.running, trio.current_time())

    async def try_out(self, target: Target) -> Result:
        """One attempt, whose result is reported to nobody and counts for nothing."""
        return await attempt(lambda: self._probe(target), target.monitor.timeout)

    def last_duration(self, monitor: str, address: str) -> float | None:
        """How many seconds the last check of a target took, with its retries; None before the first."""
        watch = self._watches.get((monitor, address))
        return watch.duration if watch else None

    def statistics(self) -> Statistics:
        """What it has done so far."""
        return Statistics(
            len(self._watches),
            self._running,
            self._started,
            self._retried,
            self._skipped,
            self._lag_seconds,
            self._lag_maximum,
        )

    def stalled(self) -> float:
        """Seconds for which something has been overdue: a target that is to be probed, or, while probes run, the end
        of an attempt of any of them; 0 if all is well."""
        now = trio.current_time()
        since = self._due[0][0] if self._due else now
        if self._running:
            since = min(since, self._moved + self._longest_timeout)
        return max(0.0, now - since)

    async def _run(self) -> None:
        while True:
            now = trio.current_time()
            while self._due and self._due[0][0] <= now:
                due, _, watch = heapq.heappop(self._due)
                if watch.dropped:
                    continue
                if watch.running is None:
                    watch.running = trio.CancelScope()
                    self._nursery.start_soon(self._check, watch, watch.running, due)
                else:
                    self._skipped += 1
                following, missed = watch.following(due, now)
                self._skipped += missed
                self._push(following, watch)
            deadline = max(self._due[0][0], now + TICK) if self._due else math.inf
            with trio.CancelScope(deadline=deadline) as self._sleep:
                await trio.sleep_forever()

    def _push(self, due: float, watch: "_Watch") -> None:
        # The running number decides between equal times, in the order of arrival.
        self._pushed += 1
        heapq.heappush(self._due, (due, self._pushed, watch))

    async def _check(self, watch: "_Watch", running: trio.CancelScope, due: float) -> None:
        limit = self._limits[watch.target.monitor.takes]
        with running:
            try:
                limit.acquire_nowait()
            except trio.WouldBlock:
                await limit.acquire()
            try:
                started = trio.current_time()
                if not self._running:
                    self._moved = started  # until now there was nothing to wait for
                self._running += 1
                self._started += 1
                self._lag_seconds += started - due
                self._lag_maximum = max(self._lag_maximum, started - due)
                result = await self._attempts(watch.target)
                watch.duration = trio.current_time() - started
            finally:
                self._running -= 1
                limit.release()
            if not watch.dropped:
                watch.reported = True
                watch.settle()
                self._on_result(watch.target, result)
        watch.running = None

    async def _attempts(self, target: Target) -> Result:
        """The result of the first attempt that is no timeout, or of the last."""
        for number in range(1 + target.monitor.retries):
            self._retried += number > 0
            result = await attempt(lambda: self._probe(target), target.monitor.timeout)
            self._moved = trio.current_time()
            if result.reason is not Reason.TIMEOUT:
                break
        return result


class _Watch:
    """A watched target: its grid of due times, and how far it has come."""

    __slots__ = ("_grid", "_settled", "dropped", "duration", "reported", "running", "target")

    def __init__(self, target: Target, opened: float) -> None:
        self.target = target
        self.running: trio.CancelScope | None = None
        self.dropped = False
        self.reported = False
        self.duration: float | None = None
        self._settled: trio.Event | None = None  # made when it is waited for: there are many of us
        key = f"{target.monitor.name} {target.endpoint}".encode()
        phase = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2**64
        self._grid = opened + phase * target.monitor.interval

    def following(self, due: float, now: float) -> tuple[float, int]:
        """The due time on the grid that follows `due` and is not past, and how many past ones lie between."""
        interval = self.target.monitor.interval
        # Rounded first, so that a time on the grid is not taken for one just before it.
        place = math.floor(round((due - self._grid) / interval, 6)) + 1
        missed = max(0, math.ceil((now - self._grid) / interval) - place)
        return self._grid + (place + missed) * interval, missed

    async def wait_settled(self) -> None:
        """Until it has been reported or dropped."""
        if not (self.reported or self.dropped):
            if self._settled is None:
                self._settled = trio.Event()
            await self._settled.wait()

    def settle(self) -> None:
        if self._settled is not None:
            self._settled.set()

    def drop(self) -> None:
        self.dropped = True
        self.settle()
        if self.running is not None:
            self.running.cancel()


def _set_collector(targets: int) -> None:
    gc.set_threshold(max(COLLECT_AT_LEAST, COLLECT_PER_TARGET * targets))


def allow_files() -> int:
    """Ask for as many open files as the administrator allows; returns how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
