"""powerdns_remote: PowerDNS asks waypost, as its backend `remote`, for every name of the zones here.

    PowerDNS ── {"method":"lookup","parameters":{…}} ──> reply_untrusted(request, dice, world) ──> {"result":[…]}

The protocol is docs/backends/remote.rst of PowerDNS; the same objects travel over a UNIX socket and as bodies of POST
(`post_json`), see serve/backend.py. PowerDNS composes the answer itself: it asks for all records of one name, then for
the wildcard above it, for the zone cut, for the SOA. So a look-up here is one node of the zone store, with the client's
plan in the place of what a load balancer steers.

Rules of this file
- Pure, like `respond`: no await, and no I/O but look-ups in the world's snapshot of the zone store.
- A request that is no request gets `false` and the reason, which PowerDNS logs; never an exception.
- `false` and an empty list say that there is nothing. What cannot be answered (the zone has expired) gets `null`, by
  which PowerDNS answers SERVFAIL.
- What PowerDNS asks without need (metadata, keys, secondaries) costs a look into a table.
"""

import base64
import ipaddress
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import msgspec

from steering.balance.lottery import Dice
from steering.compose import Composition, Location
from steering.wire import (
    HTTPS,
    IN,
    SOA,
    SVCB,
    ClientSubnet,
    Edns,
    Query,
    RRset,
    name_to_text,
    parent_name,
    split_records,
    type_to_text,
)
from steering.world import World
from steering.zones.node import STEERED, key_labels, name_of_key, unpack_node
from steering.zones.store import EMPTY, Zone

LIST_LIMIT: Final = 20_000
"""Records of the largest zone that `list` gives, as nobody else is answered meanwhile: a good half second."""
UNCACHED: Final = 1
"""Scope of what depends on the client where no subnet gives one: it keeps a record out of PowerDNS's query cache."""


_NAMES = [
    "A", "NS", "CNAME", "SOA", "PTR", "HINFO", "MX", "TXT", "RP", "AFSDB", "AAAA", "LOC", "SRV", "NAPTR",
    "KX", "CERT", "DNAME", "APL", "DS", "SSHFP", "RRSIG", "NSEC", "DNSKEY", "DHCID", "NSEC3", "NSEC3PARAM",
    "TLSA", "SMIMEA", "CDS", "CDNSKEY", "OPENPGPKEY", "CSYNC", "SVCB", "HTTPS", "SPF", "EUI48", "EUI64",
    "URI", "CAA",
]  # fmt: skip
KNOWN_TYPES: Final = frozenset(map(dns.rdatatype.from_text, _NAMES))
"""Types that PowerDNS knows by name and has as text; others are TYPE123 and octets (RFC 3597)."""


def reply_untrusted(request: bytes, dice: Dice, world: World) -> bytes:
    """The reply to one request, both JSON objects without a line end."""
    try:
        asked = _decode_request(request)
        method = METHODS.get(asked.method)
        if method is None:
            return _FALSE
        shape = method.parameters
        parameters = None if shape is None else msgspec.json.decode(asked.parameters, type=shape)
        return msgspec.json.encode({"result": method.reply(parameters, dice, world)})
    except NotAnsweredError as error:
        return msgspec.json.encode({"result": None, "log": [f"waypost: {error}"]})
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeError are ValueErrors
        return msgspec.json.encode({"result": False, "log": [f"waypost: not a request: {error}"]})


class NotAnsweredError(Exception):
    """There may be an answer, but it is not known here; the text says why."""


class Request(msgspec.Struct, frozen=True):
    """What PowerDNS sends."""

    method: str
    parameters: msgspec.Raw = msgspec.Raw(b"{}")


class LookUp(msgspec.Struct, frozen=True):
    """All records of a name; `qtype` is mostly ANY. Internal questions come from 0.0.0.0 and 0.0.0.0/0."""

    qname: str
    qtype: str = "ANY"
    remote: str = "0.0.0.0"
    """The resolver; behind a proxy that says so, its client."""
    real_remote: str = msgspec.field(name="real-remote", default="0.0.0.0/0")
    """The client subnet (RFC 7871) as a network, else the address of `remote` as one."""
    zone_id: int = msgspec.field(name="zone-id", default=-1)
    """The `id` that we gave the zone; -1: the closest one."""


