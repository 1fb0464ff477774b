import math
import socket

import pytest
import trio
import trio.testing
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import MockClock

from monitors import patience
from monitors.patience import GRAIN, TURN, patient_time, wait_at_most
from tests.monitors.conftest import HoldUp, Stopwatch


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
        for _ in range(math.ceil(1 / TURN) + 1):
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


async def test_what_is_lost_is_lost_also_if_something_came_before_the_next_deadline(
    mock_clock: MockClock, hold_up: HoldUp
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"reply")
        began = patient_time()
        await trio.testing.wait_all_tasks_blocked()
        hold_up(mock_clock, 100)
        await trio.lowlevel.wait_readable(ours)
    assert patient_time() - began == pytest.approx(TURN)


async def test_a_block_without_a_deadline_leaves_nothing_behind() -> None:
    for _ in range(100):
        with wait_at_most(math.inf):
            await trio.lowlevel.checkpoint()
    assert patience._of_this_run()._timers == []


async def test_the_loop_wakes_for_no_block_that_has_ended(
    autojump_clock: MockClock,  # noqa: ARG001
) -> None:
    class Turns(trio.abc.Instrument):
        count = 0

        def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002
            self.count += 1

    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    with wait_at_most(10):
        for seconds in range(1, 10):
            with wait_at_most(seconds):
                await trio.lowlevel.checkpoint()
        turns.count = 0
        await trio.sleep(9.9)
        # One to sleep, one of the alarm that was set for the first, and the jumps to both.
        assert turns.count <= 4


Step = tuple[str, int]
MILLISECONDS = st.integers(0, 60)
STEPS = st.lists(
    st.tuples(st.sampled_from(["start", "jump", "hold up", "hold up while something comes"]), MILLISECONDS)
    | st.tuples(st.just("end"), st.integers(0, 9)),
    max_size=40,
)


@example(start=0.0, steps=[("start", 60), ("hold up while something comes", 30), ("jump", 40)])
@given(start=st.floats(0, 1e6), steps=STEPS)
def test_a_block_ends_when_the_patient_time_has_come_and_never_before(start: float, steps: list[Step]) -> None:
    """Against a model: patient time goes on by what the clock jumps, and by a TURN at most for a turn held up."""
    stopwatch, clock = Stopwatch(), MockClock()
    clock.jump(start)
    began: dict[int, tuple[float, float]] = {}  # the patient time, in seconds
    ended: dict[int, float] = {}
    leave: dict[int, trio.Event] = {}
    left: set[int] = set()
    patient = 0.0

    async def block(number: int, seconds: float) -> None:
        leave[number] = trio.Event()
        with wait_at_most(seconds):
            await leave[number].wait()
            return
        ended[number] = patient

    async def run() -> None:
        nonlocal patient
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.send(b"something")
            async with trio.open_nursery() as nursery:
                for number, (step, value) in enumerate(steps):
                    seconds = value / 1000
                    if step == "start":
                        began[number] = patient, seconds
                        nursery.start_soon(block, number, seconds)
                    elif step == "end" and value < len(leave):
                        which = list(leave)[value]
                        leave[which].set()
                        if which not in ended:
                            left.add(which)
                    elif step == "jump":
                        clock.jump(seconds)
                        patient += seconds
                    elif step.startswith("hold up"):
                        clock.jump(seconds)
                        stopwatch.seconds += seconds
                        patient += min(seconds, TURN)
                        if step != "hold up":
                            await trio.lowlevel.wait_readable(ours)
                    await trio.testing.wait_all_tasks_blocked()
                    for each, (then, length) in began.items():
                        due = then + length
                        if each in left:
                            assert each not in ended
                        elif each in ended:
                            assert ended[each] >= due - 1e-6
                        else:
                            assert patient <= due + GRAIN + 1e-6
                nursery.cancel_scope.cancel()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patience, "time", stopwatch)
        trio.run(run, clock=clock)


async def test_rounding_keeps_no_block_from_its_end(autojump_clock: MockClock, hold_up: HoldUp) -> None:
    """The clock jumps to the very moment of a deadline, to which what was lost has been added."""
    for number in range(200):
        hold_up(autojump_clock, 0.1 + number / 7)
        await trio.testing.wait_all_tasks_blocked()
        with wait_at_most(0.05):
            await trio.sleep_forever()
