"""Questions to compare by: every name of a zone is asked for every type, and so are names above, beside and below it.

The same zones make the same questions. The case of names is as in the zone, and once turned.
"""

import random
import re
from collections.abc import Iterable, Iterator
from typing import Final

import dns.flags
import dns.rdatatype
import msgspec

from steering.wire import AAAA, ANY, CNAME, DNAME, DS, HTTPS, MX, NS, SOA, SRV, TXT, A, name_to_text

ALIKE: Final = 3
"""Names that differ only in numbers, beyond which the next ones say nothing new."""
RANDOM: Final = 20
"""Names of octets by the dice of the zone's name: the same ones each time."""
PTR, NSEC, DNSKEY, UNKNOWN = 12, 47, 48, 65280
TYPES: Final = (A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, DNAME, DS, NSEC, DNSKEY, HTTPS, UNKNOWN, ANY)
"""What every name of a zone is asked for, beside the types that it has."""
TYPES_AROUND: Final = (A, NS, DS, MX, ANY)
"""What the names around it are asked for."""


class Manner(msgspec.Struct, frozen=True):
    """How a question is asked."""

    tcp: bool = False
    size: int | None = 1232
    """What the client takes over UDP, in its OPT record; None: no EDNS."""
    dnssec_ok: bool = False
    flags: int = 0
    """The flags of the header."""


MANNERS: Final = {
    "udp": Manner(),
    "udp plain": Manner(size=None),
    "udp 512": Manner(size=512, flags=dns.flags.RD),
    "udp 4096 do": Manner(size=4096, dnssec_ok=True),
    "udp flags": Manner(flags=dns.flags.RD | dns.flags.AD | dns.flags.CD | dns.flags.AA | dns.flags.TC | 0x40),
    "tcp": Manner(tcp=True),
    "tcp plain": Manner(tcp=True, size=None, flags=dns.flags.RD),
    "tcp do": Manner(tcp=True, dnssec_ok=True),
}


class Question(msgspec.Struct, frozen=True):
    """A name as it is spelt (wire) and a type."""

    name: bytes
    rrtype: int

    def __str__(self) -> str:
        return f"{name_to_text(self.name)} {dns.rdatatype.to_text(dns.rdatatype.RdataType.make(self.rrtype))}"

    def packet(self, identifier: int, manner: Manner) -> bytes:
        """The query."""
        opt = b"" if manner.size is None else make_opt(size=manner.size, flags=0x8000 * manner.dnssec_ok)
        return make_packet(
            self.name, self.rrtype, identifier=identifier, flags=manner.flags, additional=(opt,) if opt else ()
        )


def make_packet(
    name: bytes,
    rrtype: int,
    *,
    rrclass: int = 1,
    identifier: int = 0,
    flags: int = 0,
    additional: tuple[bytes, ...] = (),
) -> bytes:
    """A query of one question, with these records behind it."""
    numbers = (identifier, flags, 1, 0, 0, len(additional))
    question = name + rrtype.to_bytes(2, "big") + rrclass.to_bytes(2, "big")
    return b"".join(number.to_bytes(2, "big") for number in numbers) + question + b"".join(additional)


def make_opt(
    *options: tuple[int, bytes],
    size: int = 1232,
    version: int = 0,
    flags: int = 0,
    extended: int = 0,
    owner: bytes = b"\0",
) -> bytes:
    """An OPT record (RFC 6891 section 6.1.2)."""
    data = b"".join(code.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value for code, value in options)
    head = owner + b"\0\x29" + size.to_bytes(2, "big") + bytes((extended, version)) + flags.to_bytes(2, "big")
    return head + len(data).to_bytes(2, "big") + data


def ask_about(zone: str, owners: Iterable[tuple[bytes, frozenset[int]]]) -> list[Question]:
    """The questions of a zone; `owners` are its names with their types."""
    apex = to_wire(zone)
    asked: dict[Question, None] = {}
    shapes: dict[str, int] = {}
    for owner, types in owners:
        shape = re.sub("[0-9]+", "#", name_to_text(owner))
        shapes[shape] = shapes.get(shape, 0) + 1
        if shapes[shape] > ALIKE:
            continue
        for rrtype in sorted({*TYPES, *types}):
            asked[Question(owner, rrtype)] = None
        for name in (*_names_around(owner, apex), _swap_case(owner)):
            for rrtype in TYPES_AROUND:
                asked[Question(name, rrtype)] = None
    lottery = random.Random(zone)
    for _ in range(RANDOM):
        labels = [lottery.randbytes(lottery.choice((1, 2, 8, 63))) for _ in range(lottery.randint(1, 3))]
        name = b"".join(bytes((len(label),)) + label for label in labels) + apex
        for rrtype in TYPES_AROUND:
            asked[Question(name, rrtype)] = None
    return list(asked)


def _names_around(owner: bytes, apex: bytes) -> Iterator[bytes]:
    for below in (b"\5below", b"\4deep\5below", b"\1*", b"\1*\5below", b"\3www", b"\1\0", b"\1\xff", b"\4\1.\\ "):
        if len(below) + len(owner) <= 255:
            yield below + owner
    if owner != apex:
        size, parent = owner[0], owner[owner[0] + 1 :]
        yield parent
        yield b"\6beside" + parent
        yield bytes((size,)) + owner[1:size] + b"~" + parent
        yield bytes((size,)) + owner[1:size] + b"!" + parent
        yield b"\1*" + parent


def _swap_case(name: bytes) -> bytes:
    """The name with the case of every other letter turned."""
    return bytes(
        octet ^ 0x20 if n & 1 and chr(octet).isalpha() and octet < 128 else octet for n, octet in enumerate(name)
    )


def to_wire(name: str) -> bytes:
    """A name without escapes as wire bytes."""
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label) + b"\0"
