"""Tests of damping: who flips too often is down until it is steady."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.health import Row, seconds_to_flip, step
from monitors.monitor import Monitor, Reason, Result

UP = Result(True, Reason.OK)
DOWN = Result(False, Reason.REFUSED)
MONITOR = Monitor(name="m", interval=10, damping_flips=2, damping_window=100)


def run(results: str, monitor: Monitor = MONITOR) -> Row:
    """The row after `results` ("+" up, "-" down), one each 10 seconds from 1,000 on."""
    row = None
    for place, result in enumerate(results):
        row = step(row, UP if result == "+" else DOWN, monitor, 1000.0 + 10 * place)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("results", "up", "damped"),
    [
        ("+-+", True, None),
        ("+-+-", False, 1030.0),
        ("+-+-+", True, 1030.0),
        ("+-+-+" + "+" * 9, True, 1030.0),
        ("+-+-+" + "+" * 10, True, None),
        ("+-+-" + "-" * 10, False, None),
        ("+-+-" + "-" * 10 + "+", True, None),
        ("+-+-+++-" + "+" * 10, True, 1030.0),
        ("+" + "-" * 10 + "+" * 10 + "-" * 10, False, None),
    ],
)
def test_damping(results: str, up: bool, damped: float | None) -> None:
    row = run(results)
    assert (row.up, row.damped, row.healthy) == (up, damped, up and damped is None)


def test_without_it_nothing_is_damped_or_remembered() -> None:
    row = run("+-" * 20, Monitor(name="m"))
    assert (row.damped, row.recent_flips, row.flips) == (None, (), 39)


def test_a_clock_that_is_set_back_does_not_keep_it_down() -> None:
    row = run("+-+-+")
    assert step(row, UP, MONITOR, 10.0).damped is None


def test_how_soon_it_can_be_healthy() -> None:
    assert seconds_to_flip(run("+-+-+"), MONITOR, 1040.0) == 100
    assert seconds_to_flip(run("+-+-+++"), MONITOR, 1060.0) == 80
    assert seconds_to_flip(run("+-+-" + "-" * 9), MONITOR, 1120.0) == 10


@given(
    st.lists(st.tuples(st.sampled_from([UP, DOWN]), st.integers(1, 40)), min_size=1, max_size=60),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_nothing_is_healthy_that_has_flipped_too_often(
    results: list[tuple[Result, int]], most: int, streak: int
) -> None:
    monitor = msgspec.structs.replace(MONITOR, damping_flips=most, consecutive_up=streak, consecutive_down=streak)
    row, now, flips = None, 1000.0, list[float]()
    for result, pause in results:
        now += pause
        before, row = row, step(row, result, monitor, now)
        if before is not None and before.up != row.up:
            flips.append(now)
        recent = [flip for flip in flips if now - flip < monitor.damping_window]
        if len(recent) > most:
            assert not row.healthy
        if not recent:
            assert row.damped is None
        assert len(row.recent_flips) <= most + 1
        assert row.flips == len(flips)
