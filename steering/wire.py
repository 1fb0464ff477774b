"""Packets: bytes to `Query`, and `Answer` to bytes (RFC 1035, 6891, 7871).

Rules of this file
- Nothing here waits, reads a clock or looks anything up: bytes and small values in, bytes and small values out.
- What the network sent is hostile: `parse_query_untrusted` raises `BadPacket` and nothing else. A `BadPacket`
  carries the RCODE to answer with, or None for silence.
- Every name that an answer refers to is written once. The question stands at offset 12, so `OWNER`, a pointer
  to 12, is the owner of every record whose owner is the name asked for, and an `Answer` can be kept and sent
  under any spelling of that name (the case of the question is preserved, RFC 4343).
"""

import functools
import socket
import struct
from collections.abc import Iterable
from typing import Final

import dns.rcode
import dns.rdatatype

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
MX: Final = 15
TXT: Final = 16
AAAA: Final = 28
SRV: Final = 33
DNAME: Final = 39
OPT: Final = 41
DS: Final = 43
RRSIG: Final = 46
SVCB: Final = 64
HTTPS: Final = 65
TSIG: Final = 250
IXFR: Final = 251
AXFR: Final = 252
ANY: Final = 255

QUERY: Final = 0
NOTIFY: Final = 4
UPDATE: Final = 5
"""Opcodes."""

IN: Final = 1
CH: Final = 3

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
YXDOMAIN: Final = 6
YXRRSET: Final = 7
NXRRSET: Final = 8
NOTAUTH: Final = 9
NOTZONE: Final = 10
BADVERS: Final = 16

NODE: Final = b"="
REFERRAL: Final = b">"
NO_NAME: Final = b"-"
ERROR: Final = b"!"
"""How the kind of an answer begins; the name that it comes from follows (ratelimit.py)."""

HEADER_SIZE: Final = 12
QUESTION_OFFSET: Final = HEADER_SIZE
OWNER: Final = b"\xc0\x0c"
POINTER_LIMIT: Final = 0x4000
"""Offsets from here on cannot be pointed to (RFC 1035 4.1.4)."""

UDP_PAYLOAD: Final = 1232
"""What we say we take, and the most that we send over UDP (the DNS flag day 2020 value)."""
PLAIN_UDP_SIZE: Final = 512
TCP_SIZE: Final = 65535
TCP_IDLE: Final = 10
"""Seconds for which an idle connection stays open (RFC 7828)."""

_ONE_QUESTION: Final = b"\0\1\0\0\0\0\0\0"
_ONE_QUESTION_AND_OPT: Final = b"\0\1\0\0\0\0\0\1"
_NO_QUESTION_BUT_OPT: Final = b"\0\0\0\0\0\0\0\1"
_IXFR: Final = IXFR.to_bytes(2, "big")
_OPT_START: Final = b"\0\0\x29"
_OPT_AND_SIZE: Final = _OPT_START + struct.pack("!H", UDP_PAYLOAD)

NSID: Final = 3
CLIENT_SUBNET: Final = 8
COOKIE: Final = 10
TCP_KEEPALIVE: Final = 11
EXTENDED_ERROR: Final = 15
"""EDNS option codes."""

_unpack_opt = struct.Struct("!HBBHH").unpack_from
_unpack_option = struct.Struct("!HH").unpack_from
_unpack_record = struct.Struct("!HHIH").unpack_from
_unpack_counts = struct.Struct("!HHHH").unpack_from
_RECORD_FIXED: Final = 10
"""Type, class, TTL and RDLENGTH: what stands between the owner of a record and its RDATA."""


RRset = tuple[int, int, bytes]
"""Type, number of records, and the records ready to send, the owner of each a pointer to the question."""


class BadPacket(Exception):
    """A packet that is no query that we answer; `rcode` says what to answer, None means silence.

    What could be read of it is repeated: the `question` section as it came, and an OPT record if there was `edns`
    (RFC 6891 section 7: who gets no OPT record back takes us for a server without EDNS).
    """

    def __init__(self, rcode: int | None, reason: str) -> None:
        super().__init__(reason)
        self.rcode = rcode
        self.question = b""
        self.edns = False