class Named(msgspec.Struct, frozen=True):
    """A zone, by its name."""

    name: str


class Listed(msgspec.Struct, frozen=True):
    """A zone whose records are to be listed."""

    zonename: str


def _look_up(asked: LookUp, dice: Dice, world: World) -> list[dict[str, object]]:
    name = _parse_name_untrusted(asked.qname)
    zone = _find_zone(name, asked.zone_id, world)
    if zone is None:
        return []
    _check_fresh(zone)
    labels = key_labels(name, zone.apex)
    value = world.zones.read_node(zone, labels)
    if value is None:
        if asked.qtype == "ANY" and world.zones.find(zone, labels).kind == EMPTY:
            return [_EMPTY_NON_TERMINAL | {"qname": asked.qname}]
        return []
    steered = world.steered.get(name, {}) if value[1] & STEERED else {}
    records: list[dict[str, object]] = []
    for rrtype, count, octets in unpack_node(value):
        if asked.qtype not in ("ANY", _spell_type(rrtype)):
            continue
        rrset: RRset | None = (rrtype, count, octets)
        scope = 0
        if rrtype in steered:
            location = _locate_untrusted(asked, name, world)
            rrset = Composition(name, location, dice, world).find_rrset(name, value, rrtype)
            scope = location.scope or (UNCACHED if location.mattered else 0)
        if rrset is not None:
            common = {"qname": asked.qname, "domain_id": zone_id(zone.apex), "scopeMask": scope, "auth": 1}
            records += [common | each for each in _describe(rrset)]
    return records


def _check_fresh(zone: Zone) -> None:
    if zone.expired:
        raise NotAnsweredError(f"zone {name_to_text(zone.apex)} has expired")


_EMPTY_NON_TERMINAL: Final[dict[str, object]] = {"qtype": "TYPE0", "content": "", "ttl": 0, "auth": 1}
"""Says that a name exists, without which PowerDNS answers NXDOMAIN; type 0 is nobody's."""


def _describe(rrset: RRset) -> Iterator[dict[str, object]]:
    """Type, content and TTL of each record, as PowerDNS spells them."""
    rrtype, _, octets = rrset
    kind = dns.rdatatype.RdataType.make(rrtype)
    for record in split_records(octets):
        try:
            rdata = dns.rdata.from_wire(dns.rdataclass.IN, kind, record, 12, len(record) - 12)
        except dns.exception.DNSException as error:  # a primary may send what it likes
            raise NotAnsweredError(f"a record of type {type_to_text(kind)} makes no sense: {error}") from error
        yield {
            "qtype": _spell_type(kind),
            "content": _spell(rdata),
            "ttl": int.from_bytes(record[6:10], "big"),
        }


def _spell_type(rrtype: int) -> str:
    return type_to_text(rrtype) if rrtype in KNOWN_TYPES else f"TYPE{rrtype}"


def _spell(rdata: dns.rdata.Rdata) -> str:
    """The text of a record's data as PowerDNS reads it; one that it cannot read costs the answers of all its name."""
    if rdata.rdtype not in KNOWN_TYPES:
        return rdata.to_generic().to_text()
    if rdata.rdtype == dns.rdatatype.CERT:  # numbers, no mnemonics
        wire = rdata.to_digestable()
        return f"{int.from_bytes(wire[:2])} {int.from_bytes(wire[2:4])} {wire[4]} {base64.b64encode(wire[5:]).decode()}"
    if rdata.rdtype in (SVCB, HTTPS):
        return _BARE_VALUE.sub(r"\1=\2", rdata.to_text())
    return rdata.to_text()


_BARE_VALUE: Final = re.compile(r'(?<= )(mandatory|port|ipv4hint|ipv6hint|ech)="([^"]*)"')
"""Parameters whose values PowerDNS wants without quotes, and which have no spaces in them."""


