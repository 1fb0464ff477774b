"""Catalogs: what is made of a configuration, what is read from a network, and which zones are added."""

from pathlib import Path

import dns.name
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.wire import NS, SOA, TXT, A
from steering.zones.catalog import (
    MEMBER_LIMIT,
    CatalogError,
    Catalogs,
    Listed,
    Member,
    add_members,
    find_members,
    goes_on,
    make_catalog,
    make_label,
    read_catalog_untrusted,
)
from steering.zones.load import stage_zones
from steering.zones.store import Store
from steering.zones.zonefile import Record
from tests.steering.support import SERVER, opened_store
from tests.steering.zones.test_load import POOLS, balancer, load_zones, served

CATALOG = b"\7catalog\7example\0"
PTR = 12
SECOND = b"\6second\7example\0"
VERSION = (b"\7version" + CATALOG, TXT, 0, b"\x012")


def name(text: str) -> bytes:
    return dns.name.from_text(text).to_wire() or b""


def nobody(_: bytes) -> bytes:
    """The owner of a zone that has none so far."""
    return b""


texts = st.tuples(st.just(VERSION[0]), st.sampled_from([TXT, A]), st.just(0), st.sampled_from([b"\x012", b"\x011"]))
names = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=3).map(".".join).map(name)


def member(label: str, target: str) -> Record:
    return name(f"{label}.zones.catalog.example"), PTR, 0, name(target)


@given(st.sets(names, max_size=9), st.integers(0, 2**32 - 1))
def test_what_is_made_can_be_read(members: set[bytes], serial: int) -> None:
    records = make_catalog(CATALOG, members, serial)
    assert read_catalog_untrusted(CATALOG, records) == {each: Listed(make_label(each)) for each in members}
    assert [rrtype for _, rrtype, _, _ in records[:3]] == [SOA, NS, TXT]
    assert records[0][3][-20:-16] == serial.to_bytes(4, "big")
    dns.name.from_wire(records[-1][0], 0)


nodes = [b"\1%c\5zones" % n + CATALOG for n in b"abc"]
owners = st.sampled_from([CATALOG, VERSION[0], b"\5zones" + CATALOG, *nodes, *(b"\3coo" + node for node in nodes)])


@given(st.lists(st.tuples(owners, st.just(PTR), st.just(0), names) | texts, max_size=9))
def test_any_records_are_a_catalog_or_an_error(records: list[Record]) -> None:
    try:
        members = read_catalog_untrusted(CATALOG, records)
    except CatalogError:
        return
    assert [record[3] for record in records if record[:2] == VERSION[:2]] == [b"\x012"]
    assert len({each.label for each in members.values()}) == len(members)
    assert len(members) == sum(record[1] == PTR and record[0].startswith(b"\1") for record in records)
    moving = {record[0][4:6]: record[3] for record in records if record[1] == PTR and record[0].startswith(b"\3coo")}
    assert all(each.new_owner == moving.get(each.label) for each in members.values())


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([], "version"),
        ([(VERSION[0], TXT, 0, b"\x011")], "version"),
        ([VERSION, (VERSION[0], TXT, 0, b"\x011")], "version"),
        ([VERSION, member("a", "example.com"), member("a", "example.net")], "more than one PTR"),
        ([VERSION, member("a", "example.com"), member("b", "EXAMPLE.com")], "listed twice"),
        ([VERSION, member("a", "example.com"), *[member("coo.a", "new.example")] * 2], "more than one PTR"),
        ([VERSION, *(member(f"m{n}", f"z{n}.example") for n in range(MEMBER_LIMIT + 1))], "more than 10000 members"),
    ],
)
def test_a_broken_catalog(records: list[Record], problem: str) -> None:
    with pytest.raises(CatalogError, match=problem):
        read_catalog_untrusted(CATALOG, records)


def test_other_properties_do_not_count() -> None:
    below = [member(f"{kind}.a", "other.example") for kind in ("group", "x.ext", "coo.x", "x.coo")]
    others = [(name("a.zones.catalog.example"), TXT, 0, b"\1x"), (name("ext.catalog.example"), PTR, 0, b"\0")]
    records = [VERSION, member("a", "Example.com"), *below, *others]
    assert read_catalog_untrusted(CATALOG, records) == {name("example.com"): Listed(b"\1a")}
    moving = read_catalog_untrusted(CATALOG, [member("coo.a", "New.example"), member("coo.b", "x."), *records])
    assert moving == {name("example.com"): Listed(b"\1a", name("new.example"))}


def settings_of(text: str) -> Settings:
    return parse_settings(SERVER + text, Path("waypost.toml"))


def consumer(apex: str, more: str = "") -> str:
    return f'[[zone]]\nname = "{apex}"\ncatalog = "consumer"\nprimaries = ["192.0.2.2"]\n{more}'


MEMBERS = """[zone.members]
primaries = ["192.0.2.3"]
allow_notify = ["192.0.2.4"]
allow_transfer = ["192.0.2.5"]
notify = ["192.0.2.6"]
journal = 7
"""


