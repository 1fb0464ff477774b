"""octodns: dynamic records, the old geo records, and what else is in the files of zones."""

import sys
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from monitors.monitor import Monitor
from monitors.probes.https import HttpsMonitor
from monitors.probes.tcp import TcpMonitor
from steering.imports import import_files
from steering.imports.source import File, SourceError
from steering.settings import LoadBalancer

from .support import SAMPLES, import_document, import_samples, notes, read, spoiled

ZONE = "example.com.yaml"


DYNAMIC: dict[str, Any] = {"pools": {"one": {"values": [{"value": "192.0.2.1"}]}}, "rules": [{"pool": "one"}]}


def record(**more: Any) -> dict[str, Any]:
    """A dynamic record of one pool, with more fields."""
    return {"type": "A", "ttl": "60", "value": "192.0.2.9", "dynamic": DYNAMIC} | more


def sets_of(balancer: LoadBalancer) -> list[tuple[str, dict[str, Any], tuple[str, ...]]]:
    """Name, lists and pools of each pool set."""
    return [
        (
            each.name,
            {name: value for name in MATCHING if (value := getattr(each, name))},
            tuple(name.removeprefix("www-example-com-A-") for name in each.pools),
        )
        for each in balancer.pool_sets
    ]


MATCHING = ("continents", "countries", "subdivisions", "networks")


def test_pools_monitors_and_types() -> None:
    imported, settings = import_samples("octodns", ZONE)
    pools = {pool.name.removeprefix("www-example-com-"): pool for pool in settings.pools}
    health = HttpsMonitor(
        name="www-example-com", port=8443, path="/dns-health-check", headers=(("Host", "health.example.com"),)
    )
    assert health in settings.monitors, "A and AAAA have the same check, and one monitor"
    assert TcpMonitor(name="alias-example-com", port=8443) in settings.monitors
    assert pools["AAAA-all"].monitor == "www-example-com"
    assert pools["A-values"].monitor is None
    balancers = {(balancer.name, balancer.types): balancer for balancer in settings.load_balancers}
    assert (b"\3www\7example\3com\0", (28,)) in balancers
    alias = balancers[b"\5alias\7example\3com\0", (5,)]
    assert (alias.default_pools, alias.fallback_pool, alias.ttl) == (
        ("alias-example-com-CNAME-one",),
        "alias-example-com-CNAME-values",
        3600,
    )
    assert 'nameservers = ["ns1.example.net", "ns2.example.net"]' in imported.configuration


def test_rules_are_pool_sets() -> None:
    imported, settings = import_samples("octodns", ZONE)
    assert notes(imported) == {'""[0] = "MX"': "neither dynamic nor geo: it belongs into the file of the zone"}
    www = next(balancer for balancer in settings.load_balancers if balancer.name.startswith(b"\3www"))
    assert sets_of(www) == [
        ("rule-1-networks", {"networks": ("203.0.113.0/24",)}, ("eu", "na")),
        ("rule-1-subdivisions", {"subdivisions": ("US-CA",)}, ("eu", "na")),
        ("rule-2-continents", {"continents": ("AS", "OC")}, ("apac", "na")),
        ("rule-2-countries", {"countries": ("ZA",)}, ("apac", "na")),
        ("rule-3-continents", {"continents": ("AF", "EU")}, ("eu", "na")),
    ]
    assert www.default_pools == ("www-example-com-A-na",)
    eu = next(pool for pool in settings.pools if pool.name == "www-example-com-A-eu")
    assert [(origin.address, origin.weight, origin.enabled) for origin in eu.origins] == [
        ("192.0.2.3", 0.5, True),
        ("192.0.2.4", 1.0, True),
        ("192.0.2.5", 0.25, False),
    ]
    na = next(pool for pool in settings.pools if pool.name == "www-example-com-A-na")
    assert na.monitor is None, "status: up means that nothing is checked"
    assert any("City database" in text for text in imported.to_set)


def test_of_geo_records_the_most_specific_code_wins() -> None:
    _, settings = import_samples("octodns", ZONE)
    old = next(balancer for balancer in settings.load_balancers if balancer.name.startswith(b"\3old"))
    assert [(name, lists) for name, lists, _ in sets_of(old)] == [
        ("NA-US-CA", {"subdivisions": ("US-CA",)}),
        ("EU", {"continents": ("EU",)}),
    ]
    assert old.default_pools == (old.fallback_pool,) == ("old-example-com-A-values",)


