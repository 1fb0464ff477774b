"""Tests of loading: all or nothing, nothing twice, and steered names as ordinary names."""

import os
from collections.abc import Iterator
from pathlib import Path

import dns.rdata
import dns.rdatatype
import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steering.balance.plans import make_default
from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.wire import CNAME, MX, NS, RRSIG, SOA, TXT, A, split_records
from steering.zones import load
from steering.zones import store as store_module
from steering.zones.load import (
    LoadReport,
    ZonesError,
    assign_defaults,
    stage_changes,
    stage_secondary,
    stage_zones,
)
from steering.zones.node import STEERED, find_rrset, key_labels, unpack_node
from steering.zones.store import EXACT, WILDCARD, Store, StoreReader, ZoneWriter
from steering.zones.zonefile import Record
from tests.steering.support import APEX, SERVER, SOA_RDATA, name, opened_store, snapshot, write_settings

HEAD = "$TTL 300\n@ SOA ns host {serial} 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n"
OTHER = b"\7example\3net\0"

POOLS = """\
[[pool]]
name = "one"
[[pool.origin]]
name = "one-1"
address = "192.0.2.1"
records = { TXT = "one", MX = "10 mx.example.com.", CNAME = "one.example.org." }
[[pool.origin]]
name = "one-2"
address = "192.0.2.2"
"""


def balancer(owner: str, types: str = '["A"]', more: str = "") -> str:
    """A load balancer of the one pool."""
    pools = 'default_pools = ["one"]\nfallback_pool = "one"\n'
    return f'[[load_balancer]]\nname = "{owner}"\ntypes = {types}\n{pools}{more}\n'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened_store(tmp_path / "zones") as opened:
        yield opened


def served(store: Store) -> dict[bytes, tuple[int, dict[bytes, bytes]]]:
    """Apex → serial and nodes."""
    reader = StoreReader(store)
    with snapshot(reader):
        return {apex: (zone.serial, dict(reader.walk(zone))) for apex, zone in reader.zones.items()}


def load_zones(settings: Settings, store: Store, now: float = 1000.0) -> list[LoadReport]:
    reports: list[LoadReport] = []
    stage_zones(settings, store, now, reports.append)()
    return reports


def problems_of(settings: Settings, store: Store) -> str:
    with pytest.raises(ZonesError) as caught:
        stage_zones(settings, store, 1000.0)
    assert len(caught.value.problems) == len(str(caught.value).splitlines())
    return str(caught.value)


def rdatas(value: bytes, rrtype: int) -> list[str]:
    """The records of a node as text."""
    rrset = find_rrset(value, rrtype)
    assert rrset is not None
    parts = []
    rest = rrset[2]
    while rest:
        length = 12 + int.from_bytes(rest[10:12], "big")
        parts.append(dns.rdata.from_wire("IN", dns.rdatatype.RdataType(rrtype), rest, 12, length - 12).to_text())
        rest = rest[length:]
    assert len(parts) == rrset[1]
    return parts


# All or nothing.


def test_a_bad_zone_keeps_every_old_one(tmp_path: Path, store: Store) -> None:
    good = {"example.com": HEAD.format(serial=1), "example.net": HEAD.format(serial=1)}
    load_zones(write_settings(tmp_path, "", good), store)
    before = served(store)
    for bad in ("example.com", "example.net"):
        settings = write_settings(tmp_path, "", {**{zone: HEAD.format(serial=2) for zone in good}, bad: "@ A 1.2.3\n"})
        assert f"{bad}.zone" in problems_of(settings, store)
        assert served(store) == before
    load_zones(write_settings(tmp_path, "", {zone: HEAD.format(serial=3) for zone in good}), store)
    assert {serial for serial, _ in served(store).values()} == {3}


def test_every_problem_of_every_zone_is_told(tmp_path: Path, store: Store) -> None:
    zones = {
        "example.com": HEAD.format(serial=1) + "a CNAME b\na A 192.0.2.1\n",
        "example.net": "$TTL 60\nx A 192.0.2.1\n",
        "example.org": HEAD.format(serial=1) + "b A 192.0.2.300\n",
    }
    text = problems_of(write_settings(tmp_path, "", zones), store)
    assert all(part in text for part in ("a.example.com.: a CNAME record beside A", "no SOA", "example.org.zone:5"))
    assert served(store) == {}


