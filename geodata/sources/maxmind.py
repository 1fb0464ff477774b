"""MaxMind databases (.mmdb), City, Country or ASN, and others in their layout (DB-IP, ip-location-db).

MaxMind DB file format 2.0. The file is read into private memory: one that is overwritten in place while it is
mapped kills the process. A City database has millions of networks and hundreds of thousands of records of some
hundred values, most of them names in ten languages. So the search tree is walked here over its numbers, each
distinct record is read once, and of a record only what a Place needs; the package's Decoder reads the metadata and
the single values.

Everything in the file is hostile: a tree deeper than an address, a visit to more nodes than there are, a pointer
out of the data, a record that does not decode, records that overlap so that reading them never ends: each is a
GeoError that names the file.
"""

import os
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeVar

import maxminddb
import msgspec
from maxminddb.decoder import Decoder

from geodata.continents import CONTINENTS
from geodata.errors import GeoError
from geodata.place import DEGREE_DIGITS, NOWHERE, Place, is_country, is_subdivision
from geodata.ranges import LOW_HALF, Column, Network, Ranges
from geodata.source import PlaceList, Source

T = TypeVar("T")

_MARKER = b"\xab\xcd\xefMaxMind.com"
_METADATA_SIZE = 128 * 1024
"""The metadata is in the last so many bytes, by the specification."""
_SEPARATOR = 16
"""Zero bytes between the tree and the data."""
_CHUNK = 24 * 7 * 4096
"""Bytes of the tree that are taken apart at a time: whole nodes of every size."""

_END_OF_TIME = 253_402_300_800
"""The year 10000, in Unix seconds."""

_HIGH_NIBBLE = bytes(byte >> 4 for byte in range(256))
_LOW_NIBBLE = bytes(byte & 15 for byte in range(256))

_POINTER, _STRING, _DOUBLE, _MAP, _ARRAY, _BOOLEAN, _FLOAT = 1, 2, 3, 7, 11, 14, 15
_NUMBERS = {_DOUBLE, _FLOAT, 5, 6, 8, 9, 10}
_NOTHING = -1, 0
_POINTER_OFFSETS = (0, 0, 2048, 526336)
"""By the length of a pointer."""
_SIZE_OFFSETS = (0, 29, 285, 65821)
"""By the number of bytes that a size takes."""
_LENGTHS = tuple(
    0 if control >> 5 in (0, _MAP) or (control >> 5 != _POINTER and control & 31 >= 29)
    else 2 + (control >> 3 & 3) if control >> 5 == _POINTER
    else 1 + (control & 31)
    for control in range(256)
)  # fmt: skip
"""By its first byte the length of a value, where that is all that there is to know; else 0."""
_ASN = b"autonomous_system_number"
_KEYS = {
    _ASN,
    *b"code continent country country_code iso_code latitude location longitude registered_country".split(),
    *b"subdivisions traits".split(),
}
"""The keys that lead to something a Place has."""


class _Metadata(msgspec.Struct, frozen=True):
    node_count: int
    record_size: int
    ip_version: int
    build_epoch: int

    @property
    def built(self) -> int | None:
        """Unix seconds; None for a time that no calendar has (a test database of MaxMind's ends time itself)."""
        return self.build_epoch if 0 <= self.build_epoch < _END_OF_TIME else None


def read_maxmind(path: Path) -> Source:
    """What the database says. A country is `country`, or `registered_country` where that is missing."""
    return _open(path, lambda file: _read_untrusted(str(path), file))


def read_maxmind_part(path: Path, part: Network) -> Source:
    """What the database says about the addresses in one network, read fifty times faster; nothing about any other.

    If any place in the database has a country, so has one of the places, even if none is in the network: what kind of
    database it is shows in the part as in the whole.
    """
    return _open(path, lambda file: _read_untrusted(str(path), file, part))


def read_built(path: Path) -> int | None:
    """When the database was built, in Unix seconds; raises GeoError. Reads the end of the file alone."""
    return _open(path, _metadata_untrusted).built


def _open(path: Path, read: Callable[[BinaryIO], T]) -> T:
    try:
        with path.open("rb") as file:
            return read(file)
    except OSError as error:
        raise GeoError(f"{path}: cannot be read: {error}") from error
    # TypeError: the Decoder met a map as a key.
    except (maxminddb.InvalidDatabaseError, msgspec.ValidationError, ValueError, IndexError, TypeError) as error:
        raise GeoError(f"{path}: not a usable MaxMind database: {error}") from error


