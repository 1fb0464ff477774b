"""PowerDNS's backend `remote`: what each method replies, and that nothing breaks it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steering.beside.powerdns_remote import (
    LIST_LIMIT,
    METHODS,
    UNCACHED,
    NotAnsweredError,
    _describe,
    reply_untrusted,
    zone_id,
)
from steering.settings_file import parse_settings
from steering.wire import OWNER, render_record
from steering.world import World
from tests.steering.support import FIRST, SERVER, load_world, name, opened_store

SETTINGS = """
[[zone]]
name = "example.com"
file = "com.zone"
[[zone]]
name = "child.example.com"
nameservers = ["ns.example.net"]
[[pool]]
name = "one"
origin = [{ name = "one", address = "192.0.2.1" }]
[[pool]]
name = "two"
origin = [{ name = "two", address = "192.0.2.2" }]
[[load_balancer]]
name = "www.example.com"
types = ["A"]
default_pools = ["one"]
fallback_pool = "one"
country_pools = { FR = ["two"] }
[[pool]]
name = "alias"
origin = [{ name = "alias", address = "192.0.2.3", records = { CNAME = "target.example.com." } }]
[[load_balancer]]
name = "example.com"
types = ["A"]
flatten = true
default_pools = ["alias"]
fallback_pool = "alias"
[[load_balancer]]
name = "flat.child.example.com"
types = ["A"]
flatten = true
default_pools = ["alias"]
fallback_pool = "alias"
[[load_balancer]]
name = "everywhere.example.com"
types = ["A"]
default_pools = ["one"]
fallback_pool = "one"
[[load_balancer]]
name = "*.wild.example.com"
types = ["A", "AAAA"]
default_pools = ["six"]
fallback_pool = "six"
country_pools = { FR = ["one"] }
[[pool]]
name = "six"
origin = [{ name = "six", address = "192.0.2.6", records = { AAAA = "2001:db8::6" } }]
"""
ZONE = """$TTL 300
@ SOA ns.example.net. host.example.net. 7 1h 15m 2w 1m
@ NS ns.example.net.
child NS ns.example.net.
www TXT "plain"
a.b TXT "x"
target 60 A 192.0.2.8
* MX 10 mail
"""


@contextmanager
def world_of(folder: Path, zone: str = ZONE, *, expired: bool = False) -> Iterator[World]:
    (folder / "com.zone").write_text(zone)
    with opened_store(folder / "zones") as store:
        world = load_world(parse_settings(SERVER + SETTINGS, folder / "waypost.toml"), store)
        if expired:
            store.note_timers(name("example.com."), b"", expired=True)
        world.zones.begin()
        try:
            yield world
        finally:
            world.zones.end()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_of(tmp_path_factory.mktemp("world")) as made:
        yield made


def ask(world: World, method: str, **parameters: object) -> Any:
    """The result of a method; keys are written with _ for -."""
    request = {"method": method, "parameters": {key.replace("_", "-"): value for key, value in parameters.items()}}
    reply = json.loads(reply_untrusted(json.dumps(request).encode(), lambda: FIRST, world))
    assert "log" not in reply, reply
    return reply["result"]


def look_up(world: World, qname: str, qtype: str = "ANY", **parameters: object) -> list[tuple[str, str, int]]:
    """Type, content and scope of each record."""
    parameters = {"remote": "9.9.9.9", "real_remote": "9.9.9.9/32", "zone_id": -1, **parameters}
    found = ask(world, "lookup", qname=qname, qtype=qtype, **parameters)
    return [(each["qtype"], each["content"], each["scopeMask"]) for each in found]


def test_a_look_up_is_all_records_of_one_name_with_the_clients_plan(world: World) -> None:
    """HalvesMap: the lower half of the addresses is of one class, the upper of the other."""
    low, high = (
        look_up(world, "www.example.com."),
        look_up(world, "www.example.com.", remote="200.0.0.1", real_remote="200.0.0.1/32"),
    )
    assert [each[0] for each in low] == [each[0] for each in high] == ["A", "TXT"]
    assert {low[0][1], high[0][1]} == {"192.0.2.1", "192.0.2.2"}
    assert look_up(world, "www.example.com.", "TXT") == [("TXT", '"plain"', 0)]
    assert look_up(world, "WWW.example.com.", "A") == [low[0]]


def test_a_client_subnet_brings_its_scope_and_none_keeps_the_record_out_of_the_cache(world: World) -> None:
    ((_, content, scope),) = look_up(world, "www.example.com.", "A", real_remote="200.0.0.0/8")
    assert (content, scope) == (
        look_up(world, "www.example.com.", "A", remote="200.0.0.1", real_remote="200.0.0.1/32")[0][1],
        1,
    )
    assert look_up(world, "www.example.com.", "A")[0][2] == UNCACHED
    assert look_up(world, "www.example.com.", "A", remote="0.0.0.0", real_remote="0.0.0.0/0")[0][1]


def test_a_name_is_asked_for_in_the_zone_with_the_number(world: World) -> None:
    parent, child = zone_id(name("example.com.")), zone_id(name("child.example.com."))
    assert [each[0] for each in look_up(world, "child.example.com.", zone_id=parent)] == ["NS"]
    assert [each[0] for each in look_up(world, "child.example.com.", zone_id=child)] == ["NS", "SOA"]
    assert [each[0] for each in look_up(world, "child.example.com.")] == ["NS", "SOA"]
    assert look_up(world, "www.example.com.", "SOA") == []


def test_names_without_records_exist_and_wildcards_are_only_themselves(world: World) -> None:
    (empty,) = ask(world, "lookup", qname="b.example.com.", qtype="ANY")
    assert (empty["qtype"], empty["content"]) == ("TYPE0", "")
    assert look_up(world, "b.example.com.", "A") == []
    assert look_up(world, "none.example.com.") == []
    assert look_up(world, "*.example.com.") == [("MX", "10 mail.example.com.", 0)]
    assert look_up(world, "www.example.org.") == []


def test_zones_are_described(world: World) -> None:
    zones = ask(world, "getAllDomains", include_disabled=True)
    assert {each["zone"]: each["serial"] for each in zones}["example.com."] == 7
    assert ask(world, "getDomainInfo", name="example.com.") in zones
    assert ask(world, "getDomainInfo", name="www.example.com.") is False
    assert ask(world, "initialize", path="x") is True


def test_a_zone_is_listed_with_default_answers_and_its_soa_first(world: World) -> None:
    records = [(each["qname"], each["qtype"], each["content"]) for each in ask(world, "list", zonename="example.com.")]
    assert records[0][:2] == ("example.com.", "SOA")
    assert ("www.example.com.", "A", "192.0.2.1") in records
    assert ask(world, "list", zonename="example.org.") is False


def test_a_zone_that_is_too_long_is_not_listed(tmp_path: Path) -> None:
    records = "".join(f"n{number} A 192.0.2.1\n" for number in range(LIST_LIMIT + 1))
    with world_of(tmp_path, ZONE + records) as world:
        reply = reply_untrusted(b'{"method":"list","parameters":{"zonename":"example.com."}}', lambda: FIRST, world)
    assert json.loads(reply)["result"] is False
    assert "transfer it from waypost" in reply.decode()


def test_an_apex_whose_addresses_are_those_of_another_name(world: World) -> None:
    (found,) = ask(world, "lookup", qname="example.com.", qtype="A")
    assert (found["content"], found["ttl"]) == ("192.0.2.8", 30)
    assert {each[0] for each in look_up(world, "example.com.")} == {"A", "NS", "SOA"}


def test_a_steered_wildcard_is_found_under_its_own_name_and_no_client_misses_a_type(world: World) -> None:
    """The pool of one class has no AAAA record: PowerDNS would keep "no such record" for everybody."""
    found = {tuple(look_up(world, "*.wild.example.com.", real_remote=f"{first}.0.0.0/8")) for first in (9, 200)}
    six = ("AAAA", "2001:db8::6", 1)
    assert found == {(("A", "192.0.2.6", 1), six), (("A", "192.0.2.1", 1), six)}
    assert look_up(world, "x.wild.example.com.") == []


def test_what_is_true_for_everybody_may_be_kept_and_nothing_else(world: World) -> None:
    for subnet in ("9.9.9.9/32", "200.0.0.0/8", "0.0.0.0/0", "2001:db8::/32"):
        assert look_up(world, "everywhere.example.com.", real_remote=subnet) == [("A", "192.0.2.1", 0)]
        assert look_up(world, "www.example.com.", "A", real_remote=subnet)[0][2] >= UNCACHED


def test_internal_questions_get_an_answer(world: World) -> None:
    assert look_up(world, "www.example.com.", "A", remote="0.0.0.0", real_remote="0.0.0.0/0") == [
        ("A", "192.0.2.1", UNCACHED)
    ]
    (soa,) = look_up(world, "example.com.", "SOA", remote="0.0.0.0", real_remote="0.0.0.0/0")
    assert soa[1].startswith("ns.example.net. host.example.net. 7 ")


def test_names_come_back_in_the_case_in_which_they_were_asked_for(world: World) -> None:
    for qname in ("wWw.eXample.COM.", "WWW.EXAMPLE.COM."):
        assert {each["qname"] for each in ask(world, "lookup", qname=qname, qtype="ANY")} == {qname}
    assert ask(world, "getDomainInfo", name="EXAMPLE.com.")["zone"] == "example.com."


def test_a_zone_that_has_expired_is_answered_with_an_error_and_no_old_data(tmp_path: Path) -> None:
    """`result` null is what PowerDNS makes a SERVFAIL of; `false` or nothing would say that there is no such name."""
    with world_of(tmp_path, expired=True) as world:
        for method, parameters in (
            ("lookup", {"qname": "www.example.com.", "qtype": "A"}),
            ("lookup", {"qname": "example.com.", "qtype": "SOA"}),
            ("lookup", {"qname": "none.example.com.", "qtype": "ANY"}),
            ("list", {"zonename": "example.com."}),
        ):
            request = json.dumps({"method": method, "parameters": parameters}).encode()
            assert json.loads(reply_untrusted(request, lambda: FIRST, world)) == {
                "result": None,
                "log": ["waypost: zone example.com. has expired"],
            }
        assert [each[0] for each in look_up(world, "child.example.com.", "SOA")] == ["SOA"]
        # The addresses of a name in it are not known either: the origin's own take their place.
        assert look_up(world, "flat.child.example.com.") == [("A", "192.0.2.3", 0)]
        assert len(ask(world, "getAllDomains")) == 2


def test_a_record_that_a_primary_has_garbled_is_an_error(tmp_path: Path) -> None:
    with world_of(tmp_path, ZONE + "odd TYPE65280 \\# 2 abcd\n") as world:
        assert look_up(world, "odd.example.com.") == [("TYPE65280", "\\# 2 abcd", 0)]
        with pytest.raises(NotAnsweredError, match="a record of type A makes no sense"):
            list(_describe((1, 1, render_record(OWNER, 1, 300, b"\1\2\3\4\5"))))


@pytest.mark.parametrize("method", ["setNotified", "getUpdatedMasters", "getDomainKeys", "", "startTransaction"])
def test_what_is_not_done_is_false(world: World, method: str) -> None:
    assert ask(world, method, name="example.com.") is False


def test_there_is_no_metadata(world: World) -> None:
    assert ask(world, "getAllDomainMetadata", name="example.com.") == {}
    assert ask(world, "getDomainMetadata", name="example.com.", kind="ALLOW-AXFR-FROM") == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parameters=ANYTHING)
def test_all_zones_are_never_false_and_there_is_no_metadata_whatever_it_is_asked_with(
    world: World, parameters: object
) -> None:
    """PowerDNS of some years took `false` for an error."""
    for method, expected in (("getAllDomainMetadata", {}), ("getDomainMetadata", [])):
        request = json.dumps({"method": method, "parameters": parameters}).encode()
        assert json.loads(reply_untrusted(request, lambda: FIRST, world)) == {"result": expected}
    request = json.dumps({"method": "getAllDomains", "parameters": parameters}).encode()
    assert len(json.loads(reply_untrusted(request, lambda: FIRST, world))["result"]) == 2


def test_without_zones_all_zones_are_an_empty_list(tmp_path: Path) -> None:
    with opened_store(tmp_path / "zones") as store:
        empty = load_world(parse_settings(SERVER, tmp_path / "waypost.toml"), store)
        empty.zones.begin()
        assert ask(empty, "getAllDomains", include_disabled=True) == []
        assert look_up(empty, "example.com.") == []
        empty.zones.end()


texts = st.text(max_size=20) | st.sampled_from(["www.example.com.", "9.9.9.9", "9.9.9.9/32", "::/0", "ANY", "."])
requests = st.binary(max_size=200) | st.fixed_dictionaries(
    {"method": st.sampled_from([*METHODS, "x"])},
    optional={
        "parameters": st.none()
        | st.dictionaries(
            st.sampled_from(["qname", "qtype", "remote", "real-remote", "zone-id", "name", "zonename"]),
            texts | st.integers() | st.none(),
        )
    },
).map(lambda made: json.dumps(made).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=requests)
def test_whatever_comes_gets_an_object_with_a_result(world: World, request: bytes) -> None:
    assert "result" in json.loads(reply_untrusted(request, lambda: FIRST, world))


def test_nested_too_deep(world: World) -> None:
    reply = reply_untrusted(b'{"method":"lookup","parameters":' + b"[" * 60000, lambda: FIRST, world)
    assert json.loads(reply)["result"] is False
