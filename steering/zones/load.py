"""Loading: the configured zones, from their files and the load balancers, into the store; all or nothing.

A zone is read, checked, merged with the default answers of its load balancers and staged; when all are, they are
published in one commit by whoever asked for them. A zone whose files and load balancers are as they were at the last
load is not read again.

A steered name is an ordinary name: at its node the store holds what its load balancer answers when all is healthy, and
the flag STEERED. What a zone file says for a steered (name, type) is replaced.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from steering.balance.plans import make_default
from steering.settings import Settings, Zone
from steering.wire import NS, SOA, name_to_text
from steering.zones.node import STEERED, CutTracker, RRset, key_labels, pack_node, pack_rrset
from steering.zones.store import Store, ZoneWriter
from steering.zones.zonefile import (
    FileRead,
    Record,
    ZoneFileError,
    ZoneProblem,
    check_owner,
    merge_records,
    read_zone,
)

FORMAT = 1
"""Raised when the same input makes other nodes than before, so that stores of older versions are loaded anew."""
SYNTHETIC_TTL = 3600
SYNTHETIC_TIMERS = (3600, 900, 1_209_600, 60)
"""Refresh, retry, expire and negative TTL of the SOA of a zone that has no file, in seconds."""

Defaults = Mapping[bytes, Mapping[int, RRset | None]]
"""Owner -> type -> what a load balancer answers there by default; None: nothing, whatever the zone file says."""


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """What a zone was made from."""

    files: tuple[FileRead, ...]
    digest: bytes
    """Of the format, the settings of the zone and its default answers."""

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
    writer.collect_garbage()
    problems: list[ZoneProblem] = []
    for zone, defaults in assign_defaults(settings):
        digest = _digest(zone, defaults)
        old = writer.served.get(zone.name)
        stamp = writer.read_stamp(zone.name)
        if old is not None and stamp is not None and msgspec.msgpack.decode(stamp, type=Stamp).is_current(digest):
            report(LoadReport(zone.name, old.serial, 0, 0))
            continue
        try:
            if zone.file is None:
                serial = max(int(now), old.serial + 1 if old else 0) & 0xFFFFFFFF
                content = make_nodes(zone, _make_records(zone, serial), defaults)
                files: tuple[FileRead, ...] = ()
            else:
                reading = read_zone(Path(zone.file), zone.name)
                content = make_nodes(zone, reading, defaults)
                files = reading.files
        except ZoneFileError as error:
            problems += error.problems
            continue
        if not problems:
            encoded = msgspec.msgpack.encode(Stamp(files, digest))
            changed = writer.stage(
                zone.name,
                content.nodes,
                serial=content.serial,
                soa=content.soa,
                negative_ttl=content.negative_ttl,
                stamp=encoded,
            )
            report(LoadReport(zone.name, content.serial, len(content.nodes), changed))
    if problems:
        raise ZonesError(tuple(problems))

    def publish() -> None:
        writer.publish(removed=writer.served.keys() - {zone.name for zone in settings.zones})
        writer.collect_garbage()

    return publish


def assign_defaults(settings: Settings) -> Iterable[tuple[Zone, Defaults]]:
    """Each zone with the default answers of the load balancers whose closest zone it is."""
    by_zone: dict[bytes, dict[bytes, dict[int, RRset | None]]] = {zone.name: {} for zone in settings.zones}
    pools = {pool.name: pool for pool in settings.pools}
    for balancer in settings.load_balancers:
        apex = balancer.name
        while apex not in by_zone:
            apex = apex[apex[0] + 1 :]
        for rrtype in balancer.types:
            by_zone[apex].setdefault(balancer.name, {})[rrtype] = make_default(balancer, rrtype, pools)
    return [(zone, by_zone[zone.name]) for zone in settings.zones]


class ZoneContent(msgspec.Struct, frozen=True):
    """A zone ready for the store."""

    nodes: dict[bytes, bytes]
    """Key without prefix -> value, in canonical order."""
    serial: int
    soa: bytes
    negative_ttl: int


def make_nodes(zone: Zone, records: Iterable[Record], defaults: Defaults) -> ZoneContent:
    """The nodes of a zone; raises ZoneFileError, also for what cannot be served (`check_owner`)."""
    apex = zone.name
    by_key: dict[bytes, list[Record]] = {b"": []}
    owner, group = apex, by_key[b""]
    for record in records:
        if record[0] != owner:
            owner = record[0]
            group = by_key.setdefault(b"".join(key_labels(owner, apex)), [])
        group.append(record)
    steered = {b"".join(key_labels(owner, apex)): (owner, answers) for owner, answers in defaults.items()}
    for key in steered:
        by_key.setdefault(key, [])
    file = zone.file or name_to_text(apex)
    problems: list[str] = []
    nodes: dict[bytes, bytes] = {}
    tracker = CutTracker()
    for key in sorted(by_key):
        group = by_key.pop(key)
        rrsets = merge_records(group)
        owner, answers = steered.get(key, (group[0][0] if group else apex, {}))
        for rrtype, answer in answers.items():
            rrsets.pop(rrtype, None)
            if answer is not None:
                rrsets[rrtype] = (0, [])
        problems += check_owner(owner, not key, rrsets)
        cut, flags = tracker.visit(key, key.count(b"\0"), rrsets)
        if answers and cut:
            problems.append(f"{name_to_text(owner)}: a load balancer at or below a delegation or DNAME")
        entries = [pack_rrset(rrtype, ttl, rdatas) for rrtype, (ttl, rdatas) in rrsets.items() if rrtype not in answers]
        entries += [answer for answer in answers.values() if answer is not None]
        nodes[key] = pack_node(cut, flags | (STEERED if answers else 0), entries)
        if not key and SOA in rrsets and rrsets[SOA][1]:
            ttl, rdatas = rrsets[SOA]
            soa = rdatas[0]
    if problems:
        raise ZoneFileError(tuple(ZoneProblem(file, 0, problem) for problem in problems))
    serial, minimum = int.from_bytes(soa[-20:-16], "big"), int.from_bytes(soa[-4:], "big")
    return ZoneContent(nodes, serial, soa, min(ttl, minimum))


def _make_records(zone: Zone, serial: int) -> list[Record]:
    """SOA and NS of a zone of load balancers alone."""
    numbers = b"".join(number.to_bytes(4, "big") for number in (serial, *SYNTHETIC_TIMERS))
    soa = zone.nameservers[0] + b"\x0ahostmaster" + zone.name + numbers
    return [
        (zone.name, SOA, SYNTHETIC_TTL, soa),
        *((zone.name, NS, SYNTHETIC_TTL, nameserver) for nameserver in zone.nameservers),
    ]


def _digest(zone: Zone, defaults: Defaults) -> bytes:
    encoded = msgspec.msgpack.encode(
        (FORMAT, zone, sorted((owner, sorted(answers.items())) for owner, answers in defaults.items()))
    )
    return hashlib.sha256(encoded).digest()
