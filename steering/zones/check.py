"""Strict checks of a zone that can be served: what a careful reader would ask about (`waypost check`).

What makes a zone impossible to serve is an error of the loader. Here are warnings: the zone is served, and something
in it never works, or only while all goes well.

Rules of this file
- Pure: the zones come as a StoreReader into which they were loaded, and the records of the zone file as an iterable
  that can be made again, since the store has merged what we ask about there (TTLs, records that are written twice).
- Fixed memory, whatever the size of the zone: nodes and records stream by, what must be remembered of all of them is
  in a Sieve, and WARNING_LIMIT warnings of a zone are kept; the rest is counted.
- Each warning says what to do, and which RFC says so where there is one.
"""

import ipaddress
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from steering.compose import CHAIN_LIMIT
from steering.records import RECORDS_BY_TYPE
from steering.wire import (
    AAAA,
    CNAME,
    DS,
    HTTPS,
    MX,
    NS,
    RRSIG,
    SOA,
    SRV,
    SVCB,
    A,
    is_below,
    name_to_text,
    split_labels,
    split_records,
    type_to_text,
)
from steering.zones.node import CUT_IS_DNAME, STEERED, find_rrset, key_labels, name_of_key, unpack_node
from steering.zones.store import CUT, EMPTY, MISSING, StoreReader, Zone
from steering.zones.zonefile import Record, merge_records

WARNING_LIMIT: Final = 100
"""Warnings of one zone that are told; of further ones the number is."""


class ZoneWarning(msgspec.Struct, frozen=True):
    """What should be changed; names as text with the dot at their end."""

    zone: str
    owner: str
    message: str

    def __str__(self) -> str:
        place = self.zone if self.owner == self.zone else f"{self.zone}: {self.owner}"
        return f"{place}: {self.message}"


def check_zone(
    zones: StoreReader,
    zone: Zone,
    records: Callable[[], Iterable[Record]],
    steered: Mapping[bytes, Collection[int]],
    report: Callable[[int], None] = lambda _: None,
) -> list[ZoneWarning]:
    """The warnings of a zone of the snapshot: WARNING_LIMIT at most, then how many more there are.

    `records` gives what its file says, at each call anew, and may raise; `steered` has the types of each owner whose
    records are a load balancer's. `report` is called now and then with the steps that were taken since; for each name
    there are two, in the store and in the file.
    """
    apex = name_to_text(zone.apex)
    found: list[ZoneWarning] = []
    more = 0
    for owner, message in _Check(zones, zone, records, steered, report).find():
        if len(found) < WARNING_LIMIT:
            found.append(ZoneWarning(apex, name_to_text(owner), message))
        else:
            more += 1
    if more:
        found.append(ZoneWarning(apex, apex, f"and {more} more warnings"))
    return found


Finding = tuple[bytes, str]
"""Owner and message."""


