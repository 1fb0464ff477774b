"""Tests of the policy proximity; the ranking is the rules' (tests/steering/balance/test_rules.py)."""

from steering.balance.policies import POLICIES, Candidate, Share

PROXIMITY = POLICIES["proximity"]


def test_the_first_of_the_ranking_that_is_up() -> None:
    candidates = [Candidate("near", False, 1.0), Candidate("far", True, 1.0), Candidate("farther", True, 1.0)]
    assert PROXIMITY.choose(candidates) == (Share("far", 1.0),)
    assert PROXIMITY.choose(candidates[:1]) == ()


def test_pools_come_by_distance() -> None:
    assert (PROXIMITY.by_distance, PROXIMITY.in_order, PROXIMITY.by_place, PROXIMITY.weighted) == (
        True,
        True,
        False,
        False,
    )
