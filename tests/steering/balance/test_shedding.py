"""Tests of shedding: ramps and loads."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steering.balance.shedding import RAMP_START, Load, find_share, load_share, next_ramp_step, ramp_share
from steering.settings import LoadShedding, Origin, Pool

SHEDDING = LoadShedding(low_watermark=50.0, high_watermark=100.0, maximum_age=60.0)


@pytest.mark.parametrize(
    ("elapsed", "share"),
    [(0, 0.1), (4.9, 0.1), (5, 0.115), (150, 0.55), (299, 0.985), (300, 1.0), (9999, 1.0), (-5, 0.1), (-301, 1.0)],
)
def test_a_ramp_of_five_minutes(elapsed: float, share: float) -> None:
    assert ramp_share(1000.0, 1000.0 + elapsed, 300.0) == pytest.approx(share)


def test_no_ramp() -> None:
    assert ramp_share(1000.0, 1000.0, 0.0) == 1.0
    assert next_ramp_step(1000.0, 1000.0, 0.0) == math.inf


@given(st.floats(0, 2e9), st.floats(0, 1e5), st.floats(0, 86400))
def test_a_ramp_only_rises_and_ends(since: float, elapsed: float, duration: float) -> None:
    """Step by step to 1."""
    now = since + elapsed
    share = ramp_share(since, now, duration)
    assert RAMP_START <= share <= 1.0
    step = next_ramp_step(since, now, duration)
    assert step > now
    assert (step == math.inf) == (now >= since + duration)
    if step < math.inf:
        assert step <= since + duration
        assert ramp_share(since, step, duration) >= share


@pytest.mark.parametrize(
    ("load", "share"), [(0, 1.0), (50, 1.0), (60, 0.8), (75, 0.5), (99.5, 0.01), (100, 0.0), (1000, 0.0)]
)
def test_a_load_between_the_watermarks(load: float, share: float) -> None:
    assert load_share(Load(load, 1000.0), 1010.0, SHEDDING) == pytest.approx(share)


def test_an_old_load_does_not_count() -> None:
    assert load_share(Load(100.0, 1000.0), 1060.0, SHEDDING) == 0.0
    assert load_share(Load(100.0, 1000.0), 1060.1, SHEDDING) == 1.0


def test_no_watermarks_no_shedding() -> None:
    assert load_share(Load(100.0, 1000.0), 1000.0, LoadShedding()) == 1.0


POOL = Pool("p", (Origin("o", "192.0.2.1"),), load_shedding=SHEDDING, ramp_up=100.0)


@pytest.mark.parametrize(
    ("back_since", "load", "expected"),
    [
        (None, None, (1.0, math.inf)),
        (1000.0, None, (0.55, 1055.0)),
        (900.0, None, (1.0, math.inf)),
        (None, Load(75.0, 1000.0), (0.5, 1060.0)),
        (1000.0, Load(75.0, 1000.0), (0.275, 1055.0)),
        (None, Load(75.0, 900.0), (1.0, math.inf)),
    ],
)
def test_ramp_and_load_together(back_since: float | None, load: Load | None, expected: tuple[float, float]) -> None:
    assert find_share(POOL, back_since, load, 1050.0) == pytest.approx(expected)


moments = st.floats(0, 2e9)


@example(33.52538129069559, None, 34.0)
@given(st.none() | moments, st.none() | st.builds(Load, st.floats(0, 200), moments), moments)
def test_asked_again_when_it_says_it_comes_to_an_end(back_since: float | None, load: Load | None, now: float) -> None:
    """In as many steps as there may be, each of them later."""
    if back_since is not None and back_since > now:
        back_since = now
    for _ in range(30):
        share, again = find_share(POOL, back_since, load, now)
        assert 0 <= share <= 1
        if again == math.inf:
            break
        assert again > now
        now = again
    assert share == 1.0
