import socket
from pathlib import Path

import dns.rcode
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from monitors import resolve as resolve_module
from monitors.resolve import (
    KEEP_SECONDS,
    LONGEST_TTL,
    MOST_ADDRESSES,
    RETRY_SECONDS,
    SHORTEST_TTL,
    NameNotResolved,
    Resolution,
    Resolver,
    open_resolver,
)
from tests.monitors.name_server import NameServer, serving_names
from tests.peers.servers import running_peer

WWW = "www.example.com"


def use(resolver: Resolver, server: NameServer) -> None:
    resolver.nameservers = (("127.0.0.1", server.port),)


async def test_both_families_in_a_fixed_order() -> None:
    async with serving_names(A=["192.0.2.2", "192.0.2.1"], AAAA=["2001:db8::1"]) as server, open_resolver() as resolver:
        use(resolver, server)
        assert await resolver.resolve(WWW) == Resolution(("192.0.2.1", "192.0.2.2", "2001:db8::1"), 60)


async def test_one_family_is_enough() -> None:
    async with serving_names(AAAA=["2001:db8::1"]) as server, open_resolver() as resolver:
        use(resolver, server)
        assert await resolver.resolve(WWW) == Resolution(("2001:db8::1",), 60)


async def test_names_are_absolute_and_asked_for_once_by_all_who_want_them() -> None:
    async with serving_names(A=["192.0.2.1"]) as server, open_resolver() as resolver:
        use(resolver, server)
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(resolver.resolve, WWW)
        await resolver.resolve(WWW)
    assert sorted(server.asked) == [(WWW, "A"), (WWW, "AAAA")]


async def test_who_is_cancelled_does_not_cancel_the_look_up_of_others() -> None:
    async with serving_names(A=["192.0.2.1"]) as server, open_resolver() as resolver:
        use(resolver, server)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(resolver.resolve, WWW)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert (await resolver.resolve(WWW)).addresses == ("192.0.2.1",)
    assert len(server.asked) == 2


@pytest.mark.parametrize(("ttl", "counts"), [(0, SHORTEST_TTL), (100_000, LONGEST_TTL)])
async def test_a_ttl_has_a_floor_and_a_ceiling(ttl: int, counts: float, mock_clock: trio.testing.MockClock) -> None:
    async with serving_names(A=["192.0.2.1"], AAAA=["2001:db8::1"]) as server, open_resolver() as resolver:
        use(resolver, server)
        server.ttl = ttl
        assert (await resolver.resolve(WWW)).ttl == counts
        mock_clock.jump(counts - 1)
        await resolver.resolve(WWW)
        assert len(server.asked) == 2
        mock_clock.jump(1)
        server.records[WWW, "A"] = ["192.0.2.9"]
        assert (await resolver.resolve(WWW)).addresses == ("192.0.2.9", "2001:db8::1")


async def test_no_more_addresses_than_are_checked_and_none_that_cannot_be() -> None:
    many = [f"192.0.2.{number}" for number in range(100, 40, -1)]
    async with serving_names(A=many, AAAA=["2001:db8::1"]) as server, open_resolver() as resolver:
        use(resolver, server)
        assert (await resolver.resolve(WWW)).addresses == tuple(f"192.0.2.{number}" for number in range(41, 57))
        assert MOST_ADDRESSES == 16
    strange = ["::ffff:192.0.2.1", "ff02::1", "::"]
    async with serving_names(A=["0.0.0.0", "224.0.0.1"], AAAA=strange) as server, open_resolver() as resolver:
        use(resolver, server)
        with pytest.raises(NameNotResolved, match="has no address"):
            await resolver.resolve(WWW)