def _read_untrusted(name: str, file: BinaryIO, part: Network | None = None) -> Source:
    metadata = _metadata_untrusted(file)
    node_count = metadata.node_count
    file.seek(0)
    tree = _Tree(_records(file, node_count, metadata.record_size), node_count)
    root = tree.ipv4_root() if metadata.ip_version == 6 else 0
    ipv4, ipv6 = (Ranges.uniform(bits, node_count) for bits in (32, 128))
    for bits, first, length in (part,) if part else ((32, 0, 0), (128, 0, 0)):
        if bits == 32:
            ipv4 = tree.ranges(32, root, first, length)
        elif metadata.ip_version == 6:
            ipv6 = tree.ranges(128, 0, first, length, alias=root)
    others = tree.leaves() if part else ()
    del tree  # unless it is needed for `others`, it and the data need not be in memory at once
    start = node_count * metadata.record_size // 4 + _SEPARATOR
    size = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    # With its size, the data is not copied in between; and it has gone when the ranges are made anew.
    places, ids = _decode(file.read(max(0, size)), node_count, (ipv4.ids, ipv6.ids), others)
    ipv4 = ipv4.translated(ids)
    return Source(name, places.places(), ipv4, ipv6.translated(ids), built=metadata.built)


def _decode(
    data: bytes, node_count: int, used: Iterable[Column], others: Iterable[int]
) -> tuple[PlaceList, dict[int, int]]:
    """The places of all records used, and the id of each record; where none has a country, a place of `others` too."""
    places, reader = PlaceList(), _Records(data)
    ids = dict.fromkeys(chain.from_iterable(used), 0)
    ids[node_count] = 0
    for record in ids:
        if record != node_count:
            ids[record] = places.id_of(reader.place(record - node_count - _SEPARATOR))
    if not any(place.country for place in places.places()):
        elsewhere = (reader.place(record - node_count - _SEPARATOR) for record in others)
        places.id_of(next((place for place in elsewhere if place.country), NOWHERE))
    return places, ids


def _metadata_untrusted(file: BinaryIO) -> _Metadata:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _METADATA_SIZE))
    _, marker, encoded = file.read(_METADATA_SIZE).rpartition(_MARKER)
    if not marker:
        raise ValueError("no metadata")
    metadata = msgspec.convert(Decoder(encoded).decode(0)[0], type=_Metadata)
    if metadata.ip_version not in (4, 6):
        raise ValueError(f"IP version {metadata.ip_version}")
    if metadata.record_size not in (24, 28, 32):
        raise ValueError(f"records of {metadata.record_size} bits")
    if not 0 < metadata.node_count <= size * 4 // metadata.record_size:
        raise ValueError("the search tree is cut off")
    return metadata


def _records(file: BinaryIO, node_count: int, record_size: int) -> "array[int]":
    """The records of the tree as numbers: 2n and 2n + 1 are where node n leads for a bit 0 and 1."""
    records = array("I")
    missing = node_count * record_size // 4
    while missing:
        tree = file.read(min(missing, _CHUNK))
        if not tree or len(tree) * 4 % record_size:
            raise ValueError("the search tree is cut off")
        missing -= len(tree)
        records.frombytes(_apart(tree, record_size))
    if sys.byteorder == "big":
        records.byteswap()
    return records


