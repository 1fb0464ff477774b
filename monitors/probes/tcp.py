"""tcp: up when a connection to `port` is established; it is closed at once, without a byte sent (RFC
9293)."""

import trio

from monitors.address import family_of
from monitors.monitor import Monitor, Port, Reason, Result
from monitors.tools import Tools


class TcpMonitor(Monitor, frozen=True, kw_only=True, tag="tcp"):
    """`port` has no default: there is no usual one."""

    port: Port


async def probe(address: str, monitor: TcpMonitor, _tools: Tools) -> Result:
    """`rtt` is that of the handshake. OSError if the connection fails."""
    with trio.socket.socket(family_of(address)) as connection:
        started = trio.current_time()
        await connection.connect((address, monitor.port))
        return Result(True, Reason.OK, rtt=trio.current_time() - started)
