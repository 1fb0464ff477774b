"""udp_icmp: the ping must pass, then one datagram to `port`; down when ICMP says that the port is closed.

Without `expect`, a reply is up, and so is silence, as most services do not answer what they do not understand.
Silence must be waited for, and must end before the scheduler takes it for a timeout: ping and datagram together
have nine tenths of the timeout. With `expect`, the first reply must contain it, and silence is a timeout.

What is sent, if nothing else is asked for, is a single zero byte: no protocol gives it a meaning, while an empty
datagram is taken for an end of file by some servers and dropped by some firewalls.
"""

import math
import socket

from monitors.connection import connected
from monitors.monitor import Monitor, Port, Reason, Result
from monitors.patience import patient_time, wait_at_most
from monitors.payload import REPLY_BYTES, Payload, show
from monitors.tools import Tools, waiting_for

DATAGRAM = b"\0"
SHARE_OF_TIMEOUT = 0.9


class UdpIcmpMonitor(Monitor, frozen=True, kw_only=True, tag="udp_icmp"):
    """`port` has no default: there is no usual one. `send` is the datagram, `expect` must be in the reply."""

    port: Port
    send: Payload | None = None
    expect: Payload | None = None


async def probe(address: str, monitor: UdpIcmpMonitor, tools: Tools) -> Result:
    """`rtt` is that of the ping. OSError if the datagram cannot be sent."""
    deadline = patient_time() + SHARE_OF_TIMEOUT * monitor.timeout
    waiting_for.set("reply to the ping")
    ping = await tools.pinger.ping(address, monitor.source)
    if not ping.up or ping.rtt is None:
        return ping
    if patient_time() + ping.rtt > deadline:
        # An answer to the datagram could not arrive in time, so its silence would say nothing.
        return Result(False, Reason.TIMEOUT, "the ping took too long to leave time for the datagram")
    waiting_for.set("reply to the datagram")
    async with connected(address, monitor.port, monitor.source, socket.SOCK_DGRAM) as (connection, _):
        try:
            await connection.send(monitor.send or DATAGRAM)
            with wait_at_most(math.inf if monitor.expect else deadline - patient_time()):
                reply = await connection.recv(REPLY_BYTES)
                if monitor.expect is None:
                    return Result(True, Reason.OK, "the port replied", ping.rtt)
                if monitor.expect in reply:
                    return Result(True, Reason.OK, f"the port replied: {show(reply)}", ping.rtt)
                return Result(False, Reason.REPLY_MISMATCH, f"the port replied: {show(reply)}", ping.rtt)
        except ConnectionRefusedError:
            return Result(False, Reason.PORT_UNREACHABLE, "ICMP port unreachable came back", ping.rtt)
    return Result(True, Reason.OK, "the port is silent", ping.rtt)
