"""Loading: the configured zones, from their files and the load balancers, into the store; all or nothing.

A zone is read, checked, merged with the default answers of its load balancers and staged; when all are, they are
published in one commit by whoever asked for them. A zone whose files and load balancers are as they were at the last
load is not read again.

A steered name is an ordinary name: at its node the store holds what its load balancer answers when all is healthy, and
the flag STEERED. What a zone file or a primary says for a steered (name, type) is replaced. Of a primary it is kept
beside, as a node that has each steered type, with no records where the primary has none: so that the zone as the
primary has it is there for the next incremental transfer, and when load balancers change.

Which serial a zone has is said in journal.py, and what catalogs are in catalog.py: the zones that they add are loaded
as if they were configured.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType

import msgspec

from steering.balance.plans import make_default
from steering.settings import Settings, Zone
from steering.wire import (
    NS,
    OWNER,
    RRSIG,
    SOA,
    RRset,
    name_to_text,
    render_record,
    render_rrset,
    split_records,
)
from steering.zones.catalog import (
    CatalogError,
    Listed,
    add_members,
    find_members,
    make_catalog,
    members_of_producer,
    read_catalog_untrusted,
)
from steering.zones.journal import is_newer, next_serial, read_serial
from steering.zones.node import (
    CUT_IS_DNAME,
    STEERED,
    CutTracker,
    cut_flags,
    find_rrset,
    key_labels,
    name_of_key,
    node_types,
    pack_node,
    unpack_node,
)
from steering.zones.overlay import Overlay, note_update
from steering.zones.store import ServedNodes, Store, Version, ZoneWriter
from steering.zones.timers import decode_timers
from steering.zones.update import RRsets
from steering.zones.zonefile import (
    MAX_TTL,
    FileRead,
    Record,
    ZoneFileError,
    ZoneProblem,
    ZoneReader,
    check_owner,
    merge_records,
    read_zone,
)

FORMAT = 3
"""Raised when the same input makes other nodes than before, so that stores of older versions are loaded anew."""
SYNTHETIC_TTL = 3600
SYNTHETIC_TIMERS = (3600, 900, 1_209_600, 60)
"""Refresh, retry, expire and negative TTL of the SOA of a zone that has no file, in seconds."""
RRSET_LIMIT = 65_000
"""Octets of records; more of one type could not be sent to anybody."""
COVERED_LIMIT = 1000
"""Names below delegations that come or go, whose nodes an update, or a change of a primary, writes anew."""
UPDATED_LIMIT = 10_000
"""RRsets of a zone that updates have made otherwise than its source."""

Defaults = Mapping[bytes, Mapping[int, RRset | None]]
"""Owner -> type -> what a load balancer answers there by default; None: nothing, whatever the zone file says."""


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """What a zone was made from."""

    files: tuple[FileRead, ...]
    digest: bytes
    """Of the format, the settings of the zone and its default answers."""
    owner: bytes = b""
    """The catalog that it is a member of."""

    def is_current(self, digest: bytes) -> bool:
        """Whether loading again would make the same zone."""
        return self.digest == digest and all(file.is_current() for file in self.files)


class LoadReport(msgspec.Struct, frozen=True):
    """What became of one zone."""

    apex: bytes
    serial: int
    names: int
    changed: int
    """Names that differ from what was served; 0 with `names` 0 for a zone that did not have to be read."""


class ZonesError(Exception):
    """Zones that cannot be served; every problem found in any of them."""

    def __init__(self, problems: tuple[ZoneProblem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def stage_zones(
    settings: Settings, store: Store, now: float, report: Callable[[LoadReport], None] = lambda _: None
) -> Callable[[], None]:
    """Read and check the zones of the configuration; what is returned serves them, and no others, when called.

    Raises ZonesError with every problem, or StoreError; the zones that are served have not changed then. `now` is in
    Unix seconds.
    """
    writer = ZoneWriter(store)
    writer.served.read_all()
    writer.collect_garbage()
    problems: list[ZoneProblem] = []
    expired: dict[bytes, bytes] = {}
    """Zone to its timers."""
    members, _ = find_members(settings, read_catalogs(settings, writer), partial(read_owner, writer))
    settings = add_members(settings, members)
    for zone, defaults in assign_defaults(settings):
        listed = members_of_producer(settings, zone.name) if zone.catalog == "producer" else ()
        digest = _digest(zone, defaults, listed)
        old = writer.served.get(zone.name)
        stamp = writer.read_stamp(zone.name)
        if old is not None and stamp is not None and msgspec.msgpack.decode(stamp, type=Stamp).is_current(digest):
            report(LoadReport(zone.name, old.serial, 0, 0))
            kept = store.read_timers(zone.name) if zone.primaries else None
            end = decode_timers(kept).expires_at(old.soa) if old.soa else None
            if kept is not None and end is not None and end <= now:  # while nothing of ours was running
                expired[zone.name] = kept
            continue
        try:
            if zone.primaries:
                owner = members[zone.name].catalog if zone.name in members else b""
                report(stage_secondary(zone, defaults, writer, owner=owner))
            else:
                report(_stage_zone(zone, defaults, listed, digest, now, writer))
        except ZoneFileError as error:
            problems += error.problems
    if problems:
        raise ZonesError(tuple(problems))

    def publish() -> None:
        writer.publish(removed=writer.served.keys() - {zone.name for zone in settings.zones})
        for apex, timers in expired.items():
            store.note_timers(apex, timers, expired=True)
        writer.collect_garbage()

    return publish


def read_owner(writer: ZoneWriter, apex: bytes) -> bytes:
    """The catalog that a zone came from; nothing for any other."""
    stamp = writer.read_stamp(apex)
    return b"" if stamp is None else msgspec.msgpack.decode(stamp, type=Stamp).owner


def read_catalogs(settings: Settings, writer: ZoneWriter) -> dict[bytes, dict[bytes, Listed]]:
    """Of each consumer's catalog that has been transferred, its members."""
    catalogs = {}
    for zone in settings.zones:
        old = writer.served.get(zone.name)
        if zone.catalog == "consumer" and old is not None and old.soa:
            with writer.open_served(zone.name) as served, suppress(CatalogError):  # it was no catalog so far
                catalogs[zone.name] = read_catalog_untrusted(zone.name, served_records(zone.name, served))
    return catalogs