class _Check:
    """One zone being checked."""

    def __init__(
        self,
        zones: StoreReader,
        zone: Zone,
        records: Callable[[], Iterable[Record]],
        steered: Mapping[bytes, Collection[int]],
        report: Callable[[int], None],
    ) -> None:
        self._zones = zones
        self._zone = zone
        self._records = records
        self._steered = steered
        self._report = report
        self._steps = 0
        self._stored = 0
        """Records in the store that come from the file."""

    def find(self) -> Iterator[Finding]:
        """All that is to be said, what concerns the whole zone first."""
        nameservers = [rdata.lower() for rdata in _rdatas(self._read(self._zone.apex), NS)]
        yield from self._check_soa(nameservers)
        yield from self._check_nameservers(nameservers)
        yield from self._check_nodes()
        yield from self._check_records()
        self._report(self._steps)

    def _check_soa(self, nameservers: Collection[bytes]) -> Iterator[Finding]:
        apex, soa = self._zone.apex, self._zone.soa
        refresh, retry, expire = (int.from_bytes(soa[end - 4 : end], "big") for end in (-12, -8, -4))
        if retry >= refresh:
            message = (
                f"the SOA's retry, {retry} s, is not below its refresh, {refresh} s (RFC 1912 section 2.2): lower it"
            )
            yield apex, message
        if refresh >= expire:
            message = (
                f"the SOA's refresh, {refresh} s, is not below its expire, {expire} s (RFC 1912 section 2.2):"
                " secondaries would drop the zone between two refreshes; raise expire"
            )
            yield apex, message
        primary = _first_name(soa).lower()
        if primary not in nameservers:
            message = (
                f"the SOA's primary server, {name_to_text(primary)}, is none of the zone's name servers"
                " (RFC 1912 section 2.2): name one of them"
            )
            yield apex, message

    def _check_nameservers(self, nameservers: Collection[bytes]) -> Iterator[Finding]:
        apex = self._zone.apex
        if len(nameservers) == 1:
            yield apex, "there is only one name server (RFC 2182 section 5): add one in another network"
        known = [self._find_addresses(nameserver) for nameserver in nameservers]
        for rrtype, length, family in ((A, 24, "IPv4"), (AAAA, 48, "IPv6")):
            placed = [addresses.get(rrtype, ()) for addresses in known if addresses is not None]
            networks = {
                ipaddress.ip_network((rdata, length), strict=False) for addresses in placed for rdata in addresses
            }
            if len(placed) == len(known) and sum(map(bool, placed)) > 1 and len(networks) == 1:
                message = (
                    f"the {family} addresses of all name servers are inside {networks.pop()}, which a single route"
                    " leak takes down (RFC 2182 section 3.1): move one to another network"
                )
                yield apex, message

    def _find_addresses(self, name: bytes) -> Mapping[int, list[bytes]] | None:
        """Addresses of a host by type, glue included; None if they are not ours to know, or depend on the client."""
        zone = self._zones.find_zone(name)
        if zone is None:
            return None
        found = self._zones.find(zone, key_labels(name, zone.apex))
        value = self._zones.read_node(zone, key_labels(name, zone.apex)) if found.kind == CUT else found.value
        if value and value[1] & STEERED:
            return None
        addresses = {rrtype: _rdatas(value, rrtype) for rrtype in _ADDRESS_TYPES}
        return None if found.kind == CUT and not any(addresses.values()) else addresses

    def _check_nodes(self) -> Iterator[Finding]:
        """All owners, in canonical order."""
        apex = self._zone.apex
        glue = Sieve()
        for key, value in self._zones.walk(self._zone):
            if value[0] == key.count(b"\0") + 1 and not value[1] & CUT_IS_DNAME:
                for rdata in _rdatas(value, NS):
                    glue.add(zlib.crc32(rdata.lower()))
        for key, value in self._zones.walk(self._zone):
            self._step()
            owner = name_of_key(key, apex)
            self._count(owner, value)
            depth, cut = key.count(b"\0"), value[0]
            if not cut or (cut == depth + 1 and value[1] & CUT_IS_DNAME):
                yield from self._check_node(owner, value)
            else:
                cut_owner = name_of_key(b"".join(label + b"\0" for label in key.split(b"\0")[: cut - 1]), apex)
                yield from self._check_occluded(owner, value, cut_owner, glue)
                if owner == cut_owner:
                    yield from self._check_delegation(owner, value)

    def _step(self) -> None:
        self._steps += 1
        if self._steps == _REPORT_INTERVAL:
            self._report(self._steps)
            self._steps = 0

    def _count(self, owner: bytes, value: bytes) -> None:
        steered = self._steered.get(owner, ())
        self._stored += sum(count for rrtype, count, _ in unpack_node(value) if rrtype not in steered)

    def _check_node(self, owner: bytes, value: bytes) -> Iterator[Finding]:
        """An owner that is answered from."""
        for rrtype, _, records in unpack_node(value):
            if rrtype in _TARGETS:
                for record in split_records(records):
                    yield from self._check_target(owner, rrtype, _TARGETS[rrtype](record[12:]))

    def _check_delegation(self, owner: bytes, value: bytes) -> Iterator[Finding]:
        if owner.startswith(b"\1*"):
            yield owner, "NS records at a wildcard, which nothing defines (RFC 4592 section 4.2): delegate each name"
        for rdata in _rdatas(value, NS):
            target = rdata.lower()
            yield from self._check_target(owner, NS, target)
            if not is_below(target, self._zone.apex):
                continue
            glue = {rrtype: _rdatas(self._read(target), rrtype) for rrtype in _ADDRESS_TYPES}
            if any(glue.values()):
                yield from self._compare_glue(target, glue)
            elif is_below(target, owner):
                message = (
                    f"no glue for the name server {name_to_text(target)} inside the delegation (RFC 9471):"
                    " add its A or AAAA records to this zone"
                )
                yield owner, message

    def _compare_glue(self, target: bytes, glue: Mapping[int, list[bytes]]) -> Iterator[Finding]:
        """Glue against the zone that it is a copy from, where that is ours too."""
        child = self._zones.find_zone(target)
        if child is None or child.apex == self._zone.apex:
            return
        found = self._zones.find(child, key_labels(target, child.apex))
        if found.kind in (CUT, MISSING, EMPTY) or found.value[1] & STEERED:
            return
        for rrtype, ours in glue.items():
            theirs = _rdatas(found.value, rrtype)
            if set(ours) != set(theirs):
                message = (
                    f"the glue differs from the zone {name_to_text(child.apex)}: {type_to_text(rrtype)}"
                    f" {_addresses_text(ours)} here, {_addresses_text(theirs)} there; make them equal"
                )
                yield target, message

    def _check_occluded(self, owner: bytes, value: bytes, cut: bytes, glue: "Sieve") -> Iterator[Finding]:
        """An owner at or below a cut: what is neither the cut's own nor glue is never answered."""
        visible: Collection[int] = ()
        if value[1] & CUT_IS_DNAME:
            what = f"the DNAME of {name_to_text(cut)} (RFC 6672 section 2.4)"
        else:
            what = f"the delegation of {name_to_text(cut)} (RFC 1034 section 4.2.1)"
            visible = _AT_DELEGATION if owner == cut else ()
            if zlib.crc32(owner) in glue:
                visible = {*visible, *_ADDRESS_TYPES}
        hidden = [type_to_text(rrtype) for rrtype, _, _ in unpack_node(value) if rrtype not in visible]
        if hidden:
            place = "at" if owner == cut else "below"
            message = f"{', '.join(hidden)} {place} {what} is never answered: move it to the other zone, or delete it"
            yield owner, message

    def _check_target(self, owner: bytes, rrtype: int, target: bytes | None) -> Iterator[Finding]:
        """A host that a record names; the root is no service (RFC 7505, RFC 2782) or the owner itself (RFC 9460)."""
        if target is None or target == b"\0":
            return
        problem = self._judge_target(owner, rrtype, target)
        if problem is not None:
            yield owner, f"the {type_to_text(rrtype)} target {name_to_text(target)} {problem}"

    def _judge_target(self, owner: bytes, rrtype: int, target: bytes) -> str | None:
        """What is wrong with a target, as far as it is ours, and what to do."""
        if rrtype in (NS, MX) and _is_like_address(target):
            return "is an IP address written as a name: name a host that has this address"
        zone = self._zones.find_zone(target)
        if zone is None:
            return None
        found = self._zones.find(zone, key_labels(target, zone.apex))
        rule = _HOST_RULES.get(rrtype)
        if found.kind == CUT:
            if found.value[1] & CUT_IS_DNAME and rule:
                return f"is below a DNAME ({rule}): name the host that it leads to"
            return None
        if found.kind == MISSING:
            return f"does not exist: add it to the zone {name_to_text(zone.apex)}, or name another"
        if found.kind == EMPTY:
            return "has no records: add some, or name another"
        alias = find_rrset(found.value, CNAME)
        if alias is not None:
            if rule:
                return f"is a CNAME ({rule}): name the host that it leads to"
            if rrtype == CNAME and self._is_loop(owner, target, alias[2][12:].lower()):
                return "leads back to where it came from: name the host that is meant"
        elif rule and not any(_rdatas(found.value, each) for each in _ADDRESS_TYPES):
            return "has no addresses: add its A or AAAA records, or name another"
        return None

    def _is_loop(self, owner: bytes, *chain: bytes) -> bool:
        """Whether a chain of CNAME records comes back to one of its names."""
        seen = {owner, *chain[:-1]}
        target = chain[-1]
        while target not in seen and len(seen) < CHAIN_LIMIT:
            seen.add(target)
            zone = self._zones.find_zone(target)
            if zone is None:
                return False
            found = self._zones.find(zone, key_labels(target, zone.apex))
            alias = None if found.kind in (CUT, MISSING, EMPTY) else find_rrset(found.value, CNAME)
            if alias is None:
                return False
            target = alias[2][12:].lower()
        return target in seen

    def _check_records(self) -> Iterator[Finding]:
        """What the file says against what has come of it in the store."""
        told, seen = Sieve(), Sieve()
        repeated: set[int] = set()
        written = 0
        node_owner = b""
        ttls: dict[int, int] = {}
        for owner, rrtype, ttl, rdata in self._records():
            if rrtype in self._steered.get(owner, ()):
                continue
            if owner != node_owner:
                self._step()
                node_owner = owner
                ttls = {
                    found: int.from_bytes(rrset[6:10], "big")
                    for found, _, rrset in unpack_node(self._read(owner) or b"")
                }
            least = ttls.get(rrtype, ttl)
            if ttl != least and rrtype != RRSIG and told.add(_identify(owner, rrtype, b"")):
                message = (
                    f"{type_to_text(rrtype)} records with the TTLs {least} and {ttl} s, of which {least} s is served"
                    " (RFC 2181 section 5.2): give all the same"
                )
                yield owner, message
            written += 1
            identity = _identify(owner, rrtype, rdata)
            if not seen.add(identity) and len(repeated) < _REPEATED_LIMIT:
                repeated.add(identity)
        if written > self._stored and repeated:
            yield from self._check_repeated(repeated)

    def _check_repeated(self, repeated: Collection[int]) -> Iterator[Finding]:
        """Records that are written again, among those that the Sieve took for known."""
        groups: dict[tuple[bytes, int], list[Record]] = {}
        for record in self._records():
            owner, rrtype, _, rdata = record
            if _identify(owner, rrtype, rdata) in repeated:
                groups.setdefault((owner, rrtype), []).append(record)
        for (owner, rrtype), group in groups.items():
            surplus = len(group) - sum(len(rdatas) for _, rdatas in merge_records(group).values())
            if surplus and rrtype != SOA:
                times = "once" if surplus == 1 else f"{surplus} times"
                message = f"{type_to_text(rrtype)} records are repeated {times} (RFC 2181 section 5): delete the copies"
                yield owner, message

    def _read(self, name: bytes) -> bytes | None:
        """The node of a name of this zone, whatever cut covers it."""
        return self._zones.read_node(self._zone, key_labels(name, self._zone.apex))


