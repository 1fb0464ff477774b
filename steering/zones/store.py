"""The zone store: every zone in one LMDB environment that control writes and the workers read.

Databases
    nodes    generation (4 octets) + key of the owner (node.py) -> the owner's RRsets
    zones    apex -> Zone: which generation is served, and what is asked of it often
    stamps   apex -> what the zone was made from, so that an unchanged one is not loaded again
    changes  running number (8 octets) -> apex that changed: how a reader keeps its table of zones without reading all
    garbage  generation -> nothing: generations that no zone serves, being loaded or being deleted
    journal  apex, number, part -> what the latest changes of a zone were (journal.py)
    replaced apex + key of an owner -> what a primary has where a load balancer answers (content.py)
    updated  apex + owner + type -> an RRset that an update has made, laid over the zone's source (overlay.py)
    timers   apex -> when a zone was last compared with its primary, and when it is next (refresh.py)
    counters "generation" -> the last one that a zone got, which may have no nodes

Rules
- What a reader sees is one LMDB snapshot: a zone's generation and its nodes come from the same transaction, so an
  answer is from the old zone or from the new one, never from both.
- A new generation is written in batches while the old one is served; it becomes visible by one small commit. What a
  crash leaves behind is in `garbage` and is deleted by the next writer. A small difference is one transaction.
- The map is far larger than any store and costs only address space, so it never has to grow under a reader.
"""

import fcntl
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

import lmdb
import msgspec

from steering.zones.journal import Journal, Records, is_newer
from steering.zones.node import CUT_IS_DNAME, EMPTY_NODE, STEERED, cut_flags, node_types

MAP_SIZE: Final = 1 << 40
BATCH: Final = 50_000
"""Nodes written or deleted by one transaction of a full load."""
DIFFERENCE_LIMIT: Final = 100_000
"""More changed nodes than this are a full load."""
ANOTHER_WRITER: Final = "another process has loaded zones meanwhile; load them again"
CHANGES_KEPT: Final = 10_000
LOCK_NAME: Final = "writer.lock"

EXACT: Final = 0
EMPTY: Final = 1
WILDCARD: Final = 2
MISSING: Final = 3
CUT: Final = 4

_GENERATION = struct.Struct("!I")
_NUMBER = struct.Struct("!Q")
_LAST: Final = b"generation"


class StoreError(Exception):
    """The store cannot be opened or written; what it held is still there."""