class PeerPacket(BadPacket):
    """No plain question but what name servers say to each other: signed, a NOTIFY, a request for a transfer (peers.py).

    Who has no peers answers it like any other BadPacket.
    """


class ClientSubnet:
    """EDNS Client Subnet as asked (RFC 7871 section 6): the address is an integer of the family's full width."""

    __slots__ = ("address", "option", "source", "version")

    def __init__(self, version: int, source: int, address: int, option: bytes) -> None:
        self.version = version
        """4 or 6; 0 when the client gave no family."""
        self.source = source
        self.address = address
        self.option = option
        """The option's data as it came, to be echoed with our scope."""


class Edns:
    """The OPT record of a query (RFC 6891 section 6)."""

    __slots__ = ("dnssec_ok", "options", "size", "subnet", "version")

    def __init__(
        self, size: int, version: int, dnssec_ok: bool, subnet: ClientSubnet | None, options: dict[int, bytes]
    ) -> None:
        self.size = size
        self.version = version
        self.dnssec_ok = dnssec_ok
        self.subnet = subnet
        self.options = options
        """The first of each option other than the client subnet, by its code."""


class Query:
    """One question. `name` is lower case, `question` is the whole question section as it was spelt."""

    __slots__ = ("edns", "identifier", "name", "question", "recursion_desired", "rrclass", "rrtype")

    def __init__(
        self,
        identifier: bytes,
        recursion_desired: int,
        question: bytes,
        name: bytes,
        rrtype: int,
        rrclass: int,
        edns: Edns | None,
    ) -> None:
        self.identifier = identifier
        self.recursion_desired = recursion_desired
        self.question = question
        self.name = name
        self.rrtype = rrtype
        self.rrclass = rrclass
        self.edns = edns


def parse_query_untrusted(packet: bytes) -> Query:
    """Read a query of one question, or of none but with a cookie (RFC 7873 section 5.4); raises BadPacket."""
    if len(packet) < HEADER_SIZE:
        raise BadPacket(None, "shorter than a header")
    flags = packet[2]
    if flags & 0x80:
        raise BadPacket(None, "a response")
    if flags & 0x78:
        kind = PeerPacket if flags & 0x78 == NOTIFY << 3 else BadPacket
        raise kind(NOTIMP, "opcode not implemented")
    counts = packet[4:12]
    try:
        position = QUESTION_OFFSET
        while size := packet[position]:
            if size > 63:
                raise BadPacket(FORMERR, "a label that is too long, or a pointer, in the question")
            position += size + 1
        position += 1
        rrtype = packet[position] << 8 | packet[position + 1]
        rrclass = packet[position + 2] << 8 | packet[position + 3]
    except IndexError:
        raise BadPacket(FORMERR, "the question ends early") from None
    if position > QUESTION_OFFSET + 255:
        raise BadPacket(FORMERR, "a name over 255 octets")
    end = position + 4
    edns = None
    try:
        if counts == _ONE_QUESTION_AND_OPT and packet[end : end + 3] == _OPT_START:
            edns, end = _parse_opt_untrusted(packet, end + 3)
        elif counts == _NO_QUESTION_BUT_OPT:
            return _parse_no_question_untrusted(packet)
        elif counts != _ONE_QUESTION:
            edns, end = _parse_additional_untrusted(packet, end)
        if end != len(packet):
            bad = BadPacket(FORMERR, "bytes after the message")
            bad.edns = edns is not None
            raise bad
    except BadPacket as bad:
        if packet[4:6] == b"\0\1":
            bad.question = packet[QUESTION_OFFSET : position + 4]
        raise
    return Query(
        packet[:2],
        flags & 1,
        packet[QUESTION_OFFSET : position + 4],
        packet[QUESTION_OFFSET:position].lower(),
        rrtype,
        rrclass,
        edns,
    )


def _parse_no_question_untrusted(packet: bytes) -> Query:
    """A packet without a question, which may ask for a cookie."""
    if packet[HEADER_SIZE : HEADER_SIZE + 3] != _OPT_START:
        raise BadPacket(FORMERR, "no question")
    edns, end = _parse_opt_untrusted(packet, HEADER_SIZE + 3)
    if end != len(packet) or COOKIE not in edns.options:
        bad = BadPacket(FORMERR, "no question")
        bad.edns = True
        raise bad
    return Query(packet[:2], packet[2] & 1, b"", b"", 0, IN, edns)


