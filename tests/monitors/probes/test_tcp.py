import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
import trio.testing

from monitors.monitor import EVIDENCE_LENGTH, Reason, Result
from monitors.probes import tcp
from monitors.probes.tcp import TcpMonitor
from monitors.tools import open_tools
from tests.monitors.certificates import NAME, UNTRUSTED, Certificates
from tests.monitors.checking import check, has_ipv6, steps
from tests.monitors.web import HANG, RST, Said, scripted, serving


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


def monitor(port: int, timeout: float = 5, /, **fields: object) -> TcpMonitor:
    return msgspec.structs.replace(TcpMonitor(name="m", port=port, timeout=timeout, retries=0), **fields)


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


async def test_a_kind_looks_no_name_up() -> None:
    async with open_tools() as tools:
        with pytest.raises(ValueError, match="localhost"):
            await tcp.probe("localhost", monitor(9), tools)


async def test_what_is_sent_and_comes_back() -> None:
    async with scripted(b"-ERR first\r\n", b"+PO", b"NG\r\n") as (port, heard):
        result = await check(monitor(port, send=b"PING\r\n", expect=b"+PONG"), "127.0.0.1")
        assert (result.up, result.reason) == (True, Reason.OK)
        assert (await check(monitor(port, send=b"PING\r\n"), "127.0.0.1")).up
    assert heard[0] == b"PING\r\n"


async def test_a_banner_that_comes_unasked() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, lambda stream: stream.send_all(b"SSH-2.0-x\r\n"), 0)
        result = await check(monitor(listeners[0].socket.getsockname()[1], expect=b"SSH-2.0"), "127.0.0.1")
        nursery.cancel_scope.cancel()
    assert result.up


@pytest.mark.parametrize(
    ("said", "reason", "evidence"),
    [
        ([b"-ERR \x1b[31m\xff\r\n"], Reason.REPLY_MISMATCH, "reply: -ERR \\x1b[31m\\xff"),
        ([b""], Reason.CLOSED_EARLY, "reply: the server closed the connection"),
        ([b"+PON", RST], Reason.RESET, "more than the reply '+PON': Connection reset by peer"),
        ([RST], Reason.RESET, "reply: Connection reset by peer"),
        ([HANG], Reason.TIMEOUT, "reply: nothing within 0.3 s"),
        ([b"+PON", HANG], Reason.TIMEOUT, "more than the reply '+PON': nothing within 0.3 s"),
        ([b"x" * 10_240 + b"+PONG", HANG], Reason.REPLY_MISMATCH, "reply: " + "x" * (EVIDENCE_LENGTH - 8) + "…"),
    ],
)
async def test_another_reply(said: list[Said], reason: Reason, evidence: str) -> None:
    async with scripted(*said) as (port, _):
        result = await check(monitor(port, 0.3, send=b"PING\r\n", expect=b"+PONG"), "127.0.0.1")
    # Of a reset, the reply before it may be read or lost.
    assert (result.up, result.reason) == (False, reason)
    assert result.evidence == evidence or reason is Reason.RESET


async def test_tls_and_the_reply_inside(certificates: Certificates) -> None:
    with serving(certificates.server_context("soon")) as port:
        fields = {"tls": True, "server_name": NAME, "send": b"GET / HTTP/1.0\r\n\r\n"}
        good = await check(monitor(port, **fields, expect=b"200 OK"), "127.0.0.1")
        bad = await check(monitor(port, **fields, expect=b"500"), "127.0.0.1")
    assert (good.up, good.reason) == (True, Reason.OK)
    assert (bad.up, bad.reason) == (False, Reason.REPLY_MISMATCH)
    for result in (good, bad):
        assert "expires in 5.0 days" in result.warning
        assert result.certificate_expires == pytest.approx(time.time() + 5 * 86400, abs=600)


async def test_tls_without_a_name_is_for_the_address(certificates: Certificates) -> None:
    with serving(certificates.server_context()) as port:
        assert (await check(monitor(port, tls=True), "127.0.0.1")).up


@pytest.mark.parametrize("quality", UNTRUSTED)
async def test_a_bad_certificate(quality: str, certificates: Certificates) -> None:
    reason, words = UNTRUSTED[quality]
    with serving(certificates.server_context(quality)) as port:
        asked = monitor(port, tls=True, server_name=NAME)
        assert await check(asked, "127.0.0.1") == Result(False, Reason(reason), f"TLS handshake: {words}")
        assert (await check(msgspec.structs.replace(asked, allow_insecure=True), "127.0.0.1")).up


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6"))],
)
async def test_the_source(address: str) -> None:
    seen: list[str] = []

    async def handle(stream: trio.SocketStream) -> None:
        seen.append(stream.socket.getpeername()[0])

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handle, 0)
        for listener in listeners:
            host, port = listener.socket.getsockname()[:2]
            if (":" in host) == (":" in address):
                assert (await check(monitor(port, source="127.0.0.9"), address)).up
                await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    # A source of the other family is passed over.
    assert seen == ["::1" if address == "::1" else "127.0.0.9"]


async def test_a_source_that_is_not_of_this_machine() -> None:
    result = await check(monitor(9, source="192.0.2.1"), "127.0.0.1")
    assert result == Result(False, Reason.CHECK_ERROR, "Cannot assign requested address")


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({}, []),
        ({"tls": True, "server_name": "a", "allow_insecure": True}, []),
        (
            {"server_name": "a", "allow_insecure": True},
            [("server_name", "only with tls = true"), ("allow_insecure", "only with tls = true")],
        ),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, object], problems: list[tuple[str, str]]) -> None:
    assert list(monitor(1, **fields).problems()) == problems


async def test_every_step_is_traced() -> None:
    async with scripted(b"+PO", b"NG\r\n") as (port, _):
        traced = await steps(monitor(port, send=b"PING\r\n", expect=b"+PONG"), "127.0.0.1")
    assert traced[:4] == [f"connect to port {port}", "connected", "sending", "reply"]
