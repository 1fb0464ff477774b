"""The form of country and subdivision codes, and distances."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodata.place import EARTH_RADIUS, great_circle, is_country, is_subdivision


@pytest.mark.parametrize(
    ("text", "good"),
    [("FR", True), ("fr", False), ("F", False), ("FRA", False), ("F1", False), ("ÉÀ", False), ("", False)],
)
def test_country(text: str, good: bool) -> None:
    assert is_country(text) == good


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("US-CA", True), ("GB-ENG", True), ("IT-52", True), ("FR-2", True),
        ("US", False), ("US-", False), ("USCA", False), ("US_CA", False), ("US-ca", False),
        ("US-CALI", False),
        ("us-CA", False), ("US-Ä", False), ("", False),
    ],
)  # fmt: skip
def test_subdivision(text: str, good: bool) -> None:
    assert is_subdivision(text) == good


POINTS = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@pytest.mark.parametrize(
    ("first", "second", "kilometres"),
    [
        ((0, 0), (0, 180), math.pi * EARTH_RADIUS),
        ((90, 12), (-90, 99), math.pi * EARTH_RADIUS),
        ((0, 0), (90, 0), math.pi * EARTH_RADIUS / 2),
        ((0, 179.5), (0, -179.5), math.pi * EARTH_RADIUS / 180),
        ((48.8566, 2.3522), (40.7128, -74.0060), 5837),  # Paris, New York
        ((51.5074, -0.1278), (-33.8688, 151.2093), 16994),  # London, Sydney
        ((48.8566, 2.3522), (48.8566, 2.3522), 0),
    ],
)
def test_distances(first: tuple[float, float], second: tuple[float, float], kilometres: float) -> None:
    assert great_circle(first, second) == pytest.approx(kilometres, rel=0.001)


@given(POINTS, POINTS, POINTS)
def test_a_distance_is_one(first: tuple[float, float], second: tuple[float, float], third: tuple[float, float]) -> None:
    distance = great_circle(first, second)
    assert 0 <= distance <= math.pi * EARTH_RADIUS
    assert distance == great_circle(second, first)
    assert distance <= great_circle(first, third) + great_circle(third, second) + 1e-3