def _parse_opt_untrusted(packet: bytes, position: int) -> tuple[Edns, int]:
    """Read an OPT record from behind its type; the position returned is the one after it."""
    try:
        return _parse_options_untrusted(packet, position)
    except (BadPacket, struct.error) as error:
        bad = error if isinstance(error, BadPacket) else BadPacket(FORMERR, "an OPT record ends early")
        bad.edns = True
        raise bad from None


def _parse_options_untrusted(packet: bytes, position: int) -> tuple[Edns, int]:
    """As above, but raises struct.error too."""
    size, _, version, flags, length = _unpack_opt(packet, position)
    position += 8
    end = position + length
    if end > len(packet):
        raise BadPacket(FORMERR, "an OPT record ends early")
    subnet = None
    options: dict[int, bytes] = {}
    while position < end:
        code, length = _unpack_option(packet, position)
        position += 4
        if position + length > end:
            raise BadPacket(FORMERR, "an EDNS option ends early")
        if code != CLIENT_SUBNET:
            options.setdefault(code, packet[position : position + length])
        elif subnet is not None:
            raise BadPacket(FORMERR, "two client subnets")
        elif version == 0:
            subnet = _parse_subnet_untrusted(packet[position : position + length])
        position += length
    return Edns(size, version, flags & 0x8000 != 0, subnet, options), end


def _parse_subnet_untrusted(option: bytes) -> ClientSubnet:
    """RFC 7871 section 6 and 7.1.2: family, source, scope 0, and just the octets that the source covers."""
    if len(option) < 4:
        raise BadPacket(FORMERR, "a client subnet that ends early")
    family, source, scope = option[0] << 8 | option[1], option[2], option[3]
    octets = (source + 7) >> 3
    if scope or len(option) != 4 + octets:
        raise BadPacket(FORMERR, "a client subnet with a scope or of the wrong length")
    if family == 1:
        version, bits = 4, 32
    elif family == 2:
        version, bits = 6, 128
    elif family == 0 and source == 0:
        return ClientSubnet(0, 0, 0, option)
    else:
        raise BadPacket(FORMERR, "a client subnet of an unknown family")
    if source > bits:
        raise BadPacket(FORMERR, "a client subnet that is longer than an address")
    address = int.from_bytes(option[4:], "big") << (bits - (octets << 3))
    if address & ((1 << (bits - source)) - 1):
        raise BadPacket(FORMERR, "a client subnet with bits behind its prefix")
    return ClientSubnet(version, source, address, option)


def _parse_additional_untrusted(packet: bytes, position: int) -> tuple[Edns | None, int]:
    """The rare rest: odd counts, or further records beside the OPT record."""
    questions, answers, authorities, additionals = _unpack_counts(packet, 4)
    if (questions, answers, authorities) == (1, 0, 1) and packet[position - 4 : position - 2] == _IXFR:
        raise PeerPacket(NOTIMP, "a request for an incremental transfer")
    if questions != 1 or answers or authorities:
        raise BadPacket(FORMERR, "not exactly one question, or records where a query has none")
    edns = None
    try:
        for left in range(additionals, 0, -1):
            owner = position
            position = skip_name_untrusted(packet, position)
            rrtype, _, _, length = _unpack_record(packet, position)
            if position + _RECORD_FIXED + length > len(packet):
                raise BadPacket(FORMERR, "a record ends early")
            if rrtype == OPT:
                if edns is not None or packet[owner]:
                    raise BadPacket(FORMERR, "two OPT records, or one with an owner")
                edns, position = _parse_opt_untrusted(packet, position + 2)
            elif rrtype == TSIG:
                # RFC 8945 section 5.1: it is the last; 5.2.1: there is no key that we know.
                if left > 1:
                    raise BadPacket(FORMERR, "a TSIG record that is not the last")
                raise PeerPacket(NOTAUTH, "signed with a key that is not known")
            else:
                position += _RECORD_FIXED + length
    except (BadPacket, struct.error) as error:
        bad = error if isinstance(error, BadPacket) else BadPacket(FORMERR, "a record ends early")
        bad.edns = bad.edns or edns is not None
        raise bad from None
    return edns, position


