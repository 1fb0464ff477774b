"""PowerDNS's backend `remote`: what each method replies, and that nothing breaks it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steering.beside.powerdns_remote import LIST_LIMIT, METHODS, UNCACHED, reply_untrusted, zone_id
from steering.settings import parse_settings
from steering.world import World
from steering.zones.store import Store
from tests.steering.support import FIRST, SERVER, load_world, name

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
"""
ZONE = """$TTL 300
@ SOA ns.example.net. host.example.net. 7 1h 15m 2w 1m
@ NS ns.example.net.
child NS ns.example.net.
www TXT "plain"
a.b TXT "x"
* MX 10 mail
"""


@contextmanager
def world_of(folder: Path, zone: str = ZONE) -> Iterator[World]:
    (folder / "com.zone").write_text(zone)
    store = Store(folder / "zones", write=True)
    world = load_world(parse_settings(SERVER + SETTINGS, folder / "waypost.toml"), store)
    world.zones.begin()
    try:
        yield world
    finally:
        world.zones.end()
        store.close()


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


@pytest.mark.parametrize("method", ["setNotified", "getUpdatedMasters", "getDomainKeys", "", "startTransaction"])
def test_what_is_not_done_is_false(world: World, method: str) -> None:
    assert ask(world, method, name="example.com.") is False


def test_what_has_expired_is_not_there(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        world.zones.end()
        world.zones.store.note_timers(name(""), b"", expired=True)
        world.zones.begin()
        assert ask(world, "list", zonename="example.com.") is False
        for owner in ("", "www.", "a.b.", "b."):
            assert look_up(world, f"{owner}example.com.") == []


def test_there_is_no_metadata(world: World) -> None:
    assert ask(world, "getAllDomainMetadata", name="example.com.") == {}
    assert ask(world, "getDomainMetadata", name="example.com.", kind="ALLOW-AXFR-FROM") == []


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
