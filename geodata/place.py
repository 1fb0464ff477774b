"""Where a client is, as far as steering can use it."""

from math import asin, cos, radians, sin, sqrt

import msgspec

EARTH_RADIUS = 6371.0088
"""Kilometres: the mean radius R1 of the Earth (IUGG)."""


DEGREE_DIGITS = 4
"""Digits after the point to which coordinates are known: 11 m."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """A place; what nobody knows is None, and a `Place()` is nowhere.

    `continent`: AF AN AS EU NA OC SA. `region`: one of `geodata.regions.REGIONS`. `country`: ISO 3166-1
    alpha-2. `subdivision`: ISO 3166-2 with its country ("US-CA"), the largest division. `asn`: the AS number.
    `latitude`, `longitude`: degrees north and east, both or none; geodata.centres has those of a country.
    """

    continent: str | None = None
    region: str | None = None
    country: str | None = None
    subdivision: str | None = None
    asn: int | None = None
    latitude: float | None = None
    longitude: float | None = None


NOWHERE = Place()


def great_circle(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Kilometres between two points (latitude, longitude) in degrees, on a sphere: right to half a percent.

    The haversine formula, which stays exact for points that are close together.
    """
    north1, east1, north2, east2 = map(radians, (*first, *second))
    half = sin((north2 - north1) / 2) ** 2 + cos(north1) * cos(north2) * sin((east2 - east1) / 2) ** 2
    return 2 * EARTH_RADIUS * asin(min(1.0, sqrt(half)))


def is_country(text: str) -> bool:
    """Whether the text has the form of an ISO 3166-1 alpha-2 code."""
    return len(text) == 2 and text.isascii() and text.isalpha() and text.isupper()


def is_subdivision(text: str) -> bool:
    """Whether the text has the form of an ISO 3166-2 code ("US-CA", "IT-52", "GB-ENG")."""
    code = text[3:]
    return (
        is_country(text[:2])
        and text[2:3] == "-"
        and 1 <= len(code) <= 3
        and code.isascii()
        and code.isalnum()
        and code == code.upper()
    )
