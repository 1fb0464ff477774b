"""external: no check of our own. The last report of another checker counts until it is too old.

A report takes effect when it comes, and counts once more at each interval. Until the first one, a target has `max_age`
to get it, in which it is up: a start must not take down what is well.
"""

from typing import Annotated, ClassVar, Literal

import trio
from msgspec import Meta

from monitors.monitor import Monitor, Reason, Result, Takes
from monitors.tools import Tools


class ExternalMonitor(Monitor, frozen=True, kw_only=True, tag="external"):
    """`max_age` in seconds; `when_too_old` is what a target is without a report that is younger."""

    takes: ClassVar[Takes] = Takes.NOTHING

    max_age: Annotated[float, Meta(ge=1, le=86400)] = 300.0
    when_too_old: Literal["down", "up"] = "down"


async def probe(endpoint: str, monitor: ExternalMonitor, tools: Tools) -> Result:
    """What the last report of a target says. Never waits: so a report that comes while a check runs is seen by it."""
    age, report = tools.mailbox.look((monitor.name, endpoint), trio.current_time())
    if age > monitor.max_age:
        return Result(monitor.when_too_old == "up", Reason.TOO_OLD, f"no report for {age:.0f} s")
    if report is None:
        return Result(True, Reason.OK, f"no report yet; it has {monitor.max_age - age:.0f} s more to come")
    reason = Reason.OK if report.up else Reason.REPORTED_DOWN
    return Result(report.up, reason, report.evidence, report.rtt)