def _stage_zone(
    zone: Zone, defaults: Defaults, listed: tuple[bytes, ...], digest: bytes, now: float, writer: ZoneWriter
) -> LoadReport:
    """Read, check and stage one zone; raises ZoneFileError."""
    old = writer.served.get(zone.name)
    next_serial = max(int(now), old.serial + 1 if old else 0) & 0xFFFFFFFF
    records: ZoneReader | list[Record]
    if zone.file is not None:
        records = read_zone(Path(zone.file), zone.name)
    elif zone.catalog == "producer":
        records = make_catalog(zone.name, listed, next_serial)
    else:
        records = _make_records(zone, next_serial)
    overlay = Overlay(writer.read_updated(zone.name) if zone.allow_update else {})
    with writer.open_served(zone.name) as served:
        content = ZoneContent(zone, overlay.lay_over(records), defaults, served)
        if old is not None and not old.expired and (zone.allow_transfer or zone.notify or zone.allow_update):
            content.advance_serial(old.serial, writer.room)
        stamp = Stamp(records.files if isinstance(records, ZoneReader) else (), digest)
        return stage_content(content, msgspec.msgpack.encode(stamp), writer, b"", updated=overlay.settle())


def stage_update(zone: Zone, defaults: Defaults, writer: ZoneWriter, owners: Mapping[bytes, RRsets]) -> LoadReport:
    """Stage a zone as it is served, but with what an update makes of these owners, and the next serial.

    Raises ZoneFileError, also for more than UPDATED_LIMIT RRsets that were updated.
    """
    old, stamp = writer.served[zone.name], writer.read_stamp(zone.name)
    assert stamp is not None, "a zone that is served was made from something"
    updated: dict[bytes, bytes | None] = {}
    records: dict[bytes, list[Record]] = {}
    with writer.open_served(zone.name) as served:
        for owner in {zone.name: None, **owners}:
            before = read_rrsets(zone.name, owner, served)
            after = owners.get(owner, before)
            updated |= note_update(owner, before, after, served.get_updated)
            records[owner] = [(owner, rrtype, ttl, each) for rrtype, (ttl, rdatas) in after.items() for each in rdatas]
        more = sum((value is not None) - (served.get_updated(key) is not None) for key, value in updated.items())
        if more > 0 and served.count_updated() + more > UPDATED_LIMIT:
            message = f"updates have made more than {UPDATED_LIMIT} RRsets"
            raise ZoneFileError((ZoneProblem(name_to_text(zone.name), 0, message),))
        content = ChangedContent(zone, records, defaults, served)
        content.advance_serial(old.serial, writer.room)
        return stage_content(content, stamp, writer, updated=updated)


