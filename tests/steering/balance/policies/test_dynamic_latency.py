"""Tests of the policy dynamic_latency; the moving average comes with the verdicts."""

import pytest

from steering.balance.policies import POLICIES, Candidate, Share

LATENCY = POLICIES["dynamic_latency"]


def choose(*pools: tuple[str, bool, float | None]) -> tuple[Share, ...]:
    """What is chosen of pools of which is known: whether they are up, and their round trip."""
    return LATENCY.choose([Candidate(name, up, 1.0, rtt=rtt) for name, up, rtt in pools])


@pytest.mark.parametrize(
    ("pools", "chosen"),
    [
        ([], ""),
        ([("a", True, 0.2), ("b", True, 0.1)], "b"),
        ([("a", True, 0.2), ("b", False, 0.1)], "a"),
        ([("a", True, 0.1), ("b", True, 0.1)], "a"),
        ([("a", True, None), ("b", True, 0.9)], "b"),
        ([("a", True, None), ("b", True, None)], "a"),
        ([("a", False, 0.1), ("b", False, 0.1)], ""),
    ],
)
def test_the_fastest_that_is_up_gets_all(pools: list[tuple[str, bool, float | None]], chosen: str) -> None:
    assert choose(*pools) == tuple(Share(name, 1.0) for name in chosen)


def test_what_the_fastest_does_not_take_goes_to_the_next() -> None:
    candidates = [Candidate("a", True, 1.0, rtt=0.2), Candidate("b", True, 1.0, room=0.75, rtt=0.1)]
    assert LATENCY.choose(candidates) == (Share("b", 0.75), Share("a", 0.25))


def test_any_pool_may_become_the_fastest() -> None:
    assert (LATENCY.in_order, LATENCY.by_place) == (False, False)
