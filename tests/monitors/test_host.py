import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.rcode
import msgspec
import pytest
import trio
from trio.testing import MockClock

from monitors import host as host_module
from monitors.host import check_host, combine, has_route, leave_out_families
from monitors.monitor import Monitor, Reason, Result, Target
from monitors.probes.exec import ExecMonitor
from monitors.probes.http import HttpMonitor
from monitors.probes.https import HttpsMonitor
from monitors.probes.smtp import SmtpMonitor
from monitors.probes.tcp import TcpMonitor
from monitors.resolve import Resolution
from monitors.scheduler import open_scheduler
from tests.monitors.certificates import NAME, Certificates
from tests.monitors.checking import check_target, has_ipv6
from tests.monitors.name_server import serving_names
from tests.monitors.web import scripted, serving

ALIVE, HANGING, CLOSED = "127.0.0.1", "127.0.0.2", "127.0.0.3"


@asynccontextmanager
async def hosts() -> AsyncIterator[int]:
    """A port that answers at ALIVE, never answers at HANGING, and is closed at CLOSED and at ::1."""
    async with scripted(b"+PONG") as (port, _):
        with socket.create_server((HANGING, port)):
            yield port


def pinging(port: int, **fields: object) -> TcpMonitor:
    monitor = TcpMonitor(name="m", port=port, timeout=0.8, retries=0, send=b"PING", expect=b"+PONG")
    return msgspec.structs.replace(monitor, **fields)


async def check_names(monitor: Monitor, **records: list[str]) -> Result:
    """A check of www.example.com, of which these are the records."""
    async with serving_names(**records) as server:
        return await check_target(Target(monitor, NAME), server.port)


async def test_any_address_that_passes_is_up_and_the_others_are_named() -> None:
    async with hosts() as port:
        result = await check_names(pinging(port), A=[CLOSED, HANGING, ALIVE])
    assert (result.up, result.reason) == (True, Reason.OK)
    assert (result.addresses, result.failed, result.addresses_ttl) == ((ALIVE,), (HANGING, CLOSED), 60)
    assert result.rtt is not None
    assert "127.0.0.2: timeout, reply: nothing within 0.7" in result.evidence
    assert "127.0.0.3: refused, Connection refused" in result.evidence
    assert result.evidence.endswith("passed: 127.0.0.1")


async def test_all_of_them_if_asked_for() -> None:
    async with hosts() as port:
        every = pinging(port, addresses="all")
        assert (await check_names(every, A=[ALIVE])).up
        result = await check_names(every, A=[ALIVE, CLOSED])
    assert (result.up, result.reason, result.addresses, result.failed) == (False, Reason.REFUSED, (ALIVE,), (CLOSED,))


async def test_a_timeout_of_one_is_tried_again() -> None:
    async with hosts() as port, serving_names(A=[CLOSED, HANGING]) as server:
        results: list[Result] = []
        target = Target(pinging(port, retries=1), NAME)
        async with open_scheduler(lambda _, result: results.append(result)) as scheduler:
            scheduler.tools.resolver.nameservers = (("127.0.0.1", server.port),)
            scheduler.replace([target])
            await scheduler.wait_first_results([target], 10)
            assert scheduler.statistics().retried == 1
    assert (results[0].up, results[0].reason) == (False, Reason.TIMEOUT)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_both_families() -> None:
    async with scripted(b"+PONG", host="::1") as (port, _):
        result = await check_names(pinging(port), A=[CLOSED], AAAA=["::1"])
    assert (result.up, result.addresses, result.failed) == (True, ("::1",), (CLOSED,))


async def test_a_family_without_a_route_neither_passes_nor_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "has_route", lambda address: ":" not in address)
    async with hosts() as port:
        result = await check_names(pinging(port, addresses="all"), A=[ALIVE], AAAA=["::1"])
    assert (result.up, result.addresses, result.failed) == (True, (ALIVE,), ())


@pytest.mark.parametrize(
    ("routed", "kept"),
    [
        ("192.0.2.1 192.0.2.2 2001:db8::1", "192.0.2.1 192.0.2.2 2001:db8::1"),
        ("192.0.2.1 192.0.2.2", "192.0.2.1 192.0.2.2"),
        ("192.0.2.1", "192.0.2.1 192.0.2.2"),
        ("2001:db8::1", "2001:db8::1"),
        ("", "192.0.2.1 192.0.2.2 2001:db8::1"),
    ],
)
def test_which_families_are_left_out(routed: str, kept: str) -> None:
    addresses = ("192.0.2.1", "192.0.2.2", "2001:db8::1")
    assert leave_out_families(addresses, routed.split().__contains__) == tuple(kept.split())


def test_a_route() -> None:
    assert has_route("127.0.0.1")
    assert has_route("255.255.255.255")  # not permitted, which is no want of a route


async def test_a_name_that_is_unknown() -> None:
    result = await check_names(pinging(1))
    assert (result.up, result.reason, result.evidence) == (
        False,
        Reason.NAME_UNKNOWN,
        "www.example.com has no address",
    )
    assert (result.addresses, result.failed, result.addresses_ttl) == ((), (), None)


async def test_name_servers_that_cannot_answer() -> None:
    async with serving_names() as server:
        server.rcode = dns.rcode.SERVFAIL
        result = await check_target(Target(pinging(1), NAME), server.port)
    assert (result.reason, result.evidence) == (
        Reason.NAME_UNKNOWN,
        "www.example.com A: no name server could answer",
    )


async def test_a_name_server_that_is_silent_is_a_timeout() -> None:
    async with serving_names() as server:
        server.rcode = None
        result = await check_target(Target(pinging(1), NAME), server.port)
    assert (result.reason, result.evidence) == (Reason.TIMEOUT, "look-up of www.example.com: nothing within 0.8 s")