class Sieve:
    """A set of 32-bit digests in fixed memory. It never forgets one, but may take a new one for known: with three
    million in it, two in a hundred."""

    def __init__(self) -> None:
        self._bits = bytearray(_SIEVE_SIZE)

    def add(self, digest: int) -> bool:
        """Add a digest; false if it may have been there."""
        place, bit = (digest >> 3) % _SIEVE_SIZE, 1 << (digest & 7)
        if self._bits[place] & bit:
            return False
        self._bits[place] |= bit
        return True

    def __contains__(self, digest: int) -> bool:
        return bool(self._bits[(digest >> 3) % _SIEVE_SIZE] & 1 << (digest & 7))


def _identify(owner: bytes, rrtype: int, rdata: bytes) -> int:
    """A digest that is the same for records that differ in the case of letters only."""
    return zlib.crc32(rdata.lower(), zlib.crc32(owner, rrtype))


def _rdatas(value: bytes | None, rrtype: int) -> list[bytes]:
    """The rdata of one type at a node."""
    rrset = find_rrset(value, rrtype) if value else None
    return [record[12:] for record in split_records(rrset[2])] if rrset else []


def _first_name(rdata: bytes) -> bytes:
    end = 0
    while length := rdata[end]:
        end += 1 + length
    return rdata[: end + 1]


