"""MaxMind databases: the answers of the package's own Reader, and one error for everything that is broken."""

import ipaddress
import math
import random
from pathlib import Path

import maxminddb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]  # no types; only made here and handed on

from geodata.errors import GeoError
from geodata.place import NOWHERE, Place
from geodata.ranges import parse_network
from geodata.source import Source
from geodata.sources.maxmind import read_built, read_maxmind, read_maxmind_part

from ..mmdb import Child, write_networks, write_tree

CITY: dict[str, object] = {
    "continent": {"code": "NA", "names": {"en": "North America"}},
    "country": {"iso_code": "US"},
    "registered_country": {"iso_code": "DE"},
    "subdivisions": [{"iso_code": "CA"}, {"iso_code": "XX"}],
}
FRANCE: dict[str, object] = {"country": {"iso_code": "FR"}}
PARIS = Place(country="FR", latitude=48.8566, longitude=2.35)
NETWORKS: dict[str, object] = {
    "0.0.0.0/8": {"country": {"iso_code": "AU"}},
    "10.0.0.0/9": FRANCE,
    "192.0.2.0/25": CITY,
    "192.0.2.128/32": {"registered_country": {"iso_code": "DE"}},
    "255.255.255.255/32": {"country_code": "jp"},
    "2001:db8::/32": CITY,
    "2001:db8:0:1::8/125": FRANCE,
    "2400::/12": {"country": {"iso_code": "JP"}},
    "ffff::/16": {"country_code": "BR"},
}
ROOT_ALONE: list[list[Child]] = [[("data", 0), None]]
"""A tree of one node: the lower half of the addresses has the first record, the upper half nothing."""


def place_at(source: Source, text: str) -> Place:
    address = ipaddress.ip_address(text)
    ranges = source.ipv4 if address.version == 4 else source.ipv6
    return source.places[ranges.ids[ranges.find(int(address))]]


def agrees_with_reader(path: Path, seed: int) -> None:
    """At the ends of every run, and at random addresses, our country is the Reader's."""
    source, chance = read_maxmind(path), random.Random(seed)
    with maxminddb.open_database(path) as reader:
        for ranges, make in ((source.ipv4, ipaddress.IPv4Address), (source.ipv6, ipaddress.IPv6Address)):
            if ranges.bits == 128 and reader.metadata().ip_version == 4:
                continue
            numbers = {ranges.start(run) for run in range(len(ranges.ids))}
            numbers |= {start - 1 for start in numbers if start} | {(1 << ranges.bits) - 1}
            numbers |= {chance.getrandbits(ranges.bits) for _ in range(300)}
            for number in numbers:
                if ranges.bits == 128 and number >> 32 == 0:
                    continue  # ::/96 is where the file keeps IPv4, and no IPv6 address of a client
                record = reader.get(str(make(number)))
                country = None
                if isinstance(record, dict):
                    nested = record.get("country") or record.get("registered_country") or {}
                    assert isinstance(nested, dict)
                    country = nested.get("iso_code") or record.get("country_code")
                expected = country.upper() if isinstance(country, str) else None
                assert source.places[ranges.ids[ranges.find(number)]].country == expected, make(number)


@pytest.mark.parametrize("record_size", [24, 28, 32])
def test_every_record_size_agrees_with_the_reader(tmp_path: Path, record_size: int) -> None:
    agrees_with_reader(write_networks(tmp_path / "a.mmdb", NETWORKS, record_size=record_size), record_size)


def test_28_bit_records_keep_their_high_bits(tmp_path: Path) -> None:
    """The left and the right record differ in their highest four bits alone, which share a byte."""
    france = b"\xe1\x4ccountry_code\x42FR"
    length = (1 << 24) - len(france) - 4
    filler = b"\x5f" + (length - 65821).to_bytes(3, "big") + bytes(length)  # a string
    nodes: list[list[Child]] = [[("data", 0), ("data", 2)]]
    path = write_tree(tmp_path / "a.mmdb", nodes, [france, filler, CITY], record_size=28, ip_version=4)
    agrees_with_reader(path, 28)
    source = read_maxmind(path)
    assert place_at(source, "1.1.1.1").country == "FR"
    assert place_at(source, "192.0.2.1").country == "US"


