"""The guard: when nearly everything fails at once, the broken one is likely the checker, or its network.

Pure but for an Episode's own memory; times are Unix seconds. The rules:
- An episode are the targets that were up and fail, each since no longer than a failure takes to be counted.
- States are held when no reference answers; or, without references, when the part `failing` of all targets that
  were up before is in the episode, of at least `minimum_targets`. With a reference that answers, the network is
  good, and what fails has failed.
- What fell in the episode is put back as it was before; while states are held, nothing that is up falls.
- The hold ends when a reference answers, or when the part that fails is by a tenth smaller than began it.

Everything is counted as results come; nothing is searched.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from monitors.address import Address
from monitors.health import Key, Row

SLACK = 0.9
"""The hold ends below this part of what began it."""


class Guard(msgspec.Struct, frozen=True):
    """[guard]: when states are held."""

    references: tuple[Address, ...] = ()
    """Addresses that are always there unless the checker's own network is broken."""
    reference_monitor: str | None = None
    """How they are checked; both, or neither."""
    failing: Annotated[float, Meta(ge=0.5, le=1)] = 0.9
    minimum_targets: Annotated[int, Meta(ge=0)] = 10
    """0: without references, states are never held."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Keys that contradict each other, as (key, what is wrong)."""
        if self.references and self.reference_monitor is None:
            yield "reference_monitor", "expected the monitor that checks the references"
        elif self.reference_monitor is not None and not self.references:
            yield "references", "expected addresses for reference_monitor to check"


class Episode:
    """What fails at present, and whether states are held for it.

    `window` is how many seconds a target may be in it before its failure is its own; `rows` are those of all targets.
    """

    def __init__(self, guard: Guard, window: float, rows: Mapping[Key, Row]) -> None:
        self.why = ""
        """Why states are held; "" if they are not."""
        self.suspects: dict[Key, tuple[float, Row]] = {}
        """Since when each target of it fails, and its row before; the oldest first."""
        self._guard = guard
        self._window = window
        self._up = sum(row.up for row in rows.values())
        self._fallen: set[Key] = set()
        self._answering: dict[Key, bool] = {}

    def note(self, key: Key, before: Row | None, row: Row, failed: bool, now: float) -> bool:
        """Take the result of a target that made `row` of `before`; whether `why` has changed."""
        self._up += row.up - (before is not None and before.up)
        if not failed:
            self.suspects.pop(key, None)
            self._fallen.discard(key)
        elif before is not None and before.up:
            self.suspects.setdefault(key, (now, before))
            if not row.up:
                self._fallen.add(key)
        if not self.why:
            self._expire(now)
        return self._decide()

    def note_reference(self, key: Key, failed: bool) -> bool:
        """Take the result of a reference; whether `why` has changed."""
        self._answering[key] = not failed
        return self._decide()

    def put_back(self, key: Key) -> None:
        """The row of a target that had fallen is up again, without a result."""
        if key in self._fallen:
            self._fallen.remove(key)
            self._up += 1

    def end(self) -> None:
        """The hold is over: what fails now fails anew."""
        self.suspects.clear()
        self._fallen.clear()

    def inherit(self, earlier: "Episode", rows: Mapping[Key, Row]) -> None:
        """Go on where the episode of an earlier configuration has come, with the targets that are still there."""
        self.why = earlier.why
        self.suspects = {key: value for key, value in earlier.suspects.items() if key in rows}
        self._fallen = {key for key in earlier._fallen if key in rows and not rows[key].up}
        references = {(self._guard.reference_monitor or "", address) for address in self._guard.references}
        self._answering = {key: answers for key, answers in earlier._answering.items() if key in references}

    def _expire(self, now: float) -> None:
        while self.suspects:
            key = next(iter(self.suspects))
            if 0 <= now - self.suspects[key][0] <= self._window:
                break
            del self.suspects[key]
            self._fallen.discard(key)

    def _decide(self) -> bool:
        before, self.why = self.why, self._judge()
        return bool(before) != bool(self.why)

    def _judge(self) -> str:
        guard = self._guard
        if guard.references:
            silent = len(self._answering) == len(guard.references) and not any(self._answering.values())
            return f"none of {len(guard.references)} references answers" if silent else ""
        failing, all_that_were_up = len(self.suspects), self._up + len(self._fallen)
        if not guard.minimum_targets or all_that_were_up < guard.minimum_targets:
            return ""
        part = guard.failing * (SLACK if self.why else 1.0)
        return f"{failing} of {all_that_were_up} targets fail at once" if failing >= part * all_that_were_up else ""
