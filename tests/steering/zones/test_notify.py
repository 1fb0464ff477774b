"""NOTIFY out: told until it is heard, with growing patience; signed where there is a key. The target is a fake."""

import logging
import socket
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

from steering.settings import Zone
from steering.values import Peer
from steering.wire import NOERROR, REFUSED, render_error
from steering.zones import notify as notify_module
from steering.zones.message import Message, parse_message_untrusted
from steering.zones.notify import PER_TARGET, TIMEOUTS, NotifySender
from steering.zones.tsig import Key, verify_request_untrusted
from tests.steering.support import APEX
from tests.steering.test_worker import until

KEY = Key(b"\3xfr\0", "hmac-sha256", b"secret")


class Target:
    """A server that hears NOTIFY, and answers as it is told to."""

    def __init__(self) -> None:
        self.socket = trio.socket.socket(type=socket.SOCK_DGRAM)
        self.heard: list[float] = []
        self.rcode: int | None = NOERROR
        self.signs = False

    async def serve(self) -> None:
        while True:
            packet, client = await self.socket.recvfrom(4096)
            message = parse_message_untrusted(packet)
            assert (message.name, message.rrtype, message.opcode, message.flags) == (APEX, 6, 4, 0x2400)
            self.heard.append(trio.current_time())
            if self.rcode is not None:
                reply = render_error(packet, self.rcode, message.question)
                if self.signs:
                    assert message.signature is not None
                    signer = verify_request_untrusted(
                        packet, message.signature, {KEY.name: KEY}, message.signature.time
                    )
                    reply = signer.sign(reply, message.signature.time)
                await self.socket.sendto(reply, client)

    def zone(self, key: bytes | None = None) -> Zone:
        return Zone(APEX, notify=(Peer("127.0.0.1", self.socket.getsockname()[1], key),))


@pytest.fixture
async def target(nursery: trio.Nursery) -> AsyncIterator[Target]:
    made = Target()
    await made.socket.bind(("127.0.0.1", 0))
    nursery.start_soon(made.serve)
    yield made
    nursery.cancel_scope.cancel()
    made.socket.close()


async def heard(target: Target, count: int) -> None:
    await until(lambda: len(target.heard) >= count)


@pytest.mark.parametrize("signs", [False, True])
async def test_at_the_start_and_at_each_change_until_it_is_heard(
    target: Target, nursery: trio.Nursery, signs: bool
) -> None:
    target.signs = signs
    sender = NotifySender(nursery)
    sender.replace([target.zone(KEY.name if signs else None)], [KEY])
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert not target.heard, "nobody would answer"
    sender.serve()
    await heard(target, 1)
    sender.tell(APEX)
    await heard(target, 2)
    sender.replace([target.zone(KEY.name if signs else None)], [KEY])
    sender.serve()
    sender.tell(b"\5other\0")
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert len(target.heard) == 2, "nothing is new to anybody"


@pytest.mark.parametrize("answer", [None, REFUSED, NOERROR])
async def test_who_does_not_answer_well_is_asked_again_and_then_left_alone(
    target: Target,
    nursery: trio.Nursery,
    answer: int | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NOERROR is not good enough without the signature that it must have."""
    monkeypatch.setattr(notify_module, "TIMEOUTS", (0.01, 0.01, 0.01))
    target.rcode = answer
    sender = NotifySender(nursery)
    with caplog.at_level(logging.WARNING):
        sender.replace([target.zone(KEY.name)], [KEY])
        sender.serve()
        await heard(target, 3)
        await until(lambda: "was not notified" in caplog.text)
    assert len(target.heard) == 3
    assert "REFUSED" in caplog.text or "no answer" in caplog.text or "signature" in caplog.text


async def test_patience_grows_and_nobody_is_there(
    autojump_clock: MockClock,  # noqa: ARG001 # waits in no time
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sender = NotifySender(nursery)
    sender.replace([Zone(APEX, notify=(Peer("127.0.0.1", port),))], [])
    sender.serve()
    await trio.sleep(sum(TIMEOUTS) - TIMEOUTS[-1] - 1)
    assert not caplog.text
    await trio.sleep(2)
    assert "refused" in caplog.text


class Attempts:
    """In place of a network: who was asked about what, when, and whether it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[float, str, bytes]] = []
        self.now = self.most = 0
        self.dead = {"192.0.2.1"}
        monkeypatch.setattr(notify_module, "ask_udp", self.ask)

    async def ask(self, peer: Peer, _: Key | None, request: bytes) -> Message:
        message = parse_message_untrusted(request)
        self.made.append((trio.current_time(), peer.address, message.name))
        if peer.address not in self.dead:
            await trio.sleep(0.01)
            return parse_message_untrusted(render_error(request, NOERROR, message.question))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await trio.sleep_forever()
        finally:
            self.now -= 1
        raise AssertionError("it never answers")