def read_rrsets(apex: bytes, owner: bytes, served: ServedNodes) -> dict[int, tuple[int, list[bytes]]]:
    """What is served of an owner: type → TTL, RDATA."""
    node = served.get(b"".join(key_labels(owner, apex)))
    rrsets = {}
    for rrtype, _, data in unpack_node(node) if node is not None else ():
        records = split_records(data)
        rrsets[rrtype] = int.from_bytes(records[0][6:10], "big"), [record[12:] for record in records]
    return rrsets


def stage_secondary(
    zone: Zone,
    defaults: Defaults,
    writer: ZoneWriter,
    records: Iterable[Record] | None = None,
    timers: bytes | None = None,
    owner: bytes = b"",
) -> LoadReport:
    """Stage a zone with the records that a primary has, or with those that it had at the last transfer.

    Without any there is nothing to answer from, which is what is staged then. `owner` is the catalog that it is a
    member of. Raises ZoneFileError.
    """
    old = writer.served.get(zone.name)
    with writer.open_served(zone.name) as served:
        if records is None and (old is None or old.expired):
            stage_nothing(zone, defaults, writer, timers, owner)
            return LoadReport(zone.name, 0, 0, 0)
        given = served_records(zone.name, served) if records is None else records
        content = ZoneContent(zone, given, defaults, served)
        return stage_content(content, _stamp_secondary(zone, defaults, owner), writer, timers)


def stage_nothing(
    zone: Zone, defaults: Defaults, writer: ZoneWriter, timers: bytes | None = None, owner: bytes = b""
) -> None:
    """Stage a zone from a primary as one that was never transferred."""
    stamp = _stamp_secondary(zone, defaults, owner)
    writer.stage(zone.name, Version(0, b"", 0, stamp, expired=True, timers=timers), ())


def stage_changes(
    zone: Zone,
    defaults: Defaults,
    writer: ZoneWriter,
    owners: Mapping[bytes, Iterable[Record]],
    timers: bytes,
    owner: bytes = b"",
) -> LoadReport:
    """Stage a zone from a primary as it is served, but with these records at these owners; raises ZoneFileError."""
    with writer.open_served(zone.name) as served:
        changed = ChangedContent(zone, owners, defaults, served)
        return stage_content(changed, _stamp_secondary(zone, defaults, owner), writer, timers)


def _stamp_secondary(zone: Zone, defaults: Defaults, owner: bytes) -> bytes:
    return msgspec.msgpack.encode(Stamp((), _digest(zone, defaults), owner))


def stage_content(
    content: "ZoneContent",
    stamp: bytes,
    writer: ZoneWriter,
    timers: bytes | None = None,
    updated: Mapping[bytes, bytes | None] = MappingProxyType({}),
) -> LoadReport:
    """Stage what differs from what is served, or all of it where that is too much."""
    zone = content.zone
    old = writer.served.get(zone.name)
    ttl, soa = content.read_soa()
    difference = content.difference(writer.room) if old is not None and not old.expired else None
    version = Version(
        serial=read_serial(soa),
        soa=soa,
        negative_ttl=min(ttl, int.from_bytes(soa[-4:], "big")),
        stamp=stamp,
        journal=zone.journal if zone.allow_transfer else 0,
        replaced=content.replaced if zone.primaries else {},
        updated=updated,
        timers=timers,
        late_cuts=difference is not None and content.late_cuts,
    )
    if difference is None:
        changed = writer.stage(zone.name, version, content.nodes())
    else:
        changed = writer.stage_difference(zone.name, version, difference)
    return LoadReport(zone.name, version.serial, len(content), changed)


def served_records(apex: bytes, served: ServedNodes) -> Iterator[Record]:
    """The records of a zone as its primary has them."""
    for key in served:
        yield from owner_records(apex, key, served)


