"""`steering/metrics.py`: what it renders is what Prometheus's own parser reads, and config/http.md has all of it."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from monitors.notify.courier import Statistics as NotifierStatistics
from monitors.scheduler import Statistics
from steering.messages import MonitorStatus, OriginStatus, PoolStatus, Status, WorkerStatus, ZoneStatus
from steering.metrics import Exposition, Probed, add_pool, add_status, monitors_of, render_labels

NOW = 1_800_000_000.0
PAGE = Path(__file__).parents[2] / "config" / "http.md"

ORIGINS = (
    OriginStatus(
        "one",
        "192.0.2.1",
        True,
        0.5,
        up=False,
        since=NOW - 10,
        flips=3,
        warning="the certificate ends",
        certificate_expires=NOW + 86400,
        cause="forced",
        share=0.25,
    ),
    OriginStatus("two", "2001:db8::1", True, 1.0),
)
POOL = PoolStatus("web", True, False, "https", 1, 0, ORIGINS, cause="held")
PROBED: tuple[list[Probed], ...] = (
    [Probed("https", True, NOW - 2.5, 0.01, 0.125, NOW + 86400), Probed("ping", True, NOW - 1)],
    [],
)
STATUS = Status(
    configuration="/etc/waypost.toml",
    since=NOW - 100,
    pid=1,
    listen=(),
    pools=(POOL,),
    zones=(ZoneStatus("example.com.", 4_294_967_295),),
    workers=(WorkerStatus(1, 100, 5, 6, 7, 8),),
    probes=Statistics(10, 2, 30, 4, 5, 0.75, 0.5),
    held="every reference fails",
    notifiers={"ops": NotifierStatistics(1, 2, 3, 4, 5, 6, "refused")},
)


def rendered() -> str:
    exposition = Exposition()
    add_status(exposition, STATUS, "1.2.3")
    add_pool(exposition, POOL, PROBED, NOW)
    return exposition.render()


def parse(text: str) -> dict[str, Metric]:
    """Metric name → family; each is there once."""
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    return {family.name + ("_total" if family.type == "counter" else ""): family for family in families}


def samples(name: str) -> dict[tuple[tuple[str, str], ...], float]:
    return {tuple(sample.labels.items()): sample.value for sample in parse(rendered())[name].samples}


ONE = (("pool", "web"), ("origin", "one"), ("address", "192.0.2.1"))
TWO = (("pool", "web"), ("origin", "two"), ("address", "2001:db8::1"))
PING = (("monitor", "ping"), ("address", "192.0.2.1"), ("pool", "web"), ("origin", "one"))
CHECK = (("monitor", "https"), ("address", "192.0.2.1"), ("pool", "web"), ("origin", "one"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("probe_success", {CHECK: 1, PING: 1}),
        ("probe_duration_seconds", {CHECK: 0.125}),
        ("probe_ssl_earliest_cert_expiry", {CHECK: NOW + 86400}),
        ("waypost_probe_rtt_seconds", {CHECK: 0.01}),
        ("waypost_probe_age_seconds", {CHECK: 2.5, PING: 1}),
        ("waypost_origin_up", {ONE: 0}),
        ("waypost_origin_weight", {ONE: 0.5, TWO: 1}),
        ("waypost_origin_share", {ONE: 0.25, TWO: 1}),
        ("waypost_origin_state_timestamp_seconds", {ONE: NOW - 10}),
        ("waypost_origin_flips_total", {ONE: 3}),
        ("waypost_origin_warning", {ONE: 1}),
        ("waypost_origin_cause", {(*ONE, ("cause", "forced")): 1}),
        ("waypost_pool_up", {(("pool", "web"),): 0}),
        ("waypost_pool_origins", {(("pool", "web"),): 2}),
        ("waypost_pool_cause", {(("pool", "web"), ("cause", "held")): 1}),
        ("waypost_build_info", {(("version", "1.2.3"),): 1}),
        ("waypost_held", {(): 1}),
        ("waypost_zone_serial", {(("zone", "example.com."),): 4_294_967_295}),
        ("waypost_scheduler_started_total", {(): 30}),
        ("waypost_scheduler_lag_seconds_total", {(): 0.75}),
        ("waypost_notifier_given_up_total", {(("notifier", "ops"),): 5}),
        ("waypost_notifier_failing", {(("notifier", "ops"),): 1}),
        ("waypost_worker_slipped_total", {(("worker", "1"),): 7}),
    ],
)
def test_what_is_told(name: str, expected: dict[tuple[tuple[str, str], ...], float]) -> None:
    assert samples(name) == expected


def test_names_are_as_prometheus_wants_them() -> None:
    """As `promtool check metrics` would say: base units, counters in _total and nothing else, help for all."""
    for name, family in parse(rendered()).items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert family.documentation, name
        assert name.endswith("_total") == (family.type == "counter"), name
        assert not re.search(r"_(ms|milliseconds|minutes|gauge|counter)(_|$)", name)


def test_the_page_has_every_metric_and_no_other() -> None:
    page = set(re.findall(r"^\| `((?:probe|waypost)_[a-z_]+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert page == set(parse(rendered()))


def test_each_metric_is_in_one_place_whatever_the_order_of_the_pools() -> None:
    exposition = Exposition()
    for name in ("a", "b", "c"):
        add_pool(exposition, PoolStatus(name, True, True, None, 1, 1, ()), (), NOW)
    assert [sample.labels["pool"] for sample in parse(exposition.render())["waypost_pool_up"].samples] == [
        "a",
        "b",
        "c",
    ]


def test_the_monitors_of_an_origin() -> None:
    alone, none = PoolStatus("a", True, True, "m", 1, 1, ()), PoolStatus("a", True, True, None, 1, 1, ())
    group = OriginStatus(
        "o", "192.0.2.1", True, 1.0, monitors=(MonitorStatus("x", "votes"), MonitorStatus("y", "votes"))
    )
    assert monitors_of(alone, ORIGINS[0]) == ("m",)
    assert monitors_of(alone, group) == ("x", "y")
    assert monitors_of(none, ORIGINS[0]) == ()


@given(st.text(st.characters(codec="utf-8")), st.floats() | st.integers(-(2**40), 2**40))
def test_any_label_and_any_number_come_back(text: str, value: float) -> None:
    exposition = Exposition()
    exposition.gauge("some_name", "A help text,\nwith a \\.", render_labels((("one", text), ("two", "x"))), value)
    [family] = parse(exposition.render()).values()
    [sample] = family.samples
    assert sample.labels == {"one": text, "two": "x"}
    assert sample.value == value or (math.isnan(sample.value) and math.isnan(value))
    assert family.documentation == "A help text,\nwith a \\."
