"""Record: what every steerable record type can say about itself.

A kind is a class, never an instance: its functions work on bare rdata, because the answer path calls them.
Rdata is wire format without compression; names in it keep the case in which they were written.
"""

import io
from typing import ClassVar

import dns.exception
import dns.name
import dns.rdata

_LONGEST = 65_535  # RFC 1035 section 3.2.1: RDLENGTH has 16 bits


class RecordError(ValueError):
    """Text that is not a record of its type; the message says why and shows an example."""


class Record:
    """One record type. Kinds override what is special about them."""

    name: ClassVar[str]
    """The mnemonic, as in "MX"."""
    type: ClassVar[int]
    """The number of the type."""
    example: ClassVar[str]
    """Rdata text, shown when other text does not parse."""
    singular: ClassVar[bool] = False
    """Whether an owner name has at most one record of this type, so that an answer carries one."""

    @classmethod
    def parse(cls, text: str) -> bytes:
        """Rdata from zone-file text (RFC 1035 section 5, RFC 3597 section 5); raises `RecordError`.

        Names must be absolute: text in a configuration has no $ORIGIN that a reader could see.
        """
        like = f"like {cls.example}"
        if not text.replace("\t", " ").isprintable():
            raise RecordError(f"expected {cls.name} record text in one line of printable characters, {like}")
        wire = io.BytesIO()
        try:
            dns.rdata.from_text("IN", cls.name, text, relativize=False).to_wire(wire)
        except dns.name.NeedAbsoluteNameOrOrigin:
            raise RecordError(f"a name in a record must be absolute, with a dot at its end, {like}") from None
        except (dns.exception.DNSException, ValueError) as error:
            raise RecordError(f"expected {cls.name} record text, {like} ({error})") from None
        if wire.tell() > _LONGEST:
            raise RecordError(f"record data of {wire.tell()} bytes; at most {_LONGEST} fit")
        return wire.getvalue()

    @staticmethod
    def from_address(address: str) -> bytes | None:  # noqa: ARG004 - the signature of A and AAAA
        """The rdata that an origin with this address stands for, or None if an address does not say."""
        return None

    @staticmethod
    def target(rdata: bytes) -> bytes | None:  # noqa: ARG004 - the signature of MX, SRV and HTTPS
        """The name (wire, lower case) whose addresses belong in the additional section, if any.

        The root, b"\\0", stands for the owner name itself.
        """
        return None
