"""The data that ships, and the file it is in."""

import ipaddress
import lzma
from pathlib import Path

import pytest
from msgspec.structs import replace

from geodata.errors import GeoError
from geodata.place import NOWHERE, Place
from geodata.ranges import Ranges
from geodata.regions import Regions
from geodata.source import Source
from geodata.sources.country import COUNTRY_FILE, pack_country, read_country


def small() -> Source:
    ipv4 = Ranges.nested(32, [(10 << 24, 8, 1), (10 << 24, 16, 2)], 0)
    ipv6 = Ranges.nested(128, [(0x2001_0DB8 << 96, 32, 2), ((0x2001_0DB8 << 96) + 8, 125, 1)], 0)
    return Source("a test", (NOWHERE, Place(country="FR"), Place(country="BR")), ipv4, ipv6, built=1_700_000_000)


def test_the_shipped_data_knows_well_known_addresses() -> None:
    shipped = read_country()
    for text, country in {
        "200.160.0.8": "BR",  # registro.br
        "202.12.29.175": "AU",  # apnic.net
        "193.0.6.139": "NL",  # ripe.net
        "2a01:e00::1": "FR",  # a French provider
        "2001:200::1": "JP",  # a Japanese one
        "2804::1": "BR",
    }.items():
        address = ipaddress.ip_address(text)
        ranges = shipped.ipv4 if address.version == 4 else shipped.ipv6
        assert shipped.places[ranges.ids[ranges.find(int(address))]].country == country, text
    assert shipped.name == "DB-IP Lite"
    assert shipped.built is not None
    assert shipped.built > 1_780_000_000


def test_the_shipped_data_is_whole() -> None:
    """Runs are sorted and merged, and every country has a region."""
    shipped = read_country()
    assert {place.country for place in shipped.places[1:]} <= set(Regions.load().countries)
    assert shipped.places[0] == NOWHERE
    for ranges in (shipped.ipv4, shipped.ipv6):
        starts = [ranges.start(run) for run in range(len(ranges.ids))]
        assert starts[0] == 0
        assert starts == sorted(set(starts))
        assert all(map(int.__ne__, ranges.ids, ranges.ids[1:]))
        assert set(ranges.ids) <= set(range(len(shipped.places)))


def test_the_licence_is_beside_the_data() -> None:
    notice = (COUNTRY_FILE.parent / "NOTICE").read_text()
    assert "IP Geolocation by DB-IP" in notice
    assert "https://db-ip.com" in notice
    assert "CC BY 4.0" in notice


def test_what_is_packed_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.xz"
    path.write_bytes(pack_country(small()))
    read = read_country(path)
    assert (read.name, read.places, read.built) == ("a test", small().places, 1_700_000_000)
    assert list(read.ipv4) == list(small().ipv4)
    assert list(read.ipv6) == list(small().ipv6)


def test_it_is_kept_until_the_file_is_another(tmp_path: Path) -> None:
    path = tmp_path / "a.xz"
    path.write_bytes(pack_country(small()))
    read = read_country(path)
    assert read_country(path) is read
    other = tmp_path / "b.xz"
    other.write_bytes(pack_country(replace(small(), name="another")))
    other.replace(path)
    assert read_country(path).name == "another"


def test_equal_sources_give_equal_bytes() -> None:
    assert pack_country(small()) == pack_country(small())


def test_damaged_files(tmp_path: Path) -> None:
    path, content = tmp_path / "a.xz", pack_country(small())
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(GeoError, match=r"a\.xz: "):
            read_country(path)
    for position in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(GeoError, match=r"a\.xz: "):
            read_country(path)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "a.xz"
    with pytest.raises(GeoError, match=r"a\.xz: cannot be read: .*No such file"):
        read_country(path)
    path.write_bytes(lzma.compress(b"something else"))
    with pytest.raises(GeoError, match=r"a\.xz: not a map of this version"):
        read_country(path)
