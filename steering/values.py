"""The types of single settings: what is written as text and kept as something better.

Each `parse_` function turns text into a value that can no longer be wrong, or raises ValueError saying what
is allowed. The types at the end carry their function in a Meta, where `steering.reading` finds it.
"""

import base64
import binascii
import datetime
import functools
import ipaddress
import re
from collections.abc import Callable
from typing import Annotated

import dns.exception
import dns.name
import dns.rdatatype
import msgspec
from msgspec import Meta

from geodata.continents import CONTINENTS
from geodata.place import is_subdivision
from geodata.regions import REGIONS, Regions
from monitors.address import parse_address
from steering.problems import Key, did_you_mean
from steering.reading import BAD, Document
from steering.records import RECORDS, RecordError
from steering.wire import is_meta_type


def parse_name(text: str) -> bytes:
    """A DNS name, taken as absolute with or without its last dot: wire format in lower case."""
    name = _owner(text)
    if b"*" in name.labels:
        raise ValueError("no wildcard can stand here")
    return name.to_digestable()


def parse_owner(text: str) -> bytes:
    """A DNS name or a wildcard, with an asterisk as its first label (RFC 4592 section 2.1.1)."""
    name = _owner(text)
    if b"*" in name.labels[1:]:
        raise ValueError("only the first label of a name can be an asterisk")
    return name.to_digestable()


def parse_record_type(text: str) -> int:
    """The number of a record type that can be steered."""
    if text not in RECORDS:
        raise ValueError("not a record type that can be steered" + did_you_mean(text, RECORDS))
    return RECORDS[text].type


def parse_listen(text: str) -> str:
    """An IP address and a port in canonical form."""
    match = re.fullmatch(r"(?:\[(.*:.*)\]|([0-9.]+)):([0-9]{1,5})", text)
    if match is None:
        raise ValueError(f"expected {_LISTEN}")
    if not 1 <= int(match[3]) <= 65535:
        raise ValueError("expected a port from 1 to 65535")
    if match[1]:
        return f"[{parse_address(match[1])}]:{int(match[3])}"
    return f"{parse_address(match[2])}:{int(match[3])}"


def parse_resolver(text: str) -> tuple[str, int]:
    """The address and port of a name server, from "192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[::1]:5353"."""
    match = re.fullmatch(r"\[(.*:.*)\]:([0-9]{1,5})|([0-9.]+):([0-9]{1,5})|([0-9a-fA-F:.]+)", text)
    port = int(match[2] or match[4] or 53) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise ValueError(f"expected {_RESOLVER}")
    return parse_address(match[1] or match[3] or match[5]), port


def parse_network(text: str) -> str:
    """A network in CIDR notation, in canonical form."""
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"expected {_NETWORK}") from None
    if "/" not in text or interface.ip != interface.network.network_address:
        raise ValueError(f'expected {_NETWORK}; did you mean "{interface.network}"?')
    return str(interface.network)


def parse_continent(text: str) -> str:
    """One of the seven continents."""
    if text not in CONTINENTS:
        raise ValueError("no such continent" + did_you_mean(text, CONTINENTS))
    return text


class Peer(msgspec.Struct, frozen=True, array_like=True):
    """Another name server, and the key that messages to and from it are signed with."""

    address: str
    port: int
    key: bytes | None = None

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Permission(msgspec.Struct, frozen=True, array_like=True):
    """Who may do something: who asks from the network and signs with the key, as far as each is given."""

    network: str | None = None
    key: bytes | None = None


def parse_peer(text: str) -> Peer:
    """An address, with a port where it is not 53, and a key where messages are signed."""
    words = text.split()
    try:
        if len(words) not in (1, 2) or (len(words) == 2 and not words[1].startswith("key:")):
            raise ValueError
        key = parse_name(words[1].removeprefix("key:")) if len(words) == 2 else None
        if re.fullmatch(r"\[.*\]:\d+|[0-9.]+:\d+", words[0]):
            address, _, port = parse_listen(words[0]).rpartition(":")
            return Peer(address.strip("[]"), int(port), key)
        return Peer(parse_address(words[0]), 53, key)
    except ValueError:
        raise ValueError(f"expected {_PEER}") from None


