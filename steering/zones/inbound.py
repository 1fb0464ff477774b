"""Transfers in: the messages of a transfer (AXFR, RFC 5936; IXFR, RFC 1995) to the content of a zone.

    request with our serial ─> SOA alone, not newer            UP_TO_DATE
                               SOA new, SOA ours, deleted,
                                 SOA, added, SOA, ... SOA new   CHANGES
                               SOA new, records, SOA new        WHOLE
    request for all         ─> the same                         WHOLE

Rules
- Nothing is used before the last message has come; what breaks off is nothing. A whole zone waits in a file meanwhile,
  changes wait in memory, and both are bounded.
- Whoever sends is not trusted: records outside of the zone, of another class or of types that no zone has, serials that
  do not go on from ours and changes of what is not there are a TransferError, which the user sees.
"""

import enum
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from steering.wire import IN, NOERROR, SOA, is_below, is_meta_type, name_to_text, rcode_to_text, type_to_text
from steering.zones.journal import is_newer, read_serial
from steering.zones.message import Message, MessageRecord
from steering.zones.zonefile import MAX_TTL, Record, record_identity

WHOLE_LIMIT: Final = 4 << 30
CHANGES_LIMIT: Final = 32 << 20
"""Octets: of records in a file, and of memory."""
_MEMORY: Final = 250
"""Octets of memory that a change takes beside its own."""

_FIXED = struct.Struct("!HHII")


class TransferError(Exception):
    """A transfer that cannot be used; the zone is as it was."""


class Kind(enum.Enum):
    """What a transfer turned out to be."""

    UNKNOWN = enum.auto()
    UP_TO_DATE = enum.auto()
    CHANGES = enum.auto()
    WHOLE = enum.auto()


class Inbound:
    """The reply to a request for a transfer, message by message, until `done`."""

    def __init__(self, apex: bytes, serial: int | None, spool: BinaryIO) -> None:
        """`serial` is ours, which was sent; None if all was asked for. `spool` is an empty file for a whole zone."""
        self.done = False
        self.kind = Kind.UNKNOWN
        self.changes: list[tuple[bool, Record]] = []
        """Whether a record is added, and the record; the SOA is not among them."""
        self.soa: Record | None = None
        """The new one."""
        self._apex = apex
        self.start = serial
        """Our serial."""
        self._spool = spool
        self._size = 0
        self._adding = False
        self._step = serial
        """The serial that the changes so far lead to."""

    @property
    def serial(self) -> int:
        """The new serial."""
        assert self.soa is not None, "a transfer begins with it"
        return read_serial(self.soa[3])

    def take_untrusted(self, message: Message) -> None:
        """Go on; raises TransferError."""
        if message.rcode != NOERROR:
            raise TransferError(f"the server answers {rcode_to_text(message.rcode)} to the request for a transfer")
        for record in message.answers:
            if self.done:
                raise TransferError("records behind the end of the transfer")
            self._take(self._check(record))
        if self.soa is None:
            raise TransferError("the server sends no records")
        if self.kind is Kind.UNKNOWN and self.start is not None and not is_newer(self.serial, self.start):
            self.kind, self.done = Kind.UP_TO_DATE, True

    def records(self) -> Iterator[Record]:
        """Those of a whole zone."""
        assert self.soa is not None, "a transfer begins with it"
        yield self.soa
        self._spool.seek(0)
        while head := self._spool.read(_FIXED.size):
            size, rrtype, ttl, length = _FIXED.unpack(head)
            yield self._spool.read(size), rrtype, ttl, self._spool.read(length)

    def _check(self, record: MessageRecord) -> Record:
        owner, rrtype, rrclass, ttl, rdata = record
        if not is_below(owner, self._apex):
            raise TransferError(f"{name_to_text(owner)} is not in the zone")
        if rrclass != IN or is_meta_type(rrtype):
            raise TransferError(f"{name_to_text(owner)}: a record of class {rrclass} and type {rrtype}")
        if rrtype == SOA and owner != self._apex:
            raise TransferError(f"{name_to_text(owner)}: a SOA record that is not at the apex")
        return owner, rrtype, ttl if ttl <= MAX_TTL else 0, rdata  # RFC 2181 section 8

    def _take(self, record: Record) -> None:
        if self.soa is None:
            if record[1] != SOA:
                raise TransferError("the transfer does not begin with the SOA record")
            self.soa = record
        elif self.kind is Kind.UNKNOWN:
            changes = self.start is not None and record[1] == SOA and read_serial(record[3]) == self.start
            self.kind = Kind.CHANGES if changes else Kind.WHOLE
            if self.kind is Kind.WHOLE:
                self._take_whole(record)
        elif self.kind is Kind.WHOLE:
            self._take_whole(record)
        else:
            self._take_change(record)

    def _take_whole(self, record: Record) -> None:
        owner, rrtype, ttl, rdata = record
        if rrtype == SOA:
            if read_serial(rdata) != self.serial:
                raise TransferError("the zone changed while it was transferred")
            self.done = True
            return
        self._count(record, _FIXED.size, WHOLE_LIMIT)
        self._spool.write(_FIXED.pack(len(owner), rrtype, ttl, len(rdata)) + owner + rdata)

    def _take_change(self, record: Record) -> None:
        if record[1] != SOA:
            self._count(record, _MEMORY, CHANGES_LIMIT)
            self.changes.append((self._adding, record))
            return
        serial = read_serial(record[3])
        if not self._adding:
            assert self._step is not None, "changes were asked for with a serial"
            if not is_newer(serial, self._step):
                raise TransferError(f"a change from serial {self._step} to {serial}")
            self._step, self._adding = serial, True
        elif serial != self._step:
            raise TransferError(f"a change to serial {self._step} is followed by one from {serial}")
        elif serial == self.serial:
            self.done = True
        else:
            self._adding = False

    def _count(self, record: Record, more: int, limit: int) -> None:
        self._size += more + len(record[0]) + len(record[3])
        if self._size > limit:
            raise TransferError(f"more than {limit >> 20} MiB of records")


def apply_changes(records: Iterable[Record], changes: Iterable[tuple[bool, Record]]) -> list[Record]:
    """The records of one owner after changes, in their order; raises TransferError if one deletes what is not there."""
    kept = {record_identity(record[1], record[3]): record for record in records}
    for adding, record in changes:
        identity = record_identity(record[1], record[3])
        if adding:
            kept[identity] = record
        elif kept.pop(identity, None) is None:
            gone = f"{name_to_text(record[0])} {type_to_text(record[1])}"
            raise TransferError(f"{gone}: a record goes that is not there")
    return list(kept.values())
