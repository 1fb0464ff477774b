import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from monitors.monitor import Reason, Result
from monitors.ping import PingNotPermitted, check_ping_permission
from monitors.probes import icmp
from monitors.probes.icmp import IcmpMonitor
from monitors.tools import open_tools
from tests.monitors.checking import check, has_ipv6

MONITOR = IcmpMonitor(name="m", timeout=5, retries=0)


@pytest.fixture(autouse=True)
def _needs_ping(request: pytest.FixtureRequest) -> None:
    if "autojump_clock" in request.fixturenames:
        return
    try:
        check_ping_permission([socket.AF_INET])
    except PingNotPermitted as error:
        pytest.skip(str(error))


async def test_an_address_that_answers_is_up() -> None:
    result = await check(MONITOR, "127.0.0.77")
    assert (result.up, result.reason) == (True, Reason.OK)
    assert result.rtt is not None
    assert 0 <= result.rtt < 5


async def test_an_address_that_may_not_be_pinged_says_so() -> None:
    # The broadcast address of loopback: the system refuses to send, unless it is asked in a special way.
    result = await check(MONITOR, "127.255.255.255")
    assert (result.up, result.reason, result.evidence) == (False, Reason.NOT_PERMITTED, "Permission denied")


async def test_a_kind_looks_no_name_up() -> None:
    async with open_tools() as tools:
        with pytest.raises(ValueError, match="localhost"):
            await icmp.probe("localhost", MONITOR, tools)


async def test_several_requests_of_any_size_from_a_source() -> None:
    for size in (16, 1472):
        monitor = IcmpMonitor(name="m", timeout=5, retries=0, count=3, size=size, source="127.0.0.9")
        result = await check(monitor, "127.0.0.77")
        assert (result.up, result.reason, result.evidence) == (True, Reason.OK, "3 of 3 replies")
        assert result.rtt is not None


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6_and_a_source_of_the_other_family() -> None:
    monitor = IcmpMonitor(name="m", timeout=5, retries=0, count=2, source="127.0.0.9")
    assert (await check(monitor, "::1")).up
    assert (await check(IcmpMonitor(name="m", timeout=5, source="::1"), "::1")).up


@pytest.mark.parametrize("count", [1, 3])
async def test_a_source_that_is_not_of_this_machine(count: int) -> None:
    monitor = IcmpMonitor(name="m", timeout=5, retries=0, count=count, source="192.0.2.1")
    result = await check(monitor, "127.0.0.1")
    assert (result.reason, result.evidence) == (Reason.CHECK_ERROR, "Cannot assign requested address")


class FakeTools:
    """Tools whose pings end as told, each with its delay in seconds; None is silence."""

    def __init__(self, *pings: tuple[float, Result] | None) -> None:
        self.pinger = self
        self.sent: list[float] = []
        self.began = trio.current_time()
        self._pings = list(pings)

    async def ping(self, _: str, __: str | None, ___: int) -> Result:
        self.sent.append(round(trio.current_time() - self.began, 3))
        ping = self._pings.pop(0)
        if ping is None:
            await trio.sleep_forever()
        seconds, result = ping
        await trio.sleep(seconds)
        return result


def reply(seconds: float) -> tuple[float, Result]:
    return seconds, Result(True, Reason.OK, rtt=seconds)


UNREACHABLE = 0.01, Result(False, Reason.HOST_UNREACHABLE, "said a router")


@pytest.mark.parametrize(
    ("pings", "max_loss", "seconds", "up", "reason", "evidence"),
    [
        ([reply(0.1), reply(0.3), reply(0.2)], 0, 0.6, True, Reason.OK, "3 of 3 replies"),
        ([reply(0.1), None, reply(0.1)], 1, 0.5, True, Reason.OK, "2 of 3 replies"),
        ([reply(0.1), None, None], 2, 0.1, True, Reason.OK, "1 of 3 replies"),
        ([reply(0.1), None, reply(0.1)], 0, 4.5, False, Reason.PACKETS_LOST, "2 of 3 replies"),
        ([reply(0.1), None, None], 1, 4.5, False, Reason.PACKETS_LOST, "1 of 3 replies"),
        ([None, None, None], 1, 4.5, False, Reason.TIMEOUT, "0 of 3 replies"),
        ([UNREACHABLE] * 3, 0, 0.01, False, Reason.HOST_UNREACHABLE, "0 of 3 replies; said a router"),
        ([UNREACHABLE] * 3, 1, 0.21, False, Reason.HOST_UNREACHABLE, "0 of 3 replies; said a router"),
        ([UNREACHABLE, reply(0.1), reply(0.1)], 1, 0.5, True, Reason.OK, "2 of 3 replies"),
        ([UNREACHABLE, None, None], 1, 4.5, False, Reason.TIMEOUT, "0 of 3 replies"),
    ],
)
async def test_how_many_replies_are_enough(
    pings: list[tuple[float, Result] | None],
    max_loss: int,
    seconds: float,
    up: bool,
    reason: Reason,
    evidence: str,
    autojump_clock: MockClock,  # noqa: ARG001
) -> None:
    tools = FakeTools(*pings)
    monitor = IcmpMonitor(name="m", timeout=5, count=3, max_loss=max_loss)
    result = await icmp.probe("192.0.2.1", monitor, tools)  # type: ignore[arg-type]  # fakes
    assert (result.up, result.reason, result.evidence) == (up, reason, evidence)
    assert trio.current_time() - tools.began == pytest.approx(seconds)
    assert tools.sent == [0, 0.2, 0.4][: len(tools.sent)]


async def test_the_mean_of_the_round_trips(autojump_clock: MockClock) -> None:  # noqa: ARG001
    tools = FakeTools(reply(0.1), reply(0.3))
    monitor = IcmpMonitor(name="m", timeout=5, count=2)
    result = await icmp.probe("192.0.2.1", monitor, tools)  # type: ignore[arg-type]  # fakes
    assert result.rtt == pytest.approx(0.2)


async def test_all_are_sent_in_the_first_half_of_a_short_timeout(autojump_clock: MockClock) -> None:  # noqa: ARG001
    tools = FakeTools(*[None] * 20)
    monitor = IcmpMonitor(name="m", timeout=1, count=20)
    await icmp.probe("192.0.2.1", monitor, tools)  # type: ignore[arg-type]  # fakes
    assert tools.sent == pytest.approx([number / 40 for number in range(20)])


def test_at_least_one_reply_is_needed() -> None:
    assert [field for field, _ in IcmpMonitor(name="m", max_loss=1).problems()] == ["max_loss"]
    assert not list(IcmpMonitor(name="m", count=2, max_loss=1).problems())


def test_replies_that_are_lost_in_a_network_of_our_own() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.monitors.ping_namespace", "lossy"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 77:
        pytest.skip("this process may not make a network namespace")
    assert run.stderr == ""
    assert [json.loads(line) for line in run.stdout.splitlines()] == [
        {"up": False, "reason": "packets lost", "evidence": "1 of 3 replies"},
        {"up": True, "reason": "ok", "evidence": "1 of 3 replies"},
        {"up": False, "reason": "timeout", "evidence": "0 of 3 replies"},
    ] * 2
