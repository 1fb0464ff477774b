"""Replies as values, and what is wrong with one when peers have answered the same question.

Meaning is compared, not bytes: records as sets, names whatever their case and compression, and nothing but the header
of a reply that is truncated (RFC 2181 section 9). There are thousands of replies, so they are read by the few lines
below; dnspython writes them out when they differ.
"""

from collections.abc import Sequence
from typing import Final

import dns.flags
import dns.rcode
import dns.rdata
import dns.rdatatype
import msgspec

from steering.wire import CNAME, DNAME, MX, NS, OPT, SOA, SRV, name_to_text
from tests.peers.questions import to_wire
from tests.peers.servers import ZONES

SHOWN: Final = 6
"""Records of a section that a report shows."""

Data = tuple[bytes, int, int, bytes]
"""A record: owner, type, TTL in seconds, rdata; names in it are lower case and not compressed."""


class Reply(msgspec.Struct, frozen=True):
    """What a reply says, without what is optional in a positive answer: the zone's own name servers."""

    rcode: str
    flags: str
    edns: str
    """Of the OPT record: version, flags and size; empty if there is none."""
    echo: bytes
    """The question section."""
    repeated: tuple[Data, ...]
    """Records that are there twice."""
    answer: frozenset[Data] = frozenset()
    authority: frozenset[Data] = frozenset()
    additional: frozenset[Data] = frozenset()

    @property
    def essence(self) -> tuple[object, ...]:
        """What two servers must agree on."""
        return self.rcode, self.flags, self.edns, self.answer, self.authority

    def __str__(self) -> str:
        lines = [" ".join(filter(None, (self.rcode, self.flags, self.edns)))]
        for section in ("answer", "authority", "additional"):
            records = sorted(map(_spell, getattr(self, section)))
            lines += [f"{section} {record}" for record in records[:SHOWN]]
            lines += [f"{section} and {len(records) - SHOWN} more"] * (len(records) > SHOWN)
        return "\n        ".join(lines)


def judge(reply: Reply, question: bytes, peers: Sequence[Reply]) -> tuple[str, ...]:
    """The problems of a reply to `question` (the section as it was sent), in words; none if all is well.

    It says what one of the peers says. Its additional section has what all of them have that answer alike, and nothing
    that none of these has.
    """
    problems = []
    if reply.essence not in [peer.essence for peer in peers]:
        problems.append("unlike all" if len({peer.essence for peer in peers}) == 1 else "unlike any")
    if reply.echo != question:
        problems.append("another question")
    if reply.repeated:
        problems.append("a record twice")
    alike = [peer.additional for peer in peers if (peer.answer, peer.authority) == (reply.answer, reply.authority)]
    if alike and frozenset.intersection(*alike) - reply.additional:
        problems.append("additional records missing")
    if alike and reply.additional - frozenset.union(*alike):
        problems.append("additional records of its own")
    return tuple(problems)


