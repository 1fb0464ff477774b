"""Tests of lotteries: by weight, and by key or not."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.balance.lottery import Lottery, Way, draw_index

NAMES = ["a", "b", "c"]
WEIGHTS = [0.2, 0.3, 0.5]


@pytest.mark.parametrize("way", ["dice", "point", "rendezvous"])
def test_by_weight(way: Way) -> None:
    lottery = Lottery("pool", NAMES, WEIGHTS, way)
    drawn = Counter(lottery.draw(key, lambda key=key: key / 100_000) for key in range(100_000))  # type: ignore[misc] # a default binds it
    assert {number: drawn[number] / 100_000 for number in range(3)} == pytest.approx(dict(enumerate(WEIGHTS)), abs=0.01)
    assert lottery.by_key is (way != "dice")


@pytest.mark.parametrize("way", ["point", "rendezvous"])
def test_by_key_the_dice_do_not_matter(way: Way) -> None:
    lottery = Lottery("pool", NAMES, WEIGHTS, way)
    for key in range(1000):
        assert lottery.draw(key, lambda: 0.0) == lottery.draw(key, lambda: 0.99)


@pytest.mark.parametrize("way", ["dice", "point", "rendezvous"])
def test_of_one_the_key_does_not_matter(way: Way) -> None:
    lottery = Lottery("pool", ["a"], [0.3], way)
    assert (lottery.by_key, lottery.draw(7, lambda: 0.9)) == (False, 0)


@pytest.mark.parametrize("way", ["point", "rendezvous"])
def test_pools_and_origins_of_one_name_are_drawn_apart(way: Way) -> None:
    pools, origins = Lottery("pool", NAMES, WEIGHTS, way), Lottery("origin", NAMES, WEIGHTS, way)
    same = sum(pools.draw(key, lambda: 0.0) == origins.draw(key, lambda: 0.0) for key in range(10_000))
    assert same / 10_000 == pytest.approx(0.2**2 + 0.3**2 + 0.5**2, abs=0.03)


@given(st.lists(st.floats(1e-300, 1), min_size=1, max_size=5), st.floats(0, 1, exclude_max=True))
def test_there_always_is_an_index(weights: list[float], point: float) -> None:
    bounds = [sum(weights[: number + 1]) for number in range(len(weights))]
    assert 0 <= draw_index(bounds, point) < len(weights)
