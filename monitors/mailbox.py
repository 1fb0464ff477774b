"""Where the results of other checkers wait for the checks of the kind external: Report, Mailbox. Pure.

There is one report for each target, the last: whoever puts one in has made sure that the target exists.
"""

from collections.abc import Collection, Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from monitors.health import Key
from monitors.monitor import one_line

MOST_BYTES = 8192
"""The longest text of a report."""


class ReportError(Exception):
    """What came is no report; the message says why."""


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What another checker found. `rtt` in seconds; `evidence` is made safe."""

    up: bool
    evidence: str = ""
    rtt: Annotated[float, Meta(ge=0, le=3600)] | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "evidence", one_line(self.evidence))


def parse_report_untrusted(text: bytes) -> Report:
    """The report in a JSON object. ReportError."""
    if len(text) > MOST_BYTES:
        raise ReportError(f"a report of more than {MOST_BYTES} bytes")
    try:
        return msgspec.json.decode(text, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ReportError(f'not a report like {{"up": true}}: {error}') from None


class Mailbox:
    """The last report of each target, with the monotonic seconds at which it came."""

    def __init__(self) -> None:
        self._reports: dict[Key, tuple[float, Report | None]] = {}

    def put(self, key: Key, report: Report, now: float) -> None:
        """Take a report in; it replaces the one before."""
        self._reports[key] = now, report

    def look(self, key: Key, now: float) -> tuple[float, Report | None]:
        """The age of the last report, in seconds, and that report; without one, how long it is waited for."""
        came, report = self._reports.setdefault(key, (now, None))
        return now - came, report

    def reports(self) -> Iterator[tuple[Key, Report, float]]:
        """The reports that have come, as `put` takes them."""
        return ((key, report, came) for key, (came, report) in self._reports.items() if report is not None)

    def keep(self, keys: Collection[Key]) -> None:
        """Forget the reports of all other targets."""
        self._reports = {key: kept for key, kept in self._reports.items() if key in keys}
