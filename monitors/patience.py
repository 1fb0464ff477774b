"""TRIO: timeouts that do not count the time for which the loop itself was held up.

A process that gets no processor, or is busy with something else, finds the replies that came meanwhile and the
deadlines that passed meanwhile at the same moment, and would take the deadlines first: a host is down because we were
late. So what a turn of the loop takes beyond its sleep and a TURN is added to every deadline before any of them is
looked at. That each turn counts for something makes a timeout come even in a loop that is always late; that none counts
for more gives a check the few turns that it needs.
"""

import math
import time
from types import TracebackType

import trio

TURN = 0.004
"""Seconds beyond its sleep that a turn of the loop takes at most of a timeout."""

GRAIN = 0.004
"""Deadlines are whole multiples of these seconds: those that are near to each other come together, as waking costs more
than what is then to be done."""


class wait_at_most:  # noqa: N801 - used like trio.move_on_after
    """`with wait_at_most(seconds):` cancels the block then, or up to a GRAIN later, and goes on behind it."""

    __slots__ = ("_patience", "_scope", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._patience = _of_this_run()
        deadline = trio.current_time() + self._seconds
        if deadline < math.inf:
            deadline = math.ceil(round(deadline / GRAIN, 6)) * GRAIN
        self._scope = trio.CancelScope(deadline=deadline)
        self._scope.__enter__()
        self._patience.scopes.add(self._scope)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._patience.scopes.discard(self._scope)
        return self._scope.__exit__(kind, error, traceback)


def patient_time() -> float:
    """Trio's time without what was lost: the clock for the time that a check has left."""
    return trio.current_time() - _of_this_run().lost


class _Patience(trio.abc.Instrument):
    """The deadlines of one run of Trio that are to be put off."""

    def __init__(self) -> None:
        self.scopes: set[trio.CancelScope] = set()
        self.lost = 0.0
        self._last = self._now()

    def after_io_wait(self, timeout: float) -> None:
        # Trio calls this once a turn, before it looks at deadlines.
        before, self._last = self._last, self._now()
        # Both clocks, as a test may set Trio's forward: nobody was held up then.
        late = min(now - then for now, then in zip(self._last, before, strict=True)) - timeout
        if late > TURN:
            self.lost += late - TURN
            for scope in self.scopes:
                scope.deadline += late - TURN

    def _now(self) -> tuple[float, float]:
        return trio.current_time(), time.perf_counter()


_run: trio.lowlevel.RunVar[_Patience] = trio.lowlevel.RunVar("patience")


def _of_this_run() -> _Patience:
    try:
        return _run.get()
    except LookupError:
        patience = _Patience()
        _run.set(patience)
        trio.lowlevel.add_instrument(patience)
        return patience
