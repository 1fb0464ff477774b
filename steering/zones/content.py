"""The content of a zone: the nodes that its records and the default answers of its load balancers make.

A steered name is an ordinary name: at its node the store holds what its load balancer answers when all is healthy, and
the flag STEERED. What a zone file or a primary says for a steered (name, type) is replaced. Of a primary it is kept
beside, as a node that has each steered type, with no records where the primary has none: so that the zone as the
primary has it is there for the next incremental transfer, and when load balancers change.

What is made is compared with what is served. Pure but for reads of the store.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby, islice
from operator import itemgetter

from steering.settings import Zone
from steering.wire import OWNER, RRSIG, SOA, RRset, name_to_text, render_record, render_rrset, split_records
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
from steering.zones.store import ServedNodes
from steering.zones.zonefile import MAX_TTL, Record, ZoneFileError, ZoneProblem, check_owner, merge_records

RRSET_LIMIT = 65_000
"""Octets of records; more of one type could not be sent to anybody."""
COVERED_LIMIT = 1000
"""Names below delegations that come or go, whose nodes an update, or a change of a primary, writes anew."""

Defaults = Mapping[bytes, Mapping[int, RRset | None]]
"""Owner -> type -> what a load balancer answers there by default; None: nothing, whatever the zone file says."""


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
        rrsets = merge_records(records if node is None else chain(unpack_records(owner, node), records))
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
        noted = unpack_records(owner, before) if before is not None else ()
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


def unpack_records(owner: bytes, node: bytes) -> Iterator[Record]:
    """The records of a node."""
    for rrtype, _, records in unpack_node(node):
        for record in split_records(records):
            yield owner, rrtype, int.from_bytes(record[6:10], "big"), record[12:]