def _apart(tree: bytes, record_size: int) -> bytearray:
    """Records as 32 bits each, little-endian; by slices, since a node at a time is slow."""
    little = bytearray(len(tree) * 32 // record_size)
    if record_size == 24:
        little[0::4], little[1::4], little[2::4] = tree[2::3], tree[1::3], tree[0::3]
    elif record_size == 28:  # the middle byte of the seven has the highest four bits of both records
        little[0::8], little[1::8], little[2::8] = tree[2::7], tree[1::7], tree[0::7]
        little[3::8] = tree[3::7].translate(_HIGH_NIBBLE)
        little[4::8], little[5::8], little[6::8] = tree[6::7], tree[5::7], tree[4::7]
        little[7::8] = tree[3::7].translate(_LOW_NIBBLE)
    else:
        little[0::4], little[1::4], little[2::4], little[3::4] = tree[3::4], tree[2::4], tree[1::4], tree[0::4]
    return little


class _Tree:
    """The binary search tree. A record below `node_count` is a node, `node_count` means no data, one above is data."""

    def __init__(self, records: "array[int]", node_count: int) -> None:
        self._records = records
        self._node_count = node_count

    def ipv4_root(self) -> int:
        """The record that ::/96 leads to: the root of IPv4."""
        record = 0
        for _ in range(96):
            if record >= self._node_count:
                break
            record = self._records[2 * record]
        return record

    def leaves(self) -> Iterator[int]:
        """Every record with data, once."""
        seen = set()
        for record in self._records:
            if record > self._node_count and record not in seen:
                seen.add(record)
                yield record

    def ranges(self, bits: int, root: int, first: int, length: int, alias: int = -1) -> Ranges:
        """The addresses of a network below `root` by record; what leads to the node `alias` (IPv4 in IPv6) has no data.

        What is not in the network has none.
        """
        records, node_count = self._records, self._node_count
        visits_left = 4 * node_count  # a proper tree needs one for each node; some share a few subtrees
        columns = (array("I"),) if bits == 32 else (array("Q"), array("Q"))
        *highs, lows = columns
        ids = array("I")
        if first:
            for column in columns:
                column.append(0)
            ids.append(node_count)
        record = root
        for bit in range(bits - 1, bits - length - 1, -1):
            if record >= node_count or record == alias:
                break
            record = records[2 * record + (first >> bit & 1)]
        last = -1
        # What is still to be walked, the next on top: (record, bits below, first address).
        ahead = [(record, bits - length, first)]
        push, pop = ahead.append, ahead.pop
        while ahead:
            record, below, address = pop()
            # Down to the left; what is on the right waits.
            while record < node_count and record != alias:
                visits_left -= 1
                if below == 0 or visits_left < 0:
                    raise ValueError("the search tree has a loop, or is deeper than an address")
                below -= 1
                push((records[2 * record + 1], below, address | 1 << below))
                record = records[2 * record]
            if record == alias:
                record = node_count if alias < node_count else record
            if record != last:
                for high in highs:
                    high.append(address >> 64)
                lows.append(address & LOW_HALF)
                ids.append(record)
                last = record
        runs = Ranges(bits, columns, ids)
        end = first + (1 << bits - length)
        if end < 1 << bits:
            runs.append(end, node_count)
        return runs


class _Records:
    """The data section, read a Place at a time. IndexError and ValueError for what is no record."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._decoder = Decoder(data)
        # What records share they point to, and it is read once; of the rest each value is passed over and, if it
        # is one that counts, read.
        self._values_left = 4 * len(data)
        self._keys: dict[int, bytes] = {}
        self._shared: dict[int, dict[bytes, int]] = {}
        self._texts: dict[int, str] = {}

    def place(self, offset: int) -> Place:
        """The place in a record of any shape: MaxMind's nested one or a flat {"country_code": "FR"}.

        Coordinates without a country do not count: those of the unknown are often zero.
        """
        fields = self._fields(offset)
        country = self._text(fields, b"country", b"iso_code") or self._text(fields, b"registered_country", b"iso_code")
        country = (country or self._text(fields, b"country_code")).upper()
        if not is_country(country) or country == "ZZ":  # ZZ: unknown, in some databases
            country = ""
        subdivision = f"{country}-{self._text(self._first(fields, b'subdivisions'), b'iso_code')}"
        continent = self._text(fields, b"continent", b"code")
        asn = self._number(fields, b"traits", _ASN) or self._number(fields, _ASN)
        location = self._fields(fields[b"location"]) if b"location" in fields else fields
        latitude = self._degrees(location, b"latitude", 90)
        longitude = self._degrees(location, b"longitude", 180)
        located = bool(country) and latitude is not None and longitude is not None
        return Place(
            continent=continent if continent in CONTINENTS else None,
            country=sys.intern(country) or None,
            subdivision=sys.intern(subdivision) if is_subdivision(subdivision) else None,
            asn=asn if isinstance(asn, int) and 0 < asn < 1 << 32 else None,
            latitude=latitude if located else None,
            longitude=longitude if located else None,
        )

    def _degrees(self, fields: dict[bytes, int], key: bytes, most: int) -> float | None:
        found = self._number(fields, key)
        return round(float(found), DEGREE_DIGITS) if found is not None and abs(found) <= most else None

    def _number(self, fields: dict[bytes, int], *path: bytes) -> int | float | None:
        kind, offset = self._find(fields, path)
        if kind not in _NUMBERS:
            return None
        found = self._decoder.decode(offset)[0]
        assert isinstance(found, int | float)
        return found

    def _text(self, fields: dict[bytes, int], *path: bytes) -> str:
        kind, offset = self._find(fields, path)
        if kind != _STRING:
            return ""
        if offset not in self._texts:
            self._texts[offset] = str(self._decoder.decode(offset)[0])
        return self._texts[offset]

    def _find(self, fields: dict[bytes, int], path: tuple[bytes, ...]) -> tuple[int, int]:
        """Type and offset of what is at the end of a path of keys."""
        *way, last = path
        for key in way:
            if key not in fields:
                return _NOTHING
            fields = self._fields(fields[key])
        if last not in fields:
            return _NOTHING
        kind, value, _ = self._control(fields[last])
        return (self._control(value)[0], value) if kind == _POINTER else (kind, fields[last])

    def _fields(self, offset: int) -> dict[bytes, int]:
        """Where the values of a map are, by those keys that count; empty for what is no map."""
        kind, size, content = self._control(offset)
        if kind != _POINTER:
            return self._read_map(kind, size, content)
        if size not in self._shared:
            self._shared[size] = self._read_map(*self._control(size))
        return self._shared[size]

    def _first(self, fields: dict[bytes, int], key: bytes) -> dict[bytes, int]:
        """The fields of the first item of an array."""
        if key not in fields:
            return {}
        kind, size, content = self._control(fields[key])
        if kind == _POINTER:
            kind, size, content = self._control(size)
        return self._fields(content) if kind == _ARRAY and size else {}

    def _read_map(self, kind: int, size: int, content: int) -> dict[bytes, int]:
        if kind == _POINTER:
            raise ValueError("a pointer leads to a pointer")
        fields = {}
        for _ in range(size if kind == _MAP else 0):
            key, content = self._key(content)
            if key in _KEYS:
                fields[key] = content
            content = self._end(content)
        return fields

    def _key(self, offset: int) -> tuple[bytes, int]:
        """A key of a map, and where its value is."""
        kind, size, content = self._control(offset)
        if kind == _POINTER:
            if size not in self._keys:
                self._keys[size] = self._key_of(*self._control(size))
            return self._keys[size], content
        return self._key_of(kind, size, content), content + size

    def _key_of(self, kind: int, size: int, content: int) -> bytes:
        if kind != _STRING:
            raise ValueError("a key of a map is no text")
        return self._data[content : content + size]

    def _end(self, offset: int) -> int:
        """Where the value at `offset` ends."""
        data, lengths = self._data, _LENGTHS
        pending, values_left = 1, self._values_left
        while pending:
            pending -= 1
            values_left -= 1
            if values_left < 0:
                raise ValueError("records overlap")
            if length := lengths[data[offset]]:
                offset += length
                continue
            kind, size, offset = self._control(offset)
            if kind == _MAP:
                pending += 2 * size
            elif kind == _ARRAY:
                pending += size
            elif kind not in (_POINTER, _BOOLEAN):
                offset += size
        self._values_left = values_left
        return offset

    def _control(self, offset: int) -> tuple[int, int, int]:
        """Type, size, and where the content begins. Of a pointer: its type, where it leads to, and where it ends."""
        data = self._data
        control = data[offset]
        kind, size = control >> 5, control & 31
        offset += 1
        if kind == _POINTER:
            length = (size >> 3) + 1
            target = int.from_bytes(data[offset : offset + length], "big")
            if length < 4:
                target += ((size & 7) << 8 * length) + _POINTER_OFFSETS[length]
            return kind, target, offset + length
        if kind == 0:
            kind = 7 + data[offset]
            offset += 1
        if size >= 29:
            length = size - 28
            size = _SIZE_OFFSETS[length] + int.from_bytes(data[offset : offset + length], "big")
            offset += length
        return kind, size, offset
