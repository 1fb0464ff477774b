"""DNS over UDP: drain what has come, answer each packet, send.

Waiting for the socket costs more than answering, so a wake-up takes up to BURST packets, under one World.
"""

import logging
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, NoReturn

import trio

from steering.balance.lottery import Dice
from steering.later import Later
from steering.peers import is_update
from steering.proxy import ProxyError, parse_proxy_untrusted
from steering.respond import respond, respond_update
from steering.wire import SERVFAIL, render_error
from steering.world import World

BURST: Final = 128
"""Packets answered before other tasks get their turn."""
PACKET_SIZE: Final = 4096
"""Longest query that is read whole; none of ours needs more, and the rest of a longer one is cut off."""
LOGGED_LENGTH: Final = 512

logger = logging.getLogger("waypost.udp")


WILDCARDS: Final = ("0.0.0.0", "::")

# Linux; the socket module does not have them.
_IP_PKTINFO: Final = 8
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_PMTUDISC_OMIT: Final = 5
_ANCILLARY_SIZE: Final = 128

Receive = Callable[[int], tuple[bytes, Any]]
"""At most so many octets of the next packet, and its peer, the first part of which is the client's address."""
Send = Callable[[bytes, Any], object]
"""Any: the peer is what Receive gave, an address of the socket's family or more; nobody looks into the rest of it."""

OpenWorld = Callable[[], AbstractContextManager[World]]
"""Gives the World of one burst."""


async def serve_udp(
    listener: socket.socket, open_world: OpenWorld, dice: Dice, count: Callable[[int], None]
) -> NoReturn:
    """Answer on a non-blocking socket until cancelled; `count` hears how many packets came."""
    receive, send = open_exchange(listener)
    while True:
        try:
            await trio.lowlevel.wait_readable(listener)
        finally:  # also when cancelled: what has come is answered
            count(answer_burst(receive, send, open_world, dice, time.time()))


def answer_burst(receive: Receive, send: Send, open_world: OpenWorld, dice: Dice, now: float) -> int:
    """Answer the packets that have come, at most BURST of them; how many there were."""
    received = 0
    with open_world() as world:
        is_proxy = world.is_proxy
        try:
            while received < BURST:
                packet, peer = receive(PACKET_SIZE)
                received += 1
                client = peer[0]
                try:
                    if is_proxy is not None and is_proxy(client):
                        packet, client = unwrap_untrusted(packet, client)
                    reply: bytes | Later | None
                    if is_update(packet):
                        reply = respond_update(packet, client, False, now, world)
                    else:
                        reply = respond(packet, client, False, now, dice, world)
                except ProxyError as error:
                    logger.debug("no answer to %s: %s", client, error)
                    continue
                except Exception:  # the one door that no packet may break: say which it was
                    logger.exception("no answer to a packet from %s: %s", client, packet[:LOGGED_LENGTH].hex())
                    reply = render_error(packet, SERVFAIL)
                if isinstance(reply, Later):
                    reply.send = partial(_send_later, send, peer)
                elif reply is not None:
                    send(reply, peer)
        except BlockingIOError:
            pass  # all is read, or a full send buffer took the last reply
        except OSError as error:
            logger.debug("a reply was refused: %s", error)  # its client will ask again
    return received


def _send_later(send: Send, peer: Any, reply: bytes) -> None:
    try:
        send(reply, peer)
    except OSError as error:
        logger.debug("a reply was refused: %s", error)  # its client will ask again


def unwrap_untrusted(packet: bytes, proxy: str) -> tuple[bytes, str]:
    """The packet of a proxy without its header, and for whom it asks; raises ProxyError."""
    proxied = parse_proxy_untrusted(packet)
    if proxied is None:
        raise ProxyError("a PROXY header that ends early")
    return packet[proxied.size :], proxied.client[0] if proxied.client else proxy


def open_exchange(listener: socket.socket) -> tuple[Receive, Send]:
    """How to receive from a socket, and how to send so that a reply leaves from the address that was asked.

    Also keeps the kernel from learning path MTUs from forged ICMP, and from setting DF: our replies are small, and a
    fragment that arrives beats a reply that does not.
    """
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT)
        level, option, switch = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, socket.IPV6_RECVPKTINFO
    else:
        listener.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_OMIT)
        level, option, switch = socket.IPPROTO_IP, _IP_PKTINFO, _IP_PKTINFO
    if listener.getsockname()[0] not in WILDCARDS:
        return listener.recvfrom, listener.sendto
    listener.setsockopt(level, switch, 1)

    def receive(size: int) -> tuple[bytes, Any]:
        packet, ancillary, _, address = listener.recvmsg(size, _ANCILLARY_SIZE)
        asked = next((data for *kind, data in ancillary if kind == [level, option]), b"")
        return packet, (address[0], address, asked)

    def send(reply: bytes, peer: Any) -> object:
        _, address, asked = peer
        return listener.sendmsg([reply], [(level, option, _source(asked))] if asked else [], 0, address)

    return receive, send


def _source(asked: bytes) -> bytes:
    """Packet information for a reply, from that of its query: the same address, by whatever interface leads back."""
    if len(asked) == 12:  # struct in_pktinfo: interface, our address on it, destination in the header
        return bytes(4) + asked[8:12] + bytes(4)
    return asked[:16] + bytes(4)  # struct in6_pktinfo: destination, interface