@pytest.fixture
async def attempts(monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery) -> AsyncIterator[Attempts]:
    yield Attempts(monkeypatch)
    nursery.cancel_scope.cancel()


DEAD, ALIVE = Peer("192.0.2.1", 53), Peer("192.0.2.2", 53)


async def test_a_change_meanwhile_begins_anew(
    autojump_clock: MockClock,  # noqa: ARG001
    attempts: Attempts,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sender = NotifySender(nursery)
    sender.replace([Zone(APEX, notify=(DEAD,))], [])
    sender.serve()
    await trio.sleep(sum(TIMEOUTS) - 1)
    sender.tell(APEX)
    await trio.sleep(sum(TIMEOUTS) - 1)
    assert (len(attempts.made), attempts.most) == (2 * len(TIMEOUTS), 1)
    assert not caplog.text
    await trio.sleep(sum(TIMEOUTS))
    assert len(attempts.made) == 2 * len(TIMEOUTS)
    assert caplog.text.count("no answer") == 1


async def test_a_dead_target_delays_nobody_and_is_not_flooded(
    autojump_clock: MockClock,  # noqa: ARG001
    attempts: Attempts,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = [b"\4%04d\0" % number for number in range(2000)]
    sender = NotifySender(nursery)
    started = trio.current_time()
    sender.replace([Zone(name, notify=(DEAD, ALIVE)) for name in names], [])
    sender.serve()
    for _ in range(3):
        for name in names:
            sender.tell(name)
    await trio.sleep(1.5)
    assert {name for when, peer, name in attempts.made if peer == ALIVE.address} == set(names)
    assert len(attempts.made) == len(names) + 2 * PER_TARGET, "a zone waits once"
    await trio.sleep(600)
    assert attempts.most == PER_TARGET
    assert len(attempts.made) - len(names) <= PER_TARGET * (trio.current_time() - started) / TIMEOUTS[0]
    attempts.dead.clear()
    attempts.made.clear()
    await trio.sleep(60)
    missed = set(names) - {name for _, _, name in attempts.made}
    assert len(missed) == caplog.text.count("was not notified"), "who comes back hears what it has not heard"


async def test_a_target_that_is_configured_no_more_is_left_alone(
    autojump_clock: MockClock,  # noqa: ARG001
    attempts: Attempts,
    nursery: trio.Nursery,
) -> None:
    sender = NotifySender(nursery)
    sender.replace([Zone(APEX, notify=(DEAD, ALIVE))], [])
    sender.serve()
    await trio.sleep(0.5)
    sender.replace([Zone(APEX, notify=(ALIVE,))], [])
    sender.serve()
    await trio.sleep(600)
    assert len(attempts.made) == 2
    assert attempts.now == 0


async def test_who_has_not_heard_is_known_until_it_has(
    autojump_clock: MockClock,  # noqa: ARG001
    attempts: Attempts,
    nursery: trio.Nursery,
) -> None:
    sender = NotifySender(nursery)
    zone = Zone(APEX, notify=(DEAD, ALIVE))
    sender.replace([zone], [])
    sender.serve()
    await trio.sleep(1.5)
    [unheard] = sender.unheard(APEX)
    assert (unheard.server, unheard.reason) == ("192.0.2.1:53", "no answer")
    sender.tell(APEX)
    await trio.sleep(600)
    sender.replace([zone], [])
    assert sender.unheard(APEX) == (unheard,), "since the first time"
    attempts.dead.clear()
    sender.serve()
    sender.tell(APEX)
    await trio.sleep(1.5)
    assert sender.unheard(APEX) == ()


async def test_who_is_told_no_more_is_not_missed(
    autojump_clock: MockClock,  # noqa: ARG001
    attempts: Attempts,  # noqa: ARG001
    nursery: trio.Nursery,
) -> None:
    sender = NotifySender(nursery)
    for zones in ([Zone(APEX, notify=(ALIVE,))], []):
        sender.replace([Zone(APEX, notify=(DEAD, ALIVE))], [])
        sender.serve()
        await trio.sleep(1.5)
        assert sender.unheard(APEX)
        sender.replace(zones, [])
        assert not sender.unheard(APEX)


async def test_who_is_told_no_more_of_a_zone_is_not_missed_when_it_was_just_being_told(
    autojump_clock: MockClock,  # noqa: ARG001
    attempts: Attempts,  # noqa: ARG001
    nursery: trio.Nursery,
) -> None:
    sender = NotifySender(nursery)
    other = Zone(b"\7example\3net\0", notify=(DEAD,))
    sender.replace([Zone(APEX, notify=(DEAD,)), other], [])
    sender.serve()
    await trio.sleep(sum(TIMEOUTS) - 1)  # during the last attempt
    sender.replace([Zone(APEX, notify=(ALIVE,)), other], [])
    sender.serve()
    await trio.sleep(600)
    assert sender.unheard(other.name)
    assert not sender.unheard(APEX)