def skip_name_untrusted(packet: bytes, position: int) -> int:
    """The position behind the name at `position`, which may end in a pointer backwards; raises BadPacket."""
    start = position
    try:
        while size := packet[position]:
            if size >= 0xC0:
                if (size & 0x3F) << 8 | packet[position + 1] >= start:
                    raise BadPacket(FORMERR, "a pointer that does not lead backwards")
                return position + 2
            if size > 63:
                raise BadPacket(FORMERR, "an unknown kind of label")
            position += size + 1
    except IndexError:
        raise BadPacket(FORMERR, "a name ends early") from None
    return position + 1


class Answer:
    """What a question gets, apart from its identifier, its spelling and EDNS. Built once, sent often.

    `body` holds the sections behind the question, with `counts` (answer, authority, additional) records. `ends` says
    where it may end: octets, and additional records that are then left, the shortest first. What is before the first
    end must arrive; optional records after it are left out as far as they do not fit (RFC 2181 section 9). `kind` says
    which answers count together when they are too many (ratelimit.py).
    """

    __slots__ = ("_authoritative", "_counts", "_heads", "_rcode", "body", "ends", "extended_rcode", "kind")

    def __init__(
        self,
        rcode: int,
        authoritative: bool,
        counts: tuple[int, int, int],
        body: bytes,
        ends: tuple[tuple[int, int], ...] = (),
        *,
        kind: bytes,
    ) -> None:
        self.body = body
        self.ends = ends
        self.kind = kind
        self.extended_rcode = rcode >> 4
        self._rcode = rcode
        self._authoritative = authoritative
        self._counts = counts
        self._heads = _render_heads(rcode, authoritative, counts)

    def render(self, query: Query, size: int, scope: int, options: bytes = b"") -> bytes:
        """The reply as bytes, at most `size` of them.

        `scope` is the ECS scope prefix length (RFC 7871 section 7.2.1), `options` are further EDNS options as bytes.
        """
        edns = query.edns
        if edns is None:
            opt, variant = b"", query.recursion_desired
        else:
            opt, variant = self._render_opt(edns, scope, options), query.recursion_desired | 2
        reply = query.identifier + self._heads[variant] + query.question + self.body + opt
        if len(reply) <= size:
            return reply
        excess = len(reply) - size
        for end, additionals in reversed(self.ends):
            if len(self.body) - end >= excess:
                heads = _render_heads(self._rcode, self._authoritative, (*self._counts[:2], additionals))
                return query.identifier + heads[variant] + query.question + self.body[:end] + opt
        return self.render_truncated(query, scope, options)

    def render_truncated(self, query: Query, scope: int, options: bytes = b"") -> bytes:
        """The reply without its records and with TC set: ask again, by TCP."""
        edns = query.edns
        opt = b"" if edns is None else self._render_opt(edns, scope, options)
        variant = query.recursion_desired | (0 if edns is None else 2)
        head = bytearray(self._heads[variant])
        head[0] |= 0x02
        head[4:10] = (0, 0, 0, 0, 0, variant >> 1)
        return query.identifier + bytes(head) + query.question + opt

    def _render_opt(self, edns: Edns, scope: int, options: bytes) -> bytes:
        subnet = edns.subnet
        flags = b"\x80\0" if edns.dnssec_ok else b"\0\0"
        if subnet is not None:
            option = subnet.option
            options = b"\0\x08\0%c%b%c%b%b" % (len(option), option[:3], scope, option[4:], options)
        length = len(options)
        return b"%b%c\0%b%c%c%b" % (_OPT_AND_SIZE, self.extended_rcode, flags, length >> 8, length & 255, options)


def render_option(code: int, data: bytes) -> bytes:
    """One EDNS option (RFC 6891 section 6.1.2)."""
    return struct.pack("!HH", code, len(data)) + data