def test_nothing_is_served_before_it_is_published(tmp_path: Path, store: Store) -> None:
    publish = stage_zones(write_settings(tmp_path, "", {"example.com": HEAD.format(serial=1)}), store, 0.0)
    assert served(store) == {}
    publish()
    assert served(store).keys() == {APEX}


def test_a_zone_that_is_no_longer_configured_is_removed(tmp_path: Path, store: Store) -> None:
    content = HEAD.format(serial=1)
    load_zones(write_settings(tmp_path, "", {"example.com": content, "example.net": content}), store)
    load_zones(write_settings(tmp_path, "", {"example.net": content}), store)
    assert served(store).keys() == {OTHER}


# Nothing twice.


def test_an_unchanged_zone_is_not_read_again(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = write_settings(
        tmp_path, POOLS + balancer("www.example.com"), {"example.com": HEAD.format(serial=5), "example.net": ""}
    )
    assert load_zones(settings, store) == [LoadReport(APEX, 5, 3, 3), LoadReport(OTHER, 1000, 1, 1)]
    before = served(store)
    monkeypatch.setattr(load, "read_zone", None)
    assert load_zones(settings, store, 2000.0) == [LoadReport(APEX, 5, 0, 0), LoadReport(OTHER, 1000, 0, 0)]
    assert served(store) == before


def test_what_makes_a_zone_be_read_again(tmp_path: Path, store: Store) -> None:
    included = HEAD.format(serial=5) + "$INCLUDE more.inc\n"
    (tmp_path / "more.inc").write_text("more A 192.0.2.7\n")

    def names_read(text: str) -> int:
        (report,) = load_zones(write_settings(tmp_path, text, {"example.com": included}), store)
        return report.names

    steered = POOLS + balancer("www.example.com")
    assert names_read(steered) == 4
    os.utime(tmp_path / "more.inc", ns=(1, 1))
    assert names_read(steered) == 4, "an included file was written"
    assert names_read(POOLS + balancer("www.example.com", more="ttl = 31")) == 4, "another TTL"
    assert names_read(POOLS + balancer("web.example.com")) == 4, "another name"
    assert names_read(POOLS.replace("192.0.2.1", "192.0.2.9") + balancer("web.example.com")) == 4, "another address"
    assert names_read("") == 3, "no load balancer"


def test_how_many_names_changed(tmp_path: Path, store: Store) -> None:
    content = HEAD.format(serial=1) + "a A 192.0.2.1\nb A 192.0.2.2\n"
    load_zones(write_settings(tmp_path, "", {"example.com": content}), store)
    changed = content.replace("192.0.2.2", "192.0.2.3").replace("SOA ns host 1", "SOA ns host 2")
    (report,) = load_zones(write_settings(tmp_path, "", {"example.com": changed}), store)
    assert report == LoadReport(APEX, 2, 4, 2)


def test_records_of_an_owner_in_several_places_of_the_file(tmp_path: Path, store: Store) -> None:
    """Also where its first records alone are what is served: RFC 2181 section 5.2, one TTL for all."""
    for lines, expected in (
        ("a 60 A 192.0.2.1\nb A 192.0.2.9\n", [(60, "192.0.2.1")]),
        ("a 60 A 192.0.2.1\nb A 192.0.2.9\na 30 A 192.0.2.2\n", [(30, "192.0.2.1"), (30, "192.0.2.2")]),
        ("a 60 A 192.0.2.2\nb A 192.0.2.9\na 60 A 192.0.2.2\n", [(60, "192.0.2.2")]),
    ):
        load_zones(write_settings(tmp_path, "", {"example.com": HEAD.format(serial=1) + lines}), store)
        rrset = find_rrset(find(store, "a")[1], A)
        assert rrset is not None
        found = [
            (int.from_bytes(record[6:10], "big"), ".".join(map(str, record[12:]))) for record in split_records(rrset[2])
        ]
        assert found == expected
    bad = HEAD.format(serial=1) + "a 60 A 192.0.2.2\nb A 192.0.2.9\na CNAME b\n"
    assert "a.example.com.: a CNAME record beside A" in problems_of(
        write_settings(tmp_path, "", {"example.com": bad}), store
    )


# Steered names.


def find(store: Store, owner: str) -> tuple[int, bytes]:
    """Kind and node of a name of example.com."""
    reader = StoreReader(store)
    with snapshot(reader):
        zone = reader.zones[APEX]
        found = reader.find(zone, key_labels(name(owner), APEX))
        return found.kind, found.value


def test_signatures_have_the_ttl_of_what_they_cover(tmp_path: Path, store: Store) -> None:
    """Also where an owner stands in two places, and where what is covered is not there."""
    made = "8 3 {named} 20300101000000 20200101000000 1 example.com. AAAA"
    zone = HEAD.format(serial=1) + (
        f"a 60 A 192.0.2.1\na 60 RRSIG A {made.format(named=60)}\na 600 RRSIG TXT {made.format(named=600)}\n"
        f"b A 192.0.2.2\na 600 TXT text\na 60 RRSIG MX {made.format(named=77)}\n"
        f"a 60 RRSIG SRV {made.format(named=2**31)}\n"
    )
    load_zones(write_settings(tmp_path, "", {"example.com": zone}), store)
    signatures = find_rrset(served(store)[APEX][1][b"a\0"], RRSIG)
    assert signatures is not None
    ttls = [(each[13], int.from_bytes(each[6:10], "big")) for each in split_records(signatures[2])]
    assert sorted(ttls) == [(1, 60), (15, 77), (16, 600), (33, 0)]
    assert signatures[1] == len(ttls)


def test_default_answers_are_records_of_the_zone(tmp_path: Path, store: Store) -> None:
    text = (
        POOLS
        + balancer("www.a.example.com", '["A", "TXT"]')
        + balancer("*.w.example.com")
        + balancer("example.com", '["MX"]')
    )
    settings = write_settings(tmp_path, text, {"example.com": HEAD.format(serial=1)})
    load_zones(settings, store)
    kind, value = find(store, "www.a")
    assert (kind, value[1]) == (EXACT, STEERED)
    assert rdatas(value, A) == ["192.0.2.1", "192.0.2.2"]
    assert rdatas(value, TXT) == ['"one"']
    assert find(store, "x.w")[0] == WILDCARD
    kind, value = find(store, "@")
    assert value[1] == STEERED
    assert [rrset[0] for rrset in unpack_node(value)] == [NS, SOA, MX]
    pools = {pool.name: pool for pool in settings.pools}
    assert find_rrset(find(store, "www.a")[1], A) == make_default(settings.load_balancers[0], A, pools)
    assert find(store, "ns")[1][1] == 0


def test_a_static_record_of_the_steered_type_is_replaced(tmp_path: Path, store: Store) -> None:
    content = HEAD.format(serial=1) + 'www A 192.0.2.99\nwww TXT "stays"\nshop CNAME elsewhere\n'
    text = POOLS + balancer("www.example.com") + balancer("shop.example.com", '["CNAME"]')
    load_zones(write_settings(tmp_path, text, {"example.com": content}), store)
    value = find(store, "www")[1]
    assert rdatas(value, A) == ["192.0.2.1", "192.0.2.2"]
    assert rdatas(value, TXT) == ['"stays"']
    assert rdatas(find(store, "shop")[1], CNAME) == ["one.example.org."]


@pytest.mark.parametrize(
    ("record", "types", "problem"),
    [
        ("www CNAME elsewhere", '["A"]', "www.example.com.: a CNAME record beside A"),
        ("www A 192.0.2.3", '["CNAME"]', "www.example.com.: a CNAME record beside A"),
        ("www NS ns", '["A"]', "www.example.com.: a load balancer at or below a delegation"),
        ("@ DNAME x.test.", '["A"]', "www.example.com.: a load balancer at or below a delegation, or below a DNAME"),
    ],
)
def test_what_cannot_stand_at_a_steered_name(
    tmp_path: Path, store: Store, record: str, types: str, problem: str
) -> None:
    content = HEAD.format(serial=1).replace("ns A 192.0.2.53\n", "") + record + "\n"
    settings = write_settings(tmp_path, POOLS + balancer("www.example.com", types), {"example.com": content})
    assert problem in problems_of(settings, store)


def test_a_load_balancer_below_a_delegation_is_refused(tmp_path: Path, store: Store) -> None:
    content = HEAD.format(serial=1) + "sub NS ns\n"
    settings = write_settings(tmp_path, POOLS + balancer("a.b.sub.example.com"), {"example.com": content})
    assert "a.b.sub.example.com.: a load balancer at or below" in problems_of(settings, store)
    settings = write_settings(
        tmp_path, POOLS + balancer("a.b.sub.example.com"), {"example.com": content, "sub.example.com": ""}
    )
    load_zones(settings, store)
    assert served(store).keys() == {APEX, name("sub")}, "in the zone that is there, it is welcome"


def test_a_load_balancer_belongs_to_the_closest_zone(tmp_path: Path) -> None:
    text = POOLS + balancer("www.example.com") + balancer("www.sub.example.com") + balancer("sub.example.com")
    settings = write_settings(tmp_path, text, {"example.com": "", "sub.example.com": ""})
    assigned = {zone.name: set(defaults) for zone, defaults in assign_defaults(settings)}
    assert assigned == {APEX: {name("www")}, name("sub"): {name("www.sub"), name("sub")}}


def test_a_load_balancer_beside_a_dname(tmp_path: Path, store: Store) -> None:
    """RFC 6672 section 2.3: a DNAME covers what is below it, not its own name."""
    content = HEAD.format(serial=1).replace("ns A 192.0.2.53\n", "") + "@ DNAME x.test.\n"
    load_zones(write_settings(tmp_path, POOLS + balancer("example.com", '["MX"]'), {"example.com": content}), store)
    assert rdatas(find(store, "@")[1], MX) == ["10 mx.example.com."]


# Zones of load balancers alone.


def test_a_zone_without_a_file(tmp_path: Path, store: Store) -> None:
    settings = write_settings(tmp_path, POOLS + balancer("www.example.com"), {"example.com": ""})
    load_zones(settings, store, 1_700_000_000.9)
    value = find(store, "@")[1]
    assert rdatas(value, NS) == ["ns1.example.com."]
    assert rdatas(value, SOA) == ["ns1.example.com. hostmaster.example.com. 1700000000 3600 900 1209600 60"]
    assert served(store)[APEX][0] == 1_700_000_000
    assert rdatas(find(store, "www")[1], A) == ["192.0.2.1", "192.0.2.2"]


def test_its_serial_rises_with_every_change(tmp_path: Path, store: Store) -> None:
    """Also when the clock does not."""
    for ttl, now, serial in ((1, 1000.0, 1000), (2, 1000.0, 1001), (3, 5.0, 1002), (4, 2000.0, 2000)):
        settings = write_settings(
            tmp_path, POOLS + balancer("www.example.com", more=f"ttl = {ttl}"), {"example.com": ""}
        )
        load_zones(settings, store, now)
        assert served(store)[APEX][0] == serial


# What a zone file can do to a process.


def test_the_negative_ttl_is_the_smaller_one(tmp_path: Path, store: Store) -> None:
    """RFC 2308 section 5."""
    for ttl, minimum, negative in ((10, 60, 10), (600, 60, 60)):
        content = f"@ {ttl} SOA ns host 1 3600 600 86400 {minimum}\n@ 5 NS ns\n"
        load_zones(write_settings(tmp_path, "", {"example.com": content}), store)
        reader = StoreReader(store)
        assert reader.zones[APEX].negative_ttl == negative


def test_more_records_than_a_message_counts(tmp_path: Path, store: Store) -> None:
    content = HEAD.format(serial=1) + "$GENERATE 0-65536 many TXT $\n"
    assert "many.example.com." in problems_of(write_settings(tmp_path, "", {"example.com": content}), store)


def test_a_long_name_of_a_zone_without_a_file(tmp_path: Path, store: Store) -> None:
    label = "x" * 60
    zone = f"{label}.{label}.{label}.{'x' * 58}.com"
    text = f'[[zone]]\nname = "{zone}"\nnameservers = ["ns.example.com"]\n'
    load_zones(write_settings(tmp_path, text, {}), store)
    ((_, nodes),) = served(store).values()
    assert len(rdatas(nodes[b""], SOA)) == 1


# A difference is as good as a full load.

owners = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(".".join).map(lambda text: text or "@")
record_texts = st.sampled_from(
    [
        "60 A 192.0.2.1",
        "30 A 192.0.2.2",
        "A 192.0.2.3",
        "TXT x",
        "TXT y",
        "NS ns.test.",
        "NS a",
        "DNAME x.test.",
        "CNAME x.test.",
    ]
)
zone_texts = st.lists(st.tuples(owners, record_texts).map(" ".join), max_size=12, unique=True)
steered_owners = st.lists(st.sampled_from(["@", "a", "b.a", "c.b.a", "b", "c"]), max_size=3, unique=True)
configured = st.tuples(zone_texts, steered_owners)


def configure(directory: Path, serial: int, lines: list[str], steered: list[str]) -> Settings:
    """A zone of these records, with a load balancer at each of these owners."""
    full = ["example.com" if owner == "@" else f"{owner}.example.com" for owner in steered]
    text = (POOLS + "".join(map(balancer, full))) if full else ""
    head = f"$TTL 300\n@ SOA ns.test. host.test. {serial} 3600 600 86400 60\n@ NS ns.test.\n"
    content = head + "".join(f"{line}\n" for line in lines)
    return write_settings(directory, text, {"example.com": content})


def outcome(settings: Settings, store: Store) -> object:
    """What is served after loading, or every problem."""
    try:
        load_zones(settings, store)
    except ZonesError as error:
        return sorted(problem.message for problem in error.problems)
    return served(store)


def test_a_difference_tells_every_problem(tmp_path: Path, store: Store) -> None:
    load_zones(configure(tmp_path, 1, [], ["c.b.a"]), store)
    problems = problems_of(configure(tmp_path, 2, ["a NS ns.test."], ["a", "c.b.a"]), store)
    assert "c.b.a.example.com.: a load balancer at or below" in problems


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Store, Store]]:
    """Two stores: what the first has is left there from one example to the next."""
    directory = tmp_path_factory.mktemp("sequence")
    with opened_store(directory / "zones") as store, opened_store(directory / "fresh") as fresh:
        yield directory, store, fresh


