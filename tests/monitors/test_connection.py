import socket

import pytest
import trio

from monitors.connection import connected
from tests.monitors.web import scripted


async def test_a_connection_is_closed_behind_its_block() -> None:
    async with scripted(b"") as (port, _):
        async with connected("127.0.0.1", port, "127.0.0.9") as (connection, seconds):
            assert connection.getsockname()[0] == "127.0.0.9"
            assert 0 <= seconds < 5
        assert connection.fileno() == -1


async def test_a_source_of_the_other_family_is_passed_over() -> None:
    async with scripted(b"") as (port, _), connected("127.0.0.1", port, "2001:db8::1") as (connection, _):
        assert connection.getsockname()[0] == "127.0.0.1"


async def test_many_connections_from_one_source_share_ports() -> None:
    """To different ends: the port is chosen when the other end is known."""
    with socket.socket() as probe:
        probe.setsockopt(socket.IPPROTO_IP, 24, 1)
        probe.bind(("127.0.0.9", 0))
        assert probe.getsockname()[1] == 0


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_a_name_is_refused(kind: socket.SocketKind) -> None:
    with pytest.raises(ValueError, match="localhost"):
        async with connected("localhost", 9, None, kind):
            pass


async def test_datagrams_of_strangers_are_not_heard() -> None:
    with trio.socket.socket(type=socket.SOCK_DGRAM) as server, trio.socket.socket(type=socket.SOCK_DGRAM) as stranger:
        await server.bind(("127.0.0.1", 0))
        await stranger.bind(("127.0.0.1", 0))
        async with connected("127.0.0.1", server.getsockname()[1], None, socket.SOCK_DGRAM) as (connection, _):
            await stranger.sendto(b"forged", connection.getsockname())
            await server.sendto(b"true", connection.getsockname())
            assert await connection.recv(10) == b"true"
