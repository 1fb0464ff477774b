import socket
from collections.abc import Iterator

import msgspec
import pytest
import trio
from trio.testing import MockClock

from monitors.monitor import Monitor, Reason, Result, Target
from monitors.ping import PingNotPermitted, check_ping_permission
from monitors.probes import udp_icmp
from monitors.probes.udp_icmp import UdpIcmpMonitor
from monitors.scheduler import open_scheduler
from tests.monitors.checking import check
from tests.monitors.conftest import HoldUp


@pytest.fixture
def needs_ping() -> None:
    try:
        check_ping_permission([socket.AF_INET])
    except PingNotPermitted as error:
        pytest.skip(str(error))


@pytest.fixture
def service() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(5)
        yield bound


def monitor(port: int, timeout: float = 0.2, /, **fields: object) -> UdpIcmpMonitor:
    return msgspec.structs.replace(UdpIcmpMonitor(name="m", port=port, timeout=timeout, retries=0), **fields)


@pytest.mark.usefixtures("needs_ping")
async def test_silence_is_up_and_no_timeout(service: socket.socket) -> None:
    # The scheduler's timeout is 30 ms behind; should this machine be held up for so long, it tries again.
    patient = UdpIcmpMonitor(name="m", port=service.getsockname()[1], timeout=0.3, retries=5)
    result = await check(patient, "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (True, Reason.OK, "the port is silent")
    assert result.rtt is not None
    assert service.recv(10) == b"\0"


@pytest.mark.usefixtures("needs_ping")
async def test_a_closed_port_is_down(service: socket.socket) -> None:
    port = service.getsockname()[1]
    service.close()
    result = await check(monitor(port, timeout=5), "127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.PORT_UNREACHABLE)


@pytest.mark.usefixtures("needs_ping")
async def test_a_reply_is_up_at_once(service: socket.socket) -> None:
    def answer() -> None:
        data, client = service.recvfrom(10)
        service.sendto(data, client)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, answer)
        with trio.fail_after(5):
            result = await check(monitor(service.getsockname()[1], timeout=60), "127.0.0.1")
    assert (result.up, result.evidence) == (True, "the port replied")


@pytest.mark.usefixtures("needs_ping")
async def test_an_empty_reply_is_a_reply(service: socket.socket) -> None:
    def answer() -> None:
        service.sendto(b"", service.recvfrom(10)[1])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, answer)
        with trio.fail_after(5):
            result = await check(monitor(service.getsockname()[1], timeout=60), "127.0.0.1")
    assert (result.up, result.evidence) == (True, "the port replied")


@pytest.mark.usefixtures("needs_ping")
@pytest.mark.parametrize(
    ("reply", "reason", "evidence"),
    [
        (b"pong 1", Reason.OK, "the port replied: pong 1"),
        (b"\xffbusy", Reason.REPLY_MISMATCH, "the port replied: \\xffbusy"),
        (b"", Reason.REPLY_MISMATCH, "the port replied:"),
    ],
)
async def test_the_expected_reply(reply: bytes, reason: Reason, evidence: str, service: socket.socket) -> None:
    heard: list[tuple[bytes, str]] = []

    def answer() -> None:
        data, client = service.recvfrom(10)
        heard.append((data, client[0]))
        service.sendto(reply, client)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, answer)
        asked = monitor(service.getsockname()[1], 60, send=b"\xff\0ping", expect=b"pong", source="127.0.0.9")
        with trio.fail_after(5):
            result = await check(asked, "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (reason is Reason.OK, reason, evidence)
    assert heard == [(b"\xff\0ping", "127.0.0.9")]


@pytest.mark.usefixtures("needs_ping")
async def test_where_a_reply_is_expected_silence_is_a_timeout(service: socket.socket) -> None:
    asked = monitor(service.getsockname()[1], 0.3, expect=b"pong")
    result = await check(asked, "127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.TIMEOUT)
    assert result.evidence == "reply to the datagram: nothing within 0.3 s"


class FakeTools:
    """Tools of which the ping takes as long, and ends, as told."""

    def __init__(self, seconds: float, result: Result) -> None:
        self.pinger = self
        self._seconds = seconds
        self._result = result

    async def ping(self, _: str, __: str | None) -> Result:
        await trio.sleep(self._seconds)
        return self._result


async def probe(monitor: Monitor, tools: FakeTools) -> Result:
    results: list[Result] = []
    target = Target(monitor, "127.0.0.1")

    async def fake(_: Target) -> Result:
        return await udp_icmp.probe("127.0.0.1", monitor, tools)  # type: ignore[arg-type]  # fakes

    async with open_scheduler(lambda _, result: results.append(result), fake) as scheduler:
        scheduler.replace([target])
        await scheduler.wait_first_results([target], 100)
    return results[0]


async def test_the_ping_must_pass(autojump_clock: MockClock, service: socket.socket) -> None:  # noqa: ARG001
    port = service.getsockname()[1]
    unreachable = Result(False, Reason.HOST_UNREACHABLE, "ICMP type 3 code 1: host unreachable")
    assert await probe(monitor(port), FakeTools(0.01, unreachable)) == unreachable
    silent = await probe(monitor(port, timeout=5), FakeTools(3600, unreachable))
    assert (silent.reason, silent.evidence) == (Reason.TIMEOUT, "reply to the ping: nothing within 5 s")


@pytest.mark.parametrize("seconds", [0.01, 1.0, 2.2])
async def test_silence_after_a_ping_of_any_length_is_up(
    seconds: float,
    autojump_clock: MockClock,  # noqa: ARG001
    service: socket.socket,
) -> None:
    began = trio.current_time()
    tools = FakeTools(seconds, Result(True, Reason.OK, rtt=seconds))
    result = await probe(monitor(service.getsockname()[1], timeout=5), tools)
    assert (result.up, result.evidence) == (True, "the port is silent")
    assert trio.current_time() - began == pytest.approx(4.5)


async def test_a_ping_that_leaves_no_time_for_the_datagram_is_a_timeout(
    autojump_clock: MockClock,  # noqa: ARG001
    service: socket.socket,
) -> None:
    tools = FakeTools(2.5, Result(True, Reason.OK, rtt=2.5))
    result = await probe(monitor(service.getsockname()[1], timeout=5), tools)
    assert (result.up, result.reason) == (False, Reason.TIMEOUT)
    assert "no time" not in result.evidence
    assert "datagram" in result.evidence


async def test_time_for_which_we_were_held_up_is_not_missing_for_the_datagram(
    autojump_clock: MockClock, hold_up: HoldUp, service: socket.socket
) -> None:
    class HeldUp(FakeTools):
        async def ping(self, _: str, __: str | None) -> Result:
            await trio.sleep(0.01)
            hold_up(autojump_clock, 60)
            await trio.lowlevel.checkpoint()
            return Result(True, Reason.OK, rtt=0.01)

    held_up = HeldUp(0, Result(True, Reason.OK))
    result = await probe(monitor(service.getsockname()[1], timeout=5), held_up)
    assert (result.up, result.evidence) == (True, "the port is silent")
