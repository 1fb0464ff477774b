"""Tests of the policy off."""

import pytest

from steering.balance.policies import POLICIES, Candidate, Share


def choose(ups: str) -> tuple[Share, ...]:
    """What is chosen of pools 0, 1, … that are up (+) or down (-)."""
    return POLICIES["off"].choose([Candidate(str(place), up == "+", 0.5) for place, up in enumerate(ups)])


@pytest.mark.parametrize(
    ("ups", "chosen"),
    [("", ""), ("-", ""), ("---", ""), ("+", "0"), ("++", "0"), ("+-", "0"), ("-+", "1"), ("--+-+", "2")],
)
def test_the_first_that_is_up_gets_all(ups: str, chosen: str) -> None:
    assert choose(ups) == tuple(Share(name, 1.0) for name in chosen)


def test_the_place_of_the_client_does_not_matter() -> None:
    assert POLICIES["off"].name == "off"
    assert POLICIES["off"].by_place is False