class Zone(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is asked of a zone for many answers. Names are wire, lower case; TTLs are seconds."""

    apex: bytes
    generation: int
    serial: int
    soa: bytes
    """RDATA of the SOA record."""
    negative_ttl: int
    """TTL of the SOA record in negative answers (RFC 2308 section 5)."""
    expired: bool = False
    """There is nothing to answer from: it was never transferred, or not for too long (RFC 1035 section 3.3.13)."""
    late_cuts: bool = False
    """Delegations or DNAMEs have come or gone, and the nodes below them, too many to be written at once, do not know:
    what nodes say of cuts does not count, and a look-up walks down."""

    @property
    def prefix(self) -> bytes:
        """What the key of each node of this generation begins with."""
        return _GENERATION.pack(self.generation)


class Found(NamedTuple):
    """Where a look-up landed. `depth` counts labels below the apex.

    EXACT: `value` is the node of the name. EMPTY: the name exists and has no records. WILDCARD: `value` is the
    wildcard's node, `depth` that of the closest encloser. MISSING: `depth` is that of the closest encloser.
    CUT: `value` is the node of a delegation or DNAME at `depth` that covers the name (for a delegation, also the
    name itself).
    """

    kind: int
    value: bytes
    depth: int


class Store:
    """The environment, opened by each process for itself."""

    def __init__(self, directory: Path, *, write: bool = False) -> None:
        """`directory` is made if missing; raises StoreError."""
        self.directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.environment = lmdb.open(str(directory), map_size=MAP_SIZE, max_dbs=16, max_readers=512, readonly=False)
            if write:
                self.environment.reader_check()
            self.nodes = self.environment.open_db(b"nodes")
            self.zones = self.environment.open_db(b"zones")
            self.stamps = self.environment.open_db(b"stamps")
            self.changes = self.environment.open_db(b"changes")
            self.garbage = self.environment.open_db(b"garbage")
            self.journal = self.environment.open_db(b"journal")
            self.replaced = self.environment.open_db(b"replaced")
            self.updated = self.environment.open_db(b"updated")
            self.timers = self.environment.open_db(b"timers")
            self.counters = self.environment.open_db(b"counters")
        except (lmdb.Error, OSError) as error:
            raise StoreError(f"{directory}: {error}") from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wait for other processes that stage zones, and keep them waiting; raises StoreError."""
        with ExitStack() as stack:
            with failing(self):
                file = stack.enter_context((self.directory / LOCK_NAME).open("wb"))
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def find_zone(self, apex: bytes) -> Zone | None:
        """The zone with exactly this apex in the newest snapshot."""
        with self.environment.begin() as transaction:
            return read_zone(transaction, self, apex)

    def read_timers(self, apex: bytes) -> bytes | None:
        """What the refresher noted."""
        with self.environment.begin() as transaction:
            return transaction.get(apex, db=self.timers)

    def note_timers(
        self, apex: bytes, timers: bytes, *, expired: bool, is_meant: Callable[[bytes | None], bool] = lambda _: True
    ) -> None:
        """Keep what the refresher notes of a zone that is served, and whether it has expired; raises StoreError.

        `is_meant` says by what the zone was made from whether it is the one that is meant.
        """
        with failing(self), self.environment.begin(write=True) as transaction:
            zone = read_zone(transaction, self, apex)
            if zone is None or not is_meant(transaction.get(apex, db=self.stamps)):
                return
            transaction.put(apex, timers, db=self.timers)
            if zone.expired != expired:
                changed = msgspec.structs.replace(zone, expired=expired)
                transaction.put(apex, msgspec.msgpack.encode(changed), db=self.zones)
                _log_change(self, transaction, apex)

    def close(self) -> None:
        """Give the mapping back; no reader may be used afterwards."""
        self.environment.close()


class StoreReader:
    """The table of zones, and look-ups in the snapshot of the transaction between `begin` and `end`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._seen_change = -1
        self._seen_transaction = -1
        self.zones: dict[bytes, Zone] = {}
        """Every zone of the snapshot by its apex."""
        self.begin()
        self.end()

    def begin(self) -> bool:
        """Take the newest snapshot; true if zones changed since the last one."""
        self._transaction = self.store.environment.begin()
        self._cursor = self._transaction.cursor(self.store.nodes)
        current = self._transaction.id()
        if current == self._seen_transaction:
            return False
        self._seen_transaction = current
        return self._follow_changes()

    def end(self) -> None:
        """Give the snapshot back: one that is kept stops the writer from reusing space."""
        self._transaction.abort()

    def _follow_changes(self) -> bool:
        transaction = self._transaction
        cursor = transaction.cursor(self.store.changes)
        newest = _NUMBER.unpack(cursor.key())[0] if cursor.last() else 0
        if newest == self._seen_change:
            return False
        if self._seen_change >= 0 and cursor.set_key(_NUMBER.pack(self._seen_change + 1)):
            changed = {bytes(apex) for apex in cursor.iternext(keys=False)}
            self.zones = self.zones.copy()
            for apex in changed:
                value = transaction.get(apex, db=self.store.zones)
                if value is None:
                    self.zones.pop(apex, None)
                else:
                    self.zones[apex] = _decode_zone(value)
        else:
            self.zones = _read_zones(transaction, self.store)
        self._seen_change = newest
        return True

    def find_zone(self, name: bytes) -> Zone | None:
        """The closest zone at or above `name`."""
        zones = self.zones
        while True:
            zone = zones.get(name)
            if zone is not None:
                return zone
            if len(name) <= 1:
                return None
            name = name[name[0] + 1 :]

    def find(self, zone: Zone, labels: list[bytes]) -> Found:
        """Look the owner with these key labels (`node.key_labels`) up: one seek, two if it does not exist."""
        prefix = zone.prefix
        key = prefix + b"".join(labels)
        depth = len(labels)
        cursor = self._cursor
        encloser, cut = -1, 0
        late = zone.late_cuts
        if late and (found := self._find_late_cut(prefix, labels)) is not None:
            return found
        if cursor.set_range(key):
            neighbour, value = cursor.item()
            if neighbour == key:
                cut = value[0]
                if not cut or late or (cut == depth + 1 and value[1] & CUT_IS_DNAME):
                    return Found(EXACT, value, depth)
                return self._cut(prefix, labels, cut - 1)
            encloser, cut = _shared_depth(neighbour, len(prefix), labels, prefix), value[0]
            if encloser == depth:
                is_cut = 0 < cut <= depth + 1 and not late
                return self._cut(prefix, labels, cut - 1) if is_cut else Found(EMPTY, b"", depth)
            before = cursor.prev()
        else:
            before = cursor.last()
        if before:
            neighbour, value = cursor.item()
            shared = _shared_depth(neighbour, len(prefix), labels, prefix)
            if shared > encloser:
                encloser, cut = shared, value[0]
        if 0 < cut <= encloser + 1 and not late:
            return self._cut(prefix, labels, cut - 1)
        wildcard = prefix + b"".join(labels[:encloser]) + b"*\0"
        if cursor.set_range(wildcard):
            neighbour, value = cursor.item()
            if neighbour == wildcard:
                return Found(WILDCARD, value, encloser)
            if neighbour.startswith(wildcard):  # it has no records, but exists (RFC 4592 section 2.2.2)
                return Found(WILDCARD, EMPTY_NODE, encloser)
        return Found(MISSING, b"", encloser)

    def _find_late_cut(self, prefix: bytes, labels: list[bytes]) -> Found | None:
        """The topmost cut that covers a name, whatever the nodes say."""
        key = prefix
        for depth, label in enumerate((b"", *labels)):
            key += label
            if not self._cursor.set_range(key):
                return None
            neighbour, value = self._cursor.item()
            if not neighbour.startswith(key):
                return None
            flags = cut_flags(node_types(value), depth) if neighbour == key else None
            if flags is not None and not (flags and depth == len(labels)):
                return Found(CUT, bytes((depth + 1, flags | value[1] & STEERED)) + value[2:], depth)
        return None

    def _cut(self, prefix: bytes, labels: list[bytes], depth: int) -> Found:
        value = self._transaction.get(prefix + b"".join(labels[:depth]), db=self.store.nodes)
        assert value is not None, "a cut has a node"
        return Found(CUT, value, depth)

    def read_node(self, zone: Zone, labels: list[bytes]) -> bytes | None:
        """The node with exactly these key labels, whatever cut covers it."""
        return self._transaction.get(zone.prefix + b"".join(labels), db=self.store.nodes)

    def walk(self, zone: Zone) -> Iterator[tuple[bytes, bytes]]:
        """Key (without the prefix) and value of each node in canonical order."""
        prefix = zone.prefix
        cursor = self._transaction.cursor(self.store.nodes)
        if cursor.set_range(prefix):
            for key, value in cursor.iternext():
                key = bytes(key)
                if not key.startswith(prefix):
                    return
                yield key[len(prefix) :], bytes(value)


def _shared_depth(neighbour: bytes, position: int, labels: list[bytes], prefix: bytes) -> int:
    """How many labels below the apex a stored key shares with the name looked up; -1 for another zone's key."""
    if not neighbour.startswith(prefix):
        return -1
    depth = 0
    for label in labels:
        if not neighbour.startswith(label, position):
            break
        position += len(label)
        depth += 1
    return depth


_decode_zone = msgspec.msgpack.Decoder(Zone).decode


def read_zone(transaction: "lmdb.Transaction[bytes]", store: Store, apex: bytes) -> Zone | None:
    """A zone in the snapshot of a transaction."""
    value = transaction.get(apex, db=store.zones)
    return None if value is None else _decode_zone(value)


def _read_zones(transaction: "lmdb.Transaction[bytes]", store: Store) -> dict[bytes, Zone]:
    return {zone.apex: zone for zone in map(_decode_zone, transaction.cursor(store.zones).iternext(keys=False))}


class ServedZones(Mapping[bytes, Zone]):
    """The zones that are served by their apex: each as it was when it was first asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: dict[bytes, Zone | None] = {}

    def read_all(self) -> None:
        """Find every zone now, which costs less than one by one."""
        with self._store.environment.begin() as transaction:
            self._found |= _read_zones(transaction, self._store)

    def __getitem__(self, apex: bytes) -> Zone:
        if apex not in self._found:
            self._found[apex] = self._store.find_zone(apex)
        zone = self._found[apex]
        if zone is None:
            raise KeyError(apex)
        return zone

    def __iter__(self) -> Iterator[bytes]:
        with self._store.environment.begin() as transaction:
            return iter(list(transaction.cursor(self._store.zones).iternext(values=False)))

    def __len__(self) -> int:
        with self._store.environment.begin() as transaction:
            return int(transaction.stat(self._store.zones)["entries"])


class Version(msgspec.Struct, frozen=True):
    """What is noted of the content of a zone."""

    serial: int
    soa: bytes
    negative_ttl: int
    """As in Zone."""
    stamp: bytes
    """What it was made from: for the loader, who gets it back from `read_stamp`."""
    expired: bool = False
    """As in Zone."""
    journal: int = 0
    """How many changes are kept for who has an older version."""
    replaced: Mapping[bytes, bytes] = {}
    """For the loader, who gets it back from `open_served`: by keys of the zone, which are without prefix."""
    updated: Mapping[bytes, bytes | None] = {}
    """For the loader, who gets it back from `read_updated`: what is new there, None for what goes."""
    timers: bytes | None = None
    """For the refresher, who gets it back from `read_timers`; None: as they are; empty: there are none."""
    late_cuts: bool = False
    """As in Zone."""

    def make_zone(self, apex: bytes, generation: int) -> Zone:
        """What is served of it."""
        return Zone(apex, generation, self.serial, self.soa, self.negative_ttl, self.expired, self.late_cuts)


class ServedNodes:
    """The nodes of a zone as they are served, in one snapshot; keys are without the prefix."""

    def __init__(self, store: Store, transaction: "lmdb.Transaction[bytes]", zone: Zone | None) -> None:
        self._store = store
        self._transaction = transaction
        self._prefix = None if zone is None else zone.prefix
        self._apex = b"" if zone is None else zone.apex
        self.late_cuts = zone is not None and zone.late_cuts

    def get_replaced(self, key: bytes) -> bytes | None:
        """What was noted as replaced in a node."""
        return None if self._prefix is None else self._transaction.get(self._apex + key, db=self._store.replaced)

    def get_updated(self, key: bytes) -> bytes | None:
        """What was noted of an RRset that an update has made."""
        return None if self._prefix is None else self._transaction.get(self._apex + key, db=self._store.updated)

    def count_updated(self) -> int:
        """How many RRsets were noted."""
        cursor = self._transaction.cursor(self._store.updated)
        if self._prefix is None or not cursor.set_range(self._apex):
            return 0
        return sum(1 for _ in takewhile(lambda key: key.startswith(self._apex), cursor.iternext(values=False)))

    def get(self, key: bytes) -> bytes | None:
        """The value of a node."""
        return None if self._prefix is None else self._transaction.get(self._prefix + key, db=self._store.nodes)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values in canonical order."""
        cursor = self._transaction.cursor(self._store.nodes)
        if self._prefix is not None and cursor.set_range(self._prefix):
            for key, value in cursor.iternext():
                if not key.startswith(self._prefix):
                    return
                yield bytes(key[_GENERATION.size :]), bytes(value)

    def __iter__(self) -> Iterator[bytes]:
        """The keys in canonical order."""
        return self.from_key(b"")

    def from_key(self, top: bytes) -> Iterator[bytes]:
        """The keys of an owner and of all below it, in canonical order."""
        cursor = self._transaction.cursor(self._store.nodes)
        if self._prefix is not None and cursor.set_range(self._prefix + top):
            for key in map(bytes, cursor.iternext(values=False)):
                if not key.startswith(self._prefix + top):
                    return
                yield key[_GENERATION.size :]


class ZoneWriter:
    """Stages any number of zones while the old ones are served, then publishes them all in one commit.

    There should be one writer at a time; of two, the first to publish wins, and the other gets StoreError. Any method
    raises it when the disk is full or fails, too; nothing is published then.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.served = ServedZones(store)
        self._staged: dict[bytes, tuple[Zone, Version]] = {}
        self._differences: dict[bytes, Mapping[bytes, bytes | None]] = {}
        self._pending: list[tuple[bytes, bytes]] = []
        self._begun: set[bytes] = set()
        """Generations of ours that are in the store."""
        with failing(store), store.environment.begin() as transaction:
            self._next_generation = 1 + max(
                _last_generation(transaction, store.nodes),
                _last_generation(transaction, store.garbage),
                _last_served_generation(transaction, store),
            )

    def read_stamp(self, apex: bytes) -> bytes | None:
        """What the served zone was made from, as its loader noted it."""
        with self._store.environment.begin() as transaction:
            return transaction.get(apex, db=self._store.stamps)

    def read_updated(self, apex: bytes) -> dict[bytes, bytes]:
        """What updates have made of a zone, as its loader noted it."""
        with self._store.environment.begin() as transaction:
            cursor = transaction.cursor(self._store.updated)
            cursor.set_range(apex)
            items = takewhile(lambda item: item[0].startswith(apex), cursor.iternext())
            return {key[len(apex) :]: value for key, value in items}

    @contextmanager
    def open_served(self, apex: bytes) -> Iterator[ServedNodes]:
        """What is served of a zone; of one that is not, nothing."""
        with self._store.environment.begin() as transaction:
            yield ServedNodes(self._store, transaction, self.served.get(apex))

    @property
    def room(self) -> int:
        """How many nodes may still be staged as differences; one transaction should not have more."""
        return DIFFERENCE_LIMIT - sum(map(len, self._differences.values()))

    def stage(self, apex: bytes, version: Version, nodes: Iterable[tuple[bytes, bytes]]) -> int:
        """Take `nodes` (key without prefix and value, in canonical order) as the next content of a zone.

        Returns how many there are. What they raise leaves this zone as it is served.
        """
        with failing(self._store):
            zone = version.make_zone(apex, self._next_generation)
            self._next_generation += 1
            prefix = zone.prefix
            count = 0
            for key, value in nodes:
                self._pending.append((prefix + key, value))
                count += 1
                if len(self._pending) >= BATCH:
                    self._flush()
            self._staged[apex] = zone, version
            self._differences.pop(apex, None)
            return count

    def stage_difference(self, apex: bytes, version: Version, difference: Mapping[bytes, bytes | None]) -> int:
        """Take what is served of a zone, with these nodes in place of its own (None: without), as its next content.

        Returns how many there are: at most `room`.
        """
        self._differences[apex] = difference
        self._staged[apex] = version.make_zone(apex, self.served[apex].generation), version
        return len(difference)

    def publish(self, removed: Iterable[bytes] = ()) -> None:
        """Serve what was staged, and stop serving the zones `removed`, from this moment on."""
        store = self._store
        with failing(self._store):
            self._flush()
            with store.environment.begin(write=True) as transaction:
                removed = list(removed)
                self._check_alone(transaction, [*self._staged, *removed])
                transaction.put(_LAST, _GENERATION.pack(self._next_generation - 1), db=store.counters)
                for apex in self._staged:
                    self._write_zone(transaction, apex)
                for apex in removed:
                    self._remove_zone(transaction, apex)
            self.served = ServedZones(store)
            self._staged, self._differences, self._begun = {}, {}, set()

    def _write_zone(self, transaction: "lmdb.Transaction[bytes]", apex: bytes) -> None:
        """Serve what is staged of a zone."""
        store, old = self._store, self.served.get(apex)
        zone, version = self._staged[apex]
        self._write_journal(transaction, zone, version.journal)
        for key, node in self._differences.get(apex, {}).items():
            _put(transaction, store.nodes, zone.prefix + key, node)
        if old is None or old.generation != zone.generation:
            transaction.delete(zone.prefix, db=store.garbage)
            if old is not None:
                transaction.put(old.prefix, b"", db=store.garbage)
        transaction.put(apex, msgspec.msgpack.encode(zone), db=store.zones)
        transaction.put(apex, version.stamp, db=store.stamps)
        _delete_below(transaction, store.replaced, apex)
        for key, replaced in version.replaced.items():
            transaction.put(apex + key, replaced, db=store.replaced)
        for key, updated in version.updated.items():
            _put(transaction, store.updated, apex + key, updated)
        if version.timers is not None:
            _put(transaction, store.timers, apex, version.timers or None)
        _log_change(store, transaction, apex)

    def _remove_zone(self, transaction: "lmdb.Transaction[bytes]", apex: bytes) -> None:
        """Serve a zone no more."""
        store = self._store
        Journal(transaction, store.journal, apex).clear()
        for database in (store.replaced, store.updated):
            _delete_below(transaction, database, apex)
        transaction.put(self.served[apex].prefix, b"", db=store.garbage)
        for database in (store.zones, store.stamps, store.timers):
            transaction.delete(apex, db=database)
        _log_change(store, transaction, apex)

    def _write_journal(self, transaction: "lmdb.Transaction[bytes]", zone: Zone, keep: int) -> None:
        """Note what is about to change, or that it cannot be told (journal.py)."""
        journal = Journal(transaction, self._store.journal, zone.apex)
        old, difference = self.served.get(zone.apex), self._differences.get(zone.apex)
        if old is None or difference is None or old.expired or not keep:
            journal.clear()
        elif is_newer(zone.serial, old.serial):
            served = {key: transaction.get(zone.prefix + key, db=self._store.nodes) for key in difference}
            journal.append(Records(difference, served), old.serial, zone.serial, keep)
        elif difference:
            journal.clear()

    def _check_alone(self, transaction: "lmdb.Transaction[bytes]", apexes: Iterable[bytes]) -> None:
        """Nobody has published these zones, or collected what is staged of them, since this writer began."""
        store = self._store
        for apex in apexes:
            old = self.served.get(apex)
            found = transaction.get(apex, db=store.zones)
            if (None if found is None else _decode_zone(found)) != old:
                raise StoreError(f"{store.directory}: {ANOTHER_WRITER}")
        if any(transaction.get(prefix, db=store.garbage) is None for prefix in self._begun):
            raise StoreError(f"{store.directory}: {ANOTHER_WRITER}")

    def collect_garbage(self) -> None:
        """Delete the generations that nobody serves, a batch at a time."""
        store = self._store
        with failing(self._store):
            with store.environment.begin() as transaction:
                prefixes = list(transaction.cursor(store.garbage).iternext(values=False))
            for prefix in prefixes:
                more = True
                while more:
                    with store.environment.begin(write=True) as transaction:
                        more = _delete_range(transaction.cursor(store.nodes), prefix)
                        if not more:
                            transaction.delete(prefix, db=store.garbage)

    def _flush(self) -> None:
        """Write the nodes of new generations, which are garbage until a zone serves them."""
        if not self._pending:
            return
        begun = {key[: _GENERATION.size] for key, _ in self._pending} - self._begun
        with self._store.environment.begin(write=True) as transaction:
            cursor = transaction.cursor(self._store.nodes)
            for prefix in begun:
                if cursor.set_range(prefix) and bytes(cursor.key()).startswith(prefix):
                    raise StoreError(f"{self._store.directory}: {ANOTHER_WRITER}")
                transaction.put(prefix, b"", db=self._store.garbage)
            cursor.putmulti(self._pending)
        self._begun |= begun
        self._pending = []


@contextmanager
def failing(store: Store) -> Iterator[None]:
    """Errors of LMDB and of the disk as StoreError.

    LMDB calls a disk that fills up in the middle of a write an input/output error.
    """
    try:
        yield
    except (lmdb.Error, OSError) as error:
        try:
            free = f"the disk has {shutil.disk_usage(store.directory).free >> 20} MiB free"
        except OSError:
            free = "it is gone"
        raise StoreError(f"{store.directory}: {error} ({free})") from error


def _delete_range(cursor: lmdb.Cursor, prefix: bytes) -> bool:
    """Delete up to BATCH nodes of a generation; whether there are more."""
    found = cursor.set_range(prefix)
    for _ in range(BATCH):
        if not found or not bytes(cursor.key()).startswith(prefix):
            return False
        cursor.delete()
        found = bool(cursor.key())
    return True


def _put(transaction: "lmdb.Transaction[bytes]", database: lmdb._Database, key: bytes, value: bytes | None) -> None:
    """Write a value; None: delete what is there."""
    if value is None:
        transaction.delete(key, db=database)
    else:
        transaction.put(key, value, db=database)


def _delete_below(transaction: "lmdb.Transaction[bytes]", database: lmdb._Database, apex: bytes) -> None:
    """Delete all that is kept of a zone under keys that begin with its apex, which no other apex begins with."""
    cursor = transaction.cursor(database)
    while cursor.set_range(apex) and bytes(cursor.key()).startswith(apex):
        cursor.delete()


def _last_generation(transaction: "lmdb.Transaction[bytes]", database: lmdb._Database) -> int:
    cursor = transaction.cursor(database)
    return int.from_bytes(cursor.key()[: _GENERATION.size], "big") if cursor.last() else 0


def _last_served_generation(transaction: "lmdb.Transaction[bytes]", store: Store) -> int:
    counted = transaction.get(_LAST, db=store.counters)
    if counted is not None:
        return int.from_bytes(counted, "big")
    return max((zone.generation for zone in _read_zones(transaction, store).values()), default=0)  # an old store


def _log_change(store: Store, transaction: "lmdb.Transaction[bytes]", apex: bytes) -> None:
    cursor = transaction.cursor(store.changes)
    number = int.from_bytes(cursor.key(), "big") + 1 if cursor.last() else 1
    transaction.put(_NUMBER.pack(number), apex, db=store.changes)
    if cursor.first() and int.from_bytes(cursor.key(), "big") <= number - CHANGES_KEPT:
        cursor.delete()
