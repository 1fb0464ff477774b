"""http: one request, up when the status code and, if asked for, the body are as expected (RFC 9110)."""

from monitors.http_client import check
from monitors.http_message import HttpFields
from monitors.monitor import Result
from monitors.tools import Tools


class HttpMonitor(HttpFields, frozen=True, kw_only=True, tag="http"):
    """What concerns TLS is for a redirection to https."""


async def probe(address: str, monitor: HttpMonitor, tools: Tools) -> Result:
    """`rtt` is that of the handshake of TCP."""
    return await check("http", address, monitor.port, monitor, tools)
