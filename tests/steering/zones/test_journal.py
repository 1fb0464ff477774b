"""The journal makes new versions of old ones, is a chain, and is bounded; and who owns the serial."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.wire import split_records
from steering.zones import journal as journal_module
from steering.zones import store as store_module
from steering.zones.journal import Journal, cut_parts, is_newer, next_serial, read_serial
from steering.zones.load import stage_zones
from steering.zones.node import name_of_key, unpack_node
from steering.zones.store import Store, StoreReader
from tests.steering.support import APEX, SERVER, opened_store, snapshot
from tests.steering.zones.test_load import POOLS, balancer

KEEP = 5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened_store(tmp_path / "zones") as opened:
        yield opened


def settings(folder: Path, serial: int, records: str, more: str = "", keys: str = f"journal = {KEEP}") -> Settings:
    (folder / "com.zone").write_text(f"$TTL 300\n@ SOA ns host {serial} 1 2 3 4\n@ NS ns.example.net.\n{records}\n")
    zone = f'[[zone]]\nname = "example.com"\nfile = "com.zone"\nallow_transfer = ["192.0.2.1"]\n{keys}\n'
    return parse_settings(SERVER + more + zone, folder / "waypost.toml")


def load(store: Store, made: Settings) -> None:
    stage_zones(made, store, 1000.0)()


def content(store: Store) -> tuple[int, set[bytes]]:
    """Serial, and the records of the zone as the journal writes them."""
    reader = StoreReader(store)
    with snapshot(reader):
        zone = reader.zones[APEX]
        return zone.serial, {
            name_of_key(key, b"\xc0\x0c") + record[2:]
            for key, node in reader.walk(zone)
            for _, _, records in unpack_node(node)
            for record in split_records(records)
        }


def changes_since(store: Store, serial: int) -> list[bytes] | None:
    """The records that bring a zone from this serial to what is served, or None."""
    with store.environment.begin() as transaction:
        journal = Journal(transaction, store.journal, APEX)
        number = journal.find(serial)
        if number is None:
            return None
        parts = list(journal.parts_from(number))
        assert journal.size_from(number) == sum(len(records) for _, records in parts)
    records = []
    for count, data in parts:
        found = split_any(data)
        assert len(found) == count
        records += found
    return records


def split_any(data: bytes) -> list[bytes]:
    """Records whose owners are labels and a pointer."""
    records = []
    while data:
        position = 0
        while data[position] < 0xC0:
            position += data[position] + 1
        end = position + 12 + int.from_bytes(data[position + 10 : position + 12], "big")
        records.append(data[:end])
        data = data[end:]
    return records


def is_soa(record: bytes) -> bool:
    return record.startswith(b"\xc0\x0c\0\6")


def apply(records: set[bytes], sequence: list[bytes]) -> set[bytes]:
    """What RFC 1995 section 4 says of difference sequences; strictly: only what is there is deleted."""
    records = set(records)
    deleting = False
    for record in sequence:
        if is_soa(record):
            deleting = not deleting
        if deleting:
            assert record in records
            records.remove(record)
        else:
            assert record not in records
            records.add(record)
    return records


RECORDS = st.sets(
    st.tuples(
        st.sampled_from(["@", "a", "b", "x.b", "*.b"]),
        st.sampled_from(["TXT 1", "TXT 2", "A 192.0.2.1", "60 A 192.0.2.2"]),
    )
).map(lambda made: "\n".join(f"{owner} {data}" for owner, data in sorted(made)))


@hypothesis.settings(deadline=None, max_examples=25)
@given(st.lists(RECORDS, min_size=2, max_size=8))
def test_the_journal_brings_every_old_version_to_the_new_one(
    tmp_path_factory: pytest.TempPathFactory, versions: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    with opened_store(folder / "zones") as store:
        seen: dict[int, set[bytes]] = {}
        for number, records in enumerate(versions):
            load(store, settings(folder, 0xFFFFFFFE + number & 0xFFFFFFFF, records))
            serial, made = content(store)
            seen[serial] = made
        for serial, old in list(seen.items())[-KEEP - 1 : -1]:
            sequence = changes_since(store, serial)
            assert sequence is not None
            assert apply(old, sequence) == made
        for serial in list(seen)[: -KEEP - 1]:
            assert changes_since(store, serial) is None


def test_only_so_many_changes_are_kept(tmp_path: Path, store: Store) -> None:
    for serial in range(1, 10):
        load(store, settings(tmp_path, serial, f"a TXT {serial}"))
    assert [serial for serial in range(1, 10) if changes_since(store, serial)] == [4, 5, 6, 7, 8]
    load(store, settings(tmp_path, 10, "a TXT 10", keys="journal = 2"))
    assert [serial for serial in range(1, 11) if changes_since(store, serial)] == [8, 9]


def test_only_so_many_octets_are_kept(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SIZE_LIMIT", 1000)
    for serial in range(1, 5):
        load(store, settings(tmp_path, serial, f"a TXT {'x' * 200}{serial}"))
    kept = [serial for serial in range(1, 5) if changes_since(store, serial)]
    assert kept == [3]
    load(store, settings(tmp_path, 5, "\n".join(f"b TXT {'y' * 250}{number}" for number in range(10, 20))))
    assert not any(changes_since(store, serial) for serial in range(1, 6)), "one change that is too large"


def test_a_new_generation_begins_anew(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    load(store, settings(tmp_path, 1, ""))
    load(store, settings(tmp_path, 2, "a TXT 1"))
    assert changes_since(store, 1)
    monkeypatch.setattr(store_module, "DIFFERENCE_LIMIT", 1)
    load(store, settings(tmp_path, 3, "a TXT 2\nb TXT 2"))
    assert not changes_since(store, 1)
    assert not changes_since(store, 2)
    with store.environment.begin() as transaction:
        assert not transaction.stat(store.journal)["entries"]


@pytest.mark.parametrize("keys", ["journal = 0", ""])
def test_nothing_is_kept_for_nobody(tmp_path: Path, store: Store, keys: str) -> None:
    made = settings(tmp_path, 1, "", keys=keys)
    if not keys:
        text = SERVER + '[[zone]]\nname = "example.com"\nfile = "com.zone"\n'
        made = parse_settings(text, tmp_path / "waypost.toml")
    load(store, made)
    (tmp_path / "com.zone").write_text((tmp_path / "com.zone").read_text().replace("host 1", "host 2"))
    load(store, made)
    assert content(store)[0] == 2
    assert changes_since(store, 1) is None


class TestSerials:
    def test_content_that_changes_gets_a_newer_one(self, tmp_path: Path, store: Store) -> None:
        steps = [(5, "a TXT 1", 5), (5, "a TXT 2", 6), (5, "a TXT 3", 7), (6, "a TXT 3", 7), (2, "a TXT 3", 7)]
        for serial, records, served in [*steps, (8, "a TXT 3", 8), (9, "a TXT 4", 9), (3, "a TXT 5", 10)]:
            load(store, settings(tmp_path, serial, records))
            assert content(store)[0] == served
        assert changes_since(store, 6)

    def test_a_load_balancer_is_content(self, tmp_path: Path, store: Store) -> None:
        load(store, settings(tmp_path, 5, "www A 192.0.2.9"))
        load(store, settings(tmp_path, 5, "www A 192.0.2.9", POOLS + balancer("www.example.com")))
        serial, made = content(store)
        assert serial == 6
        sequence = changes_since(store, 5)
        assert sequence is not None
        assert len(sequence) == 5, "two SOA, one record gone, two new"
        load(store, settings(tmp_path, 5, "www A 192.0.2.9", POOLS + balancer("www.example.com")))
        assert content(store) == (serial, made)

    def test_of_a_zone_that_nobody_transfers_it_is_the_file_s(self, tmp_path: Path, store: Store) -> None:
        text = SERVER + '[[zone]]\nname = "example.com"\nfile = "com.zone"\n'
        for serial, records in ((5, "a TXT 1"), (5, "a TXT 2"), (3, "a TXT 3")):
            settings(tmp_path, serial, records)
            load(store, parse_settings(text, tmp_path / "waypost.toml"))
            assert content(store)[0] == serial

    def test_arithmetic(self) -> None:
        assert is_newer(1, 0xFFFFFFFF)
        assert is_newer(6, 5)
        assert not is_newer(5, 5)
        assert not is_newer(5, 6)
        assert not is_newer(0x80000000, 0)
        assert next_serial(0xFFFFFFFF) == 1
        assert read_serial(b"\0\0" + (7).to_bytes(4, "big") + bytes(16)) == 7


@given(st.lists(st.binary(min_size=1, max_size=30_000), max_size=8))
def test_parts_are_all_the_records(records: list[bytes]) -> None:
    parts = list(cut_parts(records))
    assert b"".join(data for _, data in parts) == b"".join(records)
    assert sum(count for count, _ in parts) == len(records)
    assert all(len(data) <= journal_module.PART_SIZE or count == 1 for count, data in parts)
