"""Tests of orders: how long what is ordered stays true."""

import math

from hypothesis import given
from hypothesis import strategies as st

from steering.health.orders import LONGEST_LEAD, SHORTEST_STEP, STEPS, drain, lead

moments = st.floats(1e9, 2e9)
durations = st.floats(0.01, 1e7)


@given(moments, durations)
def test_no_answer_outlives_a_change_though_few_looks_are_taken(now: float, left: float) -> None:
    flips_at = now + left
    looks = 0
    while now < flips_at:
        seconds, look_again = lead(flips_at, now)
        assert now < look_again <= flips_at
        # An answer of the last moment before the next look:
        assert seconds <= LONGEST_LEAD
        assert look_again + seconds <= flips_at + 1e-3
        now, looks = look_again, looks + 1
    assert looks <= 20


def test_what_never_changes() -> None:
    assert lead(math.inf, 5.0) == (math.inf, math.inf)


@given(moments, durations)
def test_a_drain_goes_down_in_even_steps_that_are_neither_many_nor_short(start: float, over: float) -> None:
    now, shares = start, []
    while now < start + over:
        share, until = drain(start, start + over, now)
        assert until > now
        shares.append(share)
        if len(shares) > 1 and over >= SHORTEST_STEP:
            assert until - now >= SHORTEST_STEP - 1e-3
        now = until
        if math.isclose(now, start + over, abs_tol=1e-3):
            break
    assert shares[0] == 1
    assert shares == sorted(set(shares), reverse=True)
    assert len(shares) <= STEPS
    assert min(shares) > 0


def test_a_drain_of_a_minute() -> None:
    assert drain(100.0, 160.0, 100.0) == (1.0, 101.0)
    assert drain(100.0, 160.0, 130.5) == (0.5, 131.0)
    assert drain(100.0, 160.0, 90.0)[0] == 1.0, "the clock was set back"
