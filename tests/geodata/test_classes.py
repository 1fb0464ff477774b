"""From sources to places to classes."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodata.classes import ClassMap, PlaceMap, compile_classes, compile_places
from geodata.errors import GeoError
from geodata.place import NOWHERE, Place
from geodata.ranges import Ranges, parse_network
from geodata.regions import Regions
from geodata.source import Source

from .strategies import ranges

REGIONS = Regions.load()


def source(name: str, networks: dict[str, Place], operator: bool = False) -> Source:
    places = [NOWHERE, *dict.fromkeys(networks.values())]
    families: dict[int, list[tuple[int, int, int]]] = {32: [], 128: []}
    for text, place in networks.items():
        bits, start, length = parse_network(text)
        families[bits].append((start, length, places.index(place)))
    ipv4, ipv6 = (Ranges.nested(bits, families[bits], 0) for bits in (32, 128))
    return Source(name, tuple(places), ipv4, ipv6, operator=operator)


FIRST = source(
    "first",
    {
        "10.0.0.0/8": Place(country="FR"),
        "10.1.0.0/16": Place(country="US", subdivision="US-CA"),
        "2001:db8::/32": Place(country="JP"),
    },
)
SECOND = source("second", {"0.0.0.0/4": Place(continent="XX", country="BR"), "2001:db8::/31": Place(country="BR")})
OWN = source("own", {"10.1.2.0/24": Place(country="DE"), "192.0.2.0/24": Place(country="DE")}, operator=True)


def class_at(compiled: ClassMap, text: str) -> int:
    address = ipaddress.ip_address(text)
    return (compiled.find4 if address.version == 4 else compiled.find6)(int(address))[0]


def by_country(place: Place) -> int:
    return {"FR": 1, "DE": 1, "US": 2, "BR": 3, "JP": 4}[place.country or ""]


def test_where_an_address_is_and_who_says_so() -> None:
    places = compile_places([FIRST, SECOND, OWN], REGIONS)
    found = {
        "10.0.0.1": (Place("EU", "WEU", "FR"), "10.0.0.0/16", "first"),
        "10.1.0.1": (Place("NA", "WNAM", "US", "US-CA"), "10.1.0.0/23", "first"),
        "10.1.2.3": (Place("EU", "WEU", "DE"), "10.1.2.0/24", "own"),
        "::ffff:10.1.2.3": (Place("EU", "WEU", "DE"), "10.1.2.0/24", "own"),
        "11.0.0.1": (Place("XX", "SSAM", "BR"), "11.0.0.0/8", "second"),
        "0.0.0.0": (Place("XX", "SSAM", "BR"), "0.0.0.0/5", "second"),
        "192.0.2.1": (Place("EU", "WEU", "DE"), "192.0.2.0/24", "own"),
        "2001:db8:ffff::1": (Place("AS", "NEAS", "JP"), "2001:db8::/32", "first"),
        "2001:db9::1": (Place("SA", "SSAM", "BR"), "2001:db9::/32", "second"),
    }
    for text, (place, prefix, name) in found.items():
        finding = places.find(text)
        assert finding is not None, text
        assert (finding.place, finding.prefix, finding.source) == (
            Place(
                place.continent,
                REGIONS.region_of(place.country or "", place.subdivision),
                place.country,
                place.subdivision,
            ),
            prefix,
            name,
        ), text
    for text in ("16.0.0.0", "192.0.3.0", "255.255.255.255", "::", "::1", "2001:dba::", "ffff::"):
        assert places.find(text) is None, text
    with pytest.raises(ValueError, match="does not appear to be"):
        places.find("somewhere")


def test_the_first_source_listed_wins() -> None:
    finding = compile_places([SECOND, FIRST], REGIONS).find("10.1.0.1")
    assert finding is not None
    assert (finding.source, finding.prefix) == ("second", "0.0.0.0/4")


def test_operators_networks_go_first_among_themselves_in_order() -> None:
    other = source("other", {"192.0.2.0/25": Place(country="JP")}, operator=True)
    names = [compile_places(order, REGIONS).find("192.0.2.1") for order in ([FIRST, OWN, other], [other, FIRST, OWN])]
    assert [name and name.source for name in names] == ["own", "other"]


def test_no_source_knows_nothing() -> None:
    places = compile_places([], REGIONS)
    assert places.places == (NOWHERE,)
    assert places.find("192.0.2.1") is None
    compiled = compile_classes(places, by_country, unknown=7)
    assert compiled.find4(1) == compiled.find6(1 << 127) == (7, 0)


def test_numbers_of_a_place_map_are_indices_of_its_places() -> None:
    places = compile_places([FIRST, OWN], REGIONS)
    assert places.places[places.find4(10 << 24)[0]].country == "FR"
    assert places.places[places.find6(0x2001_0DB8 << 96)[0]].country == "JP"
    assert places.places[places.find4(0)[0]] == NOWHERE


def test_each_place_is_classified_once() -> None:
    asked: list[Place] = []

    def classify(place: Place) -> int:
        asked.append(place)
        return 0

    doubled = source("again", {"200.0.0.0/8": Place(country="FR")})
    compile_classes(compile_places([FIRST, doubled, OWN], REGIONS), classify, unknown=0)
    assert sorted(place.country or "" for place in asked) == ["DE", "FR", "JP", "US"]
    assert {place.region for place in asked} == {
        REGIONS.region_of("FR"),
        REGIONS.region_of("DE"),
        "WNAM",
        "NEAS",
    }


def test_neighbours_of_one_class_share_their_scope() -> None:
    compiled = compile_classes(compile_places([FIRST], REGIONS), lambda _: 1, unknown=0)
    assert compiled.find4(10 << 24) == (1, 8)
    assert compiled.find4((10 << 24) + (1 << 16)) == (1, 8)
    assert compiled.find4(0) == (0, 5)


def test_networks_go_before_places_and_the_most_specific_first() -> None:
    networks = [
        ("10.0.0.0/24", 5),
        ("10.0.0.0/23", 6),
        ("2001:db8::7", 5),
        ("::ffff:192.0.2.0/120", 6),
        ("10.0.0.0/24", 5),
    ]
    compiled = compile_classes(compile_places([FIRST], REGIONS), by_country, networks, unknown=0)
    expected = {
        "10.0.0.1": 5, "10.0.1.1": 6, "10.0.2.1": 1, "10.1.0.1": 2, "2001:db8::7": 5, "2001:db8::8": 4,
        "192.0.2.9": 6, "::ffff:192.0.2.9": 6, "::ffff:192.0.3.0": 0, "8.8.8.8": 0, "::": 0,
    }  # fmt: skip
    assert {text: class_at(compiled, text) for text in expected} == expected


def test_ipv4_overrides_are_seen_through_mapped_addresses_without_any_source() -> None:
    compiled = compile_classes(compile_places([], REGIONS), by_country, [("192.0.2.0/24", 1)], unknown=0)
    assert compiled.find6(0xFFFF_C000_0200) == (1, 120)
    assert compiled.find6(0xFFFF_C000_0300) == (0, 120)
    assert compiled.find6(1) == (0, 81)


def test_bad_networks_all_at_once() -> None:
    places = compile_places([], REGIONS)
    with pytest.raises(GeoError) as error:
        compile_classes(
            places,
            by_country,
            [("nonsense", 1), ("10.0.0.1/8", 1), ("10.0.0.0/8", 1), ("10.0.0.0/8", 2)],
            unknown=0,
        )
    assert error.value.problems == (
        "'nonsense' does not appear to be an IPv4 or IPv6 network",
        "10.0.0.1/8 has host bits set",
        "network 10.0.0.0/8 has two classes",
    )


@pytest.mark.parametrize("class_", [-1, 2**32 - 2, 2**32 - 1])
def test_classes_out_of_bounds(class_: int) -> None:
    places = compile_places([FIRST], REGIONS)
    with pytest.raises(ValueError, match="is not from 0 to"):
        compile_classes(places, lambda _: class_, unknown=0)
    with pytest.raises(ValueError, match="is not from 0 to"):
        compile_classes(places, by_country, unknown=class_)
    with pytest.raises(ValueError, match="is not from 0 to"):
        compile_classes(places, by_country, [("10.0.0.0/8", class_)], unknown=0)


def test_rules_that_split_the_world_alike_share_a_map() -> None:
    places = compile_places([FIRST, SECOND, OWN], REGIONS)
    one, classes_of_one = compile_classes(places, by_country, unknown=0).renumbered()
    other, classes_of_other = compile_classes(places, lambda place: 90 - by_country(place), unknown=3).renumbered()
    assert one.digest == other.digest
    assert classes_of_one == (3, 1, 2, 0, 4)
    assert classes_of_other == (87, 89, 88, 3, 86)
    differs, _ = compile_classes(places, lambda place: place.country == "FR", unknown=0).renumbered()
    assert differs.digest != one.digest


@given(ranges(32), ranges(128), st.permutations([4, 5, 6]))
def test_renumbering_keeps_the_answers(ipv4: Ranges, ipv6: Ranges, names: list[int]) -> None:
    named = ClassMap.of(ipv4.translated(names), ipv6.translated(names))
    plain, classes = ClassMap.of(ipv4, ipv6).renumbered()
    renumbered, others = named.renumbered()
    assert renumbered.digest == plain.digest
    assert others == tuple(names[class_] for class_ in classes)
    for runs, find, find_new in (
        (ipv4, named.find4, renumbered.find4),
        (ipv6, named.find6, renumbered.find6),
    ):
        for start, _, _ in runs:
            class_, scope = find_new(start)
            assert (others[class_], scope) == find(start)


def test_maps_are_kept_in_files(tmp_path: Path) -> None:
    made = compile_places([FIRST, SECOND, OWN], REGIONS)
    made.write(tmp_path / "places")
    places = PlaceMap.open(tmp_path / "places")
    assert places.places == made.places
    assert places.find("10.1.2.3") == made.find("10.1.2.3")
    compile_classes(places, by_country, unknown=0).write(tmp_path / "classes")
    compiled = ClassMap.open(tmp_path / "classes")
    assert compiled.digest == compile_classes(made, by_country, unknown=0).digest
    assert class_at(compiled, "10.1.2.3") == 1
    with pytest.raises(GeoError, match=r"places: a map of places, not of classes"):
        ClassMap.open(tmp_path / "places")
