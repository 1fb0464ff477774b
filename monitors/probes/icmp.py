"""icmp: one echo request, up when its reply arrives within the timeout (RFC 792, RFC 4443)."""

from monitors.monitor import Monitor, Result
from monitors.tools import Tools


class IcmpMonitor(Monitor, frozen=True, kw_only=True, tag="icmp"):
    """Nothing to choose beyond what every monitor has."""


async def probe(address: str, _monitor: IcmpMonitor, tools: Tools) -> Result:
    """`rtt` is that of the echo."""
    return await tools.pinger.ping(address)
