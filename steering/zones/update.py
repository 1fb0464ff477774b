"""Dynamic update (RFC 2136), the pure part: a message, and what is there, to what is there afterwards.

    form (3.4.1, and 3.2.5 as far as it is form) ─> who may (peers.py) ─> RDATA ─> prerequisites (3.2) ─> records

Form and permission come before the prerequisites, which the RFC has first: a worker can judge them alone.

The SOA is ours: nobody may update it, and its serial grows with each update that changes anything.
"""

from collections.abc import Callable, Iterable, Mapping, Sized
from itertools import chain, islice
from typing import Final

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from steering.wire import (
    ANY,
    CNAME,
    DNAME,
    FORMERR,
    IN,
    NOTZONE,
    NS,
    NXDOMAIN,
    NXRRSET,
    REFUSED,
    SOA,
    YXDOMAIN,
    YXRRSET,
    is_below,
    is_meta_type,
    name_to_text,
    split_labels,
    type_to_text,
)
from steering.zones.message import ANY_CLASS, READ_TYPES, Message, MessageRecord
from steering.zones.zonefile import BESIDE_CNAME, MAX_TTL, record_identity

NONE_CLASS: Final = 254

RECORDS_LIMIT: Final = 100_000
"""Records that the names of one update have before it."""

TYPES_LIMIT: Final = 100
"""Of one name: whoever asks for it reads all of them."""
TOLD_LIMIT: Final = 5
"""Names, and types of each, that a log tells of an update."""

RRsets = Mapping[int, tuple[int, list[bytes]]]
"""Of one owner: type → TTL, RDATA."""
Read = Callable[[bytes], RRsets]
"""Owner to what is there; nothing where there is nothing."""


class UpdateError(Exception):
    """An update that is not made; `rcode` says so to the client."""

    def __init__(self, rcode: int, reason: str) -> None:
        super().__init__(reason)
        self.rcode = rcode


def check_update_untrusted(message: Message) -> None:
    """Raise UpdateError if prerequisites or updates are none, or are outside of the zone."""
    for record in message.answers:
        _check_prerequisite(record, message.name)
    for record in message.authorities:
        _check_record(record, message.name)


def check_rdata_untrusted(message: Message) -> None:
    """Raise UpdateError if RDATA is not what its type prescribes: it would be sent to others as it is."""
    wanted = (record for record in message.answers if record.rrclass == IN)
    updates = (record for record in message.authorities if record.rrclass != ANY_CLASS)
    for _, rrtype, _, _, rdata in chain(wanted, updates):
        if rdata and rrtype in READ_TYPES:
            continue
        try:
            read = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.RdataType.make(rrtype), rdata, 0, len(rdata))
            is_whole = len(read.to_wire() or b"") == len(rdata)  # longer where a pointer has been followed
        except (dns.exception.DNSException, ValueError):
            is_whole = False
        if not is_whole:
            raise UpdateError(FORMERR, f"RDATA that is none of type {type_to_text(rrtype)}")


def check_prerequisites(message: Message, read: Read) -> None:
    """Raise UpdateError if what the client counts on is not so (section 3.2)."""
    wanted: dict[bytes, dict[int, set[tuple[int, bytes]]]] = {}
    found: dict[bytes, frozenset[int]] = {}
    for owner, rrtype, rrclass, _, rdata in message.answers:
        if rrclass == IN:
            wanted.setdefault(owner, {}).setdefault(rrtype, set()).add(record_identity(rrtype, rdata))
            continue
        if owner not in found:
            found[owner] = frozenset(read(owner))
        types = found[owner]
        is_there = bool(types) if rrtype == ANY else rrtype in types
        if is_there == (rrclass == ANY_CLASS):
            continue
        text = name_to_text(owner)
        if rrtype == ANY:
            raise UpdateError(*((YXDOMAIN, f"{text} is in use") if types else (NXDOMAIN, f"{text} is not in use")))
        rcode = YXRRSET if is_there else NXRRSET
        raise UpdateError(rcode, f"{text} has {'' if is_there else 'no '}records of type {type_to_text(rrtype)}")
    for owner, identities in wanted.items():
        rrsets = read(owner)
        for rrtype in identities:
            _, rdatas = rrsets.get(rrtype, (0, []))
            if {record_identity(rrtype, rdata) for rdata in rdatas} != identities[rrtype]:
                raise UpdateError(NXRRSET, f"{name_to_text(owner)} has other records of type {type_to_text(rrtype)}")


def apply_update(message: Message, read: Read) -> dict[bytes, RRsets]:
    """What each owner has afterwards, of those that change (section 3.4.2); raises UpdateError for too much."""
    before: dict[bytes, RRsets] = {}
    owners: dict[bytes, _Node] = {}
    count = 0
    for record in message.authorities:
        owner, rrtype, rrclass, _, _ = record
        if owner not in owners:
            before[owner] = read(owner)
            owners[owner] = {
                each: (ttl, {record_identity(each, rdata): rdata for rdata in rdatas})
                for each, (ttl, rdatas) in before[owner].items()
            }
            count += sum(len(rdatas) for _, rdatas in before[owner].values())
            if count > RECORDS_LIMIT:
                raise UpdateError(REFUSED, f"the names have more than {RECORDS_LIMIT} records")
        rrsets = owners[owner]
        is_apex = owner == message.name
        if rrclass == IN:
            _add(rrsets, record)
        elif rrclass == NONE_CLASS:
            _delete(rrsets, record, is_apex)
        else:
            for each in list(rrsets) if rrtype == ANY else [rrtype]:
                if not (is_apex and each in (SOA, NS)):
                    rrsets.pop(each, None)
    after = {
        owner: {each: (ttl, list(rdatas.values())) for each, (ttl, rdatas) in rrsets.items()}
        for owner, rrsets in owners.items()
    }
    for owner, made in after.items():
        if len(made) > max(TYPES_LIMIT, len(before[owner])):
            raise UpdateError(REFUSED, f"{name_to_text(owner)} would have more than {TYPES_LIMIT} types")
    return {owner: rrsets for owner, rrsets in after.items() if rrsets != before[owner]}


