"""Blocks of columns: what is packed is unpacked, and a damaged one is never used."""

import os
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodata.errors import GeoError
from geodata.mapfile import digest_of, map_file, pack, unpack, write_atomically

COLUMNS = {
    "bytes": array("B", b"abc"),
    "none": array("I"),
    "words": array("I", (0, 1, 0xFFFFFFFF)),
    "halves": array("Q", (1 << 63, 7)),
}


def test_what_is_packed_is_unpacked() -> None:
    unpacked = unpack("test", pack("test", COLUMNS), "x")
    assert {name: (column.tolist()) for name, column in unpacked.items()} == {
        name: column.tolist() for name, column in COLUMNS.items()
    }


def test_the_digest_is_that_of_the_content() -> None:
    assert pack("test", COLUMNS) == pack("test", dict(COLUMNS))
    assert digest_of(pack("test", COLUMNS)) != digest_of(pack("best", COLUMNS))
    assert digest_of(pack("test", COLUMNS)) != digest_of(pack("test", COLUMNS | {"bytes": array("B", b"abd")}))
    assert len(digest_of(pack("test", COLUMNS))) == 32


@given(st.data())
def test_one_changed_byte_is_an_error(data: st.DataObject) -> None:
    packed = bytearray(pack("test", COLUMNS))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(GeoError, match=r"^some file: (damaged: the checksum|not a map of this version)"):
        unpack("test", bytes(packed), "some file")


@given(st.binary())
def test_any_bytes_are_an_error(content: bytes) -> None:
    for candidate in (content, pack("test", COLUMNS)[:24] + content, b"waypost\x01" + content):
        with pytest.raises(GeoError):
            unpack("test", candidate, "some file")


def test_cut_off_files_are_an_error() -> None:
    packed = pack("test", COLUMNS)
    for length in range(len(packed)):
        with pytest.raises(GeoError):
            unpack("test", packed[:length], "some file")


def test_a_map_of_another_kind() -> None:
    with pytest.raises(GeoError, match=r"^x: a map of test, not of best$"):
        unpack("best", pack("test", COLUMNS), "x")


def test_write_and_map(tmp_path: Path) -> None:
    path = tmp_path / "a.map"
    write_atomically(path, b"one")
    opened = map_file(path)
    write_atomically(path, b"other")
    assert opened[:] == b"one"
    assert map_file(path)[:] == b"other"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.map"
    write_atomically(path, b"one")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"other")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_cannot_be_mapped(tmp_path: Path) -> None:
    with pytest.raises(GeoError, match=r"a\.map: cannot be mapped: .*No such file"):
        map_file(tmp_path / "a.map")
    (tmp_path / "a.map").touch()
    with pytest.raises(GeoError, match=r"a\.map: cannot be mapped: .*empty"):
        map_file(tmp_path / "a.map")
