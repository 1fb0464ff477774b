"""https: http over TLS (RFC 9110 section 4.2.2): certificate and name are verified as well.

The name is that of the Host header, which is the SNI name too, or else the address.
"""

from monitors.http_client import check
from monitors.http_message import HttpFields
from monitors.monitor import Port, Result
from monitors.tools import Tools


class HttpsMonitor(HttpFields, frozen=True, kw_only=True, tag="https"):
    """Nothing to choose beyond what http has."""

    port: Port = 443


async def probe(address: str, monitor: HttpsMonitor, tools: Tools) -> Result:
    """`rtt` is that of the handshake of TCP."""
    return await check("https", address, monitor.port, monitor, tools)
