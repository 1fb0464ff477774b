import socket

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from monitors.patience import GRAIN, TURN, patient_time, wait_at_most
from tests.monitors.conftest import HoldUp


async def test_a_block_ends_at_its_deadline(autojump_clock: MockClock) -> None:  # noqa: ARG001
    for seconds in (0.1, 0.123, 5.0):
        began = trio.current_time()
        with wait_at_most(seconds):
            await trio.sleep_forever()
        assert seconds - 1e-6 <= trio.current_time() - began <= seconds + GRAIN


async def test_a_block_that_ends_in_time_or_raises_is_left_alone(autojump_clock: MockClock) -> None:  # noqa: ARG001
    with wait_at_most(1):
        await trio.sleep(0.5)
    with pytest.raises(ZeroDivisionError), wait_at_most(1):
        raise ZeroDivisionError
    await trio.sleep(5)


@pytest.mark.parametrize("late", [0.2, 3.0, 1000.0])
async def test_what_came_while_the_loop_was_held_up_is_read_first(
    late: float, mock_clock: MockClock, hold_up: HoldUp
) -> None:
    heard: list[bytes] = []

    async def wait() -> None:
        with wait_at_most(0.1):
            await trio.lowlevel.wait_readable(ours)
            await trio.lowlevel.checkpoint()
            heard.append(ours.recv(10))

    ours, theirs = socket.socketpair()
    with ours, theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            theirs.send(b"reply")
            hold_up(mock_clock, late)
    assert heard == [b"reply"]


async def test_lost_time_is_added_once_and_to_those_that_were_there(mock_clock: MockClock, hold_up: HoldUp) -> None:
    ended: list[str] = []

    async def wait(name: str) -> None:
        with wait_at_most(1):
            await trio.sleep_forever()
        ended.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, "before")
        await trio.testing.wait_all_tasks_blocked()
        hold_up(mock_clock, 7)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(wait, "after")
        await trio.testing.wait_all_tasks_blocked()
        assert ended == []
        mock_clock.jump(1.01)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(ended) == ["after", "before"]


async def test_a_silent_peer_still_times_out_if_the_loop_is_always_late(mock_clock: MockClock, hold_up: HoldUp) -> None:
    ended = trio.Event()

    async def wait() -> None:
        with wait_at_most(1):
            await trio.sleep_forever()
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        for _ in range(251):
            await trio.testing.wait_all_tasks_blocked()
            hold_up(mock_clock, 0.04)
        await trio.testing.wait_all_tasks_blocked()
        assert ended.is_set()


async def test_the_patient_clock_stands_still_while_the_loop_is_held_up(mock_clock: MockClock, hold_up: HoldUp) -> None:
    began = patient_time()
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(3)
    await trio.testing.wait_all_tasks_blocked()
    hold_up(mock_clock, 100)
    await trio.testing.wait_all_tasks_blocked()
    assert patient_time() - began == pytest.approx(3 + TURN)