async def test_an_exception_is_the_failure_of_its_address_alone() -> None:
    command = ExecMonitor(name="m", timeout=5, command=("/bin/sh", "-c", "test {address} = 127.0.0.1"))
    result = await check_names(command, A=[ALIVE, CLOSED])
    assert (result.up, result.addresses, result.failed) == (True, (ALIVE,), (CLOSED,))
    missing = msgspec.structs.replace(command, command=("/no/such/{address}",))
    assert (await check_names(missing, A=[ALIVE])).reason is Reason.CHECK_ERROR


async def test_the_host_header_and_the_name_in_the_certificate(certificates: Certificates) -> None:
    with serving(certificates.server_context()) as port:
        https = HttpsMonitor(name="m", port=port, path="/echo", expected_body=f"Host: {NAME}:{port}\n", retries=0)
        result = await check_names(https, A=[ALIVE])
        assert (result.up, result.evidence) == (True, "127.0.0.1: 200 OK")
        assert result.certificate_expires is not None
        assert (await check_names(pinging(port, tls=True, send=None, expect=None), A=[ALIVE])).up
    with serving(certificates.server_context("wrong name")) as port:
        assert (await check_names(pinging(port, tls=True), A=[ALIVE])).reason is Reason.TLS_NAME_MISMATCH


WWW = ("Host", NAME)


@pytest.mark.parametrize(
    ("headers", "target", "expected"),
    [
        ((), Target(Monitor(name="m"), "192.0.2.1"), ()),
        ((), Target(Monitor(name="m"), "a.example.com"), (("Host", "a.example.com"),)),
        ((), Target(Monitor(name="m"), "a.example.com", 81), (("Host", "a.example.com:81"),)),
        ((), Target(Monitor(name="m"), "a.example.com", host=NAME), (WWW,)),
        ((("X", "1"), ("host", "m")), Target(Monitor(name="m"), "192.0.2.1", host=NAME), (WWW, ("X", "1"))),
        ((("X", "1"), ("host", "m")), Target(Monitor(name="m"), "a.example.com"), (("X", "1"), ("host", "m"))),
    ],
)
def test_the_host_of_the_origin_then_of_the_monitor_then_of_the_address(
    headers: tuple[tuple[str, str], ...], target: Target, expected: tuple[tuple[str, str], ...]
) -> None:
    assert HttpMonitor(name="m", headers=headers).towards(target).headers == expected


def test_the_port_of_the_origin_then_of_the_monitor() -> None:
    target = Target(Monitor(name="m"), "a.example.com", 2525)
    assert SmtpMonitor(name="m").towards(target) == SmtpMonitor(name="m", port=2525, server_name="a.example.com")
    named = TcpMonitor(name="m", port=1, tls=True, server_name=NAME)
    assert named.towards(target) == msgspec.structs.replace(named, port=2525)
    assert Monitor(name="m").towards(target) == Monitor(name="m")


async def test_the_port_and_the_host_of_a_target_are_asked() -> None:
    with serving() as port:
        monitor = HttpMonitor(name="m", port=1, path="/echo", expected_body="Host: shop.example.com\n")
        assert (await check_target(Target(monitor, ALIVE, port, "shop.example.com"))).up


async def test_targets_of_one_address_are_apart(autojump_clock: MockClock) -> None:  # noqa: ARG001
    seen: list[str] = []

    async def probe(target: Target) -> Result:
        await trio.lowlevel.checkpoint()
        seen.append(target.endpoint)
        return Result(True, Reason.OK)

    monitor = Monitor(name="m")
    targets = [Target(monitor, ALIVE), Target(monitor, ALIVE, 81), Target(monitor, ALIVE, 81, NAME)]
    async with open_scheduler(lambda *_: None, probe) as scheduler:
        scheduler.replace(targets)
        assert await scheduler.wait_first_results(targets, 10) == set()
    assert sorted(seen) == ["127.0.0.1", "127.0.0.1:81", "www.example.com@127.0.0.1:81"]


class SlowResolver:
    """Takes its time."""

    async def resolve(self, _: str) -> Resolution:
        await trio.sleep(3)
        return Resolution(("192.0.2.1", "192.0.2.2"), 60)


async def test_the_addresses_have_what_the_look_up_leaves_of_the_timeout(autojump_clock: MockClock) -> None:  # noqa: ARG001
    given: list[float] = []

    async def probe(address: str, monitor: Monitor) -> Result:
        given.append(monitor.timeout)
        await trio.sleep(1 if address == "192.0.2.1" else 100)
        return Result(True, Reason.OK)

    with trio.fail_after(5):
        result = await check_host(NAME, Monitor(name="m", timeout=5), SlowResolver(), probe)  # type: ignore[arg-type]  # a fake
    assert given == [pytest.approx(1.75)] * 2
    assert (result.up, result.addresses, result.failed) == (True, ("192.0.2.1",), ("192.0.2.2",))


def test_what_several_results_come_to() -> None:
    one = Result(True, Reason.OK, "fine", 0.1, "ends soon", 2_000.0)
    two = Result(True, Reason.OK, "", 0.3, "", 1_000.0)
    both = combine({"192.0.2.1": one, "192.0.2.2": two}, "all", 30)
    assert both == Result(
        True,
        Reason.OK,
        "192.0.2.1, 192.0.2.2: fine",
        pytest.approx(0.2),  # type: ignore[arg-type]  # equal to a number
        "ends soon",
        1_000.0,
        ("192.0.2.1", "192.0.2.2"),
        (),
        30,
    )
