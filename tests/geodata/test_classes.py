"""From sources to places to classes."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from geodata.classes import ClassMap, Finding, PlaceMap, compile_classes, compile_places, compile_rules
from geodata.continents import CONTINENT_OF
from geodata.errors import GeoError
from geodata.place import NOWHERE, Place
from geodata.ranges import MAPPED_END, MAPPED_START, Ranges, parse_network
from geodata.regions import Regions
from geodata.source import Source

from .strategies import addresses, near, ranges

REGIONS = Regions.load()
NO_REGIONS = Regions({})


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


CITY = source(
    "city",
    {
        "10.0.0.0/8": Place("EU", None, "FR", latitude=46.0, longitude=2.0),
        "10.1.0.0/16": Place("EU", None, "FR", "FR-IDF", latitude=48.8566, longitude=2.3522),
        "2001:db8::/32": Place("NA", None, "US", "US-CA"),
    },
)
ASN = source("asn", {"10.0.0.0/9": Place(asn=64500), "10.128.0.0/10": Place(asn=64501), "2001:db8::/31": Place(asn=7)})


@pytest.mark.parametrize("order", [[CITY, ASN], [ASN, CITY]])
def test_a_city_and_an_asn_database_complete_each_other(order: list[Source]) -> None:
    places = compile_places(order, REGIONS)
    both = ", ".join(source.name for source in order)
    whole = Place("EU", "WEU", "FR", latitude=46.0, longitude=2.0)
    part = Place("EU", "WEU", "FR", "FR-IDF", latitude=48.8566, longitude=2.3522)
    expected = {
        "10.0.0.1": Finding(replace(whole, asn=64500), "10.0.0.0/16", both),
        "10.1.0.1": Finding(replace(part, asn=64500), "10.1.0.0/16", both),
        "10.128.0.1": Finding(replace(whole, asn=64501), "10.128.0.0/10", both),
        "10.192.0.1": Finding(whole, "10.192.0.0/10", "city"),
        "2001:db8::1": Finding(Place("NA", "WNAM", "US", "US-CA", 7), "2001:db8::/32", both),
        "2001:db9::1": Finding(Place(asn=7), "2001:db9::/32", "asn"),
    }
    assert {address: places.find(address) for address in expected} == expected


def test_what_the_rules_do_not_ask_for_is_left_out() -> None:
    def only_asn_7(place: Place) -> Place:
        return replace(place, asn=7 if place.asn == 7 else None, latitude=None, longitude=None)

    places = compile_places([CITY, ASN], REGIONS, only_asn_7)
    assert places.find("10.0.0.1") == Finding(Place("EU", "WEU", "FR"), "10.0.0.0/16", "city")
    assert places.find("2001:db9::1") == Finding(Place(asn=7), "2001:db9::/32", "asn")
    assert compile_places([ASN], REGIONS, only_asn_7).find("10.0.0.1") is None
    assert {place.asn for place in places.places} == {None, 7}
    assert {place.latitude for place in places.places} == {None}


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (Place(country="FR"), Place("EU", None, "FR", "FR-IDF", 7), Place("EU", None, "FR", "FR-IDF", 7)),
        (
            Place(country="FR"),
            Place(None, None, "FR", None, None, 1.0, 2.0),
            Place(None, None, "FR", None, None, 1.0, 2.0),
        ),
        (Place(country="FR", asn=1), Place("EU", country="FR", asn=2), Place("EU", country="FR", asn=1)),
        # Of another country, only the AS number counts.
        (Place(country="FR"), Place("XX", None, "US", "US-CA", 7, 1.0, 2.0), Place(country="FR", asn=7)),
        # Coordinates of another part of the country are not those of this one.
        (
            Place(country="US", subdivision="US-NY"),
            Place("NA", None, "US", "US-CA", None, 1.0, 2.0),
            Place("NA", None, "US", "US-NY"),
        ),
        (Place("EU"), Place("EU", None, "FR"), Place("EU", None, "FR")),
        (Place("EU"), Place("NA", None, "US"), Place("EU")),
    ],
)
def test_what_a_second_source_adds(first: Place, second: Place, both: Place) -> None:
    places = compile_places([source("a", {"10.0.0.0/8": first}), source("b", {"10.0.0.0/8": second})], NO_REGIONS)
    finding = places.find("10.0.0.1")
    assert finding is not None
    continent = both.continent or CONTINENT_OF.get(both.country or "")
    assert finding.place == replace(both, continent=continent)
    assert finding.source == ("a" if both == first else "a, b")


@given(st.lists(st.tuples(ranges(32, 4), ranges(128, 4)), min_size=1, max_size=4), st.data())
def test_merging_is_the_same_address_by_address(layers: list[tuple[Ranges, Ranges]], data: st.DataObject) -> None:
    """Sources that each know one field."""
    fields = ("asn", "continent", "asn", "continent")
    texts = ("EU", "NA", "OC")
    tables = [
        (NOWHERE, *(Place(asn=10 * rank + 1 + i) if field == "asn" else Place(texts[i]) for i in range(3)))
        for rank, field in enumerate(fields)
    ]
    sources = [Source(str(rank), tables[rank], *layers[rank]) for rank in range(len(layers))]
    places = compile_places(sources, NO_REGIONS)
    for bits, find in ((32, places.find4), (128, places.find6)):
        address = data.draw(near(layers[0][bits == 128]))
        if bits == 128 and address >> 32 == 0xFFFF:
            continue
        said = [
            tables[rank][runs[bits == 128].ids[runs[bits == 128].find(address)]] for rank, runs in enumerate(layers)
        ]
        expected = Place(
            asn=next((place.asn for place in said if place.asn), None),
            continent=next((place.continent for place in said if place.continent), None),
        )
        assert places.places[find(address)[0]] == expected


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


def test_a_class_may_depend_on_place_and_networks_in_any_way() -> None:
    places = compile_places([CITY, ASN], REGIONS)
    asked: list[tuple[Place, frozenset[str]]] = []

    def classify(place: Place, networks: frozenset[str]) -> int:
        """Of three rules, each with lists of which one must match, the first."""
        asked.append((place, networks))
        rules = (
            networks & {"10.0.0.0/24", "2001:db8:1::/48"} and place.continent in ("EU", "NA"),
            place.asn in (64500, 7) and place.subdivision in ("FR-IDF", "US-CA"),
            networks & {"10.0.0.0/15", "192.0.2.0/24", "::ffff:192.0.2.0/121"},
        )
        return next((number for number, matches in enumerate(rules, 1) if matches), 0)

    networks = ["10.0.0.0/15", "10.0.0.0/24", "192.0.2.0/24", "::ffff:192.0.2.0/121", "2001:db8:1::/48"]
    compiled = compile_rules(places, classify, networks)
    expected = {
        "10.0.0.1": 1, "10.0.1.1": 3, "10.1.0.1": 2, "10.2.0.1": 0, "192.0.2.1": 3, "192.0.2.200": 3, "192.0.3.1": 0,
        "2001:db8:1::1": 1, "2001:db8:2::1": 2, "2001:db9::1": 0, "::1": 0,
    }  # fmt: skip
    assert {text: class_at(compiled, text) for text in expected} == expected
    assert len(asked) == len(set(asked))
    assert (NOWHERE, frozenset(networks[2:4])) in asked


def test_rules_with_bad_networks_or_classes() -> None:
    places = compile_places([], REGIONS)
    with pytest.raises(GeoError) as error:
        compile_rules(places, lambda *_: 0, ["nonsense", "10.0.0.0/8", "10.0.0.1/8"])
    assert len(error.value.problems) == 2
    with pytest.raises(ValueError, match="class -1"):
        compile_rules(places, lambda *_: -1, [])


SomeRule = tuple[set[str], set[int], list[tuple[int, int]], list[tuple[int, int]], int]
"""Continents, AS numbers, IPv4 and IPv6 networks, one of each of which must match, and the class."""

RULE = st.tuples(
    st.sets(st.sampled_from(["EU", "NA", "OC"])),
    st.sets(st.sampled_from([1, 2])),
    st.lists(st.tuples(addresses(32), st.integers(0, 32)), max_size=4),
    st.lists(st.tuples(addresses(128), st.integers(0, 128)), max_size=4),
    st.integers(0, 2),
)


def rule_for(address: int, length: int) -> list[SomeRule]:
    """Clients of this IPv6 network are of class 0."""
    return [(set(), set(), [], [(address, length)], 0)]


NOBODY = tuple(Ranges.uniform(bits, 0) for bits in (32, 128, 32, 128))


@example(rule_for(0, 71), *NOBODY, 0, 0)
@example(rule_for(0, 71), *NOBODY, 1, 0)
@example(rule_for(MAPPED_START, 96), *NOBODY, 0, 0)
@example(rule_for(MAPPED_START + 3, 109), *NOBODY, 0, 0)
@example(rule_for(MAPPED_START + 3, 109), *NOBODY, 1, 0)
@given(
    st.lists(RULE, max_size=4),
    *(ranges(bits, 4) for bits in (32, 128, 32, 128)),
    st.integers(0, 99),
    st.integers(-2, 2),
)
def test_the_scope_is_the_widest_that_is_of_one_class_whatever_the_rules(
    rules: list[SomeRule],
    city4: Ranges,
    city6: Ranges,
    asn4: Ranges,
    asn6: Ranges,
    which: int,
    step: int,
) -> None:
    """At an address beside an edge."""
    city = Source("city", (NOWHERE, Place("EU"), Place("NA"), Place("OC")), city4, city6)
    asn = Source("asn", (NOWHERE, Place(asn=1), Place(asn=2), Place(asn=3)), asn4, asn6)

    def text(bits: int, network: tuple[int, int]) -> str:
        address, length = network
        return str(ipaddress.ip_network((address.to_bytes(bits // 8, "big"), length), strict=False))

    named = [
        (continents, asns, {text(32, each) for each in in4} | {text(128, each) for each in in6}, class_)
        for continents, asns, in4, in6, class_ in rules
    ]

    def classify(place: Place, networks: frozenset[str]) -> int:
        for continents, asns, around, class_ in named:
            if (
                (not continents or place.continent in continents)
                and (not asns or place.asn in asns)
                and (not around or around & networks)
            ):
                return class_
        return 9

    # IPv4-mapped addresses are IPv4 addresses, and networks of them are IPv4 networks, here as everywhere; so an IPv6
    # network that has ::ffff:0:0/96 in it says nothing of IPv4 clients.
    mentioned = {each: parse_network(each) for _, _, around, _ in named for each in around}
    compiled = compile_rules(compile_places([city, asn], NO_REGIONS), classify, mentioned)
    families = {32: (city4, asn4), 128: (city6, asn6)}

    def class_of(bits: int, address: int) -> int:
        if bits == 128 and address >> 32 == 0xFFFF:
            return class_of(32, address & 0xFFFFFFFF)
        runs = families[bits]
        place = Place(
            city.places[runs[0].ids[runs[0].find(address)]].continent,
            asn=asn.places[runs[1].ids[runs[1].find(address)]].asn,
        )
        around = (
            each
            for each, (family, first, length) in mentioned.items()
            if family == bits and address >> bits - length == first >> bits - length
        )
        return classify(place, frozenset(around))

    edges: dict[int, set[int]] = {32: {0}, 128: {MAPPED_START, MAPPED_END}}
    for bits, layers in families.items():
        edges[bits] |= {edge for runs in layers for edge, _, _ in runs}
    for bits, first, length in mentioned.values():
        edges[bits] |= {first, first + (1 << bits - length)}
    edges[128] |= {MAPPED_START + edge for edge in edges[32]}

    def classes_in(bits: int, address: int, length: int) -> set[int]:
        """The classes of a prefix around the address: of its first address, and of each edge inside."""
        start = address >> bits - length << bits - length
        end = start + (1 << bits - length)
        return {class_of(bits, each) for each in {start, *(edge for edge in edges[bits] if start <= edge < end)}}

    for bits, find in ((32, compiled.find4), (128, compiled.find6)):
        address = sorted(edges[bits])[which % len(edges[bits])] + step & (1 << bits) - 1
        class_, scope = find(address)
        assert classes_in(bits, address, scope) == {class_}
        if scope:
            assert classes_in(bits, address, scope - 1) != {class_}


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
