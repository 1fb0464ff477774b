import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from monitors.monitor import Reason
from monitors.probes.tcp import TcpMonitor
from tests.monitors.checking import check, has_ipv6


@asynccontextmanager
async def listening(port: int = 0, address: str = "127.0.0.1") -> AsyncIterator[int]:
    """A listener that accepts and closes; gives its port."""
    listeners = await trio.open_tcp_listeners(port, host=address)

    async def handle(stream: trio.SocketStream) -> None:
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def monitor(port: int, timeout: float = 5) -> TcpMonitor:
    return TcpMonitor(name="m", port=port, timeout=timeout, retries=0)


async def test_a_listener_that_is_stopped_and_started_again() -> None:
    async with listening() as port:
        result = await check(monitor(port), "127.0.0.1")
        assert (result.up, result.reason) == (True, Reason.OK)
        assert result.rtt is not None
        assert 0 <= result.rtt < 5
    result = await check(monitor(port), "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (False, Reason.REFUSED, "Connection refused")
    async with listening(port):
        assert (await check(monitor(port), "127.0.0.1")).up


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6() -> None:
    async with listening(address="::1") as port:
        assert (await check(monitor(port), "::1")).up


async def test_a_listener_that_does_not_accept_is_a_timeout() -> None:
    # Its queue is full: further connections are neither established nor refused.
    with socket.socket() as full, socket.socket() as queued:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        queued.connect(full.getsockname())
        result = await check(monitor(full.getsockname()[1], timeout=0.2), "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (False, Reason.TIMEOUT, "nothing within 0.2 s")


async def test_an_address_that_nothing_leads_to() -> None:
    # The system refuses TCP to a broadcast address before anything is sent.
    result = await check(monitor(9), "255.255.255.255")
    assert (result.up, result.reason) == (False, Reason.NETWORK_UNREACHABLE)


async def test_a_name_is_an_error_of_the_check_and_never_looked_up() -> None:
    result = await check(monitor(9), "localhost")
    assert (result.up, result.reason) == (False, Reason.CHECK_ERROR)
    assert "localhost" in result.evidence
