"""The table of regions: what ships, and what an operator's own may hold."""

from pathlib import Path

import pytest

from geodata.errors import GeoError
from geodata.regions import REGIONS, Regions


def regions(path: Path, rows: str, header: str = "region,country,subdivision,basis") -> Regions:
    path.write_text(f"{header}\n{rows}\n")
    return Regions.load(path)


def test_every_country_has_a_region() -> None:
    shipped = Regions.load()
    assert len(shipped.countries) == 250  # ISO 3166-1 has 249, and XK
    assert len(REGIONS) == 13
    assert {shipped.region_of(country) for country in shipped.countries} <= set(REGIONS)
    assert all(shipped.members(region) for region in REGIONS)


def test_every_row_is_a_member_of_one_region() -> None:
    shipped = Regions.load()
    members = [member for region in REGIONS for member in shipped.members(region)]
    assert len(members) == len(set(members)) == 369
    assert set(shipped.countries) == {member for member in members if "-" not in member}


def test_a_subdivision_wins_over_its_country() -> None:
    shipped = Regions.load()
    assert shipped.region_of("US") == "ENAM"
    assert shipped.region_of("US", "US-CA") == "WNAM"
    assert shipped.region_of("US", "US-NY") == "ENAM"
    assert shipped.region_of("US", "US-ZZ") == "ENAM"
    assert shipped.region_of("FR", "FR-IDF") == "WEU"
    assert shipped.region_of("QQ") is None
    assert shipped.region_of("QQ", "QQ-A") is None


def test_the_basis_can_be_asked_for() -> None:
    shipped = Regions.load()
    assert shipped.basis_of("JP") == "published"
    assert shipped.basis_of("US") == "assigned"
    assert shipped.basis_of("US", "US-CA") == "published"
    assert shipped.basis_of("QQ") is None


def test_members_are_sorted_and_of_known_regions() -> None:
    assert Regions.load().members("NEAS") == ("CN", "HK", "JP", "KP", "KR", "MN", "MO", "TW")
    assert "US-CA" in Regions.load().members("WNAM")
    with pytest.raises(KeyError):
        Regions.load().members("MARS")


def test_an_operators_file_needs_two_columns(tmp_path: Path) -> None:
    own = regions(tmp_path / "a.csv", "OC,FR", "region,country")
    assert own.region_of("FR") == "OC"
    assert own.basis_of("FR") == "assigned"
    assert own.countries == ("FR",)


def test_all_problems_at_once(tmp_path: Path) -> None:
    with pytest.raises(GeoError) as error:
        regions(
            tmp_path / "a.csv",
            "MARS,FR,,published\nWEU,France,,assigned\nWEU,DE,,guessed\nWEU,DE,,assigned\nWEU,DE,Berlin,assigned\nWNAM,US,CA,assigned",
        )
    path = tmp_path / "a.csv"
    assert [problem.removeprefix(str(path)) for problem in error.value.problems] == [
        f":2: unknown region 'MARS' (known: {', '.join(REGIONS)})",
        ":3: 'France' is no country code (two capital letters)",
        ":4: unknown basis 'guessed' (known: published, assigned)",
        ":5: DE has its region already in line 4",
        ":6: 'Berlin' is no subdivision code (up to three of A-Z and 0-9)",
        ":7: US-CA has a region and US has none",
    ]
