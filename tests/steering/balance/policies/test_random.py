"""Tests of the policy random."""

import pytest

from steering.balance.policies import POLICIES, Candidate, Share

RANDOM = POLICIES["random"]


@pytest.mark.parametrize(
    ("candidates", "shares"),
    [
        ([], ()),
        ([("a", True, 1.0)], (("a", 1.0),)),
        ([("a", True, 0.25), ("b", True, 0.75)], (("a", 0.25), ("b", 0.75))),
        ([("a", False, 0.25), ("b", True, 0.75)], (("b", 0.75),)),
        ([("a", False, 1.0), ("b", False, 1.0)], ()),
        ([("a", True, 0.0), ("b", True, 0.5)], (("b", 0.5),)),
        ([("a", True, 0.0), ("b", False, 0.5)], ()),
    ],
)
def test_shares(candidates: list[tuple[str, bool, float]], shares: tuple[tuple[str, float], ...]) -> None:
    assert RANDOM.choose([Candidate(*each) for each in candidates]) == tuple(Share(*each) for each in shares)


def test_the_place_of_the_client_does_not_matter() -> None:
    assert RANDOM.name == "random"
    assert RANDOM.by_place is False
