"""Where a client is, as far as steering can use it."""

import msgspec


class Place(msgspec.Struct, frozen=True):
    """A place; what nobody knows is None, and a `Place()` is nowhere.

    `continent`: AF AN AS EU NA OC SA. `region`: one of `geodata.regions.REGIONS`. `country`: ISO 3166-1
    alpha-2. `subdivision`: ISO 3166-2 with its country ("US-CA"), the largest division. `asn`: the AS number.
    """

    continent: str | None = None
    region: str | None = None
    country: str | None = None
    subdivision: str | None = None
    asn: int | None = None


NOWHERE = Place()


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
