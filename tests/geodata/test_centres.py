"""The centres of the countries."""

import re
from pathlib import Path

import pytest

from geodata.centres import CENTRES, coordinates_of
from geodata.continents import CONTINENT_OF
from geodata.place import NOWHERE, Place, great_circle

ZONES = Path("/usr/share/zoneinfo/zone.tab")


def test_every_country_has_one_on_earth() -> None:
    assert set(CENTRES) == set(CONTINENT_OF)
    assert all(abs(latitude) <= 90 and abs(longitude) <= 180 for latitude, longitude in CENTRES.values())


@pytest.mark.skipif(not ZONES.exists(), reason="no zone.tab of tzdata")
def test_they_are_where_tzdata_has_a_city_of_the_country() -> None:
    """Within 700 km, for the largest countries more: swapped or mistyped figures are further off."""
    cities: dict[str, list[tuple[float, float]]] = {}
    for line in ZONES.read_text().splitlines():
        if not line.startswith("#"):
            country, position = line.split("\t")[:2]
            cities.setdefault(country, []).append(degrees(position))
    assert len(cities) > 240
    large = {"AO", "AQ", "CD", "CN", "DZ", "IN", "LY", "MZ", "SO", "US"}
    for country, known in cities.items():
        distance = min(great_circle(CENTRES[country], city) for city in known)
        assert distance < (1600 if country in large else 700), country


def degrees(position: str) -> tuple[float, float]:
    """ISO 6709: ±DDMM[SS]±DDDMM[SS]."""
    north, east = re.fullmatch(r"([+-]\d+)([+-]\d+)", position).groups()  # type: ignore[union-attr]  # fails loudly
    return sexagesimal(north, 3), sexagesimal(east, 4)


def sexagesimal(text: str, places: int) -> float:
    size = int(text[1:places]) + int(text[places : places + 2]) / 60 + int(text[places + 2 :] or 0) / 3600
    return -size if text[0] == "-" else size


def test_of_a_place_its_own_coordinates_count_first() -> None:
    assert coordinates_of(Place(country="FR", latitude=0.0, longitude=-180.0)) == (0.0, -180.0)
    assert coordinates_of(Place(country="FR")) == CENTRES["FR"] == (46.0, 2.0)
    assert coordinates_of(Place("EU")) is None
    assert coordinates_of(NOWHERE) is None