def test_a_file_of_another_writer_agrees_with_the_reader(tmp_path: Path) -> None:
    chance = random.Random(7)
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-Country")
    for country in ("FR", "BR", "JP", "US"):
        networks = [f"{chance.randrange(1, 224)}.{chance.randrange(256)}.0.0/16" for _ in range(30)]
        networks += [f"2{chance.randrange(1 << 12):03x}:{chance.randrange(1 << 16):x}::/32" for _ in range(30)]
        writer.insert_network(IPSet(networks), {"country": {"iso_code": country}})
    path = tmp_path / "a.mmdb"
    writer.to_db_file(str(path))
    agrees_with_reader(path, 7)


@pytest.mark.parametrize(
    "part",
    ["0.0.0.0/8", "8.0.0.0/6", "10.0.0.0/9", "10.1.0.0/16", "192.0.2.128/25", "192.0.2.128/32", "255.0.0.0/8",
     "64.0.0.0/8", "0.0.0.0/0", "::/0", "::/32", "2001:db8::/48", "2001:db8:0:1::/64", "2002::/16", "2002:a00::/24",
     "8000::/1"],
)  # fmt: skip
def test_a_part_is_what_the_whole_says_of_it(tmp_path: Path, part: str) -> None:
    path = write_networks(tmp_path / "a.mmdb", NETWORKS, aliases=("2002::/16",))
    network = parse_network(part)
    source, whole = read_maxmind_part(path, network), read_maxmind(path).within(network)
    for ours, theirs in ((source.ipv4, whole.ipv4), (source.ipv6, whole.ipv6)):
        assert [(start, end, source.places[id_]) for start, end, id_ in ours] == [
            (start, end, whole.places[id_]) for start, end, id_ in theirs
        ]


def test_a_part_of_a_file_of_one_family(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "a.mmdb", ROOT_ALONE, [FRANCE], ip_version=4)
    source = read_maxmind_part(path, (32, 10 << 24, 8))
    assert [place_at(source, text).country for text in ("9.9.9.9", "10.0.0.0", "11.0.0.0", "::")] == [
        None,
        "FR",
        None,
        None,
    ]
    source = read_maxmind_part(path, (128, 0, 1))
    assert {place_at(source, text) for text in ("10.0.0.0", "::", "8000::")} == {NOWHERE}


def test_a_part_without_countries_has_one_of_another_if_there_is_any(tmp_path: Path) -> None:
    countries = write_networks(
        tmp_path / "a.mmdb", {"10.0.0.0/9": {"autonomous_system_number": 1}, "11.0.0.0/8": FRANCE}
    )
    numbers = write_networks(tmp_path / "b.mmdb", {"10.0.0.0/9": {"autonomous_system_number": 1}})
    for path, expected in ((countries, {None, "FR"}), (numbers, {None})):
        source = read_maxmind_part(path, (32, 10 << 24, 8))
        assert {place.country for place in source.places} == expected
        assert place_at(source, "11.0.0.0") == NOWHERE


def test_ipv4_file(tmp_path: Path) -> None:
    source = read_maxmind(write_tree(tmp_path / "a.mmdb", ROOT_ALONE, [FRANCE], ip_version=4))
    assert place_at(source, "127.255.255.255").country == "FR"
    assert place_at(source, "128.0.0.0") == NOWHERE
    assert place_at(source, "2001:db8::1") == NOWHERE


def test_ipv4_that_is_one_record(tmp_path: Path) -> None:
    """The path of ::/96 may end in data before its end."""
    source = read_maxmind(write_tree(tmp_path / "a.mmdb", ROOT_ALONE, [FRANCE]))
    assert len(source.ipv4.ids) == 1
    assert place_at(source, "192.0.2.1").country == "FR"
    assert place_at(source, "2001:db8::1").country == "FR"
    assert place_at(source, "8000::") == NOWHERE