def _find_zone(name: bytes, number: int, world: World) -> Zone | None:
    """The closest zone at or above a name; of several the one with that number, if it is given."""
    zone = closest = world.zones.find_zone(name)
    while zone is not None and number >= 0 and zone_id(zone.apex) != number:
        zone = world.zones.find_zone(parent_name(zone.apex)) if len(zone.apex) > 1 else None
    return zone or closest


def zone_id(apex: bytes) -> int:
    """The number of a zone at PowerDNS, the same after any reload; it tells a zone from those above it."""
    return zlib.crc32(apex) & 0x7FFFFFFF


def _has_subnet(asked: LookUp) -> bool:
    """Whether the question had a client subnet: else PowerDNS repeats the address."""
    address, _, length = asked.real_remote.partition("/")
    return address != asked.remote or length not in ("32", "128")


def _locate_untrusted(asked: LookUp, name: bytes, world: World) -> Location:
    """Where the client is, as `respond` would find it; raises ValueError."""
    ipaddress.ip_address(asked.remote)
    subnet = None
    if _has_subnet(asked):
        network = ipaddress.ip_network(asked.real_remote, strict=False)
        if network.prefixlen:
            subnet = ClientSubnet(network.version, network.prefixlen, int(network.network_address), b"")
    edns = Edns(0, 0, False, subnet, {})
    return Location(Query(b"", 0, b"", name, 0, IN, edns), asked.remote, world.trusts)


def _parse_name_untrusted(text: str) -> bytes:
    """A name to its key form; raises ValueError."""
    if not text.isascii() or len(text) > 1024:
        raise ValueError("a name that is none")
    try:
        return dns.name.from_text(text).to_digestable()
    except dns.exception.DNSException as error:
        raise ValueError(str(error)) from None


def _describe_zone(zone: Zone) -> dict[str, object]:
    return {
        "id": zone_id(zone.apex),
        "zone": name_to_text(zone.apex),
        "kind": "native",
        "serial": zone.serial,
        "notified_serial": zone.serial,
        "last_check": 0,
        "masters": [],
    }


def _describe_zones(_: None, _dice: Dice, world: World) -> list[dict[str, object]]:
    return [_describe_zone(zone) for zone in world.zones.zones.values()]


def _find_zone_of_name(asked: Named, _dice: Dice, world: World) -> dict[str, object] | bool:
    zone = world.zones.zones.get(_parse_name_untrusted(asked.name))
    return zone is not None and _describe_zone(zone)


def _list(asked: Listed, _dice: Dice, world: World) -> list[dict[str, object]] | bool:
    """The records of a zone for a transfer, the SOA first; steered names with their default answers."""
    zone = world.zones.zones.get(_parse_name_untrusted(asked.zonename))
    if zone is None:
        return False
    _check_fresh(zone)
    number = zone_id(zone.apex)
    first: list[dict[str, object]] = []
    records: list[dict[str, object]] = []
    for key, value in world.zones.walk(zone):
        common = {"qname": name_to_text(name_of_key(key, zone.apex)), "domain_id": number, "auth": 1}
        for rrset in unpack_node(value):
            (first if rrset[0] == SOA else records).extend(common | each for each in _describe(rrset))
        if len(records) > LIST_LIMIT:
            raise ValueError(f"{asked.zonename} has more than {LIST_LIMIT} records: transfer it from waypost itself")
    return first + records


class Method(NamedTuple):
    """What PowerDNS may ask: the shape of its parameters, and what gives the result."""

    parameters: type[msgspec.Struct] | None
    """None: they do not matter, whatever they are."""
    reply: Callable[[Any, Dice, World], object]


METHODS: Final = {
    "initialize": Method(None, lambda _, _dice, _world: True),
    "lookup": Method(LookUp, _look_up),
    "getAllDomains": Method(None, _describe_zones),
    "getDomainInfo": Method(Named, _find_zone_of_name),
    "list": Method(Listed, _list),
    "getAllDomainMetadata": Method(None, lambda _, _dice, _world: {}),
    "getDomainMetadata": Method(None, lambda _, _dice, _world: []),
}
"""All others get `false`, which says that there is nothing, or that it is not done here."""

_FALSE: Final = b'{"result":false}'
_decode_request: Final = msgspec.json.Decoder(Request).decode
