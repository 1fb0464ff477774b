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
from steering.zones.message import parse_message_untrusted
from steering.zones.notify import TIMEOUTS, NotifySender
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
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert not sender._sending
    sender.replace([target.zone(KEY.name if signs else None)], [KEY])
    sender.serve()
    sender.tell(b"\5other\0")
    assert not sender._sending, "nothing is new to anybody"


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
    await trio.sleep(sum(TIMEOUTS) - 1)
    assert sender._sending
    await trio.sleep(2)
    assert not sender._sending
    assert "refused" in caplog.text


async def test_a_change_meanwhile_begins_anew(autojump_clock: MockClock, nursery: trio.Nursery) -> None:  # noqa: ARG001
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.setblocking(False)
        sender = NotifySender(nursery)
        sender.replace([Zone(APEX, notify=(Peer("127.0.0.1", silent.getsockname()[1]),))], [])
        sender.serve()
        await trio.sleep(sum(TIMEOUTS) - 1)
        sender.tell(APEX)
        await trio.sleep(0.5)
        assert len(nursery.child_tasks) == 1
        await trio.sleep(sum(TIMEOUTS) - 1.5)
        assert len(sender._sending) == len(nursery.child_tasks) == 1
        nursery.cancel_scope.cancel()