@functools.lru_cache(1024)
def _render_heads(rcode: int, authoritative: bool, counts: tuple[int, int, int]) -> tuple[bytes, ...]:
    """Flags and counts for the four kinds of query: RD clear or set, then the same with an OPT record to come."""
    answers, authorities, additionals = counts
    return tuple(
        struct.pack(
            "!BBHHHH",
            0x80 | (0x04 if authoritative else 0) | recursion_desired,
            rcode & 15,
            1,
            answers,
            authorities,
            additionals + opt,
        )
        for opt in (0, 1)
        for recursion_desired in (0, 1)
    )


def render_error(packet: bytes, rcode: int, question: bytes = b"", options: bytes | None = None) -> bytes:
    """An answer without an Answer: the opcode and RD are kept; with an OPT record unless `options` is None."""
    flags = bytes((0x80 | packet[2] & 0x79, rcode & 15, 0, 1 if question else 0))
    if options is None:
        return packet[:2] + flags + bytes(6) + question
    opt = _OPT_AND_SIZE + bytes(4) + len(options).to_bytes(2, "big") + options
    return packet[:2] + flags + b"\0\0\0\0\0\1" + question + opt


def render_record(owner: bytes, rrtype: int, ttl: int, rdata: bytes, rrclass: int = IN) -> bytes:
    """One record; `owner` is a name or a pointer."""
    return owner + struct.pack("!HHIH", rrtype, rrclass, ttl, len(rdata)) + rdata


def render_rrset(rrtype: int, ttl: int, rdatas: Iterable[bytes]) -> RRset:
    """An RRset whose owner is the name in the question; equal records are one (RFC 2181 section 5)."""
    distinct = dict.fromkeys(rdatas)
    return rrtype, len(distinct), b"".join([render_record(OWNER, rrtype, ttl, rdata) for rdata in distinct])


def split_records(records: bytes) -> list[bytes]:
    """The single records of rendered ones whose owners are pointers."""
    parts = []
    position = 0
    while position < len(records):
        end = position + 12 + (records[position + 10] << 8 | records[position + 11])
        parts.append(records[position:end])
        position = end
    return parts


def pack_address(address: str) -> bytes:
    """An address as the socket gave it, 4 or 16 octets; a scope id may follow a %."""
    if ":" in address:
        return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return socket.inet_aton(address)


def parent_name(name: bytes) -> bytes:
    """The name without its first label; of the root, which has none, the empty bytes."""
    return name[name[0] + 1 :] if name[0] else b""


def depth_below(name: bytes, apex: bytes) -> int:
    """How many labels `name` has below `apex`."""
    depth = 0
    while len(name) > len(apex):
        name = parent_name(name)
        depth += 1
    return depth


def ancestor(name: bytes, labels: int) -> bytes:
    """The name without its first `labels` labels."""
    for _ in range(labels):
        name = parent_name(name)
    return name


def is_below(name: bytes, apex: bytes) -> bool:
    """Whether `name` is `apex` or below it."""
    while len(name) > len(apex):
        name = parent_name(name)
    return name == apex


def split_labels(name: bytes) -> list[bytes]:
    """The labels of a name, without the root's, first to last."""
    labels = []
    position = 0
    while size := name[position]:
        labels.append(name[position + 1 : position + 1 + size])
        position += size + 1
    return labels


def name_to_text(name: bytes) -> str:
    """The name as a zone file spells it (RFC 1035 5.1), with the dot at its end."""
    return ".".join(map(_label_to_text, split_labels(name))) + "."


def type_to_text(rrtype: int) -> str:
    """The type as a zone file spells it; TYPE123 if it has no name (RFC 3597 section 5)."""
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rrtype))


def rcode_to_text(rcode: int) -> str:
    """What people call an RCODE, or its number."""
    return dns.rcode.to_text(dns.rcode.Rcode(rcode))


def is_meta_type(rrtype: int) -> bool:
    """Whether a type exists in messages only, and not in zones (RFC 6895 section 3.1)."""
    return rrtype in (0, OPT) or 128 <= rrtype <= 255


def _label_to_text(label: bytes) -> str:
    return "".join(
        f"\\{octet:03d}" if octet < 0x21 or octet > 0x7E else f"\\{octet:c}" if octet in b'.;\\()@$"' else chr(octet)
        for octet in label
    )
