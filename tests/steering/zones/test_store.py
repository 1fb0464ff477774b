"""Tests of the zone store: snapshots, generations, crashes, and look-ups against a slow model."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.wire import DNAME, NS, TXT, A
from steering.zones import store as store_module
from steering.zones.node import CUT_IS_DNAME, EMPTY_NODE, key_labels
from steering.zones.store import (
    CUT,
    EMPTY,
    EXACT,
    MISSING,
    WILDCARD,
    Store,
    StoreError,
    StoreReader,
    Version,
    ZoneTable,
    ZoneWriter,
)
from tests.steering.support import (
    APEX,
    APEX_TYPES,
    SOA_RDATA,
    make_nodes,
    name,
    opened_store,
    snapshot,
    stage,
    version,
    wire_below,
)
from tests.steering.zones import crashing

OTHER = b"\7example\3net\0"
THIRD = b"\7example\3org\0"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened_store(tmp_path / "zones") as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for many examples, so that other generations lie around the one that is asked."""
    with opened_store(tmp_path_factory.mktemp("model")) as opened:
        yield opened


def content(number: int, size: int = 30) -> dict[bytes, bytes]:
    """The content of a zone at a serial: every value and some of the names tell which."""
    keys = [b"", *(b"k%03d\0" % place for place in range(size)), b"only%d\0" % number]
    return dict.fromkeys(sorted(keys), b"\x00\x00version %d" % number)


def publish(store: Store, apex: bytes, number: int, size: int = 30, *, anew: bool = False) -> None:
    writer = ZoneWriter(store)
    stage(writer, apex, content(number, size), number, anew=anew)
    writer.publish()
    writer.collect_garbage()


def seen(reader: StoreReader, apex: bytes = APEX) -> tuple[int, dict[bytes, bytes]]:
    """Serial and content of a zone in the present snapshot."""
    zone = reader.zones[apex]
    return zone.serial, dict(reader.walk(zone))


# Look-ups against a model.

Path_ = tuple[bytes, ...]
Content = dict[Path_, set[int]]


def find_slowly(zone: Content, path: Path_) -> tuple[int, int, Path_ | None]:
    """Kind, depth and the owner whose node is given: RFC 1034 section 4.3.2, RFC 4592 and RFC 6672, word for word."""
    for depth in range(len(path) + 1):
        types = zone.get(path[:depth], set())
        if NS in types and depth > 0:
            return CUT, depth, path[:depth]
        if DNAME in types and depth < len(path):
            return CUT, depth, path[:depth]
    if path in zone:
        return EXACT, len(path), path
    if exists(zone, path):
        return EMPTY, len(path), None
    encloser = max(depth for depth in range(len(path)) if exists(zone, path[:depth]))
    wildcard = (*path[:encloser], b"*")
    if exists(zone, wildcard):
        return WILDCARD, encloser, wildcard
    return MISSING, encloser, None


def exists(zone: Content, path: Path_) -> bool:
    """RFC 4592 section 2.2.2: a name exists when it or anything below it has records."""
    return any(owner[: len(path)] == path for owner in zone)


words = st.sampled_from([b"a", b"b", b"ab", b"*", b"\0", b"\1", b"a\0", b"\xff"])
paths = st.lists(words, max_size=4).map(tuple)
contents = st.dictionaries(
    paths, st.sets(st.sampled_from([A, TXT, A, TXT, NS, DNAME]), min_size=1, max_size=2), max_size=8
)