def describe_changes(owners: Mapping[bytes, RRsets], read: Read) -> str:
    """Names and types of what changes, as text for a log, of TOLD_LIMIT of each at most."""
    told = []
    for owner, after in islice(owners.items(), TOLD_LIMIT):
        before = read(owner)
        types = sorted(each for each in before.keys() | after.keys() if before.get(each) != after.get(each))
        words = map(type_to_text, types[:TOLD_LIMIT])
        told.append(" ".join((name_to_text(owner), *words)) + _count_more(types, "types"))
    return ", ".join(told) + _count_more(owners, "names")


def _count_more(counted: Sized, what: str) -> str:
    more = len(counted) - TOLD_LIMIT
    return f" and {more} more {what}" if more > 0 else ""


def is_named(owner: bytes, patterns: Iterable[bytes]) -> bool:
    """Whether a name is one of these: in a pattern, the label * stands for one label, and ** for any number of them."""
    labels = split_labels(owner)
    return any(_matches(labels, split_labels(pattern)) for pattern in patterns)


def _matches(labels: list[bytes], pattern: list[bytes]) -> bool:
    if b"**" in pattern:
        before = pattern.index(b"**")
        behind = len(pattern) - before - 1
        if len(labels) < before + behind:
            return False
        labels = labels[:before] + labels[len(labels) - behind :]
        pattern = pattern[:before] + pattern[before + 1 :]
    return len(labels) == len(pattern) and all(
        wanted in (b"*", label) for label, wanted in zip(labels, pattern, strict=True)
    )


def _check_prerequisite(record: MessageRecord, apex: bytes) -> None:
    owner, rrtype, rrclass, ttl, rdata = record
    if ttl:
        raise UpdateError(FORMERR, "a prerequisite with a TTL")
    if not is_below(owner, apex):
        raise UpdateError(NOTZONE, "a prerequisite outside of the zone")
    if rrclass in (ANY_CLASS, NONE_CLASS):
        if rdata or (rrtype != ANY and is_meta_type(rrtype)):
            raise UpdateError(FORMERR, "a prerequisite of a class that has no RDATA, or of a type that no zone has")
    elif rrclass != IN or is_meta_type(rrtype):
        raise UpdateError(FORMERR, "a prerequisite of another class, or of a type that no zone has")


def _check_record(record: MessageRecord, apex: bytes) -> None:
    owner, rrtype, rrclass, ttl, rdata = record
    if not is_below(owner, apex):
        raise UpdateError(NOTZONE, "an update outside of the zone")
    if rrclass == ANY_CLASS:
        if ttl or rdata or (rrtype != ANY and is_meta_type(rrtype)):
            raise UpdateError(FORMERR, "a deletion of an RRset with a TTL or RDATA, or of a type that no zone has")
    elif rrclass not in (IN, NONE_CLASS) or (rrclass == NONE_CLASS and ttl) or is_meta_type(rrtype):
        raise UpdateError(FORMERR, "an update of another class, or of a type that no zone has")
    if rrtype == SOA:
        raise UpdateError(REFUSED, "the SOA is ours")


_Node = dict[int, tuple[int, dict[tuple[int, bytes], bytes]]]
"""An owner while it is updated: type → TTL, RDATA by what makes it a record of its own."""


def _add(rrsets: _Node, record: MessageRecord) -> None:
    """Section 3.4.2.2. All records of a type get the new TTL (RFC 2181 section 5.2)."""
    _, rrtype, _, ttl, rdata = record
    if rrtype == CNAME:
        if any(each not in BESIDE_CNAME for each in rrsets):
            return  # a CNAME stands alone: who comes second is ignored
    elif CNAME in rrsets and rrtype not in BESIDE_CNAME:
        return
    _, rdatas = rrsets.get(rrtype, (0, {}))
    identity = record_identity(rrtype, rdata)
    if rrtype in (CNAME, DNAME) and identity not in rdatas:
        rdatas = {}
    rdatas.setdefault(identity, rdata)
    rrsets[rrtype] = ttl if ttl <= MAX_TTL else 0, rdatas


def _delete(rrsets: _Node, record: MessageRecord, is_apex: bool) -> None:
    """Section 3.4.2.4: one record; the last NS of the apex stays."""
    _, rrtype, _, _, rdata = record
    _, rdatas = rrsets.get(rrtype, (0, {}))
    identity = record_identity(rrtype, rdata)
    if identity not in rdatas or (is_apex and rrtype == NS and len(rdatas) == 1):
        return
    del rdatas[identity]
    if not rdatas:
        del rrsets[rrtype]
