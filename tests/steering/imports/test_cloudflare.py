"""cloudflare: what the API and Terraform show, in each of their shapes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.probes.https import HttpsMonitor
from steering.imports import import_files
from steering.imports.source import File, SourceError
from steering.records.a import A
from steering.records.aaaa import AAAA
from steering.records.cname import CNAME

from .support import SAMPLES, import_document, import_samples, notes, read, spoiled

API = ("load_balancers.json", "pools.json", "monitor.json")


def document(**more: Any) -> dict[str, Any]:
    """A load balancer of two pools, with more fields."""
    pools = [
        {"id": "p", "name": "paris", "origins": [{"name": "1", "address": "192.0.2.1"}]},
        {"id": "n", "name": "newyork", "origins": [{"name": "1", "address": "192.0.2.2"}]},
    ]
    balancer = {"id": "l", "name": "www.example.com", "zone_name": "example.com", "default_pools": ["p", "n"]}
    return {"success": True, "result": [*pools, balancer | {"fallback_pool": "n"} | more]}


def test_all_of_the_api_is_carried() -> None:
    imported, settings = import_samples("cloudflare", *API)
    assert imported.left_out == ()
    assert imported.counts == {"monitor": 1, "pool": 2, "zone": 1, "load_balancer": 1}
    assert settings.monitors == (
        HttpsMonitor(
            name="Login-page",
            interval=30,
            timeout=3,
            retries=1,
            consecutive_up=2,
            consecutive_down=3,
            path="/login?check=1",
            port=443,
            headers=(("Host", "www.example.com"), ("X-Check", "a, b")),
            expected_codes=((200, 299),),
            expected_body="alive",
            follow_redirects=True,
            allow_insecure=True,
        ),
    )
    paris, newyork = settings.pools
    assert (paris.name, paris.monitor, paris.minimum_origins) == ("paris", "Login-page", 2)
    assert [(origin.name, origin.address, origin.weight, origin.enabled) for origin in paris.origins] == [
        ("paris-1", "192.0.2.1", 1.0, True),
        ("paris-2", "192.0.2.2", 0.5, True),
        ("paris-3", "192.0.2.3", 1.0, False),
    ]
    assert (paris.origins[0].port, paris.origins[0].header.Host) == (8443, "origin.example.com")
    assert newyork.monitor is None
    (balancer,) = settings.load_balancers
    assert (balancer.default_pools, balancer.fallback_pool) == (("paris", "newyork"), "newyork")
    assert balancer.region_pools == {"WEU": ("paris", "newyork")}
    assert balancer.country_pools == {"US": ("newyork",)}
    assert (balancer.types, balancer.ttl, balancer.steering_policy) == ((A.type,), 60, "geo")
    assert "# The shop\n[[load_balancer]]" in imported.configuration


@pytest.mark.parametrize("name", ["terraform.tfstate", "show.json"])
def test_terraform_shows_the_same_in_the_schema_of_each_version(name: str) -> None:
    imported, settings = import_samples("cloudflare", name)
    assert imported.left_out == ()
    assert settings == import_samples("cloudflare", *API)[1]


def test_what_is_in_two_files_counts_once() -> None:
    imported, settings = import_samples("cloudflare", *API, "pools.json")
    assert imported.left_out == ()
    assert settings == import_samples("cloudflare", *API)[1]


def test_of_two_states_of_a_thing_the_first_counts() -> None:
    listed = document()
    listed["result"].append(listed["result"][0] | {"name": "later"})
    imported, settings = import_document("cloudflare", listed)
    assert settings.pools[0].name == "paris"
    assert notes(imported) == {"result[3]": "is another state of what example.com.yaml has already"}


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("icmp_ping", {}, 'type = "icmp"'),
        ("udp_icmp", {"port": 53}, 'type = "udp_icmp"\nport = 53'),
        ("smtp", {"port": 25}, 'type = "smtp"\nport = 25'),
        ("tcp", {"port": 80, "method": "connection_established", "allow_insecure": False}, 'type = "tcp"\nport = 80'),
        ("http", {"expected_codes": "200", "port": 8080}, 'type = "http"\nport = 8080\nexpected_codes = "200"'),
    ],
)
def test_every_type_of_monitor(kind: str, fields: dict[str, Any], expected: str) -> None:
    listed = document()
    listed["result"][0]["monitor"] = "m"
    listed["result"].append({"id": "m", "type": kind, **fields})
    imported, settings = import_document("cloudflare", listed)
    assert expected in imported.configuration
    assert imported.left_out == ()
    assert settings.pools[0].monitor == settings.monitors[0].name


def test_what_dns_cannot_do_is_listed_field_by_field() -> None:
    imported, _ = import_document(
        "cloudflare",
        document(
            proxied=True,
            session_affinity="cookie",
            session_affinity_ttl=1800,
            adaptive_routing={"failover_across_pools": True},
            pop_pools={"LAX": ["p"]},
            rules=[{"name": "a rule", "condition": "x"}],
            location_strategy={"mode": "pop"},
            steering_policy="least_connections",
            country_pools={"FR": ["gone"], "ZZ": ["p"]},
            brand_new={"a": 1},
        ),
    )
    found = notes(imported)
    assert {
        "result[2].proxied = true",
        'result[2].session_affinity = "cookie"',
        "result[2].adaptive_routing.failover_across_pools = true",
        'result[2].pop_pools.LAX = ["p"]',
        "result[2].rules[0]",
        'result[2].location_strategy.mode = "pop"',
        'result[2].steering_policy = "least_connections"',
        'result[2].country_pools.FR[0] = "gone"',
        'result[2].country_pools.ZZ = ["paris"]',
        'result[2].brand_new = {"a":1}',
    } <= found.keys()
    assert all(f"# - example.com.yaml: {note}: " in imported.configuration for note in found)


def test_a_disabled_load_balancer_is_left_out_with_the_pools_that_it_alone_used() -> None:
    listed = document()
    listed["result"].append(listed["result"][2] | {"id": "x", "name": "x.example.com", "enabled": False})
    listed["result"][3]["default_pools"] = ["z"]
    listed["result"].append({"id": "z", "name": "z", "origins": [{"name": "1", "address": "192.0.2.9"}]})
    imported, settings = import_document("cloudflare", listed)
    assert [pool.name for pool in settings.pools] == ["paris", "newyork"]
    assert notes(imported) == {
        "result[3]": 'load balancer "x.example.com" is disabled, and left out',
        'result[4].name = "z"': "pool[2] is left out: no load balancer uses this pool",
    }


def test_a_pool_that_cannot_answer_is_no_fallback() -> None:
    listed = document()
    listed["result"][1]["enabled"] = False
    imported, settings = import_document("cloudflare", listed)
    assert settings.load_balancers[0].fallback_pool == "paris"
    assert [*notes(imported)] == ['result[2].fallback_pool = "newyork"']


def test_types_that_the_fallback_cannot_answer_are_listed() -> None:
    listed = document()
    listed["result"][0]["origins"].append({"name": "2", "address": "2001:db8::1"})
    imported, settings = import_document("cloudflare", listed)
    assert settings.load_balancers[0].types == (A.type,)
    assert "AAAA" in notes(imported)["result[2].fallback_pool"]
    listed["result"][1]["origins"].append({"name": "2", "address": "2001:db8::2"})
    imported, settings = import_document("cloudflare", listed)
    assert settings.load_balancers[0].types == (A.type, AAAA.type)
    assert imported.left_out == ()


def test_where_there_are_only_host_names_they_are_answered_as_cname() -> None:
    listed = document()
    for pool, host in zip(listed["result"], ("a.example.net", "b.example.net"), strict=False):
        pool["origins"][0]["address"] = host
    imported, settings = import_document("cloudflare", listed)
    assert settings.load_balancers[0].types == (CNAME.type,)
    assert settings.pools[0].origins[0].records[CNAME.type] == (b"\1a\7example\3net\0",)
    assert "CNAME" in notes(imported)["result[2]"]


def test_host_names_that_nobody_looks_up_are_listed() -> None:
    listed = document()
    listed["result"][0]["origins"][0]["address"] = "a.example.net"
    imported, _ = import_document("cloudflare", listed)
    assert 'pool "paris"' in notes(imported)["result[2]"]


def test_mail_is_told_by_a_notifier_whose_server_is_to_be_set() -> None:
    listed = document()
    news = {"pool": {"healthy": False}, "origin": {"healthy": False}}
    for pool in listed["result"][:2]:
        pool |= {"notification_email": "ops@example.com, b@example.com", "notification_filter": news}
    imported, settings = import_document("cloudflare", listed)
    (notifier,) = settings.notifiers
    assert (notifier.pools, notifier.events) == (("paris", "newyork"), ("down",))
    assert any("notifier email" in text for text in imported.to_set)
    assert imported.left_out == ()


@pytest.mark.parametrize(
    ("pool", "path"),
    [
        ({"minimum_origins": 3}, "minimum_origins = 3"),
        ({"minimum_origins": 0}, "minimum_origins = 0"),
        ({"monitor": "gone"}, 'monitor = "gone"'),
        ({"latitude": 1}, "latitude = 1"),
        ({"origin_steering": {"policy": "least_connections"}}, 'origin_steering.policy = "least_connections"'),
        ({"load_shedding": {"session_percent": 5, "session_policy": "hash"}}, "load_shedding.session_percent = 5"),
        ({"check_regions": ["WEU"]}, 'check_regions = ["WEU"]'),
        ({"monitor_group": "g"}, 'monitor_group = "g"'),
        ({"origins": [{"name": "1", "address": "192.0.2.1", "weight": 7}]}, "origins[0].weight = 7"),
        ({"origins": [{"address": "192.0.2.1", "virtual_network_id": "v"}]}, 'origins[0].virtual_network_id = "v"'),
        ({"origins": [{"address": "192.0.2.1"}, {"address": "no"}]}, 'origins[1].address = "no"'),
        ({"origins": [{"address": "192.0.2.1", "header": {"X": ["s3cret"]}}]}, "origins[0].header.X = (secret)"),
        (
            {"notification_email": "a@example.com", "notification_filter": {"pool": {"disable": True}}},
            "notification_filter",
        ),
        ({"description": 5}, "description = 5"),
    ],
)
def test_what_a_pool_here_has_not_is_listed(pool: dict[str, Any], path: str) -> None:
    listed = document()
    listed["result"][0] |= pool
    imported, settings = import_document("cloudflare", listed)
    assert [*notes(imported)] == [f"result[0].{path}"]
    assert settings.pools[0].minimum_origins == 1


def test_random_steering_goes_by_names() -> None:
    steering = {"default_weight": 0.5, "pool_weights": {"p": 0.25, "gone": 1}}
    imported, settings = import_document("cloudflare", document(steering_policy="random", random_steering=steering))
    assert settings.load_balancers[0].random_steering.default_weight == 0.5
    assert settings.load_balancers[0].random_steering.pool_weights == {"paris": 0.25}
    assert [*notes(imported)] == ["result[2].random_steering.pool_weights.gone = 1"]


@pytest.mark.parametrize(
    ("names", "zone"),
    [
        (["www.example.com"], "example.com"),
        (["www.example.com", "example.com"], "example.com"),
        (["a.b.example.com", "c.example.com"], "example.com"),
        (["*.example.com"], "example.com"),
        (["www.example.co.uk"], "example.co.uk"),
    ],
)
def test_a_zone_without_a_name_is_guessed_and_said(names: list[str], zone: str) -> None:
    listed = document()
    balancer = listed["result"].pop()
    del balancer["zone_name"]
    listed["result"] += [balancer | {"id": name, "name": name, "zone_id": "z"} for name in names]
    imported, settings = import_document("cloudflare", listed)
    assert f'[[zone]]\nname = "{zone}"' in imported.configuration
    assert any("guessed" in text for text in imported.to_set)
    assert len(settings.load_balancers) == len(names)
    assert imported.left_out == ()


def test_a_page_of_several_is_no_whole() -> None:
    listed = document() | {"result_info": {"total_count": 40}}
    imported, _ = import_document("cloudflare", listed)
    assert "result_info.total_count = 40" in notes(imported)


def test_coordinates_shedding_and_steering_of_origins() -> None:
    listed = document(steering_policy="proximity", location_strategy={"prefer_ecs": "never"})
    for pool in listed["result"][:2]:
        pool |= {"latitude": 48.85, "longitude": 2.35, "origin_steering": {"policy": "hash"}}
        pool["load_shedding"] = {"default_percent": 20, "default_policy": "hash", "session_percent": 0}
    imported, settings = import_document("cloudflare", listed)
    assert imported.left_out == ()
    for expected in (
        "latitude = 48.85",
        'policy = "hash"',
        "default_percent = 20",
        'prefer_ecs = "never"',
        '"proximity"',
    ):
        assert expected in imported.configuration
    assert str(settings.load_balancers[0].steering_policy) == "proximity"


def test_where_load_balancers_do_not_agree_on_the_place_of_clients() -> None:
    listed = document(location_strategy={"prefer_ecs": "never"})
    always = {"id": "x", "name": "x.example.com", "location_strategy": {"prefer_ecs": "geo", "mode": "resolver_ip"}}
    listed["result"].append(listed["result"][2] | always)
    imported, _ = import_document("cloudflare", listed)
    assert [*notes(imported)] == ['result[2].location_strategy.prefer_ecs = "never"']
    assert "[server.location]" not in imported.configuration


def test_without_coordinates_nothing_is_near() -> None:
    imported, settings = import_document("cloudflare", document(steering_policy="proximity"))
    assert settings.load_balancers[0].steering_policy == "off"
    assert [*notes(imported)] == ['result[2].steering_policy = "proximity"']


def test_pool_sets_up_to_the_one_for_everybody() -> None:
    sets = [
        {
            "name": "in Germany",
            "match": {"topology": {"countries": ["DE"]}},
            "overrides": {
                "pools": ["p", "n"],
                "pool_weights": {"p": 0.25},
                "pool_default_weight": 0.75,
                "steering_policy": "random",
                "fallback_pool": "p",
            },
        },
        {"name": "sjc", "match": {"topology": {"pops": ["SJC"]}}, "overrides": {"pools": ["p"]}},
        {"name": "off", "disabled": True, "match": {"topology": {"regions": ["OC"]}}, "overrides": {"pools": ["p"]}},
        {"name": "rest", "match": {"default": True}, "overrides": {"pools": ["n"]}},
        {"name": "late", "match": {"topology": {"countries": ["FR"]}}, "overrides": {"pools": ["p"]}},
    ]
    imported, settings = import_document("cloudflare", document(pool_sets=sets, country_pools={"FR": ["p"]}))
    (balancer,) = settings.load_balancers
    assert balancer.default_pools == ("newyork",)
    (pool_set,) = balancer.pool_sets
    assert (pool_set.name, pool_set.countries, pool_set.pools) == ("in-Germany", ("DE",), ("paris", "newyork"))
    assert (pool_set.steering_policy, pool_set.fallback_pool) == ("random", "paris")
    assert pool_set.random_steering is not None
    assert pool_set.random_steering.pool_weights == {"paris": 0.25}
    assert pool_set.random_steering.default_weight == 0.75
    assert notes(imported).keys() == {
        'result[2].pool_sets[1].match.topology.pops = ["SJC"]',
        "result[2].pool_sets[1]",
        "result[2].pool_sets[2]",
        "result[2].pool_sets[4]",
        'result[2].country_pools = {"FR":["paris"]}',
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1", "expected an answer of the API or a Terraform state"),
        (b'{"success": false, "errors": [{"code": 10000}]}', "answered with an error"),
        (b'{"version": 3, "resources": []}', "version other than 4"),
        (b'{"result": []}', "no load balancer, pool or monitor"),
    ],
)
def test_what_is_nothing_of_the_kind_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        import_files("cloudflare", [File("x.json", content)])


@given(st.binary(max_size=100))
def test_any_bytes(content: bytes) -> None:
    try:
        read(import_files("cloudflare", [File("x.json", content)]))
    except SourceError:
        pass


SPOILT = [
    document(
        pool_sets=[
            {
                "name": "s",
                "match": {"topology": {"countries": ["DE"], "regions": ["WEU"]}},
                "overrides": {"pools": ["p"]},
            },
            {
                "match": {"default": True},
                "overrides": {"pools": ["n"], "steering_policy": "random", "fallback_pool": "p"},
            },
        ],
        steering_policy="proximity",
        random_steering={"pool_weights": {"p": 1}},
        location_strategy={"prefer_ecs": "geo"},
    ),
    *(json.loads((SAMPLES / name).read_bytes()) for name in ("terraform.tfstate", "show.json")),
]
SPOILT[0]["result"] += [json.loads((SAMPLES / "monitor.json").read_bytes())["result"]]
SPOILT[0]["result"][0] |= {"monitor": "id-login", "latitude": 1, "longitude": 2, "notification_email": "a@example.com"}


@given(st.sampled_from(SPOILT).flatmap(spoiled))
def test_whatever_is_spoilt_the_rest_is_carried_over_or_refused(spoilt: object) -> None:
    try:
        import_document("cloudflare", spoilt)
    except SourceError:
        pass
