"""The compiled maps. Sources → PlaceMap (address → place) → ClassMap (address → class of clients).

A class is what a set of steering rules tells apart: one number per distinct outcome. A PlaceMap is compiled
when a source changes and kept in a file, a ClassMap from it when the rules change; health changes neither.
"""

import ipaddress
import mmap
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import msgspec

from geodata.addressmap import MAPPED, AddressMap
from geodata.continents import CONTINENT_OF
from geodata.errors import GeoError
from geodata.place import DEGREE_DIGITS, NOWHERE, Place
from geodata.ranges import Column, Ranges, parse_network
from geodata.regions import Regions
from geodata.source import Source

_NO_NETWORK = MAPPED - 1


class Finding(msgspec.Struct, frozen=True):
    """Where an address is, the widest prefix (CIDR) of which that is true, and the sources that say so."""

    place: Place
    prefix: str
    source: str


class _About(msgspec.Struct, frozen=True):
    """Texts of the columns with the names in `_TEXTS`, and what the numbers of `said_by` mean."""

    texts: tuple[str | None, ...]
    sources: tuple[str, ...]


class PlaceMap(AddressMap):
    """Address → place. `find4` and `find6` give indices into `places`; index 0 is `NOWHERE`.

    A place that two sources know is in `places` twice, so that `find` can say which one it was.
    """

    KIND = "places"

    def __init__(self, packed: bytes | mmap.mmap, name: str = "map") -> None:
        super().__init__(packed, name)
        self._about = msgspec.json.decode(bytes(self._more["about"]), type=_About)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The place of each number that a look-up gives."""
        return tuple(_places_of(self._about.texts, self._more))

    def find(self, address: str) -> Finding | None:
        """Where the address is; None if no source knows. ValueError if the text is no address."""
        parsed = ipaddress.ip_address(address)
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        find = self.find4 if parsed.version == 4 else self.find6
        number, length = find(int(parsed))
        if number == 0:
            return None
        prefix = ipaddress.ip_network((parsed.packed, length), strict=False)
        return Finding(self.places[number], str(prefix), self._about.sources[self._more["said_by"][number]])


class ClassMap(AddressMap):
    """Address → class."""

    KIND = "classes"

    def renumbered(self) -> tuple["ClassMap", tuple[int, ...]]:
        """The map with classes numbered in order of first appearance, and which class here each of them is.

        Rules that split the world alike give maps that are equal byte for byte (and in `digest`), whatever
        the numbers were: they can share one file.
        """
        ipv4, ipv6 = self.ranges()
        order = tuple(dict.fromkeys((*ipv4.ids, *(class_ for class_ in ipv6.ids if class_ != MAPPED))))
        table = {class_: number for number, class_ in enumerate(order)} | {MAPPED: MAPPED}
        return ClassMap.of(ipv4.translated(table), ipv6.translated(table)), order


def compile_places(sources: Iterable[Source], regions: Regions) -> PlaceMap:
    """One map from all sources, which complete each other: of each field the source listed first that knows it counts.

    So a City and an ASN database give places with both. The operator's own networks go before the databases, wherever
    they are listed. What a later source says of another country than an earlier one, or of another subdivision, is not
    about this place, its AS number apart. Regions are filled in from the table, and the continent where no source has
    it.
    """
    by_rank = sorted(sources, key=lambda source: not source.operator)
    del sources  # a source of millions of networks must not live longer than it is needed
    names = [source.name for source in by_rank]
    known: dict[tuple[Place, tuple[int, ...]], int] = {(NOWHERE, ()): 0}
    layers: list[tuple[Ranges, Ranges]] = []
    for rank in range(len(by_rank)):
        source = by_rank.pop(0)
        table = [0, *(known.setdefault((place, (rank,)), len(known)) for place in source.places[1:])]
        layers.append((source.ipv4.translated(table), source.ipv6.translated(table)))
        del source
    ipv4, ipv6 = layers.pop(0) if layers else (Ranges.uniform(32, 0), Ranges.uniform(128, 0))
    for below4, below6 in layers:
        items = list(known)

        def join(upper: int, lower: int, items: list[tuple[Place, tuple[int, ...]]] = items) -> int:
            return known.setdefault(_joined(items[upper], items[lower]), len(known))

        ipv4, ipv6 = ipv4.paired(below4, join), ipv6.paired(below6, join)
    layers.clear()
    return _packed(ipv4, ipv6, known, names, regions)


def compile_classes(
    places: PlaceMap,
    classify: Callable[[Place], int],
    networks: Sequence[tuple[str, int]] = (),
    *,
    unknown: int,
) -> ClassMap:
    """The map of the classes that `classify` puts each place in; it is called once per distinct place.

    `networks`: (CIDR, class), which go before places, the most specific first. `unknown`: the class of
    addresses that no source knows. Classes are from 0 to 2**32 - 3. GeoError names every network that is none
    or has two classes.
    """
    class_of = {place: classify(place) for place in dict.fromkeys(places.places) if place != NOWHERE}
    class_of[NOWHERE] = unknown
    for class_ in {*class_of.values(), *(class_ for _, class_ in networks)}:
        _check_class(class_)
    table = {number: class_of[place] for number, place in enumerate(places.places)} | {MAPPED: unknown}
    overrides = _overrides(networks)
    ipv4, ipv6 = (
        runs.translated(table).overlaid(over, transparent=_NO_NETWORK)
        for runs, over in zip(places.ranges(), overrides, strict=True)
    )
    return ClassMap.of(ipv4, ipv6)


def compile_rules(
    places: PlaceMap, classify: Callable[[Place, frozenset[str]], int], networks: Iterable[str]
) -> ClassMap:
    """The map of classes that depend on the place and on the `networks` (CIDR) around an address, in any way.

    `classify` gets a place, which may be `NOWHERE`, and those of the networks that the address is in; it is called
    once for each pair of a place and a set of networks that there is. Classes are from 0 to 2**32 - 3. GeoError
    names every network that is none.
    """
    insides, cells = _cells(networks)
    known: dict[tuple[Place, int], int] = {}
    numbers = places.places

    def pair(number: int, cell: int) -> int:
        place = NOWHERE if number == MAPPED else numbers[number]
        if (place, cell) not in known:
            known[place, cell] = class_ = classify(place, insides[cell])
            _check_class(class_)
        return known[place, cell]

    ipv4, ipv6 = (runs.paired(cell, pair) for runs, cell in zip(places.ranges(), cells, strict=True))
    return ClassMap.of(ipv4, ipv6)


def _cells(texts: Iterable[str]) -> tuple[list[frozenset[str]], tuple[Ranges, Ranges]]:
    """The parts into which networks split both families: the networks around each part, and its number by address."""
    problems = []
    named: dict[tuple[int, int, int], set[str]] = {}
    for text in texts:
        try:
            named.setdefault(parse_network(text), set()).add(text)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise GeoError(*problems)
    insides: list[frozenset[str]] = [frozenset()]
    cells: dict[int, list[tuple[int, int, int]]] = {32: [], 128: []}
    around: list[tuple[int, int, int]] = []  # the networks that the sweep is inside of: (bits, end, cell)
    for (bits, start, length), names in sorted(named.items()):
        while around and (around[-1][0] != bits or around[-1][1] <= start):
            around.pop()
        cells[bits].append((start, length, len(insides)))
        insides.append((insides[around[-1][2]] if around else frozenset()) | names)
        around.append((bits, start + (1 << bits - length), len(insides) - 1))
    return insides, (Ranges.nested(32, cells[32], 0), Ranges.nested(128, cells[128], 0))


def _check_class(class_: int) -> None:
    if not 0 <= class_ < _NO_NETWORK:
        raise ValueError(f"class {class_} is not from 0 to 2**32 - 3")


def _overrides(networks: Sequence[tuple[str, int]]) -> tuple[Ranges, Ranges]:
    problems = []
    classes: dict[tuple[int, int, int], int] = {}
    for text, class_ in networks:
        try:
            network = parse_network(text)
        except ValueError as error:
            problems.append(str(error))
            continue
        if classes.setdefault(network, class_) != class_:
            problems.append(f"network {text} has two classes")
    if problems:
        raise GeoError(*problems)
    ipv4, ipv6 = (
        Ranges.nested(
            bits,
            ((start, length, class_) for (family, start, length), class_ in classes.items() if family == bits),
            _NO_NETWORK,
        )
        for bits in (32, 128)
    )
    return ipv4, ipv6


def _joined(
    upper: tuple[Place, tuple[int, ...]], lower: tuple[Place, tuple[int, ...]]
) -> tuple[Place, tuple[int, ...]]:
    """What both say, and who has said something of it."""
    (place, said_by), (other, others) = upper, lower
    changes: dict[str, object] = {}
    if place.asn is None and other.asn is not None:
        changes["asn"] = other.asn
    geographic: tuple[str, ...] = ()
    if place.country is None and place.continent in (None, other.continent):
        geographic = ("continent", "country", "subdivision", "latitude", "longitude")
    elif place.country is not None and place.country == other.country:
        same_part = place.subdivision in (None, other.subdivision)
        geographic = ("continent", "subdivision", *(("latitude", "longitude") if same_part else ()))
    for field in geographic:
        if getattr(place, field) is None and getattr(other, field) is not None:
            changes[field] = getattr(other, field)
    if not changes:
        return upper
    return msgspec.structs.replace(place, **changes), said_by + others


_TEXTS = ("continent", "region", "country", "subdivision")
_DEGREES = ("latitude", "longitude")
_UNKNOWN_DEGREE = (1 << 31) - 1
_SCALE = 10**DEGREE_DIGITS


def _packed(
    ipv4: Ranges,
    ipv6: Ranges,
    known: dict[tuple[Place, tuple[int, ...]], int],
    names: list[str],
    regions: Regions,
) -> PlaceMap:
    """The map; its places are in columns of small numbers, since a City database has hundreds of thousands."""
    texts: dict[str | None, int] = {None: 0}
    sources: dict[str, int] = {}
    columns = {name: array("I") for name in (*_TEXTS, "asn", "said_by")} | {name: array("i") for name in _DEGREES}
    for place, said_by in known:
        country = place.country or ""
        values = {
            "continent": place.continent or CONTINENT_OF.get(country),
            "region": regions.region_of(country, place.subdivision),
            "country": place.country,
            "subdivision": place.subdivision,
        }
        for name, text in values.items():
            columns[name].append(texts.setdefault(text, len(texts)))
        columns["asn"].append(place.asn or 0)
        for name, degrees in (("latitude", place.latitude), ("longitude", place.longitude)):
            columns[name].append(_UNKNOWN_DEGREE if degrees is None else round(degrees * _SCALE))
        said = ", ".join(names[rank] for rank in said_by)
        columns["said_by"].append(sources.setdefault(said, len(sources)))
    known.clear()
    about = msgspec.json.encode(_About(tuple(texts), tuple(sources)))
    return PlaceMap.of(ipv4, ipv6, {"about": array("B", about), **columns})


def _places_of(texts: tuple[str | None, ...], columns: Mapping[str, Column]) -> Iterator[Place]:
    named = ([texts[number] for number in columns[name]] for name in _TEXTS)
    asns = (asn or None for asn in columns["asn"])
    degrees = (
        (None if degree == _UNKNOWN_DEGREE else degree / _SCALE for degree in columns[name]) for name in _DEGREES
    )
    return map(Place, *named, asns, *degrees)
