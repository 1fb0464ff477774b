"""Every country has one continent."""

from geodata.continents import CONTINENT_OF, CONTINENTS
from geodata.regions import Regions


def test_the_countries_are_those_of_the_regions() -> None:
    assert set(CONTINENT_OF) == set(Regions.load().countries)


def test_a_country_is_on_one_continent() -> None:
    assert set(CONTINENT_OF.values()) == set(CONTINENTS) == {"AF", "AN", "AS", "EU", "NA", "OC", "SA"}
    assert [CONTINENT_OF[country] for country in ("FR", "BR", "JP", "US", "ZA", "NZ", "AQ")] == [
        "EU", "SA", "AS", "NA", "AF", "OC", "AN",
    ]  # fmt: skip