def read_reply(packet: bytes) -> Reply:
    """A whole reply as a value; AssertionError or IndexError if it is malformed."""
    counts = [int.from_bytes(packet[start : start + 2], "big") for start in (4, 6, 8, 10)]
    names: dict[int, tuple[bytes, int]] = {}
    position = 12
    for _ in range(counts[0]):
        position = _read_name(packet, position, names)[1] + 4
    echo = packet[12:position]
    sections: list[list[Data]] = []
    extended, edns = 0, ""
    for count in counts[1:]:
        section: list[Data] = []
        for _ in range(count):
            owner, position = _read_name(packet, position, names)
            rrtype = int.from_bytes(packet[position : position + 2], "big")
            length = int.from_bytes(packet[position + 8 : position + 10], "big")
            start, end = position + 10, position + 10 + length
            if rrtype == OPT:
                assert owner == b"\0" and len(sections) == 2 and not edns, "one OPT record, in its place"
                extended = packet[position + 4] << 4
                size = int.from_bytes(packet[position + 2 : position + 4], "big")
                edns = f"EDNS{packet[position + 5]} {packet[position + 6 : position + 8].hex()} {size}"
            else:
                ttl = int.from_bytes(packet[position + 4 : position + 8], "big")
                section.append((owner, rrtype, ttl, _read_rdata(packet, start, end, _NAMES.get(rrtype), names)))
            position = end
        sections.append(section)
    assert position == len(packet), "the sections fill the message"
    flags = int.from_bytes(packet[2:4], "big")
    rcode = dns.rcode.to_text(dns.rcode.Rcode.make(extended | flags & 15))
    spelt = dns.flags.to_text(flags & ~dns.flags.QR & ~0x780F)
    repeated = tuple(record for section in sections for record in set(section) if section.count(record) > 1)
    if flags & dns.flags.TC:
        return Reply(rcode, spelt, edns, echo, repeated)
    answer, authority, additional = map(frozenset, sections)
    if answer:
        own = frozenset(record for record in authority if record[1] == NS and record[0] in _APEXES)
        authority -= own
        needless = {record[3] for record in own} - {record[3][_NAMES.get(record[1], (0, 0))[0] :] for record in answer}
        additional = frozenset(record for record in additional if record[0] not in needless)
    return Reply(rcode, spelt, edns, echo, repeated, answer, authority, additional)


def describe(reply: bytes | None) -> str:
    """A reply to a packet that is no ordinary question, in one line: the header and what is there, not what it says."""
    if reply is None:
        return "silence"
    read = read_reply(reply)
    parts = (read.rcode, read.flags, "question" * bool(read.echo), f"{reply[7]} answers" * bool(reply[7]), read.edns)
    return " ".join(filter(None, parts))


def _read_name(packet: bytes, position: int, names: dict[int, tuple[bytes, int]]) -> tuple[bytes, int]:
    """The name at a position and the position behind it; `names` keeps what was read of this packet."""
    known = names.get(position)
    if known is None:
        size = packet[position]
        if size == 0:
            known = b"\0", position + 1
        elif size >= 0xC0:
            target = (size & 0x3F) << 8 | packet[position + 1]
            assert target < position, "a pointer leads back"
            known = _read_name(packet, target, names)[0], position + 2
        else:
            assert size < 64, "a label has at most 63 octets"
            rest, end = _read_name(packet, position + 1 + size, names)
            known = packet[position : position + 1 + size].lower() + rest, end
        names[position] = known
    return known


def _read_rdata(
    packet: bytes, start: int, end: int, layout: tuple[int, int] | None, names: dict[int, tuple[bytes, int]]
) -> bytes:
    """Rdata with the names in it written out; `layout` says how many octets stand before how many names."""
    assert end <= len(packet), "rdata is inside the message"
    if layout is None:
        return packet[start:end]
    parts = [packet[start : start + layout[0]]]
    position = start + layout[0]
    for _ in range(layout[1]):
        name, position = _read_name(packet, position, names)
        parts.append(name)
    assert position <= end, "names in rdata end in it"
    return b"".join((*parts, packet[position:end]))


def _spell(record: Data) -> str:
    rrtype = dns.rdatatype.RdataType.make(record[1])
    rdata = dns.rdata.from_wire("IN", rrtype, record[3], 0, len(record[3]))
    return f"{name_to_text(record[0])} {record[2]} {dns.rdatatype.to_text(rrtype)} {rdata}"


_NAMES: Final = {
    NS: (0, 1),
    CNAME: (0, 1),
    SOA: (0, 2),
    12: (0, 1),  # PTR
    MX: (2, 1),
    17: (0, 2),  # RP
    18: (2, 1),  # AFSDB
    21: (2, 1),  # RT
    SRV: (6, 1),
    36: (2, 1),  # KX
    DNAME: (0, 1),
}
"""Types with names that may be compressed, or were (RFC 3597 section 4): octets before the names, number of names."""
_APEXES: Final = frozenset(map(to_wire, ZONES))