def parse_permission(text: str) -> Permission:
    """A network or an address, a key, or both."""
    network: str | None = None
    key: bytes | None = None
    try:
        for word in text.split():
            if word.startswith("key:") and key is None:
                key = parse_name(word.removeprefix("key:"))
            elif network is None and key is None:
                network = parse_network(word if "/" in word else str(ipaddress.ip_network(parse_address(word))))
            else:
                raise ValueError
    except ValueError as error:
        meant = str(error).partition("; did you mean ")[1:]
        raise ValueError(f"expected {_PERMISSION}" + "".join(meant)) from None
    if network is None and key is None:
        raise ValueError(f"expected {_PERMISSION}")
    return Permission(network, key)


def parse_pattern(text: str) -> bytes:
    """A pattern of DNS names: a name whose labels can be * for any one, and, once, ** for any number of them."""
    name = _owner(text)
    if name.labels.count(b"**") > 1:
        raise ValueError("only one ** can be in a pattern")
    return name.to_digestable()


def parse_updated_type(text: str) -> int:
    """The number of a record type that updates may change."""
    try:
        rrtype = int(dns.rdatatype.from_text(text))
    except (dns.exception.DNSException, ValueError):
        raise ValueError("not a record type") from None
    if rrtype == dns.rdatatype.SOA or is_meta_type(rrtype):
        raise ValueError("not a record type that can be updated")
    return rrtype


def parse_secret(text: str) -> bytes:
    """The octets of a secret in Base64."""
    try:
        secret = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"expected {_SECRET}") from None
    if not secret:
        raise ValueError(f"expected {_SECRET}")
    return secret


def parse_region(text: str) -> str:
    """One of the 13 regions."""
    if text not in REGIONS:
        raise ValueError("no such region" + did_you_mean(text, REGIONS))
    return text


def parse_country(text: str) -> str:
    """A country of ISO 3166-1, by its two capital letters."""
    if text not in _countries():
        meant = {"UK": "GB"}.get(text.upper(), text.upper())
        hint = f'; did you mean "{meant}"?' if meant in _countries() else ""
        raise ValueError(f'no such country; expected two capital letters of ISO 3166-1, like "FR"{hint}')
    return text


def parse_subdivision(text: str) -> str:
    """A subdivision of ISO 3166-2; its country must exist, the rest is only checked for its form."""
    if not is_subdivision(text):
        raise ValueError('expected a subdivision of ISO 3166-2, like "US-CA"')
    parse_country(text[:2])
    return text


def read_records(value: object, key: Key, document: Document) -> object:
    """Rdata by record type, from zone-file text: one text, or a list of them, for each type."""
    if not isinstance(value, dict):
        document.note(key, 'expected a table of record texts, like { MX = "10 mx1.example.com." }')
        return BAD
    noted = len(document.problems)
    records: dict[int, tuple[bytes, ...]] = {}
    for name, texts in value.items():
        here = (*key, name)
        if name not in RECORDS:
            document.note(here, "not a record type that can be steered" + did_you_mean(name, RECORDS))
            continue
        kind = RECORDS[name]
        listed = texts if isinstance(texts, list) else [texts]
        if not listed or (kind.singular and len(listed) > 1):
            document.note(here, f"expected one {name} record" + ("" if kind.singular else " or more"))
        rdatas = []
        for position, text in enumerate(listed):
            place = (*here, position) if texts is listed else here
            if not isinstance(text, str):
                document.note(place, f"expected text of {name} records, like {kind.example}")
                continue
            try:
                rdatas.append(kind.parse(text))
            except RecordError as error:
                document.note(place, str(error))
        records[kind.type] = tuple(rdatas)
    return records if len(document.problems) == noted else BAD


