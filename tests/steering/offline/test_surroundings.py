"""The surroundings of an address say the same of it as the maps of the world."""

import ipaddress

import pytest
from hypothesis import example, given

from geodata.classes import PlaceMap, compile_places, compile_rules
from geodata.place import NOWHERE, Place
from geodata.ranges import MAPPED_START, Network, Ranges
from geodata.regions import Regions
from geodata.source import Source
from steering.balance.matches import Match
from steering.balance.rules import Classifier, Rules
from steering.offline.surroundings import SurroundingClasses, Surroundings
from tests.geodata.strategies import addresses, ranges

RULES = Rules(
    (
        Match(networks=("10.1.2.0/24", "192.0.0.0/2", "::/9"), route=2),
        Match(networks=("10.0.0.0/8", "2001:db8::/33"), route=1),
        Match(countries=("FR",), route=1),
        Match(countries=("JP",), route=2),
    )
)
PLACES = (NOWHERE, Place(country="FR"), Place(country="JP"), Place(country="BR"))


class Loader:
    """A world in memory, which remembers what was asked of it."""

    def __init__(self, ipv4: Ranges, ipv6: Ranges) -> None:
        self._source = Source("world", PLACES, ipv4, ipv6)
        self.asked: list[Network | None] = []

    def __call__(self, part: Network | None) -> PlaceMap:
        self.asked.append(part)
        return compile_places([self._source if part is None else self._source.within(part)], Regions({}))


@pytest.fixture
def loader() -> Loader:
    networks = [(10 << 24, 8, 1), (0xB0000000, 8, 2), (8 << 24, 9, 3), (8 << 24, 24, 2)]
    ipv6 = [(0x2001_0DB8 << 96, 32, 1), (0x2001_0DB9 << 96, 33, 2), (0x2400 << 112, 12, 3)]
    return Loader(Ranges.nested(32, networks, 0), Ranges.nested(128, ipv6, 0))


@example(Ranges.uniform(32, 1), Ranges.uniform(128, 1), 0, MAPPED_START, 0, 1)
@example(Ranges.uniform(32, 1), Ranges.uniform(128, 0), 0, MAPPED_START - 1, 0, MAPPED_START)
@given(ranges(32, 4), ranges(128, 4), addresses(32), addresses(128), addresses(32), addresses(128))
def test_of_every_address_the_same_as_the_world(
    ipv4: Ranges, ipv6: Ranges, first4: int, first6: int, second4: int, second6: int
) -> None:
    load = Loader(ipv4, ipv6)
    world = load(None)
    classes = compile_rules(world, Classifier(RULES), RULES.networks)
    surroundings = Surroundings(load)
    ours = SurroundingClasses(RULES, surroundings)
    for address4, address6 in ((first4, first6), (second4, second6)):
        assert ours.find4(address4) == classes.find4(address4)
        assert ours.find6(address6) == classes.find6(address6)
        for text in map(str, (ipaddress.IPv4Address(address4), ipaddress.IPv6Address(address6))):
            assert surroundings.find(text) == world.find(text)


class TestWhatIsLoaded:
    def test_a_part_that_says_it_all(self, loader: Loader) -> None:
        surroundings = Surroundings(loader)
        found = surroundings.find("8.0.0.1")
        assert found is not None
        assert (found.place.country, found.prefix) == ("JP", "8.0.0.0/24")
        assert SurroundingClasses(RULES, surroundings).find4(8 << 24) == (2, 24)
        assert surroundings.find("8.200.0.1") is None
        assert loader.asked == [(32, 8 << 24, 8)], "once for all of them"

    def test_wider_ones_until_the_scope_ends_inside(self, loader: Loader) -> None:
        classes = SurroundingClasses(RULES, Surroundings(loader))
        assert classes.find4(0xB0000000) == (2, 8)
        assert loader.asked == [(32, 0xB0000000, 8), (32, 0xB0000000, 4)]
        assert classes.find4(10 << 24) == (1, 16)
        assert loader.asked[2:] == [None], "of a second address the world, as of whatever comes after it"
        classes.find4(0)
        assert len(loader.asked) == 3

    def test_the_world_where_a_part_is_too_small(self, loader: Loader) -> None:
        classes = SurroundingClasses(RULES, Surroundings(loader))
        assert classes.find6(0xA000 << 112) == (0, 1)
        assert loader.asked == [(128, 0xA000 << 112, 32), (128, 0xA000 << 112, 16), None]

    def test_the_world_for_what_is_near_mapped_addresses(self, loader: Loader) -> None:
        assert SurroundingClasses(RULES, Surroundings(loader)).find6(1)[0] == 2
        assert loader.asked == [None]

    def test_a_mapped_address_is_found_as_the_ipv4_address(self, loader: Loader) -> None:
        found = Surroundings(loader).find("::ffff:8.0.0.1")
        assert found is not None
        assert found.prefix == "8.0.0.0/24"
        assert loader.asked == [(32, 8 << 24, 8)]

    def test_a_world_that_is_there_already(self, loader: Loader) -> None:
        surroundings = Surroundings(loader)
        assert surroundings.whole is surroundings.whole
        assert surroundings.find("8.0.0.1") is not None
        assert loader.asked == [None]
