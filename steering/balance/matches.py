"""Matches: which clients a rule is for, and which rules no client can ever reach.

A Match has lists: one of each list must fit (or inside a list, and between lists); an empty list fits everybody.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import or_

import msgspec

from geodata.continents import CONTINENT_OF
from geodata.place import NOWHERE, Place
from geodata.regions import REGIONS, Regions

FIELDS = {
    "continent": "continents",
    "region": "regions",
    "country": "countries",
    "subdivision": "subdivisions",
    "asn": "asns",
}
"""Field of a Place to the list of a Match."""


class Match(msgspec.Struct, frozen=True):
    """Clients for whom every list that is not empty has what they are; `route` is the number of what they get."""

    continents: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    subdivisions: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    """CIDR."""
    asns: tuple[int, ...] = ()
    unknown: bool = False
    """Whether they are clients of whom nobody knows the country."""
    route: int = 0


def find_unreachable(
    matches: Sequence[Match], regions: Regions, covering: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The index of each Match that no client reaches, and of those before it that cover it together; of none, if there
    is no place that it fits. Only the first so many count as `covering`.

    Sets of Matches are bits of an integer. A client is a place, an AS number and a network, and only those that some
    Match tells apart are looked at. Networks count as covered by larger ones, not by several smaller ones together.
    """
    places = list(_places_told_apart(matches, regions))
    lists = [_lists_of(match) for match in matches]
    of_place = [_bits(_fits_place(each, place) for each in lists) for place in places]
    any_asn = _bits(not match.asns for match in matches)
    of_asn = dict.fromkeys((asn for match in matches for asn in match.asns), any_asn)
    any_network = _bits(not match.networks for match in matches)
    listing: dict[str, int] = {}
    for index, match in enumerate(matches):
        for network in match.networks:
            listing[network] = listing.get(network, 0) | 1 << index
        for asn in match.asns:
            of_asn[asn] |= 1 << index
    for index, match in enumerate(matches):
        before = (1 << min(index, covering)) - 1
        kinds_of_place = {bits & before for bits in of_place if bits >> index & 1}
        kinds_of_asn = {of_asn[asn] & before for asn in match.asns} or {any_asn & before}
        around = (_bits_around(network, listing) | any_network for network in match.networks)
        kinds_of_network = {bits & before for bits in around} or {any_network & before}
        covers = {
            in_place & in_as & in_network
            for in_place in kinds_of_place
            for in_as in kinds_of_asn
            for in_network in kinds_of_network
        }
        if 0 not in covers:
            first = {(bits & -bits).bit_length() - 1 for bits in covers}
            yield index, tuple(sorted(first))


def _places_told_apart(matches: Sequence[Match], regions: Regions) -> Iterator[Place]:
    """A place of each kind: countries, subdivisions with a region of their own or in a Match, and nowhere."""
    yield NOWHERE
    subdivisions = {name for region in REGIONS for name in regions.members(region) if "-" in name}
    subdivisions.update(name for match in matches for name in match.subdivisions)
    for country in CONTINENT_OF.keys() | set(regions.countries):
        yield Place(CONTINENT_OF.get(country), regions.region_of(country), country)
    for name in subdivisions:
        yield Place(CONTINENT_OF.get(name[:2]), regions.region_of(name[:2], name), name[:2], name)


Lists = tuple[bool, tuple[tuple[str, frozenset[str]], ...]]


def _lists_of(match: Match) -> Lists:
    """Whether it is for those of whom nobody knows the country, and what a place must have in each field."""
    named = ((field, getattr(match, name)) for field, name in FIELDS.items() if field != "asn")
    return match.unknown, tuple((field, frozenset(listed)) for field, listed in named if listed)


def _fits_place(lists: Lists, place: Place) -> bool:
    """Whether a place fits, whatever the AS number and the network are."""
    unknown, fields = lists
    return not (unknown and place.country is not None) and all(
        getattr(place, field) in listed for field, listed in fields
    )


def _bits_around(network: str, listing: dict[str, int]) -> int:
    """The Matches that list a network or one around it."""
    inner = ipaddress.ip_network(network)
    around = (str(inner.supernet(new_prefix=length)) for length in range(inner.prefixlen + 1))
    return reduce(or_, (listing.get(outer, 0) for outer in around))


def _bits(fitting: Iterable[bool]) -> int:
    return sum(1 << index for index, fits in enumerate(fitting) if fits)
