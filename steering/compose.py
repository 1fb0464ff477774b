"""An answer, composed record by record (RFC 1034 section 4.3.2): zone, node, delegation, wildcard, CNAME, additional.

Pure but for look-ups in the world's snapshot of the zone store. What a question comes to is remembered in the world
where that is bounded and the same for everybody: an Answer, or the Steering from which a client's class picks one.
"""

from typing import Final

from steering.balance.lottery import Dice
from steering.balance.pools import Draw
from steering.balance.rendezvous import key_of
from steering.records import RECORDS_BY_TYPE, Record
from steering.trust import Trusts
from steering.wire import (
    AAAA,
    ANY,
    AXFR,
    CNAME,
    DNAME,
    DS,
    ERROR,
    HEADER_SIZE,
    HTTPS,
    IXFR,
    NO_NAME,
    NODE,
    NOERROR,
    NOTIMP,
    NS,
    NXDOMAIN,
    OWNER,
    POINTER_LIMIT,
    QUESTION_OFFSET,
    REFERRAL,
    REFUSED,
    SERVFAIL,
    SOA,
    SVCB,
    YXDOMAIN,
    A,
    Answer,
    Query,
    RRset,
    ancestor,
    depth_below,
    is_below,
    pack_address,
    parent_name,
    render_record,
    render_rrset,
    split_records,
)
from steering.world import MEMO_SIZE, MEMORABLE_SIZE, AddressMap, Steering, World
from steering.zones.node import CUT_IS_DNAME, STEERED, find_rrset, key_labels, unpack_node
from steering.zones.store import CUT, EMPTY, EXACT, MISSING, WILDCARD, Found, Zone

CHAIN_LIMIT: Final = 16
"""Links of a chain of CNAME and DNAME records that one answer follows."""
MAXIMUM_TTL: Final = 2**31 - 1
"""RFC 2181 section 8."""
ADDITIONAL_LIMIT: Final = 32
"""Targets whose addresses one answer adds."""

NOT_OURS: Final = Answer(REFUSED, False, (0, 0, 0), b"", kind=ERROR)
"""No zone of ours has the name."""
EXPIRED: Final = Answer(SERVFAIL, False, (0, 0, 0), b"", kind=ERROR)
TRANSFER: Final = Answer(NOTIMP, False, (0, 0, 0), b"", kind=ERROR)
"""A zone is asked for: who has peers has another answer."""
_NOTIMP: Final = Answer(NOTIMP, False, (0, 0, 0), b"", kind=ERROR)
_FIRST_META_TYPE: Final = 128
_ADDRESS_TYPES: Final = (A, AAAA)
_TARGETS: Final = {
    rrtype: kind.target for rrtype, kind in RECORDS_BY_TYPE.items() if kind.target is not Record.target
} | {SVCB: RECORDS_BY_TYPE[HTTPS].target}
"""Types whose records name a host, the addresses of which belong in the additional section: RDATA to the name."""
_TYPES_WITH_NAMES: Final = _TARGETS.keys() | {NS, CNAME}


class Location:
    """Where the client is, as far as the answer asks: the subnet that it named, else its source address.

    `scope` is the ECS scope of the answer (RFC 7871 section 7.2.1): the longest prefix that any part of the answer
    depended on, and 0 when nothing did, or when the subnet does not count: the client asked with source 0 that it be
    left out of it, or `trusts` says that subnets from this source address are not to be believed. `mattered` says
    whether the answer depended on where the client is at all.
    """

    __slots__ = ("_client", "_subnet", "mattered", "scope")

    def __init__(self, query: Query, client: str, trusts: Trusts | None = None) -> None:
        edns = query.edns
        subnet = edns.subnet if edns is not None else None
        if subnet is not None and (not subnet.source or (trusts is not None and not trusts(client))):
            subnet = None
        self._subnet = subnet
        self._client = client
        self.scope = 0
        self.mattered = False

    def find_class(self, steering: Steering) -> int:
        """The client's class."""
        classes = steering.classes
        if classes is None:
            return 0
        self.mattered = True
        subnet = self._subnet
        if subnet is None:
            return find_address(classes, self._client)[0]
        if subnet.version == 4:
            found, scope = classes.find4(subnet.address)
        else:
            found, scope = classes.find6(subnet.address)
        self.scope = max(self.scope, scope)
        return found

    def take_key(self) -> int:
        """The client's key for draws by hash: its /24 or /48, or what it gave of that. The answer then is only true
        for that prefix."""
        self.mattered = True
        subnet = self._subnet
        if subnet is not None:
            key, length = key_of(subnet.address, subnet.version, subnet.source)
            self.scope = max(self.scope, length)
            return key
        octets = pack_address(self._client)
        return key_of(int.from_bytes(octets, "big"), 4 if len(octets) == 4 else 6, len(octets) * 8)[0]