def owner_records(apex: bytes, key: bytes, served: ServedNodes) -> Iterator[Record]:
    """Those of one owner."""
    node = served.get(key)
    if node is None:
        return
    owner = name_of_key(key, apex)
    replaced = served.get_replaced(key)
    if replaced is None:
        yield from _unpack_records(owner, node)
        return
    steered = {rrtype for rrtype, _, _ in unpack_node(replaced)}
    yield from (record for record in _unpack_records(owner, node) if record[1] not in steered)
    yield from _unpack_records(owner, replaced)


def assign_defaults(settings: Settings) -> Iterable[tuple[Zone, Defaults]]:
    """Each zone with the default answers of the load balancers whose closest zone it is."""
    by_zone: dict[bytes, dict[bytes, dict[int, RRset | None]]] = {zone.name: {} for zone in settings.zones}
    pools = {pool.name: pool for pool in settings.pools}
    for balancer in settings.load_balancers:
        apex = balancer.name
        while apex not in by_zone and len(apex) > 1:
            apex = apex[apex[0] + 1 :]
        if apex not in by_zone:
            continue  # its zone is another server's, which is sent updates
        for rrtype in balancer.types:
            by_zone[apex].setdefault(balancer.name, {})[rrtype] = make_default(balancer, rrtype, pools)
    return [(zone, by_zone[zone.name]) for zone in settings.zones]


