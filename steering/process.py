"""TRIO: what a process gets from the supervisor, how it proves that it lives, and how it learns that it is to end."""

import socket
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import msgspec
import trio


class ControlEnd(msgspec.Struct, frozen=True):
    """What control gets from the supervisor."""

    feed: socket.socket  # listening UNIX socket, for `serve_feed`
    ready: Callable[[], None]  # to be called when answers may begin and SIGHUP is handled, and after each reload
    resume: bool  # an earlier control was ready and died: workers are answering already
    lifeline: int  # becomes readable when the supervisor is dead: end
    beat: Callable[[], None]  # for `beat_while_well`


class UnixAddress(NamedTuple):
    """Where a UNIX socket is, and who may connect."""

    path: str
    mode: int


class WorkerEnd(msgspec.Struct, frozen=True):
    """What a worker gets from the supervisor. The sockets do not block."""

    number: int  # 1 to N
    udp: tuple[socket.socket, ...]  # one for each address, in their order
    tcp: tuple[socket.socket, ...]  # the same, listening
    feed: str  # address for `connect_feed`
    lifeline: int  # becomes readable when the supervisor is dead: end
    beat: Callable[[], None]  # for `beat_while_well`
    backend: tuple[socket.socket, ...] = ()  # listening for PowerDNS; shared with the other workers


BEAT_INTERVAL = 1.0
"""Seconds between two beats."""


async def beat_while_well(beat: Callable[[], None], is_well: Callable[[], bool] = lambda: True) -> None:
    """Prove to the supervisor that the loop of this process runs, and that `is_well` says yes, until cancelled."""
    while True:
        if is_well():
            beat()
        await trio.sleep(BEAT_INTERVAL)


async def wait_for_end(signals: AsyncIterator[int], lifeline: int, scope: trio.CancelScope) -> None:
    """Cancel `scope` at SIGTERM, or when the supervisor is dead (its end of the lifeline is closed)."""
    async with trio.open_nursery() as nursery:

        async def wait_for_supervisor() -> None:
            await trio.lowlevel.wait_readable(lifeline)
            scope.cancel()

        nursery.start_soon(wait_for_supervisor)
        async for _ in signals:
            scope.cancel()
