"""tcp: up when a connection to `port` is established (RFC 9293), verified if `tls` is asked for, and the expected
reply has come, if one is.

Without these, the connection is closed at once, without a byte sent.
"""

from collections.abc import Iterator
from time import time

import msgspec
import trio

from monitors.connection import connected, start_tls
from monitors.monitor import Port, Reason, Result
from monitors.payload import REPLY_BYTES, Payload, show
from monitors.tls import ServerNameMonitor, note_certificate
from monitors.tools import Tools, waiting_for


class TcpMonitor(ServerNameMonitor, frozen=True, kw_only=True, tag="tcp"):
    """`port` has no default: there is no usual one. `send` goes out first; `expect` must be in the first 10 KB that
    come back."""

    port: Port
    tls: bool = False
    send: Payload | None = None
    expect: Payload | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        if not self.tls and self.server_name is not None:
            yield "server_name", "only with tls = true"
        if not self.tls and self.allow_insecure:
            yield "allow_insecure", "only with tls = true"


async def probe(address: str, monitor: TcpMonitor, tools: Tools) -> Result:
    """`rtt` is that of the handshake of TCP. OSError or trio.BrokenResourceError if the connection fails."""
    async with connected(address, monitor.port, monitor.source) as (connection, rtt):
        up = Result(True, Reason.OK, rtt=rtt)
        if monitor.tls:
            name, context = monitor.server_name or address, tools.tls_context(monitor.allow_insecure)
            async with await start_tls(connection, name, context) as secured:
                up = note_certificate(up, secured.getpeercert(), monitor.certificate_warning_days, time())
                return await _converse(secured, monitor, up)
        if monitor.send or monitor.expect:
            return await _converse(trio.SocketStream(connection), monitor, up)
        return up


async def _converse(stream: trio.abc.Stream, monitor: TcpMonitor, up: Result) -> Result:
    """`up` if the expected reply comes."""
    if monitor.send:
        waiting_for.set("sending")
        await stream.send_all(monitor.send)
    if monitor.expect is None:
        return up
    reply = b""
    while monitor.expect not in reply:
        waiting_for.set(f"more than the reply {show(reply[:100])!r}" if reply else "reply")
        more = await stream.receive_some(REPLY_BYTES - len(reply)) if len(reply) < REPLY_BYTES else b""
        if not more:
            reason = Reason.REPLY_MISMATCH if reply else Reason.CLOSED_EARLY
            evidence = f"reply: {show(reply) or 'the server closed the connection'}"
            return msgspec.structs.replace(up, up=False, reason=reason, evidence=evidence)
        reply += more
    return up
