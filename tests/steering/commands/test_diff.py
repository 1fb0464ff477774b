"""waypost diff: which places get another answer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from geodata.regions import REGIONS_FILE
from tests.steering.running import Run

from .conftest import CONFIG


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


CHANGES = {
    "asns = [64500]": ("asns = [64501]", {"FR AS64500", "FR AS64501"}),
    '"CA-QC"': ('"CA-ON"', {"CA-QC", "CA-ON"}),
    "203.0.113.0/25": ("203.0.113.128/25", {"203.0.113.0/25", "203.0.113.128/25"}),
    '"198.18.0.0/15" = ["oslo"]': ('"198.18.0.0/15" = ["sorry"]', {"198.18.0.0/15"}),
    "paris 60 A 198.51.100.2": ("paris 60 A 198.51.100.3", {"FR", "FR AS64500", "FR AS64501"}),
}
NAMES = {'"europe"': '"the-continent"', '"zurich"': '"basel"'}


def test_places_of_pool_sets_and_what_names_lead_to(waypost: Run, steered: Path) -> None:
    """Networks count as such, not by what is inside of them, and where no resolver is believed, too."""
    other = steered.parent / "new"
    other.mkdir()
    steered.write_text(
        steered.read_text().replace('state = "state"', 'state = "state"\nlocation = { prefer_ecs = "never" }')
    )
    for path in (steered, steered.parent / "example.com.zone"):
        text = path.read_text()
        for old, (new, _) in CHANGES.items():
            text = text.replace(old, new)
        for old, new in NAMES.items():
            text = text.replace(old, new)
        (other / path.name).write_text(text)
    status, out, error = waypost("diff", steered, other / steered.name, "--weight-by", "equal", "--json")
    assert (status, error) == (1, "")
    found = {place for change in json.loads(out) for place in change["places"]}
    assert found == set[str]().union(*(places for _, places in CHANGES.values()))


def test_other_regions(waypost: Run, example: Path, changed: Callable[[str, str], Path], tmp_path: Path) -> None:
    """The table of regions of each configuration counts."""
    text = REGIONS_FILE.read_text(encoding="utf-8")
    assert "\nWEU,FR,," in text
    assert "\nWNAM,US,CA," in text
    text = text.replace("\nWEU,FR,,", "\nOC,FR,,").replace("\nWNAM,US,CA,", "\nWEU,US,CA,")
    (tmp_path / "regions.csv").write_text(text, encoding="utf-8")
    other = changed("[server]", 'regions = "regions.csv"\n[server]')
    changes = json.loads(waypost("diff", example, other, "--json")[1])
    assert {place for change in changes for place in change["places"]} == {"FR", "US-CA"}


def test_those_of_whom_nobody_knows_where_they_are(waypost: Run, steered: Path) -> None:
    other = steered.with_name("other.toml")
    text = steered.read_text()
    place = text.index('[[load_balancer]]\nname = "example.com"')
    lost = '[[load_balancer.pool_set]]\nname = "lost"\nunknown = true\npools = ["oslo"]\n'
    other.write_text(text[:place] + lost + text[place:])
    changes = json.loads(waypost("diff", steered, other, "--json")[1])
    places = [place for change in changes for place in change["places"]]
    assert places == ["198.18.0.0/18", "unknown"], "pool sets go before maps"


def test_a_load_balancer_that_is_new(waypost: Run, example: Path, changed: Callable[[str, str], Path]) -> None:
    other = changed('name = "shop.example.com"', 'name = "shops.example.com"')
    out = waypost("diff", example, other)[1]
    assert "  - no answer\n" in out
    assert "  + no answer\n" in out
