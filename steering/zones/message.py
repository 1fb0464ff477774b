"""Messages between name servers, whole: requests for transfers, NOTIFY and the messages of a transfer.

Rules of this file
- What the network sent is hostile: `parse_message_untrusted` raises `BadPacket` and nothing else, and takes time and
  memory in proportion to the message.
- Names in RDATA are written out (RFC 3597 section 4), so that a record can be kept by itself. RDATA whose parts an
  answer looks into later (names, addresses) has the form that its type prescribes; of other types it is only octets.
"""

import struct
from typing import Final, NamedTuple

from steering.wire import (
    AAAA,
    CNAME,
    DNAME,
    FORMERR,
    HEADER_SIZE,
    HTTPS,
    IN,
    MX,
    NOTIFY,
    NS,
    OPT,
    SOA,
    SRV,
    SVCB,
    TSIG,
    TXT,
    A,
    BadPacket,
)

ANY_CLASS: Final = 255

_unpack_record = struct.Struct("!HHIH").unpack_from
_unpack_counts = struct.Struct("!HHHH").unpack_from
_POINTER_LIMIT: Final = 100
"""Pointers that lead to one name; more are no compression but an attack."""


class MessageRecord(NamedTuple):
    """A record of a message; the owner is lower case, names in the RDATA are as they were spelt."""

    owner: bytes
    rrtype: int
    rrclass: int
    ttl: int
    rdata: bytes


class Signature(NamedTuple):
    """A TSIG record (RFC 8945 section 4.2); names are lower case."""

    start: int
    """Where in the message the record begins."""
    key: bytes
    algorithm: bytes
    time: int
    """Unix seconds."""
    fudge: int
    mac: bytes
    original_identifier: bytes
    error: int
    other: bytes


class Message(NamedTuple):
    """A message, but for its OPT record, of which only the size is kept."""

    identifier: bytes
    flags: int
    name: bytes
    """Of the question, lower case; empty if there is no question."""
    rrtype: int
    rrclass: int
    question: bytes
    """The question section as it was spelt."""
    answers: list[MessageRecord]
    authorities: list[MessageRecord]
    additionals: list[MessageRecord]
    edns_size: int | None
    signature: Signature | None

    @property
    def opcode(self) -> int:
        """RFC 1035 section 4.1.1."""
        return self.flags >> 11 & 15

    @property
    def rcode(self) -> int:
        """Without the bits that an OPT record adds."""
        return self.flags & 15

    @property
    def is_response(self) -> bool:
        """The QR bit."""
        return bool(self.flags & 0x8000)


def parse_message_untrusted(packet: bytes) -> Message:
    """Read a message of one question or none; raises BadPacket."""
    if len(packet) < HEADER_SIZE:
        raise BadPacket(None, "shorter than a header")
    try:
        return _parse_untrusted(packet)
    except (IndexError, struct.error):
        raise BadPacket(FORMERR, "a message that ends early") from None


def _parse_untrusted(packet: bytes) -> Message:
    """As above, but raises IndexError and struct.error too."""
    questions, *counts = _unpack_counts(packet, 4)
    names: dict[int, bytes] = {}
    name, rrtype, rrclass = b"", 0, 0
    position = HEADER_SIZE
    if questions > 1:
        raise BadPacket(FORMERR, "several questions")
    if questions:
        name, position = _read_name_untrusted(packet, position, names)
        rrtype, rrclass = struct.unpack_from("!HH", packet, position)
        position += 4
    question = packet[HEADER_SIZE:position]
    sections: list[list[MessageRecord]] = []
    edns_size: int | None = None
    signature: Signature | None = None
    for count in counts:
        section: list[MessageRecord] = []
        for left in range(count, 0, -1):
            start = position
            owner, position = _read_name_untrusted(packet, position, names)
            kind, kind_class, ttl, length = _unpack_record(packet, position)
            position += 10
            end = position + length
            if end > len(packet):
                raise BadPacket(FORMERR, "a record ends early")
            if kind == TSIG:
                if len(sections) != 2 or left != 1 or kind_class != ANY_CLASS or ttl:  # RFC 8945 section 5.1
                    raise BadPacket(FORMERR, "a TSIG record that is not the last, or not of class ANY and TTL 0")
                signature = _read_signature_untrusted(packet, start, owner.lower(), position, end)
            elif kind == OPT:
                if len(sections) != 2 or edns_size is not None or owner != b"\0":
                    raise BadPacket(FORMERR, "two OPT records, or one out of its place")
                edns_size = kind_class
            else:
                is_empty = not length and kind_class != IN  # RFC 2136 sections 2.4 and 2.5
                rdata = b"" if is_empty else _read_rdata_untrusted(packet, kind, position, end, names)
                section.append(MessageRecord(owner.lower(), kind, kind_class, ttl, rdata))
            position = end
        sections.append(section)
    if position != len(packet):
        raise BadPacket(FORMERR, "bytes after the message")
    flags = packet[2] << 8 | packet[3]
    answers, authorities, additionals = sections
    return Message(
        packet[:2],
        flags,
        name.lower(),
        rrtype,
        rrclass,
        question,
        answers,
        authorities,
        additionals,
        edns_size,
        signature,
    )


