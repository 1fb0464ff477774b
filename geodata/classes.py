"""The compiled maps. Sources → PlaceMap (address → place) → ClassMap (address → class of clients).

A class is what a set of steering rules tells apart: one number per distinct outcome. A PlaceMap is compiled
when a source changes and kept in a file, a ClassMap from it when the rules change; health changes neither.
"""

import ipaddress
import mmap
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import reduce

import msgspec

from geodata.addressmap import MAPPED, AddressMap
from geodata.continents import CONTINENT_OF
from geodata.errors import GeoError
from geodata.place import NOWHERE, Place
from geodata.ranges import Ranges, parse_network
from geodata.regions import Regions
from geodata.source import Source

_NO_NETWORK = MAPPED - 1


class Finding(msgspec.Struct, frozen=True):
    """Where an address is, the widest prefix (CIDR) of which that is true, and the source that says so."""

    place: Place
    prefix: str
    source: str


class _About(msgspec.Struct, frozen=True):
    places: tuple[Place, ...]
    sources: tuple[str, ...]
    said_by: tuple[int, ...]


class PlaceMap(AddressMap):
    """Address → place. `find4` and `find6` give indices into `places`; index 0 is `NOWHERE`.

    A place that two sources know is in `places` twice, so that `find` can say which one it was.
    """

    KIND = "places"

    def __init__(self, packed: bytes | mmap.mmap, name: str = "map") -> None:
        super().__init__(packed, name)
        self._about = msgspec.json.decode(bytes(self._more["about"]), type=_About)

    @property
    def places(self) -> tuple[Place, ...]:
        """The place of each number that a look-up gives."""
        return self._about.places

    def find(self, address: str) -> Finding | None:
        """Where the address is; None if no source knows. ValueError if the text is no address."""
        parsed = ipaddress.ip_address(address)
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        find = self.find4 if parsed.version == 4 else self.find6
        number, length = find(int(parsed))
        if number == 0:
            return None
        prefix = ipaddress.ip_network((parsed.packed, length), strict=False)
        return Finding(self.places[number], str(prefix), self._about.sources[self._about.said_by[number]])


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
    """One map from all sources: of those that know an address, the one listed first says where it is.

    The operator's own networks go before the databases, wherever they are listed. Regions are filled in from
    the table, and the continent where the source has none.
    """
    by_rank = sorted(sources, key=lambda source: not source.operator)
    numbers: dict[tuple[Place, int], int] = {(NOWHERE, 0): 0}
    layers4, layers6 = [], []
    for rank, source in enumerate(by_rank):
        known = ((_completed(place, regions), rank) for place in source.places[1:])
        table = [0, *(numbers.setdefault(place, len(numbers)) for place in known)]
        layers4.append(source.ipv4.translated(table))
        layers6.append(source.ipv6.translated(table))
    about = _About(
        places=tuple(place for place, _ in numbers),
        sources=tuple(source.name for source in by_rank),
        said_by=tuple(rank for _, rank in numbers),
    )
    return PlaceMap.of(_stacked(32, layers4), _stacked(128, layers6), {"about": array("B", msgspec.json.encode(about))})


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
        if not 0 <= class_ < _NO_NETWORK:
            raise ValueError(f"class {class_} is not from 0 to 2**32 - 3")
    table = {number: class_of[place] for number, place in enumerate(places.places)} | {MAPPED: unknown}
    overrides = _overrides(networks)
    ipv4, ipv6 = (
        runs.translated(table).overlaid(over, transparent=_NO_NETWORK)
        for runs, over in zip(places.ranges(), overrides, strict=True)
    )
    return ClassMap.of(ipv4, ipv6)


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


def _stacked(bits: int, layers: list[Ranges]) -> Ranges:
    """All layers in one, the first on top."""
    if not layers:
        return Ranges.uniform(bits, 0)
    return reduce(lambda below, above: below.overlaid(above, transparent=0), reversed(layers))


def _completed(place: Place, regions: Regions) -> Place:
    country = place.country or ""
    return msgspec.structs.replace(
        place,
        continent=place.continent or CONTINENT_OF.get(country),
        region=regions.region_of(country, place.subdivision),
    )
