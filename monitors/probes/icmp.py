"""icmp: echo requests, up when enough of the replies arrive within the timeout (RFC 792, RFC 4443).

With more than one request, each is sent a little after the one before, and none waits for the replies of
others. The check ends as soon as the replies suffice, or can no longer suffice because ICMP errors came instead;
what is then still missing at nine tenths of the timeout is lost. No reply at all is a timeout.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar

import trio
from msgspec import Meta

from monitors.monitor import Monitor, Reason, Result, Takes
from monitors.patience import wait_at_most
from monitors.tools import Tools, trace_step

LONGEST_GAP = 0.2
"""Seconds between two requests, or less, so that all are sent in the first half of the timeout."""

SHARE_OF_TIMEOUT = 0.9


class IcmpMonitor(Monitor, frozen=True, kw_only=True, tag="icmp"):
    """`count` requests, of which `max_loss` may go without a reply; `size` is that of their data in bytes."""

    takes: ClassVar[Takes] = Takes.NOTHING  # all pings share a socket

    count: Annotated[int, Meta(ge=1, le=20)] = 1
    max_loss: Annotated[int, Meta(ge=0, le=19)] = 0
    size: Annotated[int, Meta(ge=16, le=1472)] = 56

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.max_loss >= self.count:
            yield "max_loss", f"must be less than count, {self.count}: else the address would be up without a reply"


async def probe(address: str, monitor: IcmpMonitor, tools: Tools) -> Result:
    """`rtt` is that of the echo, or the mean of several."""
    if monitor.count == 1:
        trace_step("echo request")
        return await tools.pinger.ping(address, monitor.source, monitor.size)
    return await _probe_often(address, monitor, tools)


async def _probe_often(address: str, monitor: IcmpMonitor, tools: Tools) -> Result:
    """With several requests; apart, as thousands of probes with one would hold its variables while they wait."""
    needed = monitor.count - monitor.max_loss
    gap = min(LONGEST_GAP, monitor.timeout / 2 / monitor.count)
    round_trips: list[float] = []
    failures: list[Result] = []

    async def ping(delay: float) -> None:
        await trio.sleep(delay)
        trace_step("echo request")
        result = await tools.pinger.ping(address, monitor.source, monitor.size)
        if result.rtt is not None:
            round_trips.append(result.rtt)
        else:
            failures.append(result)
        if len(round_trips) >= needed or len(failures) > monitor.max_loss:
            pings.cancel_scope.cancel()

    with wait_at_most(SHARE_OF_TIMEOUT * monitor.timeout):
        async with trio.open_nursery() as pings:
            for number in range(monitor.count):
                pings.start_soon(ping, number * gap)
    replied = f"{len(round_trips)} of {monitor.count} replies"
    rtt = sum(round_trips) / len(round_trips) if round_trips else None
    if len(round_trips) >= needed:
        return Result(True, Reason.OK, replied, rtt)
    if len(failures) > monitor.max_loss:
        return Result(False, failures[-1].reason, f"{replied}; {failures[-1].evidence}", rtt)
    return Result(False, Reason.PACKETS_LOST if round_trips else Reason.TIMEOUT, replied, rtt)
