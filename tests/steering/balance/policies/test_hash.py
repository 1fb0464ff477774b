"""Tests of the policy hash."""

import pytest

from steering.balance.policies import POLICIES, Candidate, Share

HASH = POLICIES["hash"]


@pytest.mark.parametrize(
    ("candidates", "shares"),
    [
        ([], ()),
        ([("a", True, 0.25), ("b", True, 0.75)], (("a", 0.25), ("b", 0.75))),
        ([("a", True, 0.5, 0.5), ("b", True, 0.5)], (("a", 0.25), ("b", 0.5))),
        ([("a", False, 0.25), ("b", True, 0.75)], (("b", 0.75),)),
        ([("a", True, 0.0), ("b", False, 0.5)], ()),
    ],
)
def test_weights(candidates: list[tuple[str, bool, float]], shares: tuple[tuple[str, float], ...]) -> None:
    assert HASH.choose([Candidate(*each) for each in candidates]) == tuple(Share(*each) for each in shares)


def test_the_client_decides_not_its_place() -> None:
    assert (HASH.by_key, HASH.weighted, HASH.by_place, HASH.by_distance, HASH.in_order) == (
        True,
        True,
        False,
        False,
        False,
    )
