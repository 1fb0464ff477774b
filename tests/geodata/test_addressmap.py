"""Look-ups: the right class, and a prefix that is as wide as it can be and not wider."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodata.addressmap import AddressMap
from geodata.errors import GeoError
from geodata.ranges import MAPPED_END, MAPPED_START, Ranges

from .strategies import near, ranges

NOTHING = 99


class Map(AddressMap):
    """The smallest map."""

    KIND = "test"


def seen_from_ipv6(ipv4: Ranges, ipv6: Ranges) -> Ranges:
    """What IPv6 look-ups must answer: the runs of IPv6 with those of IPv4 in ::ffff:0:0/96."""
    inside = Ranges.empty(128)
    inside.append(0, NOTHING)
    for start, _, id_ in ipv4:
        inside.append(MAPPED_START + start, id_)
    inside.append(MAPPED_END, NOTHING)
    return ipv6.overlaid(inside, transparent=NOTHING)


def holds(runs: Ranges, address: int, class_: int, scope: int) -> None:
    """The class is that of the address; the prefix is inside its run; the one a bit shorter is not."""

    def inside(length: int) -> bool:
        size = 1 << runs.bits - length
        first = address // size * size
        return runs.start(run) <= first and first + size <= runs.start(run + 1)

    run = runs.find(address)
    assert class_ == runs.ids[run]
    assert 0 <= scope <= runs.bits
    assert inside(scope)
    assert scope == 0 or not inside(scope - 1)


@given(st.data(), ranges(32))
def test_ipv4(data: st.DataObject, ipv4: Ranges) -> None:
    compiled = Map.of(ipv4, Ranges.uniform(128, 0))
    for _ in range(5):
        address = data.draw(near(ipv4))
        holds(ipv4, address, *compiled.find4(address))


@given(st.data(), ranges(32), ranges(128))
def test_ipv6(data: st.DataObject, ipv4: Ranges, ipv6: Ranges) -> None:
    compiled, runs = Map.of(ipv4, ipv6), seen_from_ipv6(ipv4, ipv6)
    for _ in range(5):
        address = data.draw(near(runs))
        holds(runs, address, *compiled.find6(address))


@given(st.data(), ranges(32), ranges(128))
def test_two_addresses_in_one_scope_have_one_class(data: st.DataObject, ipv4: Ranges, ipv6: Ranges) -> None:
    compiled = Map.of(ipv4, ipv6)
    for find, bits, edges in ((compiled.find4, 32, ipv4), (compiled.find6, 128, seen_from_ipv6(ipv4, ipv6))):
        address = data.draw(near(edges))
        class_, scope = find(address)
        size = 1 << bits - scope
        first = address // size * size
        for other in (first, first + size - 1, first + data.draw(st.integers(0, size - 1))):
            assert find(other) == (class_, scope)


@given(st.data(), ranges(32, classes=8), ranges(128))
def test_a_mapped_address_is_its_ipv4_address(data: st.DataObject, ipv4: Ranges, ipv6: Ranges) -> None:
    compiled = Map.of(ipv4, ipv6)
    address = data.draw(near(ipv4))
    class_, scope = compiled.find4(address)
    if len(ipv4.ids) > 1:
        assert compiled.find6(MAPPED_START + address) == (class_, scope + 96)
    else:
        assert compiled.find6(MAPPED_START + address)[0] == class_


def test_one_class_everywhere_has_scope_0() -> None:
    compiled = Map.of(Ranges.uniform(32, 4), Ranges.uniform(128, 4))
    for address in (0, 1, 10 << 24, (1 << 32) - 1):
        assert compiled.find4(address) == (4, 0)
        assert compiled.find6(address) == (4, 0)
        assert compiled.find6(MAPPED_START + address) == (4, 0)
        assert compiled.find6(((1 << 128) - 1) - address) == (4, 0)


@pytest.mark.parametrize(
    ("address", "scope"),
    [(0, 1), ((1 << 31) - 1, 1), (1 << 31, 2), ((1 << 32) - 1, 32), ((1 << 32) - 2, 32), ((1 << 32) - 3, 31)],
)
def test_the_ends_of_ipv4(address: int, scope: int) -> None:
    runs = Ranges.nested(32, [(0, 1, 1), ((1 << 32) - 1, 32, 2)], 0)
    assert Map.of(runs, Ranges.uniform(128, 0)).find4(address)[1] == scope


def test_a_64_that_is_split() -> None:
    first = 0x2001_0DB8 << 96
    runs = Ranges.nested(128, [(first, 32, 1), (first + 8, 125, 2)], 0)
    compiled = Map.of(Ranges.uniform(32, 0), runs)
    assert compiled.find6(first) == (1, 125)
    assert compiled.find6(first + 9) == (2, 125)
    assert compiled.find6(first + 16) == (1, 124)
    assert compiled.find6(first + (1 << 63)) == (1, 65)
    assert compiled.find6(first + (1 << 64)) == (1, 64)
    assert compiled.find6(first + (1 << 65)) == (1, 63)
    assert compiled.find6(first - 1) == (0, 29)
    assert compiled.find6(0) == (0, 3)


def test_write_and_open(tmp_path: Path) -> None:
    path = tmp_path / "a.map"
    made = Map.of(Ranges.nested(32, [(10 << 24, 8, 1)], 0), Ranges.nested(128, [(1 << 127, 1, 2)], 0))
    made.write(path)
    opened = Map.open(path)
    assert opened.digest == made.digest
    Map.of(Ranges.uniform(32, 0), Ranges.uniform(128, 0)).write(path)
    assert opened.find4(10 << 24) == made.find4(10 << 24) == (1, 8)
    assert opened.find6(1 << 127) == made.find6(1 << 127) == (2, 1)
    assert Map.open(path).find4(10 << 24) == (0, 0)


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "a.map"
    Map.of(Ranges.uniform(32, 0), Ranges.uniform(128, 0)).write(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(GeoError, match=r"a\.map: damaged: the checksum does not match"):
        Map.open(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(GeoError, match=r"a\.map: damaged"):
        Map.open(path)


@given(ranges(32), ranges(128))
def test_equal_maps_have_equal_bytes(ipv4: Ranges, ipv6: Ranges) -> None:
    """However the runs were cut before they were merged, and whatever stood in ::ffff:0:0/96."""
    cut4, cut6 = Ranges.empty(32), Ranges.empty(128)
    for runs, cut in ((ipv4, cut4), (ipv6, cut6)):
        for start, end, id_ in runs:
            cut.append(start, id_)
            if end - start > 1:
                cut.append((start + end) // 2, id_)
    mapped = Ranges.nested(128, [(MAPPED_START, 96, 7)], NOTHING)
    assert Map.of(ipv4, ipv6).digest == Map.of(cut4, cut6.overlaid(mapped, transparent=NOTHING)).digest
