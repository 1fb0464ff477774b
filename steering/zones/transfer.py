"""Transfers out: a zone, or what changed in it, as messages (AXFR, RFC 5936; IXFR, RFC 1995).

A Transfer is an iterator that somebody else sends from: each `next_message` makes one message and returns, so that
answering goes on between any two. Memory is one message, however large the zone.

    AXFR   SOA, all other records in canonical order, SOA
    IXFR   SOA, the changes of the journal since the client's serial, SOA
           SOA alone for who is current; like AXFR for who is older than the journal

Rules
- All of a transfer is from one snapshot of the store, which it holds until it is closed. Meanwhile the store cannot
  reuse what is replaced: whoever sends must bound the time (serve/tcp.py), and OPEN_LIMIT bounds how many there are.
- The question is in every message. So the apex is at offset 12 in each, and owners end in a pointer to it.
- With a key every message is signed.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar, Final

import lmdb

from steering.wire import (
    HEADER_SIZE,
    IXFR,
    OPT,
    OWNER,
    SOA,
    UDP_PAYLOAD,
)
from steering.zones.journal import PART_SIZE, Journal, Part, is_newer, read_serial
from steering.zones.message import Message
from steering.zones.node import find_rrset, name_of_key, split_node
from steering.zones.store import ServedNodes, Store, Zone, read_zone
from steering.zones.tsig import Signer

OPEN_LIMIT: Final = 10
"""Transfers that one process sends at a time."""
_OPT: Final = b"\0" + OPT.to_bytes(2, "big") + UDP_PAYLOAD.to_bytes(2, "big") + bytes(6)


class Transfer:
    """The messages of one transfer."""

    _open: ClassVar[set["Transfer"]] = set()

    def __init__(
        self, request: Message, signer: Signer | None, transaction: "lmdb.Transaction[bytes]", parts: Iterator[Part]
    ) -> None:
        self._request = request
        self._signer = signer
        self._transaction = transaction
        self._parts = parts
        self._open.add(self)

    @classmethod
    def open(cls, store: Store, apex: bytes, request: Message, signer: Signer | None) -> "Transfer | None":
        """What answers a request; None if too many are open, or the zone is gone."""
        if len(cls._open) >= OPEN_LIMIT:
            return None
        transaction = store.environment.begin()
        zone = read_zone(transaction, store, apex)
        if zone is None or zone.expired:
            transaction.abort()
            return None
        served = ServedNodes(store, transaction, zone)
        journal = Journal(transaction, store.journal, apex)
        return cls(request, signer, transaction, _choose_parts(zone, served, journal, request))

    def next_message(self, now: float) -> bytes | None:
        """The next message, None after the last; `now` in Unix seconds."""
        part = next(self._parts, None)
        if part is None:
            return None
        message = render_response(self._request, *part)
        return message if self._signer is None else self._signer.sign(message, now)

    def close(self) -> None:
        """Give the snapshot back."""
        self._parts = iter(())
        self._open.discard(self)
        self._transaction.abort()


def answer_over_udp(store: Store, apex: bytes, request: Message, size: int) -> bytes | None:
    """The reply to a request for an incremental transfer, not signed yet: all of it if it fits, else the SOA alone.

    `size` is the most that the reply may have, before it is signed; RFC 1995 section 2. None if the zone is gone.
    """
    with store.environment.begin() as transaction:
        zone = read_zone(transaction, store, apex)
        if zone is None or zone.expired:
            return None
        soa = _render_soa(ServedNodes(store, transaction, zone))
        parts: Iterable[Part] = [(1, soa)]
        serial = client_serial(request)
        if serial is not None and is_newer(zone.serial, serial):
            journal = Journal(transaction, store.journal, apex)
            number = journal.find(serial)
            room = size - HEADER_SIZE - len(request.question) - len(_OPT) - 2 * len(soa)
            if number is not None and journal.size_from(number) <= room:
                parts = [(1, soa), *journal.parts_from(number), (1, soa)]
        return render_response(request, sum(count for count, _ in parts), b"".join(data for _, data in parts))


def client_serial(request: Message) -> int | None:
    """The serial that the client has (RFC 1995 section 3)."""
    for record in request.authorities:
        if record.rrtype == SOA and record.owner == request.name:
            return read_serial(record.rdata)
    return None


def render_response(request: Message, count: int, records: bytes) -> bytes:
    """A message of a reply: with authority, and with an OPT record if the request had one."""
    opt = b"" if request.edns_size is None else _OPT
    flags = (0x8400 | request.flags & 0x7900).to_bytes(2, "big")
    counts = count.to_bytes(2, "big") + b"\0\0" + (b"\0\1" if opt else b"\0\0")
    return request.identifier + flags + b"\0\1" + counts + request.question + records + opt


def _choose_parts(zone: Zone, served: ServedNodes, journal: Journal, request: Message) -> Iterator[Part]:
    serial = client_serial(request) if request.rrtype == IXFR else None
    if serial is not None:
        if not is_newer(zone.serial, serial):
            return iter([(1, _render_soa(served))])
        number = journal.find(serial)
        if number is not None:
            return _join_changes(_render_soa(served), journal.parts_from(number))
    return _cut_zone(served, HEADER_SIZE + len(request.question))


def _join_changes(soa: bytes, changes: Iterator[Part]) -> Iterator[Part]:
    """Changes between two SOA records; parts that fit into a message together are one."""
    count, data = 1, soa
    for more, records in changes:
        if len(data) + len(records) > PART_SIZE:
            yield count, data
            count, data = 0, b""
        count, data = count + more, data + records
    yield count + 1, data + soa


def _cut_zone(served: ServedNodes, start: int) -> Iterator[Part]:
    """All records of a zone, the SOA first and last; records start at offset `start` of a message."""
    soa = _render_soa(served)
    part = bytearray(soa)
    count = 1
    for key, node in served.items():
        records = split_node(node, SOA)
        if not records:
            continue
        owner = name_of_key(key, OWNER)
        pointer = owner if not key else (0xC000 | start + len(part)).to_bytes(2, "big")
        if len(part) + len(owner) + len(node) <= PART_SIZE:  # nearly always
            part += owner + pointer.join(records)
            count += len(records)
            continue
        pointer = owner
        for record in records:
            if len(part) + len(owner) + len(record) > PART_SIZE and count:
                yield count, bytes(part)
                part.clear()
                count, pointer = 0, owner
            place = start + len(part)
            part += pointer + record
            count += 1
            if key and pointer is owner:
                pointer = (0xC000 | place).to_bytes(2, "big")
    yield count + 1, bytes(part + soa)


def _render_soa(served: ServedNodes) -> bytes:
    apex = served.get(b"")
    rrset = find_rrset(apex, SOA) if apex is not None else None
    assert rrset is not None, "a zone has a SOA"
    return rrset[2]
