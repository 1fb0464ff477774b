# ruff: noqa: ARG001  # the mock clock works by being asked for
import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from monitors.notify import courier as module
from monitors.notify.courier import REFUSALS, Courier
from monitors.notify.event import Message, label
from monitors.notify.notifier import DeliveryError, Notifier
from monitors.notify.spool import Spool
from tests.monitors.notify.sample import MORNING, event, webhook

pytestmark = pytest.mark.usefixtures("disk_at_once")


@pytest.fixture
def disk_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock clock does not wait for threads, so the disk is used in this one."""

    async def run_sync(work: Callable[..., object], *arguments: object) -> object:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


def unix_time() -> float:
    return MORNING + trio.current_time()


class Receiver:
    """Takes messages, and first does what it is told to: raises an error, or hangs (None)."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)
        self.attempts: list[float] = []
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.attempts.append(trio.current_time())
        fault = self.faults.pop(0) if self.faults else ...
        if fault is None:
            await trio.sleep(math.inf)
        if isinstance(fault, Exception):
            raise fault
        self.messages.append(message)

    def told(self) -> list[list[tuple[str, str]]]:
        return [[(label(item), item.origin) for item in message.events] for message in self.messages]


@asynccontextmanager
async def running(receiver: Receiver, directory: Path, **settings: Any) -> AsyncIterator[Courier]:
    notifier: Notifier = webhook(**{"group_for": 0.0} | settings)
    courier = Courier(notifier, receiver, Spool(directory), unix_time, lambda: 1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(courier.run)
        yield courier
        nursery.cancel_scope.cancel()


def files(directory: Path) -> list[str]:
    return [path.name for path in directory.glob("0*.json")]


async def test_events_are_grouped_and_delivered_and_leave_the_spool(autojump_clock: MockClock, tmp_path: Path) -> None:
    receiver = Receiver()
    async with running(receiver, tmp_path, group_for=30.0) as courier:
        courier.tell(event(origin="a"))
        await trio.sleep(10)
        courier.tell(event(origin="b"))
        await trio.sleep(19)
        assert receiver.messages == []
        await trio.sleep(2)
        assert receiver.told() == [[("down", "a"), ("down", "b")]]
        assert receiver.attempts == [pytest.approx(30, abs=1e-3)]
        assert courier.statistics().delivered == 1
    assert files(tmp_path) == []


async def test_what_is_still_down_is_told_again(autojump_clock: MockClock, tmp_path: Path) -> None:
    receiver = Receiver()
    async with running(receiver, tmp_path, repeat_every=60.0) as courier:
        courier.tell(event())
        await trio.sleep(125)
        assert receiver.told() == [[("down", "mx1")], [("still down", "mx1")], [("still down", "mx1")]]


async def test_a_failing_receiver_is_tried_again_with_longer_and_longer_waits(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(*[DeliveryError("503 busy")] * 8)
    async with running(receiver, tmp_path) as courier:
        courier.tell(event())
        await trio.sleep(100)
        assert courier.statistics().error == "503 busy"
        assert files(tmp_path) == ["000000000001.json"]
        await trio.sleep(2000)
        assert receiver.told() == [[("down", "mx1")]]
        assert (courier.statistics().failed, courier.statistics().error) == (8, "")
        receiver.faults = [DeliveryError("503 again")]
        courier.tell(event(origin="b"))
        await trio.sleep(100)
    waits = [later - earlier for earlier, later in zip(receiver.attempts, receiver.attempts[1:], strict=False)]
    assert waits[:8] == pytest.approx([5, 10, 20, 40, 80, 160, 300, 300])
    assert waits[9] == pytest.approx(5)
    assert caplog.messages[0] == "notifier ops: a message was not delivered; tried again in 5 s: 503 busy"


async def test_a_receiver_may_ask_for_time(autojump_clock: MockClock, tmp_path: Path) -> None:
    receiver = Receiver(DeliveryError("429 slow down", retry_after=77))
    async with running(receiver, tmp_path) as courier:
        courier.tell(event())
        await trio.sleep(100)
    assert receiver.attempts == pytest.approx([0, 77], abs=1e-3)


async def test_a_receiver_that_hangs_holds_up_no_event_and_loses_none(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    receiver = Receiver(None, None)
    async with running(receiver, tmp_path, timeout=10.0) as courier:
        courier.tell(event(origin="a"))
        await trio.sleep(1)
        for origin in "bcd":
            courier.tell(event(origin=origin))
            await trio.sleep(1)
        assert receiver.messages == []
        assert (courier.statistics().queued, courier.statistics().waiting) == (0, 4)
        assert len(files(tmp_path)) == 4
        await trio.sleep(12)
        assert courier.statistics().error == "nothing within 10 s"
        await trio.sleep(100)
    assert receiver.told() == [[("down", origin)] for origin in "abcd"]
    assert receiver.attempts[:3] == pytest.approx([0, 15, 35], abs=1e-3)


async def test_a_refused_message_lets_others_pass_and_is_given_up(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing(Receiver):
        async def __call__(self, message: Message) -> None:
            self.attempts.append(trio.current_time())
            if message.events[0].origin == "bad":
                raise DeliveryError("400 what?", refused=True)
            self.messages.append(message)

    receiver = Refusing()
    async with running(receiver, tmp_path) as courier:
        courier.tell(event(origin="bad"))
        await trio.sleep(1)
        courier.tell(event(origin="good"))
        await trio.sleep(1000)
        courier.tell(event(origin="after"))
        await trio.sleep(1)
        assert courier.statistics().given_up == 1
    assert receiver.told() == [[("down", "good")], [("down", "after")]]
    assert receiver.messages[1].given_up == 1
    assert len(receiver.attempts) == REFUSALS + 2
    assert "is given up: refused: 400 what?" in caplog.text
    assert files(tmp_path) == []


async def test_an_error_in_the_delivery_itself_ends_nothing(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(ZeroDivisionError("oh"))
    async with running(receiver, tmp_path) as courier:
        courier.tell(event())
        await trio.sleep(100)
    assert receiver.told() == [[("down", "mx1")]]
    assert "ZeroDivisionError" in caplog.text


async def test_a_message_that_is_too_old_is_given_up(autojump_clock: MockClock, tmp_path: Path) -> None:
    receiver = Receiver(*[DeliveryError("no")] * 1000)
    async with running(receiver, tmp_path, give_up_after=3600.0) as courier:
        courier.tell(event())
        await trio.sleep(3500)
        assert courier.statistics().waiting == 1
        await trio.sleep(500)
        assert (courier.statistics().waiting, courier.statistics().given_up) == (0, 1)
        receiver.faults.clear()
        courier.tell(event(origin="b"))
        await trio.sleep(400)
    assert [(told.events[0].origin, told.given_up) for told in receiver.messages] == [("b", 1)]


async def test_the_oldest_message_makes_room(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MESSAGES", 3)
    receiver = Receiver(None)
    async with running(receiver, tmp_path, timeout=60.0) as courier:
        for origin in "abcde":
            courier.tell(event(origin=origin))
            await trio.sleep(1)
        assert len(files(tmp_path)) == 3
        assert (courier.statistics().waiting, courier.statistics().given_up) == (3, 2)
        await trio.sleep(200)
    assert receiver.told() == [[("down", origin)] for origin in "cde"]


async def test_events_that_find_the_queue_full_are_counted_and_told(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "QUEUE", 10)
    receiver = Receiver()
    async with running(receiver, tmp_path) as courier:
        for number in range(25):
            courier.tell(event(origin=f"o{number}"))
        await trio.sleep(1)
        assert courier.statistics().dropped == 15
        courier.tell(event(origin="later"))
        await trio.sleep(1)
    assert [(len(told.events), told.dropped) for told in receiver.messages] == [(10, 15), (1, 0)]
    assert caplog.text.count("some are dropped") == 1


async def test_a_restart_goes_on_where_it_was(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with running(Receiver(DeliveryError("no")), tmp_path, repeat_every=60.0) as courier:
        courier.tell(event(origin="undelivered"))
        await trio.sleep(1)
    async with running(Receiver(), tmp_path, group_for=100.0, repeat_every=60.0) as courier:
        courier.tell(event(origin="grouped"))
        await trio.sleep(1)
        courier.tell(event(origin="just told"))
    receiver = Receiver()
    async with running(receiver, tmp_path, group_for=100.0, repeat_every=600.0) as courier:
        await trio.sleep(200)
        assert receiver.told() == [[("down", "grouped"), ("down", "just told")]]
        await trio.sleep(500)
    # The message of the first was delivered by the second.
    assert receiver.told()[1:] == [
        [("still down", "undelivered")],
        [("still down", "grouped"), ("still down", "just told")],
    ]


async def test_an_undelivered_message_is_delivered_after_a_restart(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with running(Receiver(None), tmp_path) as courier:
        courier.tell(event())
        await trio.sleep(1)
    receiver = Receiver()
    async with running(receiver, tmp_path, events=("up",)):
        await trio.sleep(1)
    assert receiver.told() == [[("down", "mx1")]]


@pytest.mark.parametrize("fault", ["no directory", "full"])
async def test_a_disk_that_fails_costs_nobody_a_message(
    autojump_clock: MockClock,
    tmp_path: Path,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    directory = tmp_path / "ops"
    if fault == "no directory":
        directory.write_text("a file in its place")
    else:

        def write(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Spool, "_write", write)
    receiver = Receiver(DeliveryError("later"))
    async with running(receiver, directory) as courier:
        courier.tell(event())
        await trio.sleep(100)
    assert receiver.told() == [[("down", "mx1")]]
    assert "notifier ops: the spool fails" in caplog.text


async def test_what_is_told_before_it_runs_counts(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver()
    courier = Courier(webhook(group_for=0.0), receiver, Spool(tmp_path), unix_time, lambda: 0.0)
    courier.tell(event())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(courier.run)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert receiver.told() == [[("down", "mx1")]]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