def test_aliases_of_ipv4_are_nowhere_in_ipv6(tmp_path: Path) -> None:
    aliases = ("::ffff:0:0/96", "2001::/32", "2002::/16")
    source = read_maxmind(write_networks(tmp_path / "a.mmdb", NETWORKS, aliases=aliases))
    for text in ("::192.0.2.1", "::ffff:192.0.2.1", "2002:c000:201::", "2001:0:c000:201::"):
        assert place_at(source, text) == NOWHERE, text
    assert place_at(source, "192.0.2.1").country == "US"
    assert place_at(source, "2001:db8::1").country == "US"


@pytest.mark.parametrize(
    ("record", "place"),
    [
        (CITY, Place("NA", None, "US", "US-CA")),
        ({"registered_country": {"iso_code": "DE"}}, Place(country="DE")),
        ({"country": {}, "registered_country": {"iso_code": "DE"}}, Place(country="DE")),
        ({"country": {"iso_code": "FR"}, "registered_country": {"iso_code": "DE"}}, Place(country="FR")),
        ({"country_code": "fr"}, Place(country="FR")),
        (FRANCE | {"traits": {"autonomous_system_number": 64500}}, Place(country="FR", asn=64500)),
        (FRANCE | {"autonomous_system_number": 64501}, Place(country="FR", asn=64501)),
        (FRANCE | {"autonomous_system_number": "x"}, Place(country="FR")),
        (FRANCE | {"subdivisions": []}, Place(country="FR")),
        (FRANCE | {"subdivisions": [{"names": {"en": "Corse"}}]}, Place(country="FR")),
        (FRANCE | {"subdivisions": {"iso_code": "IDF"}}, Place(country="FR")),
        (FRANCE | {"continent": {"code": "Atlantis"}}, Place(country="FR")),
        ({"country": {"iso_code": "None"}}, NOWHERE),
        ({"country": {"iso_code": "ZZ"}}, NOWHERE),
        ({"country": {"iso_code": ["FR"]}}, NOWHERE),
        ({"country": "FR"}, NOWHERE),
        ({"continent": {"code": "EU"}}, Place("EU")),
        ({"autonomous_system_number": 64501}, Place(asn=64501)),
        ({"autonomous_system_number": 64501, "country": {"iso_code": "ZZ"}}, Place(asn=64501)),
        (FRANCE | {"location": {"latitude": 48.85661, "longitude": 2.35}}, PARIS),
        (FRANCE | {"location": {"latitude": 48.85661}}, Place(country="FR")),
        (FRANCE | {"location": {"latitude": 91.0, "longitude": 2.35}}, Place(country="FR")),
        (FRANCE | {"location": {"latitude": math.nan, "longitude": 2.35}}, Place(country="FR")),
        (FRANCE | {"location": {"latitude": "48", "longitude": b"\x01\x07"}}, Place(country="FR")),
        ({"location": {"latitude": 0.0, "longitude": 0.0}}, NOWHERE),
        (
            FRANCE | {"location": {"latitude": 0.0, "longitude": -180.0}},
            Place(country="FR", latitude=0.0, longitude=-180.0),
        ),
        ({"country_code": "FR", "latitude": 48.85661, "longitude": 2.35}, PARIS),
        ("FR", NOWHERE),
        ([FRANCE], NOWHERE),
    ],
)
def test_records(tmp_path: Path, record: object, place: Place) -> None:
    source = read_maxmind(write_tree(tmp_path / "a.mmdb", ROOT_ALONE, [record], ip_version=4))
    assert place_at(source, "1.2.3.4") == place


def test_places_are_distinct_by_what_is_used_only(tmp_path: Path) -> None:
    networks: dict[str, object] = {
        f"10.{i}.0.0/16": FRANCE | {"city": {"geoname_id": i}, "location": {"accuracy_radius": i}} for i in range(9)
    }
    source = read_maxmind(write_networks(tmp_path / "a.mmdb", networks))
    assert source.places == (NOWHERE, Place(country="FR"))
    assert list(source.ipv4) == [
        (0, 10 << 24, 0),
        (10 << 24, (10 << 24) + (9 << 16), 1),
        ((10 << 24) + (9 << 16), 1 << 32, 0),
    ]
    assert source.built == 1_700_000_000
    assert not source.operator


