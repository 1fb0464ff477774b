"""Loading: the configured zones, from their files and the load balancers, into the store; all or nothing.

A zone is read, checked, merged with the default answers of its load balancers and staged; when all are, they are
published in one commit by whoever asked for them. A zone whose files and load balancers are as they were at the last
load is not read again.

A steered name is an ordinary name: at its node the store holds what its load balancer answers when all is healthy, and
the flag STEERED. What a zone file says for a steered (name, type) is replaced.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from steering.balance.plans import make_default
from steering.settings import Settings, Zone
from steering.wire import NS, SOA, RRset, name_to_text, render_rrset
from steering.zones.node import STEERED, CutTracker, key_labels, pack_node
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

_RECORD = struct.Struct("!HI")
"""Type and TTL of a record that waits for its owner's turn; its RDATA follows."""

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
        files: tuple[FileRead, ...] = ()
        try:
            if zone.file is None:
                serial = max(int(now), old.serial + 1 if old else 0) & 0xFFFFFFFF
                content = ZoneContent(zone, _make_records(zone, serial), defaults)
            else:
                reading = read_zone(Path(zone.file), zone.name)
                content = ZoneContent(zone, reading, defaults)
                files = reading.files
            ttl, soa = content.read_soa()
            served = writer.stage(
                zone.name,
                content.nodes,
                serial=int.from_bytes(soa[-20:-16], "big"),
                soa=soa,
                negative_ttl=min(ttl, int.from_bytes(soa[-4:], "big")),
                stamp=msgspec.msgpack.encode(Stamp(files, digest)),
            )
            report(LoadReport(zone.name, served.serial, len(content), served.changed))
        except ZoneFileError as error:
            problems += error.problems
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


class ZoneContent:
    """The records of a zone and the default answers in it, grouped by owner; gives nodes in canonical order."""

    def __init__(self, zone: Zone, records: Iterable[Record], defaults: Defaults) -> None:
        """Reads all records; raises ZoneFileError."""
        self._zone = zone
        self._groups: dict[bytes, tuple[bytes, list[bytes]]] = {b"": (zone.name, [])}
        owner, group = zone.name, self._groups[b""][1]
        for name, rrtype, ttl, rdata in records:
            if name != owner:
                owner, group = name, self._group(name)
            group.append(_RECORD.pack(rrtype, ttl) + rdata)
        self._defaults = {b"".join(key_labels(name, zone.name)): answers for name, answers in defaults.items()}
        for name in defaults:
            self._group(name)

    def _group(self, owner: bytes) -> list[bytes]:
        return self._groups.setdefault(b"".join(key_labels(owner, self._zone.name)), (owner, []))[1]

    def read_soa(self) -> tuple[int, bytes]:
        """TTL and RDATA of the SOA; raises ZoneFileError."""
        for record in self._groups[b""][1]:
            rrtype, ttl = _RECORD.unpack_from(record)
            if rrtype == SOA:
                return ttl, record[_RECORD.size :]
        raise ZoneFileError((self._problem("there is no SOA record at the apex of the zone"),))

    def __len__(self) -> int:
        return len(self._groups)

    def nodes(self) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each node, in canonical order; raises ZoneFileError at the end for what cannot be served."""
        problems: list[ZoneProblem] = []
        tracker = CutTracker()
        for key in sorted(self._groups):
            owner, group = self._groups[key]
            rrsets = merge_records([(owner, *_RECORD.unpack_from(record), record[_RECORD.size :]) for record in group])
            answers = self._defaults.get(key, {})
            for rrtype, answer in answers.items():
                rrsets.pop(rrtype, None)
                if answer is not None:
                    rrsets[rrtype] = (0, [])
            problems += map(self._problem, check_owner(owner, not key, rrsets))
            cut, flags = tracker.visit(key, key.count(b"\0"), rrsets)
            if answers and cut:
                problems.append(
                    self._problem(f"{name_to_text(owner)}: a load balancer at or below a delegation or DNAME")
                )
            entries = [
                render_rrset(rrtype, ttl, rdatas) for rrtype, (ttl, rdatas) in rrsets.items() if rrtype not in answers
            ]
            entries += [answer for answer in answers.values() if answer is not None]
            yield key, pack_node(cut, flags | (STEERED if answers else 0), entries)
        if problems:
            raise ZoneFileError(tuple(problems))

    def _problem(self, message: str) -> ZoneProblem:
        return ZoneProblem(self._zone.file or name_to_text(self._zone.name), 0, message)


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
