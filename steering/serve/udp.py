"""DNS over UDP: drain what has come, answer each packet, send.

Waiting for the socket costs more than answering, so a wake-up takes up to BURST packets, under one World.
"""

import logging
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, NoReturn

import trio

from steering.respond import Dice, respond
from steering.wire import SERVFAIL, render_error
from steering.world import World

BURST: Final = 128
"""Packets answered before other tasks get their turn."""
PACKET_SIZE: Final = 4096
"""Longest query that is read whole; none of ours needs more, and the rest of a longer one is cut off."""
LOGGED_LENGTH: Final = 512

logger = logging.getLogger("waypost.udp")


OpenWorld = Callable[[], AbstractContextManager[World]]
"""Gives the World of one burst."""


async def serve_udp(
    listener: socket.socket, open_world: OpenWorld, dice: Dice, count: Callable[[int], None]
) -> NoReturn:
    """Answer on a non-blocking socket until cancelled; `count` hears how many packets came."""
    while True:
        try:
            await trio.lowlevel.wait_readable(listener)
        finally:  # also when cancelled: what has come is answered
            count(answer_burst(listener, open_world, dice))


def answer_burst(listener: socket.socket, open_world: OpenWorld, dice: Dice) -> int:
    """Answer the packets that have come, at most BURST of them; how many there were."""
    receive, send = listener.recvfrom, listener.sendto
    received = 0
    with open_world() as world:
        try:
            while received < BURST:
                packet, address = receive(PACKET_SIZE)
                received += 1
                try:
                    reply = respond(packet, address[0], False, dice, world)
                except Exception:  # the one door that no packet may break: say which it was
                    logger.exception("no answer to a packet from %s: %s", address[0], packet[:LOGGED_LENGTH].hex())
                    reply = render_error(packet, SERVFAIL)
                if reply is not None:
                    send(reply, address)
        except BlockingIOError:
            pass  # all is read, or a full send buffer took the last reply
        except OSError as error:
            logger.debug("%s: %s", listener, error)  # the network refused a reply: its client will ask again
    return received
