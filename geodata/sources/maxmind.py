"""MaxMind databases (.mmdb), City or Country, and others in their layout (DB-IP, ip-location-db).

MaxMind DB file format 2.0. The file is copied into private memory first: one that is overwritten in place
while it is mapped kills the process. The search tree is walked here over its bytes, since iterating the
package's Reader builds an object per network; each distinct record is decoded once, by the package's Reader.

Everything in the file is hostile: a tree deeper than an address, a visit to more nodes than there are, a
pointer out of the data, a record that does not decode: each is a GeoError that names the file.
"""

import os
import socket
import sys
from array import array
from collections.abc import Callable
from pathlib import Path

import maxminddb

from geodata.continents import CONTINENTS
from geodata.errors import GeoError
from geodata.place import Place, is_country, is_subdivision
from geodata.ranges import Ranges
from geodata.source import PlaceList, Source

_HIGH_NIBBLE = bytes(byte >> 4 for byte in range(256))
_LOW_NIBBLE = bytes(byte & 15 for byte in range(256))


def read_maxmind(path: Path) -> Source:
    """What the database says. A country is `country`, or `registered_country` where that is missing."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GeoError(f"{path}: cannot be read: {error}") from error
    try:
        return _read_untrusted(str(path), data)
    except (maxminddb.InvalidDatabaseError, ValueError, TypeError) as error:  # TypeError: a field is missing
        raise GeoError(f"{path}: not a usable MaxMind database: {error}") from error


def _read_untrusted(name: str, data: bytes) -> Source:
    with os.fdopen(os.memfd_create("mmdb"), "wb") as memory:
        memory.write(data)
        memory.flush()
        # Read in Python: a file with a map as a key makes the reader in C end the process (maxminddb 3.2.0).
        with maxminddb.open_database(f"/proc/self/fd/{memory.fileno()}", maxminddb.MODE_MEMORY) as reader:
            metadata = reader.metadata()
            if metadata.ip_version not in (4, 6):
                raise ValueError(f"IP version {metadata.ip_version}")
            tree = _Tree(data, metadata.node_count, metadata.record_size)
            places = PlaceList()
            place_ids: dict[int, int] = {tree.node_count: 0}  # by record value; this one: no data

            def place_id(record: int, bits: int, address: int) -> int:
                """The id of the place of a leaf; the first address under it serves to read its data."""
                if record not in place_ids:
                    family = socket.AF_INET if bits == 32 else socket.AF_INET6
                    text = socket.inet_ntop(family, address.to_bytes(bits // 8, "big"))
                    place_ids[record] = places.id_of(_place_untrusted(reader.get(text)))
                return place_ids[record]

            if metadata.ip_version == 4:
                ipv4, ipv6 = tree.ranges(32, 0, place_id), Ranges.uniform(128, 0)
            else:
                root = tree.ipv4_root()
                ipv4, ipv6 = tree.ranges(32, root, place_id), tree.ranges(128, 0, place_id, alias=root)
            return Source(name, places.places(), ipv4, ipv6, built=int(metadata.build_epoch))


class _Tree:
    """The binary search tree: records 2n and 2n + 1 are where node n leads for a bit 0 and 1.

    A record below `node_count` is a node, `node_count` means no data, one above is where the data is.
    """

    def __init__(self, data: bytes, node_count: int, record_size: int) -> None:
        self.node_count = node_count
        self.records = _records(data[: node_count * record_size // 4], record_size)
        if len(self.records) != 2 * node_count:
            raise ValueError("the search tree is cut off")

    def ipv4_root(self) -> int:
        """The record that ::/96 leads to: the root of IPv4."""
        record = 0
        for _ in range(96):
            if record >= self.node_count:
                break
            record = self.records[2 * record]
        return record

    def ranges(self, bits: int, root: int, place_id: Callable[[int, int, int], int], alias: int = -1) -> Ranges:
        """All addresses below `root` by place; what leads to the node `alias` (IPv4 in IPv6) is nowhere."""
        result = Ranges.empty(bits)
        records, node_count = self.records, self.node_count
        visits_left = 4 * node_count  # a proper tree needs one for each node; some share a few subtrees
        last = -1
        ahead = [(root, 0, 0)]  # what is still to be walked, the next on top: (record, depth, first address)
        while ahead:
            record, depth, address = ahead.pop()
            if record < node_count and record != alias:
                visits_left -= 1
                if depth == bits or visits_left < 0:
                    raise ValueError("the search tree has a loop, or is deeper than an address")
                depth += 1
                ahead.append((records[2 * record + 1], depth, address | 1 << bits - depth))
                ahead.append((records[2 * record], depth, address))
                continue
            place = 0 if record == alias < node_count else place_id(record, bits, address)
            if place != last:
                result.append(address, place)
                last = place
        return result


def _records(tree: bytes, record_size: int) -> "array[int]":
    """The records of a tree as numbers, taken apart and put together by slices: a node at a time is slow."""
    little = bytearray(len(tree) * 32 // record_size)
    if record_size == 24:
        little[0::4], little[1::4], little[2::4] = tree[2::3], tree[1::3], tree[0::3]
    elif record_size == 28:  # the middle byte of the seven has the highest four bits of both records
        little[0::8], little[1::8], little[2::8] = tree[2::7], tree[1::7], tree[0::7]
        little[3::8] = tree[3::7].translate(_HIGH_NIBBLE)
        little[4::8], little[5::8], little[6::8] = tree[6::7], tree[5::7], tree[4::7]
        little[7::8] = tree[3::7].translate(_LOW_NIBBLE)
    elif record_size == 32:
        little[0::4], little[1::4], little[2::4], little[3::4] = (
            tree[3::4],
            tree[2::4],
            tree[1::4],
            tree[0::4],
        )
    else:
        raise ValueError(f"records of {record_size} bits")
    records = array("I", bytes(little))
    if sys.byteorder == "big":
        records.byteswap()
    return records


def _place_untrusted(record: object) -> Place:
    """The place in a record of any shape: MaxMind's nested one or a flat {"country_code": "FR"}."""
    country = _text(record, "country", "iso_code") or _text(record, "registered_country", "iso_code")
    country = (country or _text(record, "country_code")).upper()
    if not is_country(country) or country == "ZZ":  # ZZ: unknown, in some databases
        return Place()
    subdivision = f"{country}-{_text(record, 'subdivisions', 0, 'iso_code')}"
    continent = _text(record, "continent", "code")
    asn = _find(record, "traits", "autonomous_system_number") or _find(record, "autonomous_system_number")
    return Place(
        continent=continent if continent in CONTINENTS else None,
        country=country,
        subdivision=subdivision if is_subdivision(subdivision) else None,
        asn=asn if isinstance(asn, int) and 0 < asn < 1 << 32 else None,
    )


def _text(record: object, *path: str | int) -> str:
    found = _find(record, *path)
    return found if isinstance(found, str) else ""


def _find(record: object, *path: str | int) -> object:
    """What is at the end of a path of keys and indices; None if it leads nowhere."""
    for step in path:
        match record, step:
            case dict(), str():
                record = record.get(step)
            case list(), int() if step < len(record):
                record = record[step]
            case _:
                return None
    return record
