"""The last results of every target, for people who ask what happened: History, Past. Pure; it is changed in place.

Memory is bounded whatever the results say. A result is 14 bytes in arrays: its time, its round trip, and the number
of what was said (up, reason, evidence) in a table that all targets share, as most say the same. When that table is
full, or its texts take more than EVIDENCE_BYTES, new evidence is left out until old evidence is forgotten. 20,000
targets take 40 MB, 55 MB when all of them fail, and 80 MB when no two results say the same.
"""

import math
from array import array
from collections.abc import Collection, Iterator

import msgspec

from monitors.health import Key
from monitors.monitor import Reason, Result

LAST = 100
"""Results of a target that are kept."""
FAILURES = 20
"""Failed ones that are kept besides, when they are no longer among the last."""
SAYINGS = 1 << 16
EVIDENCE_BYTES = 20 << 20
"""Of evidence in UTF-8, for all targets."""

Saying = tuple[bool, Reason, str]


class Past(msgspec.Struct, frozen=True):
    """A result that was. `time` in Unix seconds, `rtt` in seconds."""

    time: float
    up: bool
    reason: Reason
    evidence: str
    rtt: float | None


class History:
    """The results of each target."""

    def __init__(self) -> None:
        self._rings: dict[Key, tuple[_Ring, _Ring | None]] = {}
        self._sayings = _Sayings()

    def add(self, key: Key, result: Result, now: float) -> None:
        """Remember a result of `now` (Unix seconds)."""
        if key not in self._rings:
            self._rings[key] = _Ring(LAST), None
        last, failures = self._rings[key]
        number = self._sayings.hold((result.up, result.reason, result.evidence))
        left = last.push(now, math.nan if result.rtt is None else result.rtt, number)
        if left is None:
            return
        if not self._sayings[left[2]][0]:
            if failures is None:
                failures = _Ring(FAILURES)
                self._rings[key] = last, failures
            left = failures.push(*left)
        if left is not None:
            self._sayings.release(left[2])

    def of(self, key: Key) -> tuple[Past, ...]:
        """The results of a target, the newest first; before the last LAST, failed ones alone."""
        last, failures = self._rings.get(key, (None, None))
        return tuple(self._past(*each) for ring in (last, failures) if ring for each in ring)

    def last(self, key: Key) -> Past | None:
        """The newest result of a target."""
        rings = self._rings.get(key)
        return None if rings is None else self._past(*next(iter(rings[0])))

    def keep(self, keys: Collection[Key]) -> None:
        """Forget all other targets."""
        for key in self._rings.keys() - keys:
            for ring in self._rings.pop(key):
                for _, _, number in ring or ():
                    self._sayings.release(number)

    def _past(self, time: float, rtt: float, number: int) -> Past:
        return Past(time, *self._sayings[number], None if math.isnan(rtt) else round(rtt, 6))


class _Ring:
    """The last so many results: (time, rtt, number of the saying)."""

    __slots__ = ("_next", "_numbers", "_rtts", "_size", "_times")

    def __init__(self, size: int) -> None:
        self._size = size
        self._next = 0
        self._times, self._rtts, self._numbers = array("d"), array("f"), array("H")

    def push(self, time: float, rtt: float, number: int) -> tuple[float, float, int] | None:
        """Add a result; the one that had to leave for it."""
        if len(self._times) < self._size:
            self._times.append(time)
            self._rtts.append(rtt)
            self._numbers.append(number)
            return None
        at = self._next
        left = self._times[at], self._rtts[at], self._numbers[at]
        self._times[at], self._rtts[at], self._numbers[at] = time, rtt, number
        self._next = (at + 1) % self._size
        return left

    def __iter__(self) -> Iterator[tuple[float, float, int]]:
        """The newest first."""
        for step in range(1, len(self._times) + 1):
            at = (self._next - step) % len(self._times)
            yield self._times[at], self._rtts[at], self._numbers[at]


class _Sayings:
    """What results say, each once, by number, for as long as somebody holds it."""

    def __init__(self) -> None:
        self._numbers: dict[Saying, int] = {}
        self._sayings: list[Saying] = []
        self._holders = array("L")
        self._free: list[int] = []
        self._bytes = 0

    def hold(self, saying: Saying) -> int:
        """The number of a saying, which counts one holder more; without its evidence if there is no room for that."""
        number = self._numbers.get(saying)
        if number is None:
            up, reason, evidence = saying
            size = len(evidence.encode("utf-8", "surrogatepass"))
            # What says nothing always finds its place: there is one for each reason, up and down.
            if evidence and (len(self._numbers) >= SAYINGS - 2 * len(Reason) or self._bytes + size > EVIDENCE_BYTES):
                return self.hold((up, reason, ""))
            number = self._add(saying)
            self._bytes += size
        self._holders[number] += 1
        return number

    def release(self, number: int) -> None:
        """One holder less."""
        self._holders[number] -= 1
        if not self._holders[number]:
            saying = self._sayings[number]
            del self._numbers[saying]
            self._bytes -= len(saying[2].encode("utf-8", "surrogatepass"))
            self._free.append(number)

    def _add(self, saying: Saying) -> int:
        if self._free:
            number = self._free.pop()
            self._sayings[number] = saying
        else:
            number = len(self._sayings)
            self._sayings.append(saying)
            self._holders.append(0)
        self._numbers[saying] = number
        return number

    def __getitem__(self, number: int) -> Saying:
        return self._sayings[number]
