"""TRIO: timeouts that do not count the time for which the loop itself was held up.

A process that gets no processor, or is busy with something else, finds the replies that came meanwhile and the
deadlines that passed meanwhile at the same moment, and would take the deadlines first: a host is down because we were
late. So whatever the loop is late by, beyond what is usual, is added to every deadline before any of them is looked at.
"""

import math
import time
from types import TracebackType

import trio

STALL = 0.05
"""Seconds that one turn of the loop may be late before the time counts as lost."""

GRAIN = 0.01
"""Deadlines are whole multiples of these seconds: those that are near to each other come together, as waking costs more
than what is then to be done."""


class wait_at_most:  # noqa: N801 - used like trio.move_on_after
    """`with wait_at_most(seconds):` cancels the block then, or up to a GRAIN later, and goes on behind it."""

    __slots__ = ("_patience", "_scope", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._patience = _of_this_run()
        deadline = math.ceil(round((trio.current_time() + self._seconds) / GRAIN, 6)) * GRAIN
        self._scope = trio.CancelScope(deadline=deadline)
        self._scope.__enter__()
        self._patience.scopes.add(self._scope)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._patience.scopes.discard(self._scope)
        return self._scope.__exit__(kind, error, traceback)


class _Patience(trio.abc.Instrument):
    """The deadlines of one run of Trio that are to be put off."""

    def __init__(self) -> None:
        self.scopes: set[trio.CancelScope] = set()
        self._last = self._now()

    def after_io_wait(self, timeout: float) -> None:
        # Trio calls this once a turn, before it looks at deadlines.
        before, self._last = self._last, self._now()
        # Both clocks, as a test may set Trio's forward: nobody was held up then.
        late = min(now - then for now, then in zip(self._last, before, strict=True)) - timeout
        if late > STALL:
            for scope in self.scopes:
                scope.deadline += late

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