CUT, INNER, BELOW = "a NS ns.test.", "b.a NS ns.test.", "c.b.a TXT x"
AS_STEERED = ["a 30 A 192.0.2.1", "a 30 A 192.0.2.2"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(([BELOW], []), ([BELOW, CUT], []), id="a cut above what is the same"),
        pytest.param(([CUT], []), ([CUT, BELOW], []), id="a node below a cut that is the same"),
        pytest.param(([CUT, BELOW], []), (["a DNAME x.test.", BELOW], []), id="a delegation and a DNAME"),
        pytest.param(([INNER, BELOW], []), ([CUT, INNER, BELOW], []), id="a cut above a cut"),
        pytest.param((["@ DNAME x.test.", BELOW], []), ([BELOW], []), id="a DNAME at the apex"),
        pytest.param((AS_STEERED, []), (AS_STEERED, ["a"]), id="records that are the default answer"),
    ],
)
def test_what_changes_for_a_node_that_is_the_same(
    pair: tuple[Path, Store, Store], one: tuple[list[str], list[str]], other: tuple[list[str], list[str]]
) -> None:
    directory, store, fresh = pair
    for serial, (lines, steered) in enumerate((one, other, one), 1):
        settings = configure(directory, serial, lines, steered)
        writer = ZoneWriter(fresh)
        writer.publish(removed=list(writer.served))
        assert outcome(settings, store) == outcome(settings, fresh)
        assert not isinstance(outcome(settings, store), list), "it could be served"


