"""udp_icmp: the ping must pass, then one datagram to `port`; down when ICMP says that the port is closed.

A reply is up, and so is silence, as most services do not answer what they do not understand. Silence must be
waited for, and must end before the scheduler takes it for a timeout: ping and datagram together have nine
tenths of the timeout.

The datagram is a single zero byte: no protocol gives it a meaning, while an empty datagram is taken for an
end of file by some servers and dropped by some firewalls.
"""

import socket

import trio

from monitors.address import family_of
from monitors.monitor import Monitor, Port, Reason, Result
from monitors.tools import Tools, waiting_for

DATAGRAM = b"\0"
SHARE_OF_TIMEOUT = 0.9


class UdpIcmpMonitor(Monitor, frozen=True, kw_only=True, tag="udp_icmp"):
    """`port` has no default: there is no usual one."""

    port: Port


async def probe(address: str, monitor: UdpIcmpMonitor, tools: Tools) -> Result:
    """`rtt` is that of the ping. OSError if the datagram cannot be sent."""
    deadline = trio.current_time() + SHARE_OF_TIMEOUT * monitor.timeout
    waiting_for.set("reply to the ping")
    ping = await tools.pinger.ping(address)
    if not ping.up or ping.rtt is None:
        return ping
    if trio.current_time() + ping.rtt > deadline:
        # An answer to the datagram could not arrive in time, so its silence would say nothing.
        return Result(False, Reason.TIMEOUT, "the ping took too long to leave time for the datagram")
    # A connected socket is told of ICMP errors about its own datagrams, and of no others.
    with trio.socket.socket(family_of(address), socket.SOCK_DGRAM) as connected:
        await connected.connect((address, monitor.port))
        try:
            await connected.send(DATAGRAM)
            with trio.move_on_at(deadline):
                await connected.recv(1)
                return Result(True, Reason.OK, "the port replied", ping.rtt)
        except ConnectionRefusedError:
            return Result(False, Reason.PORT_UNREACHABLE, "ICMP port unreachable came back", ping.rtt)
    return Result(True, Reason.OK, "the port is silent", ping.rtt)