def find_address(classes: AddressMap, address: str) -> tuple[int, int]:
    """The class and scope of an address given as text."""
    find = classes.find6 if ":" in address else classes.find4
    return find(int.from_bytes(pack_address(address), "big"))


def compose(query: Query, location: Location, dice: Dice, world: World) -> Answer:
    """The answer to a question that is not remembered; remembers it where that is bounded and the same for everybody.

    What a flood asks for, names that do not exist and plain records, is answered here at once.
    """
    name, rrtype = query.name, query.rrtype
    if _FIRST_META_TYPE <= rrtype < ANY:
        return TRANSFER if rrtype in (IXFR, AXFR) else _NOTIMP
    zone = find_authority(world, name, rrtype)
    if zone is None:
        return NOT_OURS
    if zone.expired:
        return EXPIRED
    found = world.zones.find(zone, key_labels(name, zone.apex))
    if found.kind == MISSING:
        return _answer_negative(NXDOMAIN, name, zone)
    if found.kind == EXACT and not found.value[1] & STEERED and rrtype not in _TYPES_WITH_NAMES:
        rrset = find_rrset(found.value, rrtype)
        if rrset is not None:
            answer = Answer(NOERROR, True, (rrset[1], 0, 0), rrset[2], kind=NODE + name)
            _remember(world, name, rrtype, answer)
            return answer
    composition = Composition(name, location, dice, world)
    answer = composition.answer(rrtype, zone, found)
    if composition.memorable:
        _remember(world, name, rrtype, composition.steering or answer)
    return answer


def _answer_negative(rcode: int, name: bytes, zone: Zone) -> Answer:
    """Nothing but the SOA, which lets the answer be kept (RFC 2308 section 3)."""
    pointer = (0xC000 | QUESTION_OFFSET + len(name) - len(zone.apex)).to_bytes(2, "big")
    body = render_record(pointer, SOA, zone.negative_ttl, zone.soa)
    return Answer(rcode, True, (0, 1, 0), body, kind=NO_NAME + zone.apex)


def _remember(world: World, name: bytes, rrtype: int, answer: Answer | Steering) -> None:
    if type(answer) is Answer and len(answer.body) > MEMORABLE_SIZE:
        return
    if len(world.memo) >= MEMO_SIZE:
        world.memo.clear()
    world.memo[name, rrtype] = answer


def find_authority(world: World, name: bytes, rrtype: int) -> Zone | None:
    """The closest zone at or above a name; for DS the parent's (RFC 4035 section 3.1.4.1)."""
    zone = world.zones.find_zone(name)
    if rrtype == DS and zone is not None and zone.apex == name and len(name) > 1:
        return world.zones.find_zone(parent_name(name)) or zone
    return zone