@pytest.mark.parametrize("failure", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
async def test_when_name_servers_fail_the_last_addresses_stay_for_a_time(
    failure: dns.rcode.Rcode, mock_clock: trio.testing.MockClock
) -> None:
    async with serving_names(A=["192.0.2.1"], AAAA=["2001:db8::1"]) as server, open_resolver() as resolver:
        use(resolver, server)
        good = await resolver.resolve(WWW)
        server.rcode = failure
        for seconds in (60, RETRY_SECONDS, KEEP_SECONDS - RETRY_SECONDS - 1):
            mock_clock.jump(seconds)
            assert await resolver.resolve(WWW) == good
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(RETRY_SECONDS)
        with pytest.raises(NameNotResolved, match=r"www.example.com A: no name server could answer"):
            await resolver.resolve(WWW)
        server.rcode = dns.rcode.NOERROR
        mock_clock.jump(RETRY_SECONDS)
        assert await resolver.resolve(WWW) == good


async def test_a_failure_is_not_repeated_at_once(mock_clock: trio.testing.MockClock) -> None:
    async with serving_names(A=["192.0.2.1"]) as server, open_resolver() as resolver:
        use(resolver, server)
        server.rcode = dns.rcode.SERVFAIL
        for _ in range(3):
            with pytest.raises(NameNotResolved):
                await resolver.resolve(WWW)
        asked = len(server.asked)
        mock_clock.jump(RETRY_SECONDS)
        with pytest.raises(NameNotResolved):
            await resolver.resolve(WWW)
        assert len(server.asked) == 2 * asked


async def test_a_silent_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve_module, "LOOK_UP_SECONDS", 0.05)
    async with serving_names() as server, open_resolver() as resolver:
        use(resolver, server)
        server.rcode = None
        with pytest.raises(NameNotResolved, match=r"no name server answered within 0.05 s"):
            await resolver.resolve(WWW)


async def test_that_a_name_is_gone_is_an_answer(mock_clock: trio.testing.MockClock) -> None:
    async with serving_names(A=["192.0.2.1"], AAAA=["2001:db8::1"]) as server, open_resolver() as resolver:
        use(resolver, server)
        await resolver.resolve(WWW)
        server.records = {}
        mock_clock.jump(60)
        with pytest.raises(NameNotResolved, match=r"www.example.com has no address"):
            await resolver.resolve(WWW)


async def test_without_a_name_server_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's are asked; here, it has none."""
    monkeypatch.setattr("dns.asyncresolver.Resolver.read_resolv_conf", lambda self, _: setattr(self, "nameservers", []))
    async with open_resolver() as resolver:
        with pytest.raises(NameNotResolved, match=r"www.example.com A: "):
            await resolver.resolve(WWW)


async def test_what_nobody_asks_for_is_forgotten(mock_clock: trio.testing.MockClock) -> None:
    async with serving_names(A=["192.0.2.1"]) as server, open_resolver() as resolver:
        use(resolver, server)
        await resolver.resolve(WWW)
        mock_clock.jump(2 * KEEP_SECONDS)
        with pytest.raises(NameNotResolved):
            await resolver.resolve("gone.example.com")
        assert {name for name, _ in resolver._names} == {"gone.example.com"}


async def test_a_closed_port_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve_module, "LOOK_UP_SECONDS", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with open_resolver() as resolver:
        resolver.nameservers = (("127.0.0.1", port),)
        with pytest.raises(NameNotResolved, match=r"A: "):
            await resolver.resolve(WWW)


@pytest.mark.parametrize("program", ["nsd", "knotd", "named"])
async def test_a_real_name_server(program: str, tmp_path: Path) -> None:
    with running_peer(program, tmp_path) as peer:
        async with open_resolver() as resolver:
            resolver.nameservers = (("127.0.0.1", peer.port),)
            assert await resolver.resolve("mail.types.test") == Resolution(("192.0.2.25", "2001:db8::25"), 3600)
            assert (await resolver.resolve("a100.large.test")).addresses[-1] == "192.0.2.16"
            with pytest.raises(NameNotResolved, match=r"no.parent.test has no address"):
                await resolver.resolve("no.parent.test")
            with pytest.raises(NameNotResolved, match=r"no name server could answer"):
                await resolver.resolve("elsewhere.example.com")


@settings(max_examples=15, deadline=None)
@given(noise=st.binary(max_size=80), matching=st.booleans())
async def test_any_reply_is_an_answer_or_none(*, noise: bytes, matching: bool) -> None:
    """Neither the resolver nor what it runs beside ends by what a name server sends."""

    class Noise(NameServer):
        def reply(self, packet: bytes) -> bytes:
            return packet[:2] + noise if matching else noise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolve_module, "LOOK_UP_SECONDS", 0.02)
        async with serving_names() as server, open_resolver() as resolver:
            server.reply = Noise(0).reply  # type: ignore[method-assign]  # it says nothing else
            use(resolver, server)
            with pytest.raises(NameNotResolved):
                await resolver.resolve(WWW)