@settings(max_examples=300)
@given(
    zones=st.lists(contents, min_size=1, max_size=3), asked=st.lists(paths, min_size=1, max_size=12), anew=st.booleans()
)
def test_find_is_the_model(shared: Store, zones: list[Content], asked: list[Path_], anew: bool) -> None:
    """Every look-up lands where the model says; some examples are loaded in full, others as a difference."""
    apexes = (APEX, OTHER, THIRD)
    if anew:
        writer = ZoneWriter(shared)
        writer.publish(removed=list(writer.served))
        writer.collect_garbage()
    writer = ZoneWriter(shared)
    for apex, zone in zip(apexes, zones, strict=False):
        zone[()] = zone.get((), set()) | set(APEX_TYPES)
        stage(writer, apex, make_nodes(zone))
    writer.publish()
    reader = StoreReader(shared)
    with snapshot(reader):
        for apex, zone in zip(apexes, zones, strict=False):
            nodes = make_nodes(zone)
            assert dict(reader.walk(reader.zones[apex])) == nodes
            for path in {*asked, *zone, *((*owner, b"a") for owner in zone), *(owner[:-1] for owner in zone)}:
                kind, depth, owner = find_slowly(zone, path)
                found = reader.find(reader.zones[apex], key_labels(wire_below(path), b"\0"))
                expected = (
                    b"" if owner is None else nodes.get(b"".join(key_labels(wire_below(owner), b"\0")), EMPTY_NODE)
                )
                assert (found.kind, found.depth, found.value) == (kind, depth, expected), path


@settings(max_examples=200)
@given(zone=contents, asked=st.lists(paths, max_size=8), stale=st.lists(st.binary(min_size=2, max_size=2), min_size=1))
def test_with_late_cuts_what_nodes_say_of_cuts_does_not_count(
    shared: Store, zone: Content, asked: list[Path_], stale: list[bytes]
) -> None:
    zone[()] = zone.get((), set()) | set(APEX_TYPES)
    nodes = make_nodes(zone)
    writer = ZoneWriter(shared)
    headers = (bytes((header[0] % 6, header[1] & CUT_IS_DNAME)) for header in cycle(stale))
    stage(writer, APEX, {key: header + node[2:] for (key, node), header in zip(nodes.items(), headers, strict=False)})
    writer.publish()
    reader = StoreReader(shared)
    with snapshot(reader):
        late = msgspec.structs.replace(reader.zones[APEX], late_cuts=True)
        for path in {*asked, *zone, *((*owner, b"a") for owner in zone), *(owner[:-1] for owner in zone)}:
            kind, depth, owner = find_slowly(zone, path)
            found = reader.find(late, key_labels(wire_below(path), b"\0"))
            expected = EMPTY_NODE if owner is None else nodes.get(b"".join(key_labels(wire_below(owner), b"\0")), b"")
            assert (found.kind, found.depth, found.value[2:]) == (kind, depth, expected[2:]), path
            assert kind != CUT or found.value == expected


def test_find_in_the_last_and_in_the_first_zone(store: Store) -> None:
    """The neighbours of a name may be nodes of other zones, or none at all."""
    writer = ZoneWriter(store)
    for apex in (APEX, OTHER):
        stage(writer, apex, make_nodes({(): set(APEX_TYPES)}))
    writer.publish()
    reader = StoreReader(store)
    with snapshot(reader):
        for apex in (APEX, OTHER):
            zone = reader.zones[apex]
            assert reader.find(zone, [b"a\0"])[:1] == (MISSING,)
            assert reader.find(zone, [b"\xff\0", b"\xff\0"])[:1] == (MISSING,)
            assert reader.find(zone, [])[:1] == (EXACT,)


def test_names_of_the_longest_key(store: Store) -> None:
    longest = (b"\0" * 63, b"\1" * 63, b"\0" * 63, b"\0" * 61)
    writer = ZoneWriter(store)
    stage(writer, b"\0", make_nodes({(): set(APEX_TYPES), longest: {A}}))
    writer.publish()
    reader = StoreReader(store)
    with snapshot(reader):
        zone = reader.zones[b"\0"]
        assert reader.find(zone, key_labels(wire_below(longest), b"\0")).kind == EXACT
        missing = (b"\0" * 63, b"\1" * 63, b"\0" * 63, b"\1" * 61)
        assert reader.find(zone, key_labels(wire_below(missing), b"\0"))[::2] == (MISSING, 3)