@hypothesis.settings(max_examples=60)
@given(st.lists(configured, min_size=1, max_size=4), st.sampled_from([0, 2, 100_000]))
def test_any_sequence_of_loads_comes_to_the_last_one(
    pair: tuple[Path, Store, Store], versions: list[tuple[list[str], list[str]]], limit: int
) -> None:
    """Whatever was served before: the same nodes as in an empty store, and the same problems."""
    directory, store, fresh = pair
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "DIFFERENCE_LIMIT", limit)
        for serial, (lines, steered) in enumerate(versions, 1):
            settings = configure(directory, serial, lines, steered)
            writer = ZoneWriter(fresh)
            writer.publish(removed=list(writer.served))
            before = served(store)
            after = outcome(settings, store)
            assert after == outcome(settings, fresh)
            if isinstance(after, list):
                assert served(store) == before


# Zones from a primary.

OWNERS = st.dictionaries(
    st.sampled_from(["", "a", "b.a", "c.b.a", "*.b", "x"]),
    st.dictionaries(st.sampled_from(["A 192.0.2.", "TXT ", "NS n"]), st.sets(st.integers(1, 3), min_size=1)),
    min_size=1,
)


Owners = dict[str, dict[str, set[int]]]


def records_of(owners: Owners) -> dict[bytes, list[Record]]:
    """The records of each owner; an apex is always there, and nothing is below a load balancer's name."""
    made: dict[bytes, list[Record]] = {APEX: [(APEX, SOA, 300, SOA_RDATA), (APEX, NS, 300, b"\2ns\0")]}
    kinds = {"A 192.0.2.": (A, b"\xc0\0\2%c"), "TXT ": (TXT, b"\1%c"), "NS n": (NS, b"\1%c\0")}
    for text, rrsets in owners.items():
        owner = name(text) if text else APEX
        for kind, values in rrsets.items():
            if text == "x" and kind == "NS n":
                continue
            rrtype, rdata = kinds[kind]
            made.setdefault(owner, []).extend((owner, rrtype, 300, rdata % value) for value in sorted(values))
    return made


