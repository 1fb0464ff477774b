"""The journal: what changed in a zone, change by change, so that a secondary gets only that (IXFR, RFC 1995).

Who owns the serial
    A zone has one source, and nobody else changes it:

    source        serial                                          what else changes the content
    file          the file's                                      default answers of its load balancers, updates
    nameservers   ours: Unix time, and always newer than before   the same
    primaries     the primary's, always                           default answers of its load balancers

    Secondaries look at nothing but the serial. So in a zone of ours that takes updates or that others transfer
    (`allow_update`, `allow_transfer` or `notify`), content that changes gets a newer serial even where the file's is
    not newer: the one that is served + 1. When the file's serial becomes newer than that, it counts again. In a zone
    from a primary the serial must stay what the primary says, or else its next change would not be seen: a change of
    the load balancers in it reaches our own secondaries with the next change of the primary.
    What a load brings, of a file or of a transfer, is compared with what is served, and the difference is the change.
    So the journal tells what was served here, whatever the source; it is never replayed, only sent.

The database
    apex + number of the change (8 octets) + part (4 octets) -> part

    Part 0 is a Change. The others are the records as IXFR sends them: the SOA before, what was deleted, the SOA after,
    what was added; each part has a count (2 octets) and records that are ready to send behind a question for the zone's
    SOA, since their owners end in a pointer to it.

Rules
- A change is written in the transaction that publishes it.
- The changes of a zone are a chain: each begins with the serial that the one before ended with, and the last one ended
  with the serial that is served. What cannot be told as a change (a new generation, content that changed while the
  serial did not get newer) ends the chain: it starts anew, and secondaries from before get the whole zone.
- The oldest changes go when there are more than the zone keeps, or when all are larger than SIZE_LIMIT.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import lmdb
import msgspec

from steering.wire import OWNER, SOA, split_records
from steering.zones.node import name_of_key, unpack_node

PART_SIZE: Final = 12_000
"""Octets of a part, unless a single record is larger."""
SIZE_LIMIT: Final = 64 << 20
"""Octets of all changes of a zone."""

_NUMBER = struct.Struct("!Q")
_PART = struct.Struct("!I")
_COUNT = struct.Struct("!H")
_KEY_SIZE: Final = _NUMBER.size + _PART.size

Part = tuple[int, bytes]
"""A number of records, and these, ready to send behind a question for the apex."""


class Change(msgspec.Struct, frozen=True, array_like=True):
    """One step from serial to serial."""

    old: int
    new: int
    size: int
    """Octets of its records."""
    end: int
    """Octets of its records and of those of all changes before it, ever since the chain began."""


class Journal:
    """The journal of one zone in one transaction."""

    def __init__(self, transaction: "lmdb.Transaction[bytes]", database: lmdb._Database, apex: bytes) -> None:
        self._transaction = transaction
        self._database = database
        self._apex = apex

    def append(self, change: "Records", old: int, new: int, keep: int) -> None:
        """Write a change that follows the last one, and forget the oldest beyond `keep`, which is 1 or more."""
        if change.size > SIZE_LIMIT:
            self.clear()
            return
        span = self._span()
        last = self._get(span[1]) if span else None
        if last is not None and last.new != old:
            self.clear()
            span, last = None, None
        first, number = (span[0], span[1] + 1) if span else (0, 0)
        end = (last.end if last else 0) + change.size
        self._put(number, 0, msgspec.msgpack.encode(Change(old, new, change.size, end)))
        for part, (count, records) in enumerate(change.parts(), 1):
            self._put(number, part, _COUNT.pack(count) + records)
        while first < number:
            oldest = self._get(first)
            if number - first < keep and end - oldest.end + oldest.size <= SIZE_LIMIT:
                break
            self._delete(first)
            first += 1

    def clear(self) -> None:
        """Begin anew."""
        span = self._span()
        for number in range(span[0], span[1] + 1) if span else ():
            self._delete(number)

    def find(self, serial: int) -> int | None:
        """The number of the change that begins with this serial; None if it is not kept."""
        span = self._span()
        for number in range(span[1], span[0] - 1, -1) if span else ():
            if self._get(number).old == serial:
                return number
        return None

    def size_from(self, number: int) -> int:
        """Octets of the records of this change and of all that follow."""
        span = self._span()
        assert span is not None, "it was found"
        first = self._get(number)
        return self._get(span[1]).end - first.end + first.size

    def parts_from(self, number: int) -> Iterator[Part]:
        """The records of this change and of all that follow, as they are sent."""
        cursor = self._transaction.cursor(self._database)
        if cursor.set_range(self._key(number, 0)):
            for key, value in cursor.iternext():
                if not self._is_ours(key):
                    return
                if key[-_PART.size :] != bytes(_PART.size):
                    yield _COUNT.unpack_from(value)[0], value[_COUNT.size :]

    def _span(self) -> tuple[int, int] | None:
        """The numbers of the first and the last change."""
        cursor = self._transaction.cursor(self._database)
        if not cursor.set_range(self._key(0, 0)) or not self._is_ours(cursor.key()):
            return None
        first = self._number(cursor.key())
        beyond = cursor.set_range(self._key(2**64 - 1, 2**32 - 1))
        found = cursor.prev() if beyond else cursor.last()
        assert found, "the first change is before it"
        return first, self._number(cursor.key())

    def _is_ours(self, key: bytes) -> bool:
        return len(key) == len(self._apex) + _KEY_SIZE and key.startswith(self._apex)

    def _number(self, key: bytes) -> int:
        number: int = _NUMBER.unpack_from(key, len(self._apex))[0]
        return number

    def _key(self, number: int, part: int) -> bytes:
        return self._apex + _NUMBER.pack(number) + _PART.pack(part)

    def _get(self, number: int) -> Change:
        value = self._transaction.get(self._key(number, 0), db=self._database)
        assert value is not None, "numbers have no gaps"
        return msgspec.msgpack.decode(value, type=Change)

    def _put(self, number: int, part: int, value: bytes) -> None:
        self._transaction.put(self._key(number, part), value, db=self._database)

    def _delete(self, number: int) -> None:
        part = 0
        while self._transaction.delete(self._key(number, part), db=self._database):
            part += 1


class Records:
    """The records of a change, as IXFR sends them (RFC 1995 section 4)."""

    def __init__(self, difference: Mapping[bytes, bytes | None], served: Mapping[bytes, bytes | None]) -> None:
        """`difference` has the nodes after the change (None: gone), `served` those before, by the same keys."""
        self._old_soa = self._new_soa = b""
        deleted: list[bytes] = []
        added: list[bytes] = []
        for key, node in difference.items():
            before, after = _records_of(key, served[key]), _records_of(key, node)
            if not key:
                self._old_soa, self._new_soa = _take_soa(before), _take_soa(after)
            deleted += [record for record in before if record not in after]
            added += [record for record in after if record not in before]
        self._records = (self._old_soa, *deleted, self._new_soa, *added)
        self.size = sum(map(len, self._records))

    def parts(self) -> Iterator[Part]:
        """In pieces that fit into a message."""
        return cut_parts(self._records)


def cut_parts(records: Iterable[bytes]) -> Iterator[Part]:
    """Records as parts of at most PART_SIZE."""
    part: list[bytes] = []
    size = 0
    for record in records:
        if part and size + len(record) > PART_SIZE:
            yield len(part), b"".join(part)
            part, size = [], 0
        part.append(record)
        size += len(record)
    if part:
        yield len(part), b"".join(part)


def _records_of(key: bytes, node: bytes | None) -> dict[bytes, None]:
    """The records of a node with their owner relative to the question, in order."""
    if node is None:
        return {}
    owner = name_of_key(key, OWNER)
    return dict.fromkeys(owner + record[2:] for _, _, records in unpack_node(node) for record in split_records(records))


def _take_soa(records: dict[bytes, None]) -> bytes:
    """Take the SOA out of the records of the apex."""
    soa = next(record for record in records if record[2:4] == SOA.to_bytes(2, "big"))
    del records[soa]
    return soa


def is_newer(serial: int, than: int) -> bool:
    """Whether a serial is greater than another (RFC 1982 section 3.2)."""
    return 0 < (serial - than) & 0xFFFFFFFF < 1 << 31


def next_serial(serial: int) -> int:
    """The serial after this one; 0, which some take for none, is left out."""
    return (serial + 1) & 0xFFFFFFFF or 1


def read_serial(soa: bytes) -> int:
    """The serial in the RDATA of a SOA."""
    return int.from_bytes(soa[-20:-16], "big")