def test_members_are_as_the_template_says() -> None:
    settings = settings_of(consumer("catalog.example", MEMBERS) + consumer("second.example"))
    catalogs: Catalogs = {CATALOG: {b"\1a\0": Listed(b"\1x")}, SECOND: {b"\1b\0": Listed(b"\1x")}}
    members, refused = find_members(settings, catalogs, nobody)
    assert refused == []
    first, second = (members[each].zone for each in (b"\1a\0", b"\1b\0"))
    template = settings.zones[0].members
    assert template.primaries
    assert (first.primaries, first.allow_notify, first.allow_transfer, first.notify, first.journal) == (
        template.primaries,
        template.allow_notify,
        template.allow_transfer,
        template.notify,
        7,
    )
    assert second.primaries == settings.zones[1].primaries
    assert (second.allow_notify, second.allow_transfer, second.notify) == ((), (), ())
    assert add_members(settings, members).zones == (*settings.zones, first, second)


def test_clashes_are_refused() -> None:
    text = POOLS + consumer("catalog.example") + consumer("second.example")
    text += '[[zone]]\nname = "example.com"\nnameservers = ["ns.example.net"]\n' + balancer("www.sub.example.com")
    listed = ("example.com", "sub.example.com", "www.sub.example.com", "catalog.example", "com", "good.example")
    labels = {name(each): Listed(b"\1x") for each in listed}
    catalogs: Catalogs = {SECOND: {name("good.example"): Listed(b"\1y")}, CATALOG: labels}
    members, refused = find_members(settings_of(text), catalogs, nobody)
    assert {apex: each.catalog for apex, each in members.items()} == {
        name("com"): CATALOG,
        name("good.example"): CATALOG,
    }
    assert [each.split()[0] for each in refused] == [*(f"{each}." for each in listed[:4]), "good.example."]
    assert "is a zone of the configuration" in refused[0]
    assert "load balancers" in refused[1]
    assert "is a member of catalog.example." in refused[4]


ZONE = name("example.com")


@pytest.mark.parametrize("owner", [CATALOG, SECOND])
@pytest.mark.parametrize("coo", [None, CATALOG, SECOND, name("third.example")])
@pytest.mark.parametrize("transferred", [b"", CATALOG, SECOND])
def test_who_has_a_zone_keeps_it_unless_it_says_otherwise(owner: bytes, coo: bytes | None, transferred: bytes) -> None:
    """RFC 9432 sections 4.4.1 and 5.2: it moves when the new catalog comes, and not before."""
    other = SECOND if owner == CATALOG else CATALOG
    catalogs = {owner: {ZONE: Listed(b"\1x", coo)}, other: {ZONE: Listed(b"\1x")}}
    settings = settings_of(consumer("catalog.example") + consumer("second.example"))
    members, refused = find_members(settings, catalogs, lambda _: owner, transferred)
    has_moved = coo == transferred == other
    assert members[ZONE].catalog == (other if has_moved else owner)
    assert len(refused) == 1
    before = Member(members[ZONE].zone, owner, b"\1x")
    assert goes_on(catalogs, ZONE, before, members[ZONE])
    assert not goes_on(catalogs, ZONE, before, msgspec.structs.replace(members[ZONE], label=b"\1y"))
    assert not goes_on({}, ZONE, before, msgspec.structs.replace(before, catalog=other)), "it was removed there"


PRODUCER = '[[zone]]\nname = "catalog.example"\ncatalog = "producer"\nallow_transfer = ["127.0.0.1"]\n'


def listing(apex: str) -> str:
    return f'[[zone]]\nname = "{apex}"\nnameservers = ["ns.example.net"]\nmember_of = "catalog.example"\n'


def serial_and_names(store: Store) -> tuple[int, int]:
    serial, nodes = served(store)[CATALOG]
    return serial, len(nodes)


def test_the_catalog_of_a_producer_changes_with_its_members(tmp_path: Path) -> None:
    with opened_store(tmp_path / "zones") as store:
        load_zones(settings_of(PRODUCER + listing("example.com")), store, 1000.0)
        assert serial_and_names(store) == (1000, 3)
        load_zones(settings_of(PRODUCER + listing("example.com")), store, 2000.0)
        assert serial_and_names(store) == (1000, 3)
        load_zones(settings_of(PRODUCER + listing("example.net") + listing("example.com")), store, 500.0)
        assert serial_and_names(store) == (1001, 4)
        load_zones(settings_of(PRODUCER), store, 3000.0)
        assert serial_and_names(store) == (3000, 2)


def test_a_reload_keeps_members(tmp_path: Path) -> None:
    """Also before the consumer's process has run; without the catalog, they go."""
    with opened_store(tmp_path / "zones") as store:
        load_zones(settings_of(PRODUCER + listing("example.com")), store)
        settings = settings_of(consumer("catalog.example"))
        stage_zones(settings, store, 1000.0)()
        assert set(served(store)) == {CATALOG, name("example.com")}
        store.note_timers(CATALOG, b"", expired=True)
        stage_zones(settings, store, 1000.0)()
        assert set(served(store)) == {CATALOG, name("example.com")}
        load_zones(settings_of(listing("example.net").replace("member_of", "#")), store)
        assert set(served(store)) == {name("example.net")}