def test_the_file_may_be_overwritten_afterwards(tmp_path: Path) -> None:
    path = write_networks(tmp_path / "a.mmdb", NETWORKS)
    source = read_maxmind(path)
    path.write_bytes(b"")
    assert place_at(source, "192.0.2.1").country == "US"


def broken(path: Path, message: str) -> None:
    with pytest.raises(GeoError, match=message) as error:
        read_maxmind(path)
    assert all(problem.startswith(f"{path}: ") for problem in error.value.problems)


@pytest.mark.parametrize("record_size", [24, 28, 32])
@pytest.mark.parametrize("ip_version", [4, 6])
def test_a_node_that_leads_to_itself(tmp_path: Path, record_size: int, ip_version: int) -> None:
    nodes: list[list[Child]] = [[None, ("node", 0)]]
    broken(write_tree(tmp_path / "a.mmdb", nodes, [], record_size=record_size, ip_version=ip_version), "loop")


def test_a_path_that_comes_back(tmp_path: Path) -> None:
    nodes: list[list[Child]] = [[("node", 1), None], [None, ("node", 2)], [("node", 0), ("node", 1)]]
    broken(write_tree(tmp_path / "a.mmdb", nodes, [], ip_version=4), "loop")


def test_a_tree_that_is_deeper_than_an_address(tmp_path: Path) -> None:
    nodes: list[list[Child]] = [[("node", i + 1), None] for i in range(32)]
    broken(
        write_tree(tmp_path / "a.mmdb", [*nodes, [("data", 0), None]], [FRANCE], ip_version=4),
        "is deeper than an address",
    )
    nodes[31] = [("data", 0), None]
    source = read_maxmind(write_tree(tmp_path / "a.mmdb", nodes[:32], [FRANCE], ip_version=4))
    assert place_at(source, "0.0.0.0").country == "FR"
    assert place_at(source, "0.0.0.1") == NOWHERE


def test_a_small_tree_that_opens_into_a_huge_one(tmp_path: Path) -> None:
    """No loop, but 2 to the power of 32 paths through 32 nodes."""
    nodes: list[list[Child]] = [[("node", i + 1), ("node", i + 1)] for i in range(31)]
    nodes.append([("data", 0), None])
    broken(write_tree(tmp_path / "a.mmdb", nodes, [FRANCE], ip_version=4), "loop")


def test_data_that_opens_into_a_huge_one(tmp_path: Path) -> None:
    """Each level of arrays points to the next one twice: what no place needs is not followed."""
    levels = b"".join(b"\x02\x04" + 2 * (b"\x20" + bytes((6 * (i + 1),))) for i in range(40))
    source = read_maxmind(write_tree(tmp_path / "a.mmdb", ROOT_ALONE, [levels + b"\x41x"]))
    assert source.places == (NOWHERE,)


def test_records_inside_each_other(tmp_path: Path) -> None:
    """{"x": {"x": ... "y"}}, and the tree leads to every map in it: each is as long as all the others below it."""
    depth = 10
    nodes: list[list[Child]] = [[("node", 2 * i + 1), ("node", 2 * i + 2)] for i in range((1 << depth) - 1)]
    nodes += [[("byte", 6 * i), ("byte", 6 * i + 3)] for i in range(1 << depth)]
    data = b"\xe1\x41x" * (2 << depth) + b"\x41y"
    broken(write_tree(tmp_path / "a.mmdb", nodes, [data], ip_version=4), "records overlap")


def test_pointers_that_go_in_a_circle(tmp_path: Path) -> None:
    broken(write_tree(tmp_path / "a.mmdb", ROOT_ALONE, [b"\x20\x00"]), "a pointer leads to a pointer")
    inner = b"\xe1\x47country\x20\x00"  # the country of the country is the record
    source = read_maxmind(write_tree(tmp_path / "a.mmdb", ROOT_ALONE, [inner]))
    assert source.places == (NOWHERE,)


@pytest.mark.parametrize(
    "metadata",
    [
        {"record_size": 25},
        {"ip_version": 5},
        {"node_count": 1 << 30},
        {"node_count": "many"},
        {"build_epoch": []},
    ],
)
def test_wrong_metadata(tmp_path: Path, metadata: dict[str, object]) -> None:
    broken(
        write_tree(tmp_path / "a.mmdb", ROOT_ALONE, [FRANCE], metadata=metadata),
        "not a usable MaxMind database",
    )


