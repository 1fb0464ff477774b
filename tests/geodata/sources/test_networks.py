"""The operator's networks: what is read, and which line is to blame."""

import ipaddress
from pathlib import Path

import pytest

from geodata.errors import GeoError
from geodata.place import NOWHERE, Place
from geodata.source import Source
from geodata.sources.networks import read_networks


def source(path: Path, rows: str, header: str = "network,country,subdivision,asn") -> Source:
    path.write_text(f"{header}\n{rows}\n")
    return read_networks(path)


def place_at(source: Source, text: str) -> Place:
    address = ipaddress.ip_address(text)
    ranges = source.ipv4 if address.version == 4 else source.ipv6
    return source.places[ranges.ids[ranges.find(int(address))]]


def test_the_most_specific_network_wins(tmp_path: Path) -> None:
    read = source(
        tmp_path / "a.csv",
        "10.0.0.0/16,FR,,\n10.0.1.0/24,US,US-CA,64500\n10.0.0.0/8,DE,,\n10.0.1.7,JP,,\n2001:db8::/32,BR,,\n2001:db8:0:1::8/125,JP,,",
    )
    expected = {
        "9.255.255.255": NOWHERE,
        "10.0.0.0": Place(country="FR"),
        "10.0.1.6": Place(country="US", subdivision="US-CA", asn=64500),
        "10.0.1.7": Place(country="JP"),
        "10.0.1.8": Place(country="US", subdivision="US-CA", asn=64500),
        "10.0.2.0": Place(country="FR"),
        "10.1.0.0": Place(country="DE"),
        "10.255.255.255": Place(country="DE"),
        "11.0.0.0": NOWHERE,
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff": NOWHERE,
        "2001:db8:0:1::7": Place(country="BR"),
        "2001:db8:0:1::f": Place(country="JP"),
        "2001:db8:0:1::10": Place(country="BR"),
        "2001:db9::": NOWHERE,
    }
    assert {text: place_at(read, text) for text in expected} == expected
    assert read.operator


def test_the_whole_space(tmp_path: Path) -> None:
    read = source(tmp_path / "a.csv", "0.0.0.0/0,FR\n::/0,BR\n255.255.255.255,US\nffff::/16,JP", "network,country")
    assert [place_at(read, text).country for text in ("0.0.0.0", "255.255.255.254", "255.255.255.255")] == [
        "FR",
        "FR",
        "US",
    ]
    assert [place_at(read, text).country for text in ("::", "fffe::", "ffff:ffff::")] == ["BR", "BR", "JP"]


def test_an_ipv4_mapped_network_is_ipv4(tmp_path: Path) -> None:
    read = source(tmp_path / "a.csv", "::ffff:192.0.2.0/120,FR", "network,country")
    assert place_at(read, "192.0.2.255").country == "FR"
    assert place_at(read, "::ffff:192.0.2.255") == NOWHERE


def test_all_problems_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(GeoError) as error:
        source(
            path,
            "10.0.0.1/8,FR,,\n10.0.0.0/33,XX,,\nnonsense,FR,DE-BE,\n192.0.2.0/24,FR,,0\n192.0.2.0/24,FR,,x\n"
            "198.51.100.0/24,US,CA,4294967296\n203.0.113.0/24,FR,,4294967295",
        )
    assert [problem.removeprefix(str(path)) for problem in error.value.problems] == [
        ":2: 10.0.0.1/8 has host bits set",
        ":3: 'XX' is no country (ISO 3166-1: two capital letters)",
        ":3: '10.0.0.0/33' does not appear to be an IPv4 or IPv6 network",
        ":4: 'DE-BE' is no subdivision of FR (ISO 3166-2, such as FR-XX)",
        ":4: 'nonsense' does not appear to be an IPv4 or IPv6 network",
        ":5: '0' is no AS number (1 to 4294967295)",
        ":6: 'x' is no AS number (1 to 4294967295)",
        ":6: 192.0.2.0/24 stands in line 5 already",
        ":7: 'CA' is no subdivision of US (ISO 3166-2, such as US-XX)",
        ":7: '4294967296' is no AS number (1 to 4294967295)",
    ]


def test_a_file_without_a_country_column(tmp_path: Path) -> None:
    with pytest.raises(GeoError, match="the header line lacks the column 'country'"):
        source(tmp_path / "a.csv", "", "network,asn")


def test_an_empty_table_knows_nothing(tmp_path: Path) -> None:
    read = source(tmp_path / "a.csv", "")
    assert read.places == (NOWHERE,)
    assert place_at(read, "192.0.2.1") == NOWHERE