class Composition:
    """An answer being put together: the records of each section, and where names stand in the message."""

    def __init__(self, name: bytes, location: Location, dice: Dice, world: World) -> None:
        self._name = name
        self._location = location
        self._dice = dice
        self._world = world
        self._zones = world.zones
        self._sections: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
        self._counts = [0, 0, 0]
        self._start = self._position = HEADER_SIZE + len(name) + 4
        self._offsets: dict[bytes, int] = {}
        self._targets: dict[bytes, tuple[int, ...]] = {}
        """Names in the answer, and the types of theirs that belong in the additional section."""
        self._ends: list[tuple[int, int]] = []
        self._redirected: dict[bytes, int] = {}
        """Owners of the DNAME records in the answer, and the length of the last name that each redirected."""
        offset = HEADER_SIZE
        while name[0]:
            self._offsets[name] = offset
            offset += name[0] + 1
            name = parent_name(name)
        self._kind = ERROR
        self._longest = MAXIMUM_TTL
        """Seconds for which it may be kept that a steered name has no records now."""
        self._flattened = 0
        """Names that were looked up to flatten."""
        self.memorable = True
        """Whether the answer is the same for everybody, or `steering` says what it depends on; and its name exists."""
        self.steering: Steering | None = None
        """Set when the answer is nothing but what a plan of this says."""

    def answer(self, rrtype: int, zone: Zone, found: Found) -> Answer:
        """Go on from where the look-up of the name asked for landed.

        RFC 1034 section 4.3.2, and RFC 6604: the RCODE is that of the last name of the chain.
        """
        owner, rcode, authoritative = self._name, NOERROR, True
        self._kind = self._find_kind(zone, found)
        seen = {owner}
        self.memorable = found.kind in (EXACT, EMPTY)
        while True:
            target: bytes | None = None
            if found.kind == CUT and not (rrtype == DS and found.depth == depth_below(owner, zone.apex)):
                cut = ancestor(owner, depth_below(owner, zone.apex) - found.depth)
                if found.value[1] & CUT_IS_DNAME:
                    if len(owner) >= self._redirected.get(cut, 256):
                        break  # the DNAME leads below itself, and would go on for ever
                    target = self._add_dname(owner, cut, found.value)
                    if target is None:
                        rcode = YXDOMAIN
                    elif rrtype == CNAME:
                        break
                else:
                    authoritative = len(seen) > 1
                    self._refer(zone, cut, found.value)
            elif found.kind == MISSING:
                rcode = NXDOMAIN
                self._add_soa(zone)
            elif found.kind == EMPTY:
                self._add_soa(zone)
            else:
                target = self._answer_node(zone, owner, find_node_owner(found, owner, zone), found.value, rrtype)
            if target is None or target in seen or len(seen) >= CHAIN_LIMIT:
                break
            owner = target
            seen.add(owner)
            next_zone = find_authority(self._world, owner, rrtype)
            if next_zone is None or next_zone.expired:
                break
            zone = next_zone
            found = self._zones.find(zone, key_labels(owner, zone.apex))
            self.memorable = self.memorable and found.kind in (EXACT, EMPTY)
        self._add_targets()
        return self._finish(rcode, authoritative)

    def _find_kind(self, zone: Zone, found: Found) -> bytes:
        """The place in the zones that this answer comes from (ratelimit.py)."""
        if found.kind == CUT:
            cut = ancestor(self._name, depth_below(self._name, zone.apex) - found.depth)
            return (NODE if found.value[1] & CUT_IS_DNAME else REFERRAL) + cut
        return NODE + find_node_owner(found, self._name, zone)

    def _answer_node(self, zone: Zone, owner: bytes, node_owner: bytes, value: bytes, rrtype: int) -> bytes | None:
        """Answer from the node of an existing name; the target if the answer goes on at a CNAME's target."""
        if rrtype == ANY:
            rrset = self._first_rrset(node_owner, value)
        else:
            rrset = self.find_rrset(node_owner, value, rrtype, alone=owner is self._name)
        if rrset is not None:
            self._add(0, owner, rrset)
            return None
        alias = None if rrtype in (CNAME, ANY) else self.find_rrset(node_owner, value, CNAME)
        if alias is None:
            self._add_soa(zone)
            return None
        self._add(0, owner, alias)
        return alias[2][12:].lower()

    def find_rrset(self, node_owner: bytes, value: bytes, rrtype: int, *, alone: bool = False) -> RRset | None:
        """The RRset of a node: of the client's plan where it is steered, else of the zone."""
        steered = self._world.steered.get(node_owner) if value[1] & STEERED else None
        steering = steered.get(rrtype) if steered is not None else None
        if steering is None:
            return find_rrset(value, rrtype)
        plan = steering.plans[self._location.find_class(steering)]
        if alone and self.memorable and rrtype not in _TARGETS and steering.memorable:
            self.steering = steering
        else:
            self.memorable = False
        if not plan.rrsets:
            self._longest = min(self._longest, plan.ttl)
            return None
        drawn = plan.draw(self._dice, self._location)
        if steering.flatten:
            return self._flatten(rrtype, plan.rrsets[drawn], plan.ttl, plan.draws[drawn])
        return plan.rrsets[drawn]

    def _flatten(self, rrtype: int, rrset: RRset, ttl: int, draw: Draw) -> RRset:
        """The addresses of the CNAME targets of origins, as far as those are ours; else the origins' own."""
        rdatas: list[bytes] = []
        for origin in draw.origins:
            target = origin.records.get(CNAME)
            found = self._find_addresses(target[0].lower(), rrtype) if target is not None else None
            if found is None:
                rdatas += origin.records[rrtype]
            else:
                rdatas += (record[12:] for record in split_records(found[2]))
                ttl = min(ttl, ttl_of(found))
        return render_rrset(rrtype, ttl, rdatas) if rdatas else rrset

    def _find_addresses(self, name: bytes, rrtype: int) -> RRset | None:
        """The addresses that a name of ours has, at the end of its chain of CNAMEs; None if it has none or is not ours.

        A TTL on the way is the one of the addresses too, if it is shorter.
        """
        ttl = MAXIMUM_TTL
        while self._flattened < CHAIN_LIMIT:
            self._flattened += 1
            zone = find_authority(self._world, name, rrtype)
            if zone is None or zone.expired:
                return None
            found = self._zones.find(zone, key_labels(name, zone.apex))
            if found.kind not in (EXACT, WILDCARD):
                return None
            node_owner = find_node_owner(found, name, zone)
            rrset = self.find_rrset(node_owner, found.value, rrtype)
            if rrset is not None:
                return render_rrset(
                    rrtype, min(ttl, ttl_of(rrset)), [record[12:] for record in split_records(rrset[2])]
                )
            alias = self.find_rrset(node_owner, found.value, CNAME)
            if alias is None:
                return None
            ttl = min(ttl, ttl_of(alias))
            name = alias[2][12:].lower()
        return None

    def _first_rrset(self, node_owner: bytes, value: bytes) -> RRset | None:
        """One RRset for ANY (RFC 8482 section 4.1)."""
        rrsets = (self.find_rrset(node_owner, value, rrtype) for rrtype, _, _ in unpack_node(value))
        return next((rrset for rrset in rrsets if rrset is not None), None)

    def _refer(self, zone: Zone, cut: bytes, value: bytes) -> None:
        """A referral: the NS records of the cut, and the glue without which nobody could follow it (RFC 9471)."""
        rrset = find_rrset(value, NS)
        assert rrset is not None, "a delegation has NS records"
        self._add(1, cut, rrset)
        targets = [target for target in self._targets if is_below(target, zone.apex)]
        self._targets = {}
        for target in targets:
            if is_below(target, cut):
                self._add_glue(zone, target)
        self._mark_end()
        for target in [target for target in targets if not is_below(target, cut)][:ADDITIONAL_LIMIT]:
            self._add_glue(zone, target)
            self._mark_end()
        self.memorable = False

    def _add_glue(self, zone: Zone, name: bytes) -> None:
        """The addresses of a name as the zone has them, whatever cut covers it."""
        value = self._zones.read_node(zone, key_labels(name, zone.apex))
        for rrtype in _ADDRESS_TYPES:
            rrset = find_rrset(value, rrtype) if value is not None else None
            if rrset is not None:
                self._add(2, name, rrset)

    def _add_dname(self, owner: bytes, cut: bytes, value: bytes) -> bytes | None:
        """A DNAME and the CNAME made from it (RFC 6672 section 3.1); the new name, or None if it is too long."""
        self.memorable = False
        rrset = find_rrset(value, DNAME)
        assert rrset is not None, "the node of a DNAME has it"
        if cut not in self._redirected:
            self._add(0, cut, rrset)
        self._redirected[cut] = len(owner)
        record = rrset[2]
        target = owner[: len(owner) - len(cut)] + record[12:]
        if len(target) > 255:
            return None
        ttl = int.from_bytes(record[6:10], "big")
        self._add(0, owner, (CNAME, 1, render_record(OWNER, CNAME, ttl, target)))
        return target.lower()

    def _add_soa(self, zone: Zone) -> None:
        """The SOA of a negative answer."""
        ttl = min(zone.negative_ttl, self._longest)
        self._add(1, zone.apex, (SOA, 1, render_record(OWNER, SOA, ttl, zone.soa)))

    def _add_targets(self) -> None:
        """Addresses of the hosts that the answer names, as far as they are ours: of the client's plan where steered."""
        if not self._ends:
            self._mark_end()
        for target, types in list(self._targets.items())[:ADDITIONAL_LIMIT]:
            zone = self._zones.find_zone(target)
            if zone is None or zone.expired:
                continue
            found = self._zones.find(zone, key_labels(target, zone.apex))
            if found.kind not in (EXACT, WILDCARD):
                continue
            node_owner = find_node_owner(found, target, zone)
            for rrtype in types:
                rrset = self.find_rrset(node_owner, found.value, rrtype)
                if rrset is not None:
                    self._add(2, target, rrset)
                    self._mark_end()

    def _add(self, section: int, owner: bytes, rrset: RRset) -> None:
        """Append an RRset to a section; notes where the names in it stand and which hosts it names."""
        rrtype, count, records = rrset
        offset = self._offsets.get(owner)
        if offset is None:
            if self._position < POINTER_LIMIT:
                self._offsets[owner] = self._position
            pointer = owner
        else:
            pointer = (0xC000 | offset).to_bytes(2, "big")
        with_names = rrtype in _TYPES_WITH_NAMES
        if pointer == OWNER and not with_names:
            self._sections[section].append(records)
            self._position += len(records)
        else:
            for record in split_records(records):
                rdata = record[12:]
                self._sections[section].extend((pointer, record[2:]))
                self._position += len(pointer) + len(record) - 2
                if with_names:
                    self._note_target(owner, rrtype, rdata)
                if pointer is owner and owner in self._offsets:
                    pointer = (0xC000 | self._offsets[owner]).to_bytes(2, "big")
        self._counts[section] += count

    def _note_target(self, owner: bytes, rrtype: int, rdata: bytes) -> None:
        """Remember the name in the record that was appended last: to point to it, and to add its records."""
        if rrtype in (CNAME, NS):
            target: bytes | None = rdata.lower()
        else:
            target = _TARGETS[rrtype](rdata)
            if target == b"\0":
                target = owner
        if target is None or target == b"\0":
            return
        if rdata[-len(target) :].lower() == target and self._position - len(target) < POINTER_LIMIT:
            self._offsets.setdefault(target, self._position - len(target))
        if rrtype in (SVCB, HTTPS) and rdata[:2] == b"\0\0":  # AliasMode: RFC 9460 section 4.1
            self._targets[target] = (rrtype, *_ADDRESS_TYPES)
        elif rrtype != CNAME:
            self._targets.setdefault(target, _ADDRESS_TYPES)

    def _mark_end(self) -> None:
        """The message may end here: what has been added must reach the client, or is worth sending without the rest."""
        self._ends.append((self._position - self._start, self._counts[2]))

    def _finish(self, rcode: int, authoritative: bool) -> Answer:
        body = b"".join([record for section in self._sections for record in section])
        answers, authorities, additionals = self._counts
        counts = answers, authorities, additionals
        return Answer(rcode, authoritative, counts, body, tuple(self._ends), kind=self._kind)


def ttl_of(rrset: RRset) -> int:
    """The TTL of an RRset."""
    return int.from_bytes(rrset[2][6:10], "big")


def find_node_owner(found: Found, name: bytes, zone: Zone) -> bytes:
    """The owner of the node that a look-up of `name` landed on: itself, or the wildcard."""
    if found.kind == WILDCARD:
        return b"\1*" + ancestor(name, depth_below(name, zone.apex) - found.depth)
    return name