def _read_name_untrusted(packet: bytes, start: int, names: dict[int, bytes], depth: int = 0) -> tuple[bytes, int]:
    """The name at a position, written out, and the position behind it; `names` keeps what pointers lead to."""
    position = start
    while size := packet[position]:
        if size >= 0xC0:
            target = (size & 0x3F) << 8 | packet[position + 1]
            tail = names.get(target)
            if tail is None:
                if target >= start or depth >= _POINTER_LIMIT:
                    raise BadPacket(FORMERR, "a pointer that does not lead backwards, or one of too many")
                tail, _ = _read_name_untrusted(packet, target, names, depth + 1)
                names[target] = tail
            name, end = packet[start:position] + tail, position + 2
            break
        if size > 63:
            raise BadPacket(FORMERR, "an unknown kind of label")
        position += size + 1
    else:
        end = position + 1
        name = packet[start:end]
    if len(name) > 255:
        raise BadPacket(FORMERR, "a name over 255 octets")
    return name, end


def _read_signature_untrusted(packet: bytes, start: int, key: bytes, position: int, end: int) -> Signature:
    """RFC 8945 section 4.2."""
    algorithm, position = _read_name_untrusted(packet, position, {})
    time, fudge, size = (
        int.from_bytes(packet[position : position + 6], "big"),
        *struct.unpack_from("!HH", packet, position + 6),
    )
    position += 10
    mac = packet[position : position + size]
    position += size
    identifier = packet[position : position + 2]
    error, length = struct.unpack_from("!HH", packet, position + 2)
    other = packet[position + 6 : position + 6 + length]
    if position + 6 + length != end:
        raise BadPacket(FORMERR, "a TSIG record of the wrong length")
    return Signature(start, key, algorithm.lower(), time, fudge, mac, identifier, error, other)


_FIXED: Final = {A: 4, AAAA: 16}
"""Types whose RDATA has one length."""
_NAMES: Final = {
    NS: (0, 1, 0),
    3: (0, 1, 0),  # MD
    4: (0, 1, 0),  # MF
    CNAME: (0, 1, 0),
    SOA: (0, 2, 20),
    7: (0, 1, 0),  # MB
    8: (0, 1, 0),  # MG
    9: (0, 1, 0),  # MR
    12: (0, 1, 0),  # PTR
    14: (0, 2, 0),  # MINFO
    MX: (2, 1, 0),
    17: (0, 2, 0),  # RP
    18: (2, 1, 0),  # AFSDB
    21: (2, 1, 0),  # RT
    24: (18, 1, None),  # SIG
    26: (2, 2, 0),  # PX
    30: (0, 1, None),  # NXT
    SRV: (6, 1, 0),
    36: (2, 1, 0),  # KX
    DNAME: (0, 1, 0),
    SVCB: (2, 1, None),
    HTTPS: (2, 1, None),
}
"""Types with names in their RDATA: octets before them, how many there are, octets behind (None: any number)."""
_NAPTR: Final = 35
READ_TYPES: Final = frozenset(
    (*_FIXED, TXT, _NAPTR, *(rrtype for rrtype, (_, _, behind) in _NAMES.items() if behind is not None))
)
"""Types whose RDATA, if there is any, has the form that its type prescribes when it has been read."""


def _read_rdata_untrusted(packet: bytes, rrtype: int, start: int, end: int, names: dict[int, bytes]) -> bytes:
    """RDATA with its names written out."""
    layout = _NAMES.get(rrtype)
    if layout is None:
        if rrtype == _NAPTR:
            return _read_naptr_untrusted(packet, start, end, names)
        if end - start != _FIXED.get(rrtype, end - start):
            raise BadPacket(FORMERR, "an address of the wrong length")
        if rrtype == TXT:
            position = start
            while position < end:
                position += packet[position] + 1
            if position != end or start == end:  # one string at least: RFC 1035 section 3.3.14
                raise BadPacket(FORMERR, "text that ends early")
        return packet[start:end]
    before, count, behind = layout
    parts = [packet[start : start + before]]
    position = start + before
    for _ in range(count):
        name, position = _read_name_untrusted(packet, position, names)
        parts.append(name)
    if position > end or (behind is not None and end - position != behind):
        raise BadPacket(FORMERR, "RDATA of the wrong length")
    return b"".join((*parts, packet[position:end]))


def _read_naptr_untrusted(packet: bytes, start: int, end: int, names: dict[int, bytes]) -> bytes:
    """RFC 3403 section 4.1: order, preference, three strings, a name."""
    position = start + 4
    for _ in range(3):
        position += packet[position] + 1
    name, after = _read_name_untrusted(packet, position, names)
    if after != end:
        raise BadPacket(FORMERR, "RDATA of the wrong length")
    return packet[start:position] + name


def render_request(
    identifier: bytes, opcode: int, name: bytes, rrtype: int, *, authoritative: bool = False, soa: bytes | None = None
) -> bytes:
    """A question of one server to another; `soa` is the RDATA of a SOA to go with it.

    That stands in the answer section of a NOTIFY (RFC 1996 section 3.7) and in the authority section of a request for
    an incremental transfer (RFC 1995 section 3).
    """
    answers, authorities = (0, 0) if soa is None else (1, 0) if opcode == NOTIFY else (0, 1)
    flags = opcode << 11 | (0x0400 if authoritative else 0)
    header = identifier + struct.pack("!HHHHH", flags, 1, answers, authorities, 0)
    packet = header + name + struct.pack("!HH", rrtype, 1)
    if soa is not None:
        packet += b"\xc0\x0c" + struct.pack("!HHIH", SOA, 1, 0, len(soa)) + soa
    return packet
