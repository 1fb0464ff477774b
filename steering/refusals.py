"""What other servers were refused, for the log: a bounded number of lines, however many ask however often."""

from typing import Final

WINDOW: Final = 60.0
"""Seconds in which the same is told once."""
LINES: Final = 20
"""Different things that are told in that time."""


class RefusalLog:
    """Which refusals are told, and later how many were not."""

    def __init__(self) -> None:
        self._end = 0.0
        self._told: set[str] = set()
        self._omitted = 0

    def take(self, text: str, now: float) -> list[str]:
        """The lines that a refusal adds to the log; `now` in seconds of a clock that does not go back."""
        lines = []
        if now >= self._end:
            if self._omitted:
                lines.append(f"{self._omitted} more, of these or others")
            self._end, self._told, self._omitted = now + WINDOW, set(), 0
        if text in self._told or len(self._told) >= LINES:
            self._omitted += 1
        else:
            self._told.add(text)
            lines.append(text)
        return lines
