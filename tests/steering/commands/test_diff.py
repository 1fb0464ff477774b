"""waypost diff: which places get another answer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import CONFIG, Run


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str, str], Path]:
    """The example with something else in it."""
    shutil.copytree(CONFIG / "zones", tmp_path / "zones")

    def change(old: str, new: str) -> Path:
        text = (CONFIG / "waypost.toml").read_text()
        assert old in text
        path = tmp_path / "waypost.toml"
        path.write_text(text.replace(old, new))
        return path

    return change


def test_the_same(waypost: Run, example: Path, changed: Callable[[str, str], Path]) -> None:
    renamed = changed('"tokyo"', '"osaka"')
    assert waypost("diff", example, renamed) == (0, "every place gets the same answers\n", "")


def test_a_country(waypost: Run, example: Path, changed: Callable[[str, str], Path]) -> None:
    other = changed('JP = ["tokyo"], BR', 'JP = ["paris"], BR')
    status, out, _ = waypost("diff", example, other, "--weight-by", "equal")
    assert status == 1
    assert out.splitlines()[:4] == [
        "www.example.com. A",
        "  - 203.0.113.30",
        "  + 192.0.2.10",
        "    0.4% of the traffic: JP",
    ]
    assert [line for line in out.splitlines() if "example.com. " in line] == [
        f"www.example.com. {rrtype}" for rrtype in ("A", "AAAA", "HTTPS")
    ]


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ('subdivision_pools = { US-CA = ["tokyo"] }', "US-CA"),
        ('network_pools = { "192.0.2.0/24" = ["tokyo"] }', "192.0.2.0/24"),
    ],
)
def test_a_place_that_only_one_of_them_names(
    waypost: Run, example: Path, changed: Callable[[str, str], Path], rule: str, place: str
) -> None:
    other = changed('country_pools = { JP = ["tokyo"], BR', rule + '\ncountry_pools = { JP = ["tokyo"], BR')
    status, out, _ = waypost("diff", example, other, "--json")
    assert status == 1
    assert {(change["question"], *change["places"]) for change in json.loads(out)} == {
        ("www.example.com. A", place),
        ("www.example.com. AAAA", place),
    }, "the HTTPS records of newyork and tokyo are the same"


def test_a_load_balancer_that_is_new(waypost: Run, example: Path, changed: Callable[[str, str], Path]) -> None:
    other = changed('name = "shop.example.com"', 'name = "shops.example.com"')
    out = waypost("diff", example, other)[1]
    assert "  - no answer\n" in out
    assert "  + no answer\n" in out
