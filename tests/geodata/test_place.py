"""The form of country and subdivision codes."""

import pytest

from geodata.place import is_country, is_subdivision


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
