"""TRIO: timeouts that do not count the time for which the loop itself was held up.

A process that gets no processor, or is busy with something else, finds the replies that came meanwhile and the
deadlines that passed meanwhile at the same moment, and would take the deadlines first: a host is down because we were
late. So what a turn of the loop takes beyond its sleep and a TURN is lost, and deadlines are moments of a clock that
stands still for what is lost: the patient time. That each turn counts for something makes a timeout come even in a
loop that is always late; that none counts for more gives a check the few turns that it needs.
"""

import heapq
import math
import time
from types import TracebackType

import trio

TURN = 0.01
"""Seconds beyond its sleep that a turn of the loop takes at most of a timeout. The shortest timeout is ten of them; and
it is more than thousands of probes need in a turn: their timeouts would else come late, and too many of them wait."""

GRAIN = 0.004
"""Deadlines are whole multiples of these seconds: those that are near to each other come together, as waking costs more
than what is then to be done."""


class wait_at_most:  # noqa: N801 - used like trio.move_on_after
    """`with wait_at_most(seconds):` cancels the block then, or up to a GRAIN later, and goes on behind it."""

    __slots__ = ("_scope", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._scope = trio.CancelScope()
        self._scope.__enter__()
        self._timer = _of_this_run().start(self._seconds, self._scope)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._timer.scope = None
        return self._scope.__exit__(kind, error, traceback)


def patient_time() -> float:
    """Trio's time without what was lost: the clock for the time that a check has left."""
    return trio.current_time() - _of_this_run().lost


class _Timer:
    __slots__ = ("deadline", "scope")

    def __init__(self, deadline: float, scope: trio.CancelScope) -> None:
        self.deadline = deadline  # patient time
        self.scope: trio.CancelScope | None = scope  # none when its block has ended

    def __lt__(self, other: "_Timer") -> bool:
        return self.deadline < other.deadline


class _Patience(trio.abc.Instrument):
    """The patient time of one run of Trio, and the timers that run by it."""

    def __init__(self) -> None:
        self.lost = 0.0
        self._timers: list[_Timer] = []
        self._alarm = trio.CancelScope()
        self._late = 0.0
        self._last = trio.current_time(), time.perf_counter()

    def start(self, seconds: float, scope: trio.CancelScope) -> _Timer:
        deadline = trio.current_time() - self.lost + seconds
        if deadline == math.inf:
            return _Timer(deadline, scope)
        deadline = math.ceil(round(deadline / GRAIN, 6)) * GRAIN
        timer = _Timer(deadline, scope)
        heapq.heappush(self._timers, timer)
        if self._timers[0] is timer:
            self._alarm.deadline = deadline + self.lost
        return timer

    async def run(self) -> None:
        """Cancel, for ever, the blocks whose deadlines have come."""
        while True:
            # Compared as the alarm compares, which would else go off again and again, a rounding error too early.
            now = trio.current_time()
            while self._timers:
                first = self._timers[0]
                if first.scope is not None:
                    if first.deadline + self.lost > now:
                        break
                    first.scope.cancel()
                heapq.heappop(self._timers)
            self._alarm = trio.CancelScope()
            if self._timers:
                self._alarm.deadline = self._timers[0].deadline + self.lost
            with self._alarm:
                await trio.sleep_forever()

    # Trio calls these once a turn, around its sleep, the second before it looks at deadlines.

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        self._late = self._elapsed()

    def after_io_wait(self, timeout: float) -> None:
        self._late += max(0.0, self._elapsed() - timeout)
        if self._late > TURN:
            self.lost += self._late - TURN

    def _elapsed(self) -> float:
        """Seconds since it was last asked. Both clocks, as a test may set Trio's forward: nobody was held up then."""
        (then, before), self._last = self._last, (trio.current_time(), time.perf_counter())
        return min(self._last[0] - then, self._last[1] - before)


_run: trio.lowlevel.RunVar[_Patience] = trio.lowlevel.RunVar("patience")


def _of_this_run() -> _Patience:
    try:
        return _run.get()
    except LookupError:
        patience = _Patience()
        _run.set(patience)
        trio.lowlevel.add_instrument(patience)
        trio.lowlevel.spawn_system_task(patience.run)
        return patience
