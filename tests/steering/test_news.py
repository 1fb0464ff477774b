"""Tests of news: what is told of pools and origins, by their rows."""

from monitors.health import Row, step
from monitors.monitor import Reason, Result
from monitors.probes.tcp import TcpMonitor
from steering.keeper import judge_row
from steering.news import describe_pool, describe_removed, describe_warning, pools_by_target
from steering.settings import Origin, Pool, Settings
from tests.steering.balance.strategies import SERVER

MONITOR = TcpMonitor(name="web", port=80, interval=10, timeout=1, consecutive_up=2)
UP = Result(True, Reason.OK)
DOWN = Result(False, Reason.REFUSED, "Connection refused")
ONE, TWO, OFF = (
    Origin("one", "192.0.2.1"),
    Origin("two", "192.0.2.2"),
    Origin("off", "192.0.2.3", enabled=False),
)
POOL = Pool("paris", (ONE, TWO, OFF), monitor="web", minimum_origins=2)


def told(rows: dict[str, Row], address: str | None = None, pool: Pool = POOL) -> list[tuple[str, str, bool, float]]:
    """Kind, origin, up and since of each event."""
    table = {("web", address): row for address, row in rows.items()}
    health = {
        (pool.name, origin.name): judge_row(rows[origin.address], MONITOR)
        for origin in pool.origins
        if origin.address in rows
    }
    events = list(describe_pool(pool, table, health, address))
    assert all(event.pool == pool.name and event.monitor == "web" for event in events)
    return [(event.kind, event.origin, event.up, event.since) for event in events]


def test_a_pool_is_down_since_too_many_of_its_origins_are() -> None:
    up, down = step(None, UP, MONITOR, 5.0), step(None, DOWN, MONITOR, 7.0)
    assert told({"192.0.2.1": up, "192.0.2.2": down}) == [
        ("up", "one", True, 5.0),
        ("down", "two", False, 7.0),
        ("down", "", False, 7.0),
    ]
    assert told({"192.0.2.1": up, "192.0.2.2": down}, "192.0.2.1") == [
        ("up", "one", True, 5.0),
        ("down", "", False, 7.0),
    ]
    later = step(None, UP, MONITOR, 9.0)
    assert told({"192.0.2.1": up, "192.0.2.2": later}, "192.0.2.2") == [
        ("up", "two", True, 9.0),
        ("up", "", True, 9.0),
    ]


def test_nothing_is_told_of_what_has_no_result_or_is_not_watched() -> None:
    down = step(None, DOWN, MONITOR, 7.0)
    assert told({}) == []
    assert told({"192.0.2.3": down}) == []
    one_is_enough = Pool("paris", (ONE, TWO), monitor="web")
    assert told({"192.0.2.1": down}, pool=one_is_enough) == [("down", "one", False, 7.0)], "the other may be up"
    assert told({"192.0.2.1": down}, pool=Pool("paris", (ONE,), enabled=False, monitor="web")) == []


def test_the_reason_is_that_of_the_state() -> None:
    row = step(None, DOWN, MONITOR, 7.0)
    for given, reason, evidence in [(row, "refused", "Connection refused"), (step(row, UP, MONITOR, 8.0), "", "")]:
        table = {("web", "192.0.2.1"): given}
        event = next(describe_pool(POOL, table, {("paris", "one"): judge_row(given, MONITOR)}))
        assert (event.kind, event.address, event.reason, event.evidence) == ("down", "192.0.2.1", reason, evidence)


def test_a_pool_says_how_many_are_healthy() -> None:
    row = step(None, DOWN, MONITOR, 7.0)
    *_, event = describe_pool(POOL, {("web", "192.0.2.1"): row}, {("paris", "one"): judge_row(row, MONITOR)})
    assert event.reason == "1 of 2 origins healthy, 2 needed"


def test_a_warning_is_that_of_every_origin_there() -> None:
    row = step(None, UP, MONITOR, 7.0)
    [event] = describe_warning(POOL, row, "192.0.2.1", "certificate ends", 9.0)
    assert (event.kind, event.origin, event.up, event.evidence, event.since) == (
        "warning",
        "one",
        True,
        "certificate ends",
        9.0,
    )
    [event] = describe_warning(POOL, row, "192.0.2.1", "", 9.0)
    assert event.kind == "cleared"
    assert list(describe_warning(POOL, row, "192.0.2.3", "certificate ends", 9.0)) == []


def test_what_is_no_longer_watched_is_removed() -> None:
    before = Settings(SERVER, pools=(POOL, Pool("sorry", (OFF,)), Pool("gone", (ONE,), monitor="web")))
    after = Settings(SERVER, pools=(Pool("paris", (ONE, Origin("two", "192.0.2.2", enabled=False)), monitor="web"),))
    events = list(describe_removed(before, after, 9.0))
    assert {event.kind for event in events} == {"removed"}
    assert [(event.pool, event.origin) for event in events] == [("gone", ""), ("gone", "one"), ("paris", "two")]
    assert list(describe_removed(before, before, 9.0)) == []


def test_a_target_stands_for_origins_of_several_pools() -> None:
    twice = Pool("twice", (ONE, Origin("again", "192.0.2.1")), monitor="web")
    settings = Settings(SERVER, pools=(POOL, twice, Pool("sorry", (ONE,)), Pool("off", (TWO,), False, "web")))
    assert pools_by_target(settings) == {("web", "192.0.2.1"): (POOL, twice), ("web", "192.0.2.2"): (POOL,)}
