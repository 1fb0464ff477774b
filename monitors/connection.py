"""TRIO: the connections of probes: TCP and UDP sockets that are connected, from a chosen source, and TLS over them.

Rules for this file: it sets no timeout, and nothing that it opened outlives the block that it was opened for.
"""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from monitors.address import family_of, source_towards
from monitors.tools import trace_step, waiting_for

IP_BIND_ADDRESS_NO_PORT = 24
"""Linux, <linux/in.h>: not in the socket module."""


@asynccontextmanager
async def connected(
    address: str, port: int, source: str | None, kind: socket.SocketKind = socket.SOCK_STREAM
) -> AsyncIterator[tuple[trio.socket.SocketType, float]]:
    """A socket connected to `address`, and how many seconds that took, which for TCP is the round trip.

    OSError if it fails. A connected UDP socket is told of ICMP errors about its own datagrams, and hears nobody
    else.
    """
    with trio.socket.socket(family_of(address), kind) as connection:
        await bind(connection, source_towards(address, source))
        trace_step(f"connect to port {port}")
        started = trio.current_time()
        await connection.connect((address, port))
        rtt = trio.current_time() - started
        trace_step("connected")
        yield connection, rtt


async def bind(connection: trio.socket.SocketType, source: str | None) -> None:
    """Let `connection` come from `source`, if there is one."""
    if source is not None:
        # The port is then chosen when the other end is known, and two connections may share one.
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        await connection.bind((source, 0))


async def start_tls(
    connection: trio.socket.SocketType, name: str, context: ssl.SSLContext
) -> trio.SSLStream[trio.SocketStream]:
    """TLS over `connection` with a server called `name`, a host name or an address; the handshake is done.

    Closing it says goodbye without waiting for the other end. trio.BrokenResourceError if the handshake fails.
    """
    waiting_for.set("TLS handshake")
    stream = trio.SSLStream(trio.SocketStream(connection), context, server_hostname=name, https_compatible=True)
    await stream.do_handshake()
    trace_step("TLS established")
    return stream