def read_moment(value: object, key: Key, document: Document) -> object:
    """Unix seconds from a date and time of TOML that has an offset."""
    if not isinstance(value, datetime.datetime) or value.tzinfo is None:
        document.note(key, f"expected {_MOMENT}")
        return BAD
    return value.timestamp()


def _owner(text: str) -> dns.name.Name:
    if not text.isascii() or not text.isprintable() or " " in text or text in ("", "@"):
        raise ValueError("expected a DNS name in ASCII (an international one in its xn-- form)")
    try:
        return dns.name.from_text(text)
    except dns.exception.DNSException as error:
        raise ValueError(f"not a DNS name: {error}") from None


@functools.cache
def _countries() -> frozenset[str]:
    return frozenset(Regions.load().countries)


def _text(parse: Callable[[str], object], description: str) -> Meta:
    return Meta(extra={"parse": parse}, description=description)


_MOMENT = "a date and time with its offset, like 2026-12-01T22:00:00Z"
_LISTEN = 'an IP address and a port, like "127.0.0.1:53" or "[::1]:53"'
_RESOLVER = 'the IP address of a name server, with the port if that is not 53, like "192.0.2.53" or "[::1]:5353"'
_NETWORK = 'a network like "192.0.2.0/24" or "2001:db8::/32"'
_PEER = 'the address of a name server, like "192.0.2.1", "[2001:db8::1]:5353" or, with a key, "192.0.2.1 key:name"'
_PERMISSION = 'a network or an address, a key, or both, like "192.0.2.0/24", "key:name", "192.0.2.1 key:name"'

_PEER = 'the address of a name server, like "192.0.2.1", "[2001:db8::1]:5353" or, with a key, "192.0.2.1 key:name"'
_SECRET = "a secret in Base64"

CharacterString = Annotated[str, Meta(pattern=r"^[ -~]{0,255}\Z")]
Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+\Z")]
Token = Annotated[
    str, Meta(pattern=r"^([A-Za-z0-9._~+/-]{16,1000}=*)?\Z", description="at least 16 of A-Z a-z 0-9 . _ ~ + / -")
]
Weight = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[bytes, _text(parse_name, "a DNS name")]
Owner = Annotated[bytes, _text(parse_owner, "a DNS name or a wildcard")]
RecordType = Annotated[int, _text(parse_record_type, "a record type: " + ", ".join(RECORDS))]
Resolver = Annotated[tuple[str, int], _text(parse_resolver, _RESOLVER)]
Listen = Annotated[str, _text(parse_listen, _LISTEN)]
Network = Annotated[str, _text(parse_network, _NETWORK)]
Continent = Annotated[str, _text(parse_continent, "a continent: " + ", ".join(CONTINENTS))]
PeerText = Annotated[Peer, _text(parse_peer, _PEER)]
PermissionText = Annotated[Permission, _text(parse_permission, _PERMISSION)]
NamePattern = Annotated[bytes, _text(parse_pattern, "a DNS name or a pattern of names")]
UpdatedType = Annotated[int, _text(parse_updated_type, "a record type")]
Secret = Annotated[bytes, Meta(extra={"parse": parse_secret, "secret": True}, description=_SECRET)]
Region = Annotated[str, _text(parse_region, "a region: " + ", ".join(REGIONS))]
Country = Annotated[str, _text(parse_country, "a country")]
Subdivision = Annotated[str, _text(parse_subdivision, "a subdivision")]
Moment = Annotated[float, Meta(extra={"read": read_moment}, description=_MOMENT)]
FilePath = Annotated[str, Meta(extra={"path": True}, description="the path of a file or directory")]
FileMode = Annotated[str, Meta(pattern=r"^0?[0-7]{3}\Z", description='the mode of a file, like "0660"')]
Records = Annotated[
    dict[int, tuple[bytes, ...]], Meta(extra={"read": read_records}, description="a table of record texts")
]
