"""The beat of a process."""

import trio
from trio.testing import MockClock

from steering.process import BEAT_INTERVAL, beat_while_well


async def test_it_beats_while_all_is_well(nursery: trio.Nursery, autojump_clock: MockClock) -> None:  # noqa: ARG001
    beats: list[float] = []
    well = [True]
    nursery.start_soon(beat_while_well, lambda: beats.append(trio.current_time()), lambda: well[0])
    await trio.sleep(2.5 * BEAT_INTERVAL)
    assert len(beats) == 3
    well[0] = False
    await trio.sleep(100)
    assert len(beats) == 3
    well[0] = True
    await trio.sleep(2 * BEAT_INTERVAL)
    assert len(beats) == 5
    nursery.cancel_scope.cancel()