def test_the_closest_zone(store: Store) -> None:
    writer = ZoneWriter(store)
    for apex in (APEX, name("sub")):
        stage(writer, apex, content(1))
    writer.publish()
    reader = StoreReader(store)
    for text, apex in (("@", APEX), ("www", APEX), ("sub", name("sub")), ("a.b.sub", name("sub")), ("xsub", APEX)):
        zone = reader.find_zone(name(text))
        assert zone is not None
        assert zone.apex == apex
    assert reader.find_zone(b"\3com\0") is None
    assert reader.find_zone(b"\0") is None


# Snapshots.


@pytest.mark.parametrize("anew", [True, False], ids=["full load", "difference"])
def test_a_reader_sees_the_old_zone_or_the_new(store: Store, anew: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BATCH", 7)
    publish(store, APEX, 1)
    early, late = StoreReader(store), StoreReader(store)
    early.begin()
    writer = ZoneWriter(store)
    stage(writer, APEX, content(2), 2, anew=anew)
    with snapshot(late):
        assert seen(late) == (1, content(1)), "what is staged is not served"
    writer.publish()
    assert seen(early) == (1, content(1)), "a snapshot does not change"
    assert not late.begin() or seen(late) == (2, content(2))
    assert seen(late) == (2, content(2))
    writer.collect_garbage()
    assert seen(early) == (1, content(1)), "not even when its generation is deleted"
    assert early.find(early.zones[APEX], [b"only1\0"]).kind == EXACT
    assert late.find(late.zones[APEX], [b"only1\0"]).kind == MISSING
    early.end()
    late.end()
    assert early.begin()
    assert seen(early) == (2, content(2))
    early.end()
    assert not early.begin(), "nothing has changed since"
    early.end()


def test_zones_are_published_together(store: Store) -> None:
    publish(store, APEX, 1)
    publish(store, OTHER, 1)
    reader = StoreReader(store)
    writer = ZoneWriter(store)
    stage(writer, APEX, content(2), 2)
    stage(writer, OTHER, content(2, 100), 2)
    with snapshot(reader):
        assert {zone.serial for zone in reader.zones.values()} == {1}
    writer.publish()
    with snapshot(reader):
        assert {zone.serial for zone in reader.zones.values()} == {2}
        assert seen(reader, OTHER) == (2, content(2, 100))


def test_a_removed_zone_is_gone(store: Store) -> None:
    publish(store, APEX, 1)
    publish(store, OTHER, 1)
    reader = StoreReader(store)
    writer = ZoneWriter(store)
    writer.publish(removed=[APEX])
    assert writer.served.keys() == {OTHER}
    with snapshot(reader):
        assert reader.zones.keys() == {OTHER}
    assert writer.read_stamp(APEX) is None
    assert writer.read_stamp(OTHER) == b"stamp 1"
    writer.collect_garbage()
    assert nodes_in(store) == len(content(1))


def test_what_fails_while_it_is_staged_is_not_served(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader finds some problems only at the end of a zone."""
    monkeypatch.setattr(store_module, "BATCH", 10)
    publish(store, APEX, 1)

    def failing() -> Iterator[tuple[bytes, bytes]]:
        yield from content(2).items()
        raise ValueError

    writer = ZoneWriter(store)
    for apex in (APEX, OTHER):
        with pytest.raises(ValueError):
            writer.stage(apex, version(2), failing())
    stage(writer, THIRD, content(3), 3)
    writer.publish()
    reader = StoreReader(store)
    with snapshot(reader):
        assert reader.zones.keys() == {APEX, THIRD}
        assert (seen(reader), seen(reader, THIRD)) == ((1, content(1)), (3, content(3)))
    writer.collect_garbage()
    assert nodes_in(store) == len(content(1)) + len(content(3))


def nodes_in(store: Store) -> int:
    """How many nodes the store holds, served or not."""
    with store.environment.begin() as transaction:
        return int(transaction.stat(store.nodes)["entries"])


def garbage_in(store: Store) -> int:
    with store.environment.begin() as transaction:
        return int(transaction.stat(store.garbage)["entries"])


def test_garbage_is_collected_in_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BATCH", 10)
    for number in (1, 2, 3):
        publish(store, APEX, number, size=38, anew=True)  # with the apex and one more: four batches to the node
    assert nodes_in(store) == 40
    assert garbage_in(store) == 0


def test_what_was_staged_and_forgotten_is_collected(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BATCH", 10)
    publish(store, APEX, 1)
    stage(ZoneWriter(store), OTHER, content(2))
    assert nodes_in(store) > len(content(1))
    writer = ZoneWriter(store)
    writer.collect_garbage()
    assert nodes_in(store) == len(content(1))
    stage(writer, OTHER, content(3), 3)
    writer.publish()
    assert {apex: zone.serial for apex, zone in ZoneTable(store).items()} == {APEX: 1, OTHER: 3}
    assert len({zone.generation for zone in ZoneTable(store).values()}) == 2


def test_where_there_is_little_a_zone_comes_and_the_old_one_goes_in_one_transaction(store: Store) -> None:
    publish(store, APEX, 1)
    before = store.environment.info()["last_txnid"]
    publish(store, APEX, 2, anew=True)
    assert store.environment.info()["last_txnid"] == before + 1
    assert nodes_in(store) == len(content(2))
    assert garbage_in(store) == 0


@pytest.mark.parametrize("is_old", [True, False])
def test_the_generation_of_a_zone_without_nodes_is_nobody_elses(store: Store, is_old: bool) -> None:
    publish(store, APEX, 1)
    writer = ZoneWriter(store)
    stage(writer, OTHER, {})
    writer.publish()
    if is_old:  # from before the last generation was counted
        with store.environment.begin(write=True) as transaction:
            transaction.drop(store.counters, delete=False)
    publish(store, APEX, 2, anew=True)
    assert len({zone.generation for zone in ZoneTable(store).values()}) == 2
    writer = ZoneWriter(store)
    with writer.open_served(OTHER) as served:
        assert not list(served)


@pytest.mark.parametrize("anew", [True, False])
def test_a_difference_and_a_full_load_come_to_the_same(store: Store, anew: bool) -> None:
    publish(store, APEX, 1)
    generation = ZoneTable(store)[APEX].generation
    new = {**content(1), b"k001\0": b"\0\0changed", b"zzz\0": b"\0\0new"}
    del new[b"k005\0"]
    new = dict(sorted(new.items()))
    writer = ZoneWriter(store)
    assert stage(writer, APEX, new, 2, anew=anew) == (len(new) if anew else 3)
    writer.publish()
    writer.collect_garbage()
    reader = StoreReader(store)
    with snapshot(reader):
        assert seen(reader) == (2, new)
    assert nodes_in(store) == len(new)
    assert (ZoneTable(store)[APEX].generation == generation) != anew
    assert writer.read_stamp(APEX) == b"stamp 2"


def test_room_is_what_differences_leave(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "DIFFERENCE_LIMIT", 100)
    for apex in (APEX, OTHER):
        publish(store, apex, 1)
    writer = ZoneWriter(store)
    assert writer.room == 100
    stage(writer, APEX, {**content(1), b"zzz\0": b"\0\0"}, 2)
    assert writer.room == 99
    stage(writer, OTHER, content(2), 2, anew=True)
    assert writer.room == 99
    writer.publish()
    assert writer.room == 100


def test_nothing_changed_but_the_serial(store: Store) -> None:
    publish(store, APEX, 1)
    writer = ZoneWriter(store)
    assert writer.stage_difference(APEX, Version(9, SOA_RDATA, 5, b"new"), {}) == 0
    writer.publish()
    assert (ZoneTable(store)[APEX].serial, ZoneTable(store)[APEX].negative_ttl) == (9, 5)
    assert writer.read_stamp(APEX) == b"new"


def test_what_is_served_is_what_a_loader_compares_with(store: Store) -> None:
    publish(store, APEX, 1)
    publish(store, OTHER, 2)
    writer = ZoneWriter(store)
    for apex, number in ((APEX, 1), (OTHER, 2)):
        with writer.open_served(apex) as served:
            assert {key: served.get(key) for key in served} == content(number)
            assert list(served) == sorted(content(number))
            assert served.get(b"missing\0") is None
    with writer.open_served(THIRD) as served:
        assert (list(served), served.get(b"")) == ([], None)


def test_a_reader_that_missed_more_changes_than_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "CHANGES_KEPT", 5)
    publish(store, APEX, 1)
    publish(store, OTHER, 1)
    near, far = StoreReader(store), StoreReader(store)
    for number in range(2, 6):
        publish(store, APEX, number)
    with snapshot(near):
        assert seen(near)[0] == 5
        assert near.zones.keys() == {APEX, OTHER}
    writer = ZoneWriter(store)
    writer.publish(removed=[OTHER])
    for number in range(6, 12):
        publish(store, APEX, number)
    for reader in (near, far):
        with snapshot(reader):
            assert seen(reader) == (11, content(11))
            assert reader.zones.keys() == {APEX}
    with store.environment.begin() as transaction:
        assert transaction.stat(store.changes)["entries"] <= 5


def test_a_reader_of_an_empty_store(store: Store) -> None:
    reader = StoreReader(store)
    assert not reader.zones
    publish(store, APEX, 1)
    assert reader.begin()
    assert seen(reader) == (1, content(1))
    reader.end()


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Store(tmp_path / "file")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path / "damaged")


def test_a_full_store_serves_what_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The map's size stands for the disk's."""
    monkeypatch.setattr(store_module, "MAP_SIZE", 1 << 18)
    with opened_store(tmp_path) as store:
        publish(store, APEX, 1)
        large = {key: bytes(1000) for key in content(2, 900)}
        with pytest.raises(StoreError):
            fill(store, large)
        reader = StoreReader(store)
        with snapshot(reader):
            assert seen(reader) == (1, content(1))
        publish(store, APEX, 3)
        with snapshot(reader):
            assert seen(reader) == (3, content(3))


def fill(store: Store, nodes: dict[bytes, bytes]) -> None:
    writer = ZoneWriter(store)
    stage(writer, OTHER, nodes)
    writer.publish()


# Crashes.


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """What was published is served, whole; what was staged is not; and the next writer goes on."""
    lottery = random.Random(7)
    directory = tmp_path / "zones"
    promised = 0
    for _ in range(20):
        steps = lottery.randrange(1, 60)
        with subprocess.Popen(
            [sys.executable, "-m", crashing.__name__, str(directory), str(promised + 1)],
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            for _ in range(steps):
                step, number = child.stdout.readline().split()
                promised = int(number) if step == "published" else promised
            child.send_signal(signal.SIGKILL)
            for line in child.stdout:
                if line.endswith("\n") and line.startswith("published"):
                    promised = int(line.split()[1])
        assert child.returncode == -signal.SIGKILL
        promised = check_after_a_crash(directory, promised)
    assert promised > 20


def check_after_a_crash(directory: Path, promised: int) -> int:
    """The serial that is served after all: the one promised or the next, if the child died before it could say so."""
    with opened_store(directory) as store:
        serials = {zone.serial for zone in ZoneTable(store).values()} or {0}
        assert len(serials) == 1, "zones are published together"
        (serial,) = serials
        assert serial in (promised, promised + 1)
        ZoneWriter(store).collect_garbage()
        assert garbage_in(store) == 0
        reader = StoreReader(store)
        with snapshot(reader):
            for place, apex in enumerate(crashing.APEXES if serial else ()):
                assert seen(reader, apex) == (serial, crashing.content(serial, place))
        assert nodes_in(store) == (sum(len(crashing.content(serial, place)) for place in (0, 1)) if serial else 0)
    return serial
