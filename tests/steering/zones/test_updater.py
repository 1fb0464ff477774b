"""Updates into the store: kept beside the zone file, journaled, and the same as if the file had them."""

import resource
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import dns.tsig
import dns.update
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from steering.messages import UpdateAsked, UpdateDone
from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.wire import FORMERR, IN, MX, NOERROR, REFUSED, SERVFAIL, SOA, TXT, UPDATE, A
from steering.zones import content
from steering.zones import load as load_module
from steering.zones import store as store_module
from steering.zones.node import key_labels
from steering.zones.store import CUT, EXACT, Found, ServedNodes, Store, StoreReader
from steering.zones.updater import Updater
from tests.steering.support import APEX, SERVER, name, opened_store, snapshot
from tests.steering.zones.test_load import POOLS, balancer, load_zones, rdatas

RECORDS = "www A 192.0.2.1\nsub.b A 192.0.2.2\nmx MX 1 www\n"
UPDATES = 'allow_update = [{ key = "k", names = ["**"] }]\n[[key]]\nname = "k"\nsecret = "c2VjcmV0"\n'


class Zone:
    """A zone that takes updates."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self.updater = Updater(store)
        self.edition = 0

    def load(self, serial: int, records: str = RECORDS, more: str = "") -> int:
        """How many names have changed."""
        self.edition += 1
        head = f"; {self.edition}\n$TTL 300\n@ SOA ns host {serial} 1 2 3 4\n@ NS ns.example.net.\n"
        (self.folder / "com.zone").write_text(head + records)
        settings = self.settings(more, UPDATES)
        (report,) = load_zones(settings, self.store)
        self.updater.replace(settings)
        return report.changed

    def settings(self, more: str, zone: str) -> Settings:
        text = (
            f'{SERVER}{more}\n[[zone]]\nname = "example.com"\nfile = "com.zone"\nallow_transfer = ["127.0.0.1"]\n{zone}'
        )
        return parse_settings(text, self.folder / "waypost.toml")

    def ask(self, update: dns.update.UpdateMessage, seconds: float = 60.0) -> UpdateDone:
        return self.ask_wire(update.to_wire(), seconds)

    def ask_wire(self, packet: bytes, seconds: float = 60.0) -> UpdateDone:
        asked = UpdateAsked(3, 7, time.monotonic() + seconds, "192.0.2.9", packet)
        return self.updater.update(asked, time.monotonic)

    def add(self, owner: str, rrtype: str, data: str, ttl: int = 60) -> UpdateDone:
        update = dns.update.UpdateMessage("example.com")
        update.add(owner, ttl, rrtype, data)
        return self.ask(update)

    def delete(self, owner: str, *what: str) -> UpdateDone:
        update = dns.update.UpdateMessage("example.com")
        update.delete(owner, *what)
        return self.ask(update)

    def nodes(self) -> dict[bytes, bytes]:
        reader = StoreReader(self.store)
        with snapshot(reader):
            return dict(reader.walk(reader.zones[APEX]))

    def served(self) -> store_module.Zone:
        found = self.store.find_zone(APEX)
        assert found is not None
        return found

    def find(self, owner: str) -> Found:
        reader = StoreReader(self.store)
        with snapshot(reader):
            return reader.find(reader.zones[APEX], key_labels(name(owner), APEX))

    def records(self, owner: str, rrtype: int) -> list[str]:
        key = b"".join(key_labels(name(owner), APEX))
        return rdatas(self.nodes()[key], rrtype)

    def kept(self) -> int:
        with self.store.environment.begin() as transaction:
            return int(transaction.stat(self.store.updated)["entries"])


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    with opened_store(tmp_path / "zones") as store:
        yield Zone(tmp_path, store)


def test_the_serial_grows_with_each_update_that_changes_something(zone: Zone) -> None:
    zone.load(5)
    told = "by nobody from 192.0.2.9: "
    assert zone.add("new", "TXT", "x") == UpdateDone(3, 7, NOERROR, APEX, 6, told + "new.example.com. TXT")
    assert zone.add("new", "TXT", "x") == UpdateDone(3, 7, NOERROR, APEX, None, told)
    assert zone.delete("new") == UpdateDone(3, 7, NOERROR, APEX, 7, told + "new.example.com. TXT")
    assert zone.records("example.com.", SOA)[0].split()[2] == "7"


def test_an_edition_of_the_file_keeps_updates_and_changes_the_rest(zone: Zone) -> None:
    zone.load(5)
    zone.add("www", "A", "192.0.2.9")
    zone.delete("mx")
    zone.load(100, RECORDS + "more A 192.0.2.3\n")
    assert zone.records("www", A) == ["192.0.2.1", "192.0.2.9"]
    assert zone.records("more", A) == ["192.0.2.3"]
    assert b"mx\0" not in zone.nodes()
    assert zone.records("example.com.", SOA)[0].split()[2] == "100"


def test_what_the_file_says_too_is_the_files_again(zone: Zone) -> None:
    zone.load(5)
    zone.add("new", "TXT", "x", ttl=300)
    assert zone.kept() == 1
    assert zone.load(100, RECORDS + "new TXT x\n") == 1
    assert zone.kept() == 0
    zone.load(101)
    assert b"new\0" not in zone.nodes()


def test_nothing_is_kept_of_what_has_come_and_gone(zone: Zone) -> None:
    zone.load(5)
    for number in range(3):
        zone.add(f"new{number}", "TXT", "x")
        zone.delete(f"new{number}", "TXT", "x")
    assert zone.kept() == 0
    zone.delete("www")
    assert zone.kept() == 1
    zone.load(6, "")
    assert zone.kept() == 0


def test_a_deletion_is_kept_where_the_file_comes_to_have_it(zone: Zone) -> None:
    zone.load(5)
    zone.add("new", "TXT", "update")
    zone.load(6, RECORDS + "new TXT file\n")
    assert zone.records("new", TXT) == ['"update"']
    zone.delete("new", "TXT")
    zone.load(7, RECORDS + "new TXT file\n")
    assert b"new\0" not in zone.nodes()


def test_without_allow_update_the_file_alone_counts_and_nothing_is_lost(zone: Zone) -> None:
    zone.load(5)
    zone.add("new", "TXT", "x")
    without = zone.settings("", "")
    load_zones(without, zone.store)
    zone.updater.replace(without)
    assert b"new\0" not in zone.nodes()
    assert zone.add("other", "TXT", "x").rcode == SERVFAIL
    load_zones(zone.settings("", UPDATES), zone.store)
    assert zone.records("new", TXT) == ['"x"']


def test_steered_names_are_refused_and_stay(zone: Zone) -> None:
    more = POOLS + balancer("www.example.com") + balancer("example.com", '["MX"]')
    zone.load(5, more=more)
    assert zone.add("www", "TXT", "x").rcode == REFUSED
    assert zone.delete("www").rcode == REFUSED
    assert zone.add("new", "TXT", "x").rcode == NOERROR
    assert zone.records("www", A) == ["192.0.2.1", "192.0.2.2"]
    assert zone.records("example.com.", MX) == ["10 mx.example.com."]
    zone.load(6, more=more + balancer("new.example.com"))
    assert zone.records("new", A) == ["192.0.2.1", "192.0.2.2"]
    assert zone.records("new", TXT) == ['"x"']


def test_no_delegation_covers_a_load_balancer(zone: Zone) -> None:
    zone.load(5, more=POOLS + balancer("lb.b.example.com"))
    for owner, rrtype in (("b", "NS"), ("b", "DNAME"), ("@", "DNAME")):
        done = zone.add(owner, rrtype, "example.org.")
        assert done.rcode == REFUSED
        assert "lb.b.example.com.: a load balancer" in done.told
    assert zone.add("new", "NS", "example.org.").serial == 6


def test_what_cannot_be_served_is_refused(zone: Zone) -> None:
    zone.load(5)
    before = zone.nodes()
    update = dns.update.UpdateMessage("example.com")
    for number in range(300):
        update.add("large", 60, "TXT", f'"{number:0200}"')
    assert zone.ask(update).rcode == NOERROR
    update = dns.update.UpdateMessage("example.com")
    for number in range(300, 520):
        update.add("large", 60, "TXT", f'"{number:0200}"')
    assert zone.ask(update).rcode == REFUSED
    assert len(zone.records("large", TXT)) == 300
    assert zone.delete("large").rcode == NOERROR
    assert zone.nodes().keys() == before.keys()


def test_what_is_no_rdata_is_no_update(zone: Zone) -> None:
    zone.load(5)
    for kind, rdata in ((257, b"\0"), (65, b"\0\1\0\0"), (46, b"\0")):
        for rrclass, ttl in ((IN, 60), (254, 0)):
            record = b"\xc0\x0c" + struct.pack("!HHIH", kind, rrclass, ttl, len(rdata)) + rdata
            header = b"id" + struct.pack("!HHHHH", UPDATE << 11, 1, 0, 1, 0)
            assert zone.ask_wire(header + APEX + b"\0\6\0\1" + record).rcode == FORMERR
    assert zone.served().serial == 5


def test_the_log_tells_what_has_changed_and_is_bounded(zone: Zone) -> None:
    zone.load(5)
    update = dns.update.UpdateMessage("example.com")
    for number in range(8):
        update.add(f"n{number}\\010", 60, "TXT", "x")
    for number in range(9):
        update.add("n0\\010", 60, f"TYPE{65280 + number}", "\\# 1 00")
    update.use_tsig(dns.tsig.Key("k.", b"secret"))
    types = "TXT TYPE65280 TYPE65281 TYPE65282 TYPE65283 and 5 more types"
    others = "".join(f", n{number}\\010.example.com. TXT" for number in range(1, 5))
    told = f"by k. from 192.0.2.9: n0\\010.example.com. {types}{others} and 3 more names"
    assert zone.ask(update).told == told


def test_a_disk_that_is_full_changes_nothing_and_is_told(zone: Zone) -> None:
    zone.load(5)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (zone.store.directory / "data.mdb").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        done = [zone.add(f"n{number}", "TXT", " ".join(["x" * 250] * 200)) for number in range(5)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done[-1].rcode == SERVFAIL
    assert "MiB free" in done[-1].told
    made = sum(each.rcode == NOERROR for each in done)
    assert zone.served().serial == 5 + made
    assert zone.add("n4", "TXT", "x").serial == 6 + made
    assert zone.load(zone.edition + 100) == 1


def test_a_store_that_cannot_be_locked_changes_nothing_and_is_told(zone: Zone) -> None:
    zone.load(5)
    lock = zone.store.directory / store_module.LOCK_NAME
    lock.unlink(missing_ok=True)
    lock.mkdir()
    done = zone.add("new", "TXT", "x")
    assert done.rcode == SERVFAIL
    assert "Is a directory" in done.told
    lock.rmdir()
    assert zone.add("new", "TXT", "x").serial == 6


def test_updated_rrsets_are_bounded(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "UPDATED_LIMIT", 2)
    zone.load(5)
    assert [zone.add(f"n{number}", "TXT", "x").rcode for number in range(3)] == [NOERROR, NOERROR, REFUSED]
    assert zone.add("n1", "TXT", "y").rcode == NOERROR
    both = dns.update.UpdateMessage("example.com")
    both.delete("n1")
    both.add("n3", 60, "TXT", "x")
    assert zone.ask(both).rcode == NOERROR
    assert zone.delete("n0").rcode == NOERROR
    assert zone.add("n2", "TXT", "x").rcode == NOERROR


def test_a_change_too_large_for_one_step_loses_no_name(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    zone.load(5)
    before = zone.nodes()
    monkeypatch.setattr(store_module, "DIFFERENCE_LIMIT", 1)
    assert zone.add("b", "NS", "ns.example.org.").serial == 6
    assert zone.nodes().keys() == {*before, b"b\0"}
    assert zone.nodes()[b"b\0sub\0"][0] == 2
    with zone.store.environment.begin() as transaction:
        assert transaction.stat(zone.store.garbage)["entries"] == 0


@pytest.mark.parametrize("limit", [0, 1000])
def test_a_delegation_that_comes_and_goes_covers_what_is_below(
    zone: Zone, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(content, "COVERED_LIMIT", limit)
    zone.load(5)
    before = zone.nodes()
    for rrtype, data, kind in (("NS", "ns.example.org.", CUT), ("DNAME", "example.org.", CUT)):
        zone.add("b", rrtype, data)
        assert zone.find("sub.b").kind == kind
        assert zone.find("new.sub.b").kind == kind
        assert zone.find("www").kind == EXACT
        assert (zone.served().late_cuts, zone.nodes()[b"b\0sub\0"] == before[b"b\0sub\0"]) == 2 * (not limit,)
        zone.delete("b")
        assert zone.find("sub.b").kind == EXACT
    assert zone.served().late_cuts is not bool(limit)
    zone.add("b", "NS", "ns.example.org.")
    zone.add("new.sub.b", "A", "192.0.2.1")
    assert zone.find("sub.b").kind == CUT
    zone.load(6)
    assert not zone.served().late_cuts
    assert zone.nodes()[b"b\0sub\0"][0] == zone.nodes()[b"b\0sub\0new\0"][0] == 2


def test_an_update_walks_no_zone(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    zone.load(5, "".join(f"n{number} A 192.0.2.1\n" for number in range(3000)))
    read = 0
    from_key = ServedNodes.from_key

    def count(served: ServedNodes, top: bytes) -> Iterator[bytes]:
        nonlocal read
        for key in from_key(served, top):
            read += 1
            yield key

    monkeypatch.setattr(ServedNodes, "from_key", count)
    zone.add("n1", "NS", "ns.example.org.")
    assert zone.delete("n1", "NS").serial == 7
    assert zone.add("@", "DNAME", "example.org.").serial == 8
    assert read < 5000


def test_what_comes_too_late_is_not_made(zone: Zone) -> None:
    zone.load(5)
    update = dns.update.UpdateMessage("example.com")
    update.add("new", 60, "TXT", "x")
    assert zone.ask(update, seconds=0).rcode == SERVFAIL
    assert b"new\0" not in zone.nodes()


def test_while_the_configuration_changes_nothing_is_made(zone: Zone) -> None:
    zone.load(5)
    load_zones(zone.settings(POOLS + balancer("www.example.com"), UPDATES), zone.store)
    assert zone.add("www", "TXT", "x").rcode == SERVFAIL


def test_a_zone_of_load_balancers_alone_takes_updates(zone: Zone) -> None:
    more = POOLS + balancer("www.example.com")
    text = f'{SERVER}{more}\n[[zone]]\nname = "example.com"\nnameservers = ["ns.example.net"]\n{UPDATES}'
    settings = parse_settings(text, zone.folder / "waypost.toml")
    load_zones(settings, zone.store, now=1000)
    zone.updater.replace(settings)
    assert zone.add("new", "TXT", "x").serial == 1001
    load_zones(parse_settings(text.replace("ns.example.net", "ns2.example.net"), zone.folder / "x.toml"), zone.store)
    assert zone.records("new", TXT) == ['"x"']


OWNERS = ["www", "b", "sub.b", "mx", "new", "*.new", "example.com."]
DATA = [
    ("A", "192.0.2.1"),
    ("A", "192.0.2.7"),
    ("TXT", "x"),
    ("NS", "ns.example.org."),
    ("CNAME", "www"),
    ("MX", "1 www"),
]
steps = st.lists(st.tuples(st.booleans(), st.sampled_from(OWNERS), st.sampled_from(DATA)), min_size=1, max_size=6)


@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(messages=st.lists(steps, max_size=3))
def test_the_store_is_as_if_the_file_was_read_with_the_updates(
    zone: Zone, messages: list[list[tuple[bool, str, tuple[str, str]]]]
) -> None:
    zone.load(zone.edition + 1)
    for message in messages:
        update = dns.update.UpdateMessage("example.com")
        for adds, owner, (rrtype, data) in message:
            if adds:
                update.add(owner, 300, rrtype, data)
            else:
                update.delete(owner, rrtype, data)
        before = zone.nodes()
        done = zone.ask(update)
        assert done.rcode in (NOERROR, REFUSED)
        assert (zone.nodes() != before) == (done.serial is not None)
    assert zone.load(zone.edition) == 0
