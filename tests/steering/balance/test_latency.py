"""Tests of latency: the average follows, and what is told of it does not twitch."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.balance.latency import AVERAGE_WEIGHT, HYSTERESIS, LEAST_CHANGE, Latency, follow


def follow_all(rtts: list[float]) -> list[Latency]:
    latency, seen = None, []
    for rtt in rtts:
        latency = follow(latency, rtt)
        seen.append(latency)
    return seen


def test_the_first_result_is_taken_as_it_is() -> None:
    assert follow(None, 0.02) == Latency(0.02, 0.02)


def test_half_of_the_average_is_of_the_last_three() -> None:
    average = follow_all([0.1, 0.2, 0.2, 0.2])[-1].average
    assert average == pytest.approx(0.2 - 0.1 * (1 - AVERAGE_WEIGHT) ** 3)
    assert 0.148 < average < 0.152


def test_noise_is_not_told() -> None:
    dice = random.Random(1)
    told = {latency.told for latency in follow_all([0.02] + [dice.uniform(0.017, 0.023) for _ in range(1000)])}
    assert told == {0.02}


def test_a_fraction_of_a_millisecond_is_not_told() -> None:
    assert {latency.told for latency in follow_all([0.0002] + [0.0009] * 50)} == {0.0002}


def test_a_lasting_change_is_told() -> None:
    seen = follow_all([0.02] * 5 + [0.05] * 30)
    assert seen[-1].average == pytest.approx(0.05, rel=0.01)
    assert abs(seen[-1].told - 0.05) <= HYSTERESIS * 0.05
    assert 2 <= len({latency.told for latency in seen}) <= 5, "in few steps"


@given(st.lists(st.floats(0, 60), min_size=1))
def test_what_is_told_is_never_far_from_the_average(rtts: list[float]) -> None:
    for latency in follow_all(rtts):
        assert min(rtts) - 1e-9 <= latency.average <= max(rtts) + 1e-9
        assert abs(latency.average - latency.told) <= max(LEAST_CHANGE, HYSTERESIS * latency.told)