def test_metadata_with_pointers_and_of_every_type(tmp_path: Path) -> None:
    """Pointers count from the start of the metadata, numbers may be wider than they need to be."""
    path = tmp_path / "a.mmdb"
    for metadata, built in (
        ({"build_epoch": b"\x08\x02" + bytes(8)}, 0),
        ({"build_epoch": b"\x08\x02" + b"\xff" * 8}, None),
        ({"record_size": b"\xc4\x00\x00\x00\x18", "node_count": b"\x02\x03\x00\x01"}, 1_700_000_000),
        ({"languages": ["en", "zh-CN"], "is_new": b"\x01\x07", "description": {}}, 1_700_000_000),
    ):
        write_tree(path, ROOT_ALONE, [FRANCE], metadata=metadata)
        assert read_maxmind(path).built == read_built(path) == built
        assert place_at(read_maxmind(path), "1.2.3.4").country == "FR"
    write_tree(path, ROOT_ALONE, [FRANCE], metadata={"description": {"x": "Test-City"}})
    content = path.read_bytes()
    start = content.index(b"\xab\xcd\xefMaxMind.com") + 14
    text = content.index(b"\x49Test-City", start) - start
    head, _, tail = content.rpartition(b"\x49Test-City")
    path.write_bytes(head + b"\x20" + bytes((text,)) + tail)
    with maxminddb.open_database(path, maxminddb.MODE_MEMORY) as reader:
        assert reader.metadata().description == {"x": "Test-City"}
    assert read_built(path) == 1_700_000_000


def test_records_that_are_no_maps_and_trees_without_ipv4(tmp_path: Path) -> None:
    source = read_maxmind(write_tree(tmp_path / "a.mmdb", ROOT_ALONE, ["1.0.0.0/8"], ip_version=4))
    assert source.places == (NOWHERE,)
    nodes: list[list[Child]] = [[None, ("data", 0)]]
    source = read_maxmind(write_tree(tmp_path / "a.mmdb", nodes, [FRANCE]))
    assert list(source.ipv4) == [(0, 1 << 32, 0)]
    assert place_at(source, "8000::").country == "FR"


def test_when_it_was_built_of_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.mmdb").write_bytes(b"\xab\xcd\xefMaxMind.com")
    for name, reason in (("a.mmdb", "not a usable MaxMind database"), ("absent.mmdb", "cannot be read")):
        with pytest.raises(GeoError, match=rf"{name}: {reason}"):
            read_built(tmp_path / name)


def test_a_pointer_out_of_the_data(tmp_path: Path) -> None:
    pointer = b"\x38\xff\xff\xff\xff"
    broken(write_tree(tmp_path / "a.mmdb", ROOT_ALONE, [pointer]), "not a usable MaxMind database")


def test_every_truncated_file_is_an_error(tmp_path: Path) -> None:
    path = write_networks(tmp_path / "a.mmdb", NETWORKS)
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 37):
        path.write_bytes(content[:length])
        with pytest.raises(GeoError):
            read_maxmind(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(GeoError, match=r"absent\.mmdb: cannot be read: .*No such file"):
        read_maxmind(tmp_path / "absent.mmdb")


# The extension says this of empty strings; users do not see it.
@pytest.mark.filterwarnings("ignore:PyUnicode_FromStringAndSize:DeprecationWarning")
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=6))
def test_any_changed_bytes_give_a_source_or_the_error(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    path = tmp_path / "a.mmdb"
    if not path.exists():
        write_networks(path, NETWORKS)
    content = bytearray(path.read_bytes())
    for position, byte in changes:
        content[position % len(content)] = byte
    other = tmp_path / "b.mmdb"
    other.write_bytes(content)
    try:
        source = read_maxmind(other)
    except GeoError:
        return
    assert source.ipv4.start(0) == source.ipv6.start(0) == 0
    assert max(*source.ipv4.ids, *source.ipv6.ids) < len(source.places)
