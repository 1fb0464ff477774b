"""Replies that come later: what a worker has asked control for, and the clients that wait.

Nobody waits for ever: what has no answer in time is answered with SERVFAIL, and
of more than LIMIT at a time the next ones at once.
"""

from collections.abc import Callable
from typing import Final

from steering.wire import SERVFAIL

LIMIT: Final = 100
"""Clients that wait in a worker."""
PATIENCE: Final = 5.0
"""Seconds."""


class Later:
    """A reply that is not known yet. Whoever gets it sets `send`, before anything else happens."""

    def __init__(self, render: Callable[[int], bytes]) -> None:
        """`render` makes the reply from its RCODE."""
        self.send: Callable[[bytes], object] = _drop
        self._render = render

    def finish(self, rcode: int) -> None:
        """It is known."""
        self.send(self._render(rcode))


class Waiting:
    """The replies that are not known yet, by the numbers that control is asked with."""

    def __init__(self, first: int) -> None:
        """`first` is not near the numbers of an earlier worker: what that one has asked is answered to nobody."""
        self._next = first
        self._open: dict[int, tuple[float, Later]] = {}

    def add(self, later: Later, now: float) -> tuple[int, float] | None:
        """Its number, and when it is given up; None if too many wait. `now` is monotonic."""
        if len(self._open) >= LIMIT:
            return None
        self._next += 1
        self._open[self._next] = now + PATIENCE, later
        return self._next, now + PATIENCE

    def finish(self, number: int, rcode: int) -> None:
        """Control has answered; a number that is not known has been given up."""
        if found := self._open.pop(number, None):
            found[1].finish(rcode)

    def expire(self, now: float) -> None:
        """Give those up that have waited too long."""
        for number, (deadline, _) in list(self._open.items()):
            if deadline <= now:
                self.finish(number, SERVFAIL)


def _drop(_: bytes) -> None:
    """Nobody wants it."""