class ZoneContent:
    """The nodes that the records of a zone and its default answers make, beside those that are served.

    Each owner is compared with what is served as soon as its records have gone by, and only those that differ are
    kept: some 250 octets of memory a name, 100 for one that is the same. So what is left to do after the last record
    depends on how much has changed. An owner whose records stand in several places of the file is made again at each.
    """

    def __init__(self, zone: Zone, records: Iterable[Record], defaults: Defaults, served: ServedNodes) -> None:
        """Reads all records; raises ZoneFileError."""
        self._prepare(zone, defaults, served)
        for owner, group in groupby(records, itemgetter(0)):
            self._add(owner, group)
        for owner in defaults:
            self._add(owner, ())
        self._raise_problems(defaults)

    def _prepare(self, zone: Zone, defaults: Defaults, served: ServedNodes) -> None:
        self.zone = zone
        self.replaced: dict[bytes, bytes] = {}
        """What load balancers answer instead of, by key (see above)."""
        self._defaults = defaults
        self._served = served
        self._same: set[bytes] = set()
        """Keys of the nodes that are as they are served."""
        self._others: dict[bytes, bytes] = {}
        """Those that are not, whose cut is not known yet, by their keys."""
        self._problems: dict[bytes, list[str]] = {}
        self.late_cuts = False
        """As in Zone, with the difference."""

    def _add(self, owner: bytes, records: Iterable[Record]) -> None:
        """Make the node of an owner, from these records and those it has already."""
        key = self._key(owner)
        node = self._read(key)
        answers = self._defaults.get(owner, {})
        if answers:
            records = list(records)
            self._note_replaced(key, owner, answers, records)
        rrsets = merge_records(records if node is None else chain(_unpack_records(owner, node), records))
        for rrtype, answer in answers.items():
            rrsets.pop(rrtype, None)
            if answer is not None:
                rrsets[rrtype] = (0, [])
        ttls = {rrtype: ttl for rrtype, (ttl, _) in rrsets.items() if rrtype not in answers}
        entries = [
            render_rrset(rrtype, ttl, rdatas) if rrtype != RRSIG else _render_signatures(rdatas, ttls)
            for rrtype, (ttl, rdatas) in rrsets.items()
            if rrtype not in answers
        ]
        entries += filter(None, answers.values())
        for _, _, data in entries:
            if len(data) > RRSET_LIMIT:
                message = f"{name_to_text(owner)}: more records of a type than fit a message"
                raise ZoneFileError((self._problem(message),))
        self._problems.pop(key, None)
        if self._file(key, pack_node(0, STEERED if answers else 0, entries)):
            return
        if problems := check_owner(owner, not key, rrsets):
            self._problems[key] = problems

    def _file(self, key: bytes, node: bytes) -> bool:
        """Keep a node; whether it is as it is served."""
        served = self._served.get(key)
        self._same.discard(key)
        self._others.pop(key, None)
        if served is not None and served[1] & STEERED == node[1] and served[2:] == node[2:]:
            self._same.add(key)
            return True
        self._others[key] = node
        return False

    def _note_replaced(
        self, key: bytes, owner: bytes, answers: Mapping[int, RRset | None], records: list[Record]
    ) -> None:
        before = self.replaced.get(key)
        noted = _unpack_records(owner, before) if before is not None else ()
        rrsets = merge_records(record for record in chain(noted, records) if record[1] in answers)
        self.replaced[key] = pack_node(0, 0, (render_rrset(rrtype, *rrsets.get(rrtype, (0, []))) for rrtype in answers))

    def advance_serial(self, served: int, limit: int) -> None:
        """Let the serial be newer than the one that is served, if anything else changes, and else that one."""
        if is_newer(read_serial(self.read_soa()[1]), served):
            return
        self._set_serial(served)
        if self.difference(limit) != {}:
            self._set_serial(next_serial(served))

    def _set_serial(self, serial: int) -> None:
        apex = self._read(b"")
        assert apex is not None, "a reading without a SOA raises"
        entries = [
            (rrtype, count, data[:-20] + serial.to_bytes(4, "big") + data[-16:] if rrtype == SOA else data)
            for rrtype, count, data in unpack_node(apex)
        ]
        self._file(b"", pack_node(0, apex[1] & STEERED, entries))

    def _raise_problems(self, steered: Iterable[bytes]) -> None:
        """Raise ZoneFileError if something cannot be served; of load balancers these are looked at."""
        problems = [problem for problems in self._problems.values() for problem in problems]
        for key, node in self.nodes(_with_ancestors(map(self._key, steered))):
            cut, flags = node[:2]
            if flags & STEERED and cut and not (flags & CUT_IS_DNAME and cut == key.count(b"\0") + 1):
                owner = name_to_text(name_of_key(key, self.zone.name))
                problems.append(f"{owner}: a load balancer at or below a delegation, or below a DNAME")
        if problems:
            raise ZoneFileError(tuple(map(self._problem, problems)))

    def _problem(self, message: str) -> ZoneProblem:
        return ZoneProblem(self.zone.file or name_to_text(self.zone.name), 0, message)

    def _key(self, owner: bytes) -> bytes:
        return b"".join(key_labels(owner, self.zone.name))

    def _read(self, key: bytes) -> bytes | None:
        return self._served.get(key) if key in self._same else self._others.get(key)

    def __len__(self) -> int:
        return len(self._same) + len(self._others)

    def read_soa(self) -> tuple[int, bytes]:
        """TTL and RDATA of the SOA."""
        apex = self._read(b"")
        soa = find_rrset(apex, SOA) if apex is not None else None
        assert soa is not None, "a reading without a SOA raises"
        return int.from_bytes(soa[2][6:10], "big"), soa[2][12:]

    def nodes(self, keys: Iterable[bytes] | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each node in canonical order; of those with `keys`, if these have all their ancestors."""
        tracker = CutTracker()
        for key in sorted(chain(self._same, self._others) if keys is None else keys):
            node = self._read(key)
            if node is not None:
                cut, flags = tracker.visit(key, key.count(b"\0"), node_types(node))
                yield key, bytes((cut, flags | node[1] & STEERED)) + node[2:]

    def difference(self, limit: int) -> dict[bytes, bytes | None] | None:
        """The nodes to be put in place of those served, None for one that goes; or None if they are more than `limit`.

        The cut of a node that is the same can have changed only where a cut came or went: then all are looked at.
        """
        served = self._served
        difference: dict[bytes, bytes | None] = {
            key: None for key in served if key not in self._same and key not in self._others
        }
        if len(difference) + len(self._others) > limit:
            return None
        difference |= self._changed(self.nodes(_with_ancestors(self._others)))
        if served.late_cuts or self._cuts(difference):
            difference |= self._changed(self.nodes())
        return difference if len(difference) <= limit else None

    def _cuts(self, difference: Mapping[bytes, bytes | None]) -> list[bytes]:
        """Where a delegation or DNAME comes or goes."""
        return [key for key, node in difference.items() if _own_cut(key, node) != _own_cut(key, self._served.get(key))]

    def _changed(self, nodes: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
        return {key: node for key, node in nodes if node != self._served.get(key)}


class ChangedContent(ZoneContent):
    """The same of a zone that is served, when only some of its owners change: the others are not read."""

    def __init__(
        self, zone: Zone, owners: Mapping[bytes, Iterable[Record]], defaults: Defaults, served: ServedNodes
    ) -> None:
        """`owners` has all records of each owner that changes; raises ZoneFileError."""
        self._prepare(zone, defaults, served)
        self._changing = {self._key(owner) for owner in owners}
        for owner in defaults if zone.primaries else ():
            if owner not in owners and (replaced := served.get_replaced(key := self._key(owner))) is not None:
                self.replaced[key] = replaced
        for owner, records in owners.items():
            records = list(records)
            if records or owner in defaults:
                self._add(owner, records)
        has_cut = any(_own_cut(key, self._read(key)) is not None for key in self._changing)
        self._raise_problems(defaults if has_cut else ())

    def _read(self, key: bytes) -> bytes | None:
        return super()._read(key) if key in self._changing else self._served.get(key)

    def nodes(self, keys: Iterable[bytes] | None = None) -> Iterator[tuple[bytes, bytes]]:
        """As of all the zone."""
        return super().nodes({*self._served, *self._others} if keys is None else keys)

    def difference(self, limit: int) -> dict[bytes, bytes | None] | None:
        """As of all the zone."""
        gone = self._changing - self._same - self._others.keys()
        difference: dict[bytes, bytes | None] = {key: None for key in gone if self._served.get(key) is not None}
        difference |= self._changed(self.nodes(_with_ancestors(self._changing)))
        below = chain.from_iterable(map(self._served.from_key, self._cuts(difference)))
        covered = [] if self._served.late_cuts else list(islice(below, COVERED_LIMIT + 1))
        self.late_cuts = self._served.late_cuts or len(covered) > COVERED_LIMIT
        if covered and not self.late_cuts:
            difference |= self._changed(self.nodes(_with_ancestors(self._changing.union(covered))))
        return difference if len(difference) <= limit else None

    def __len__(self) -> int:
        return len(self._changing)


def _with_ancestors(keys: Iterable[bytes]) -> set[bytes]:
    """Keys and those of all owners above them, whether these exist or not."""
    return {b"", *(key[: end + 1] for key in keys for end, octet in enumerate(key) if not octet)}


def _own_cut(key: bytes, node: bytes | None) -> int | None:
    return None if node is None else cut_flags(node_types(node), key.count(b"\0"))


def _render_signatures(rdatas: Iterable[bytes], ttls: Mapping[int, int]) -> RRset:
    """RRSIG records, each with the TTL of what it covers (RFC 4034 section 3), or else with the one that it names.

    `ttls` has the TTL of each type at the owner. RDATA that ends early covers nothing.
    """
    records = []
    for rdata in rdatas:
        covered, named = int.from_bytes(rdata[:2], "big"), int.from_bytes(rdata[4:8], "big")
        records.append(render_record(OWNER, RRSIG, ttls.get(covered, named if named <= MAX_TTL else 0), rdata))
    return RRSIG, len(records), b"".join(records)


def _unpack_records(owner: bytes, node: bytes) -> Iterator[Record]:
    for rrtype, _, records in unpack_node(node):
        for record in split_records(records):
            yield owner, rrtype, int.from_bytes(record[6:10], "big"), record[12:]


def _make_records(zone: Zone, serial: int) -> list[Record]:
    """SOA and NS of a zone of load balancers alone."""
    numbers = b"".join(number.to_bytes(4, "big") for number in (serial, *SYNTHETIC_TIMERS))
    mailbox = b"\x0ahostmaster" + zone.name
    soa = zone.nameservers[0] + (mailbox if len(mailbox) <= 255 else zone.name) + numbers
    return [
        (zone.name, SOA, SYNTHETIC_TTL, soa),
        *((zone.name, NS, SYNTHETIC_TTL, nameserver) for nameserver in zone.nameservers),
    ]


def _digest(zone: Zone, defaults: Defaults, listed: tuple[bytes, ...] = ()) -> bytes:
    source = zone.name, zone.file, zone.nameservers, bool(zone.primaries), bool(zone.allow_update)
    answers = sorted((owner, sorted(answers.items())) for owner, answers in defaults.items())
    return hashlib.sha256(msgspec.msgpack.encode((FORMAT, *source, answers, *listed))).digest()


def is_made_from(zone: Zone, defaults: Defaults, stamp: bytes | None) -> bool:
    """Whether what has this stamp was staged with this configuration of the zone."""
    return stamp is not None and msgspec.msgpack.decode(stamp, type=Stamp).digest == _digest(zone, defaults)
