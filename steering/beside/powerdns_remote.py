"""powerdns_remote: PowerDNS asks waypost, as its backend `remote`, for every name of the zones here.

    PowerDNS ── {"method":"lookup","parameters":{…}} ──> reply_untrusted(request, dice, world) ──> {"result":[…]}

The protocol is docs/backends/remote.rst of PowerDNS; the same objects travel over a UNIX socket and as bodies of POST
(`post_json`), see serve/backend.py. PowerDNS composes the answer itself: it asks for all records of one name, then for
the wildcard above it, for the zone cut, for the SOA. So a look-up here is one node of the zone store, with the client's
plan in the place of what a load balancer steers.

Rules of this file
- Pure, like `respond`: no await, and no I/O but look-ups in the world's snapshot of the zone store.
- A request that is no request gets `false` and the reason, which PowerDNS logs; never an exception.
- What PowerDNS asks without need (metadata, keys, secondaries) costs a look into a table.
"""

import ipaddress
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
from steering.balance.plans import KeyedPlan
from steering.compose import Location
from steering.wire import IN, SOA, ClientSubnet, Edns, Query, RRset, name_to_text, parent_name, split_records
from steering.world import World
from steering.zones.node import STEERED, key_labels, name_of_key, unpack_node
from steering.zones.store import EMPTY, Zone

LIST_LIMIT: Final = 20_000
"""Records of the largest zone that `list` gives, as nobody else is answered meanwhile: a good half second."""
UNCACHED: Final = 1
"""A scope that keeps a record out of PowerDNS's query cache; nobody else sees it where no client subnet was given."""


def reply_untrusted(request: bytes, dice: Dice, world: World) -> bytes:
    """The reply to one request, both JSON objects without a line end."""
    try:
        asked = _decode_request(request)
        method = METHODS.get(asked.method)
        if method is None:
            return _FALSE
        result = method.reply(msgspec.json.decode(asked.parameters, type=method.parameters), dice, world)
        return msgspec.json.encode({"result": result})
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeError are ValueErrors
        return msgspec.json.encode({"result": False, "log": [f"waypost: not a request: {error}"]})


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


class Nothing(msgspec.Struct, frozen=True):
    """Parameters that do not matter."""


def _look_up(asked: LookUp, dice: Dice, world: World) -> list[dict[str, object]]:
    name = _parse_name_untrusted(asked.qname)
    zone = _find_zone(name, asked.zone_id, world)
    if zone is None or zone.expired:  # without a SOA, PowerDNS does not answer for the zone
        return []
    labels = key_labels(name, zone.apex)
    value = world.zones.read_node(zone, labels)
    if value is None:
        if asked.qtype == "ANY" and world.zones.find(zone, labels).kind == EMPTY:
            return [_EMPTY_NON_TERMINAL | {"qname": asked.qname}]
        return []
    wanted = None if asked.qtype == "ANY" else asked.qtype
    steered = world.steered.get(name, {}) if value[1] & STEERED else {}
    records: list[dict[str, object]] = []
    for rrtype, count, octets in unpack_node(value):
        if wanted is not None and dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rrtype)) != wanted:
            continue
        rrset: RRset | None = (rrtype, count, octets)
        scope = 0
        if steering := steered.get(rrtype):
            location = _locate_untrusted(asked, name, world)
            plan = steering.plans[location.find_class(steering)]
            rrset = plan.rrsets[plan.draw(dice, location)] if plan.rrsets else None
            scope = location.scope
            if not _has_subnet(asked) and (steering.classes is not None or isinstance(plan, KeyedPlan)):
                scope = UNCACHED
        if rrset is not None:
            common = {"qname": asked.qname, "domain_id": zone_id(zone.apex), "scopeMask": scope, "auth": 1}
            records += [common | each for each in _describe(rrset)]
    return records


_EMPTY_NON_TERMINAL: Final[dict[str, object]] = {"qtype": "TYPE0", "content": "", "ttl": 0, "auth": 1}
"""Says that a name exists, without which PowerDNS answers NXDOMAIN; type 0 is nobody's."""


def _describe(rrset: RRset) -> Iterator[dict[str, object]]:
    """Type, content and TTL of each record, as PowerDNS spells them."""
    rrtype, _, octets = rrset
    kind = dns.rdatatype.RdataType.make(rrtype)
    for record in split_records(octets):
        rdata = dns.rdata.from_wire(dns.rdataclass.IN, kind, record, 12, len(record) - 12)
        yield {
            "qtype": dns.rdatatype.to_text(kind),
            "content": rdata.to_text(),
            "ttl": int.from_bytes(record[6:10], "big"),
        }


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


def _describe_zones(_: Nothing, _dice: Dice, world: World) -> list[dict[str, object]]:
    return [_describe_zone(zone) for zone in world.zones.zones.values()]


def _find_zone_of_name(asked: Named, _dice: Dice, world: World) -> dict[str, object] | bool:
    zone = world.zones.zones.get(_parse_name_untrusted(asked.name))
    return zone is not None and _describe_zone(zone)


def _list(asked: Listed, _dice: Dice, world: World) -> list[dict[str, object]] | bool:
    """The records of a zone for a transfer, the SOA first; steered names with their default answers."""
    zone = world.zones.zones.get(_parse_name_untrusted(asked.zonename))
    if zone is None or zone.expired:
        return False
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

    parameters: type[msgspec.Struct]
    reply: Callable[[Any, Dice, World], object]


METHODS: Final = {
    "initialize": Method(Nothing, lambda _, _dice, _world: True),
    "lookup": Method(LookUp, _look_up),
    "getAllDomains": Method(Nothing, _describe_zones),
    "getDomainInfo": Method(Named, _find_zone_of_name),
    "list": Method(Listed, _list),
    "getAllDomainMetadata": Method(Nothing, lambda _, _dice, _world: {}),
    "getDomainMetadata": Method(Nothing, lambda _, _dice, _world: []),
}
"""All others get `false`, which says that there is nothing, or that it is not done here."""

_FALSE: Final = b'{"result":false}'
_decode_request: Final = msgspec.json.Decoder(Request).decode