@hypothesis.settings(deadline=None, max_examples=30)
@example(before={"b.a": {"TXT ": {1}}}, changes={"a": {"NS n": {1}}})
@example(before={"b.a": {"TXT ": {1}}, "a": {"NS n": {1}}}, changes={"a": {}})
@given(before=OWNERS, changes=OWNERS)
def test_changes_of_some_owners_make_what_all_of_the_zone_makes(
    tmp_path_factory: pytest.TempPathFactory,
    before: Owners,
    changes: Owners,
) -> None:
    """Nodes, their cuts, and what load balancers replace."""
    folder = tmp_path_factory.mktemp("changes")
    zone = '[[zone]]\nname = "example.com"\nprimaries = ["192.0.2.1"]\n'
    settings = parse_settings(
        SERVER + zone + POOLS + balancer("x.example.com") + balancer("y.example.com", '["TXT"]'),
        folder / "waypost.toml",
    )
    ((configured, defaults),) = assign_defaults(settings)
    old, new = records_of(before), records_of(before | changes)
    changed = {owner: new.get(owner, []) for owner in old.keys() | new.keys() if old.get(owner) != new.get(owner)}
    results = []
    for steps in ([old, None], [new]):
        with opened_store(folder / f"zones{len(steps)}") as store:
            for step in steps:
                writer = ZoneWriter(store)
                if step is None:
                    stage_changes(configured, defaults, writer, changed, b"")
                else:
                    flat = [record for records in step.values() for record in records]
                    stage_secondary(configured, defaults, writer, flat, b"")
                writer.publish()
            with store.environment.begin() as transaction:
                replaced = dict(transaction.cursor(store.replaced))
            results.append((served(store), replaced))
    assert results[0] == results[1]