def _is_like_address(name: bytes) -> bool:
    """Whether a name begins as an address does: 192.0.2.1.example.com, or 2001:db8::1.example.com."""
    if not name[1:2].isdigit() and b":" not in name:
        return False
    labels = [label.decode("latin-1") for label in split_labels(name)]
    for text in (labels[0], ".".join(labels[:4])):
        try:
            ipaddress.ip_address(text)
        except ValueError:
            continue
        return True
    return False


def _addresses_text(rdatas: Iterable[bytes]) -> str:
    return ", ".join(sorted(str(ipaddress.ip_address(rdata)) for rdata in rdatas)) or "none"


_NSEC: Final = 47
_ADDRESS_TYPES: Final = (A, AAAA)
_AT_DELEGATION: Final = frozenset({NS, DS, RRSIG, _NSEC})
_TARGETS: Final[Mapping[int, Callable[[bytes], bytes | None]]] = {
    NS: bytes.lower,
    CNAME: bytes.lower,
    MX: lambda rdata: rdata[2:].lower(),
    SRV: lambda rdata: rdata[6:].lower(),
    SVCB: RECORDS_BY_TYPE[HTTPS].target,
    HTTPS: RECORDS_BY_TYPE[HTTPS].target,
}
"""Types whose records name a host: rdata to its name."""
_HOST_RULES: Final = {NS: "RFC 2181 section 10.3", MX: "RFC 2181 section 10.3", SRV: "RFC 2782"}
"""Types whose target must have addresses and be no alias, and what says so."""
_SIEVE_SIZE: Final = 1 << 24
"""Octets, which are only used up as far as bits are set."""
_REPEATED_LIMIT: Final = 100_000
_REPORT_INTERVAL: Final = 1000