def test_split_zones_and_merged_tables() -> None:
    imported, settings = import_samples("octodns", "example.org./shop.yaml")
    assert settings.zones[0].name == b"\7example\3org\0"
    assert settings.load_balancers[0].name == b"\4shop\7example\3org\0"
    assert 'type = "icmp"' in imported.configuration
    assert imported.left_out == ()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"octodns": {"healthcheck": {"protocol": "UDP", "port": "53"}}}, "www.octodns.healthcheck.protocol"),
        ({"octodns": {"healthcheck": {"protocol": "GOPHER"}}}, "www.octodns.healthcheck.protocol"),
        ({"octodns": {"route53": {"healthcheck": {"request_interval": "30"}}}}, "www.octodns.route53"),
        ({"ttl": "soon"}, "www.ttl"),
        ({"geo": {"EU": ["192.0.2.7"]}}, "www.geo.EU"),
        ({"strange": "1"}, "www.strange"),
        ({"dynamic": DYNAMIC | {"rules": [{"pool": "one"}, {"geos": ["EU"], "pool": "one"}]}}, "www.dynamic.rules[1]"),
    ],
)
def test_what_cannot_be_carried_over_is_listed(more: dict[str, Any], expected: str) -> None:
    imported, _ = import_document("octodns", {"www": record(**more)})
    (left_out,) = imported.left_out
    assert left_out.path == expected


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"type": "TXT"}, "neither dynamic nor geo"),
        ({"octodns": {"ignored": "true"}}, "is ignored there"),
        ({"value": "nowhere"}, "no values that could answer"),
    ],
)
def test_records_that_are_left_out(more: dict[str, Any], reason: str) -> None:
    imported, settings = import_document("octodns", {"www": record(), "x": record(**more)})
    assert len(settings.load_balancers) == 1
    assert any(reason in left_out.reason for left_out in imported.left_out)


@pytest.mark.parametrize(
    ("healthcheck", "expected"),
    [
        ({}, HttpsMonitor(name="www-example-com", path="/_dns", headers=(("Host", "www.example.com"),))),
        ({"host": None, "path": "up"}, HttpsMonitor(name="www-example-com", path="/up")),
        ({"protocol": "TCP", "host": "x"}, TcpMonitor(name="www-example-com", port=443)),
    ],
)
def test_a_healthcheck_is_a_monitor(healthcheck: dict[str, Any], expected: Monitor) -> None:
    _, settings = import_document("octodns", {"www": record(octodns={"healthcheck": healthcheck})})
    assert settings.monitors == (expected,)


def test_a_geo_without_values_is_listed() -> None:
    imported, _ = import_document("octodns", {"www": record(dynamic=None, geo={"EU": []})})
    assert imported.left_out[0].path == "www.geo.EU"


def test_fallbacks_may_go_in_circles_and_pools_be_missing() -> None:
    pools = {
        "a": {"fallback": "b", "values": [{"value": "192.0.2.1"}]},
        "b": {"fallback": "a", "values": [{"value": "192.0.2.2"}]},
    }
    rules = [{"geos": ["EU"], "pool": "gone"}, {"pool": "a"}]
    imported, settings = import_document("octodns", {"www": record(dynamic={"pools": pools, "rules": rules})})
    assert settings.load_balancers[0].default_pools == ("www-example-com-A-a", "www-example-com-A-b")
    assert notes(imported) == {'www.dynamic.rules[0].pool = "gone"': "no such pool: the rule is left out"}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not YAML"),
        ("[" * 5_000, "not YAML"),
        ("- a", "expected a table of records"),
        ("www: !include other.yaml", "!include"),
        ("www: !!python/object/apply:os.getcwd []", "python/object"),
        ("www: {}\nwww: {}", "is there twice"),
        ("www: &a {b: *a}", "contains itself"),
        ('www: "\\ud800"', "not YAML"),
        (BOMB, "unfold"),
        ("providers: {}\nzones: {}", "octoDNS's own configuration"),
        ("www: {type: A, value: 192.0.2.1}", "no dynamic and no geo record"),
    ],
)
def test_what_is_nothing_of_the_kind_is_refused(content: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        import_files("octodns", [File(ZONE, content.encode())])


def test_without_pyyaml_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "steering.imports.yaml_document", None)
    with pytest.raises(SourceError, match=r"pip install 'waypost\[octodns\]'"):
        import_files("octodns", [File(ZONE, b"{}")])


def test_an_address_stays_what_it_is() -> None:
    """In YAML 1.1, 1:2:3:4:5:6:7:8 is a number."""
    content = "www: {type: AAAA, geo: {EU: [2001:db8::1]}, value: 1:2:3:4:5:6:7:8}"
    assert 'address = "1:2:3:4:5:6:7:8"' in import_files("octodns", [File(ZONE, content.encode())]).configuration


@given(st.binary(max_size=100) | st.text(alphabet="ab:-[]{}&*!<>,\"' \n", max_size=60).map(str.encode))
def test_any_bytes(content: bytes) -> None:
    try:
        read(import_files("octodns", [File(ZONE, content)]))
    except SourceError:
        pass


SPOILT = yaml.load((SAMPLES / ZONE).read_text(), yaml.BaseLoader)


@given(spoiled(SPOILT))
def test_whatever_is_spoilt_the_rest_is_carried_over_or_refused(spoilt: object) -> None:
    try:
        read(import_files("octodns", [File(ZONE, msgspec.json.encode(spoilt))]))
    except SourceError:
        pass
