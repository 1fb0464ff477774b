"""Loading: zones into the store: those of the configuration, all or nothing, and what primaries and updates change.

A zone is read, checked, merged with the default answers of its load balancers (content.py) and staged; when all are,
they are published in one commit by whoever asked for them. A zone whose files and load balancers are as they were at
the last load is not read again. A transfer (refresh.py) and an update (updater.py) stage one zone in the same way.

Which serial a zone has is said in journal.py, and what catalogs are in catalog.py: the zones that they add are loaded
as if they were configured.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

import msgspec

from steering.balance.plans import make_default
from steering.settings import Settings, Zone
from steering.wire import (
    NS,
    SOA,
    RRset,
    name_to_text,
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
from steering.zones.content import ChangedContent, Defaults, ZoneContent, unpack_records
from steering.zones.journal import read_serial
from steering.zones.node import key_labels, name_of_key, node_types, unpack_node
from steering.zones.overlay import Overlay, note_update
from steering.zones.store import ServedNodes, Store, Version, ZoneWriter
from steering.zones.timers import decode_timers
from steering.zones.update import RRsets
from steering.zones.zonefile import (
    FileRead,
    Record,
    ZoneFileError,
    ZoneProblem,
    ZoneReader,
    read_zone,
)

FORMAT = 3
"""Raised when the same input makes other nodes than before, so that stores of older versions are loaded anew."""
SYNTHETIC_TTL = 3600
SYNTHETIC_TIMERS = (3600, 900, 1_209_600, 60)
"""Refresh, retry, expire and negative TTL of the SOA of a zone that has no file, in seconds."""
UPDATED_LIMIT = 10_000
"""RRsets of a zone that updates have made otherwise than its source."""


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
    content: ZoneContent,
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
        yield from unpack_records(owner, node)
        return
    steered = node_types(replaced)
    yield from (record for record in unpack_records(owner, node) if record[1] not in steered)
    yield from unpack_records(owner, replaced)


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
