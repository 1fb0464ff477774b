import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import icmplib  # type: ignore[import-untyped]  # the package has no types
import pytest
import trio

from monitors import ping as ping_module
from monitors.monitor import Reason, Result
from monitors.ping import PingNotPermitted, check_ping_permission, open_pinger
from tests.monitors.checking import has_ipv6


@pytest.fixture(autouse=True)
def _needs_ping() -> None:
    try:
        check_ping_permission([socket.AF_INET])
    except PingNotPermitted as error:
        pytest.skip(str(error))


async def test_a_thousand_addresses_at_once_all_answer() -> None:
    results: dict[str, Result] = {}

    async def ping(address: str) -> None:
        results[address] = await pinger.ping(address)

    with trio.fail_after(10):
        async with open_pinger() as pinger, trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(ping, f"127.1.{number // 250}.{number % 250 + 1}")
    assert len(results) == 1000
    assert all(result.up and result.reason is Reason.OK for result in results.values())
    assert all(result.rtt is not None and 0 <= result.rtt < 1 for result in results.values())


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6_in_any_spelling() -> None:
    async with open_pinger() as pinger:
        assert (await pinger.ping("0:0:0:0:0:0:0:1")).up


async def test_a_name_is_no_address() -> None:
    async with open_pinger() as pinger:
        with pytest.raises(ValueError, match="localhost"):
            await pinger.ping("localhost")


async def test_a_cancelled_ping_leaves_nothing_behind() -> None:
    async with open_pinger() as pinger:
        with trio.CancelScope() as scope:
            scope.cancel()
            await pinger.ping("127.0.0.1")
        assert scope.cancelled_caught
        assert pinger.statistics().waiting == 0
        assert (await pinger.ping("127.0.0.1")).up


async def test_a_reply_that_the_kernel_dropped_is_asked_for_again() -> None:
    results: list[Result] = []

    async def ping(address: str) -> None:
        results.append(await pinger.ping(address))

    with trio.fail_after(10):
        async with open_pinger() as pinger:
            assert (await pinger.ping("127.0.0.1")).up
            # Room for three small packets: the least that Linux allows.
            pinger._channels[socket.AF_INET, None].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(ping, f"127.0.1.{number}")
            statistics = pinger.statistics()
    assert [result.up for result in results] == [True] * 6
    assert statistics.dropped > 0
    assert statistics.resent > 0


async def test_without_drops_nothing_is_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ping_module, "RESEND_PAUSES", (0.001,) * 4)
    async with open_pinger() as pinger:
        await pinger.ping("127.0.0.1")
        channel = pinger._channels[socket.AF_INET, None]
        # As if the kernel were silent: the replies are not read.
        monkeypatch.setattr(channel, "_receive_message", lambda: channel.socket.recv(2048) and None)
        with trio.move_on_after(0.1):
            await pinger.ping("127.0.0.1")
        assert pinger.statistics().resent == 0


@pytest.mark.parametrize("wrong", ["source", "identifier", "sequence", "payload"])
async def test_a_reply_to_somebody_else_is_not_believed(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_pinger() as pinger:
        await pinger.ping("127.0.0.1")
        channel = pinger._channels[socket.AF_INET, None]
        believe = channel._receive_message
        forged = False

        def tamper() -> None:
            nonlocal forged
            (key, request), *_ = channel.awaited.items()
            other = {
                "source": ("127.0.0.9", key[1]),
                "sequence": (key[0], key[1] ^ 1),
            }.get(wrong, key)
            identifier, payload = request.identifier, request.payload
            if wrong == "identifier":
                request.identifier ^= 1
            if wrong == "payload":
                request.payload = payload[::-1]
            channel.awaited[other] = channel.awaited.pop(key)
            try:
                believe()
                forged = True
            finally:
                request.identifier, request.payload = identifier, payload
                channel.awaited[key] = channel.awaited.pop(other)

        monkeypatch.setattr(channel, "_receive_message", tamper)
        with trio.move_on_after(0.1) as patience:
            await pinger.ping("127.0.0.1")
        assert forged
        assert patience.cancelled_caught


class Forbidden(icmplib.ICMPv4Socket):  # type: ignore[misc]  # the package has no types
    """An ICMP socket as it is on a system that allows none."""

    def _create_socket(self, _: int) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")


@pytest.fixture
def _nothing_is_permitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(icmplib, "ICMPv4Socket", Forbidden)
    yield


@pytest.mark.usefixtures("_nothing_is_permitted")
async def test_without_permission_the_remedies_are_named() -> None:
    with pytest.raises(PingNotPermitted) as caught:
        check_ping_permission([socket.AF_INET])
    for remedy in ("CAP_NET_RAW", "setcap", "AmbientCapabilities", "net.ipv4.ping_group_range"):
        assert remedy in str(caught.value)
    async with open_pinger() as pinger:
        result = await pinger.ping("127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.NOT_PERMITTED)
    assert "CAP_NET_RAW" in result.evidence


@pytest.mark.parametrize("kind", ["unprivileged", "raw"])
def test_both_kinds_of_sockets_in_a_network_of_our_own(kind: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.monitors.ping_namespace", kind],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 77:
        pytest.skip("this process may not make a network namespace")
    assert run.stderr == ""
    assert [json.loads(line) for line in run.stdout.splitlines()] == [
        {
            "privileged": kind == "raw",
            "alive": True,
            "silent": True,
            "forged": [False, "host unreachable"],
            "again": True,
            "waiting": 0,
        }
    ] * 2
