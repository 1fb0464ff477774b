"""Tests of news: what is told of origins and pools, by how they count."""

import msgspec
import pytest

from monitors.health import Row, step
from monitors.monitor import Reason, Result, Target
from monitors.probes.tcp import TcpMonitor
from steering.health.judgement import OriginState, Watch, judge_origin, judge_watches
from steering.health.news import describe_hold, describe_origin, describe_pool, describe_removed, describe_warning
from steering.health.orders import Order
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


def state_of(row: Row, order: Order | None = None) -> OriginState:
    """How an origin with that row counts."""
    watch = Watch(Target(MONITOR, "192.0.2.1"), "votes")
    state = judge_origin(judge_watches([watch], {watch.key: row}, row.checked), order)
    assert state is not None
    return state


def after(*results: Result) -> OriginState:
    """How an origin counts after these results, one a second from 5 on."""
    row: Row | None = None
    for second, result in enumerate(results):
        row = step(row, result, MONITOR, 5.0 + second)
    assert row is not None
    return state_of(row)


def order(up: bool | None, until: float | None = None) -> Order:
    return Order(up, 1.0 if up is not None else 0.5, "forced", "works", "ann", 3.0, until, 0.0, 0.0)


def kinds(before: OriginState | None, state: OriginState) -> list[tuple[str, bool, float]]:
    """Kind, up and since of what is told of the origin."""
    events = list(describe_origin(POOL, ONE, before, state))
    assert {(event.pool, event.origin, event.address, event.monitor) for event in events} == {
        ("paris", "one", "192.0.2.1", "web")
    }
    return [(event.kind, event.up, event.since) for event in events]


class TestOrigin:
    def test_a_flip_is_told_alone(self) -> None:
        assert kinds(after(UP), after(UP, DOWN)) == [("down", False, 6.0)]
        assert kinds(after(DOWN), after(DOWN, UP, UP)) == [("up", True, 7.0)]

    def test_when_nothing_is_known_of_before_every_end_is_told(self) -> None:
        assert [kind for kind, *_ in kinds(None, after(UP))] == ["freed", "steady", "up"]

    def test_the_reason_is_that_of_the_state(self) -> None:
        for state, reason, evidence in [
            (after(DOWN), "refused", "Connection refused"),
            (after(DOWN, UP), "", ""),
        ]:
            [event] = describe_origin(POOL, ONE, after(UP), state)
            assert (event.kind, event.reason, event.evidence) == ("down", reason, evidence)

    @pytest.mark.parametrize(
        ("given", "up", "evidence"),
        [
            (order(False), False, "by ann, until it is cleared"),
            (order(True, 60.0), True, "by ann, until 1970-01-01 00:01:00 UTC"),
            (order(None, 60.0), True, "draining, by ann, until 1970-01-01 00:01:00 UTC"),
        ],
    )
    def test_an_order_is_no_alarm(self, given: Order, up: bool, evidence: str) -> None:
        row = step(None, UP, MONITOR, 5.0)
        [event] = describe_origin(POOL, ONE, after(UP), state_of(row, given))
        assert (event.kind, event.up, event.since) == ("forced", up, 3.0)
        assert (event.reason, event.evidence) == ("works", evidence)

    def test_the_end_of_an_order_is_told_with_what_the_checks_say(self) -> None:
        forced = state_of(step(None, DOWN, MONITOR, 5.0), order(True))
        assert kinds(forced, after(DOWN)) == [("freed", False, 5.0), ("down", False, 5.0)]

    def test_an_order_that_has_not_begun_is_not_told(self) -> None:
        planned = msgspec.structs.replace(order(None), cause="", share=1.0)
        assert kinds(after(UP), state_of(step(None, UP, MONITOR, 5.0), planned)) == [("up", True, 5.0)]

    def test_flapping_takes_the_place_of_up_and_down(self) -> None:
        row = msgspec.structs.replace(step(None, UP, MONITOR, 5.0), damped=9.0)
        assert kinds(after(UP), state_of(row)) == [("flapping", False, 9.0)]
        assert kinds(state_of(row), after(UP)) == [("steady", True, 5.0), ("up", True, 5.0)]

    def test_what_is_from_before_a_restart_is_not_told(self) -> None:
        stale = state_of(msgspec.structs.replace(step(None, DOWN, MONITOR, 5.0), stale=True))
        assert "down" not in [kind for kind, *_ in kinds(None, stale)]
        assert kinds(stale, after(DOWN)) == [("down", False, 5.0)]


def told(pool: Pool = POOL, **states: OriginState) -> list[tuple[str, bool, float, str]]:
    """Kind, up, since and reason of what is told of a pool."""
    events = list(describe_pool(pool, {(pool.name, name): state for name, state in states.items()}))
    assert all((event.pool, event.origin, event.monitor) == (pool.name, "", "web") for event in events)
    return [(event.kind, event.up, event.since, event.reason) for event in events if event.kind != "freed"]


class TestPool:
    def test_it_is_down_since_too_many_of_its_origins_are(self) -> None:
        up, down, later = after(UP), after(UP, DOWN), after(DOWN, DOWN, UP, UP)
        assert told(one=up, two=down) == [("down", False, 6.0, "1 of 2 origins healthy, 2 needed")]
        assert told(one=up, two=later) == [("up", True, 8.0, "2 of 2 origins healthy, 2 needed")]

    def test_nothing_is_told_that_is_a_guess(self) -> None:
        assert told() == []
        one_is_enough = Pool("paris", (ONE, TWO), monitor="web")
        assert told(one_is_enough, one=after(DOWN)) == [], "the other may be up"
        assert told(Pool("paris", (ONE,), enabled=False, monitor="web"), one=after(DOWN)) == []
        stale = state_of(msgspec.structs.replace(step(None, DOWN, MONITOR, 5.0), stale=True))
        assert told(one=stale, two=stale) == []

    def test_what_people_ordered_is_no_alarm_but_a_failure_beneath_it_is(self) -> None:
        row = step(None, UP, MONITOR, 5.0)
        reason = "1 of 2 origins healthy, 2 needed"
        assert told(one=after(UP), two=state_of(row, order(False))) == [("forced", False, 3.0, reason)]
        assert told(one=after(UP, DOWN), two=state_of(row, order(False)))[0][0] == "down"
        up = state_of(step(None, DOWN, MONITOR, 5.0), order(True))
        assert told(one=after(UP), two=up)[0][:2] == ("forced", True)


def test_a_warning_and_its_end() -> None:
    event = describe_warning(POOL, ONE, True, "certificate ends", 9.0)
    assert (event.kind, event.origin, event.up, event.evidence, event.since) == (
        "warning",
        "one",
        True,
        "certificate ends",
        9.0,
    )
    assert describe_warning(POOL, ONE, True, "", 9.0).kind == "cleared"


def test_a_hold_is_of_the_checker() -> None:
    event = describe_hold("10 of 10 targets fail at once", 9.0)
    assert (event.kind, event.pool, event.origin, event.reason) == ("held", "", "", "10 of 10 targets fail at once")
    assert describe_hold("", 9.0).kind == "resumed"


def test_what_is_no_longer_watched_is_removed() -> None:
    before = Settings(SERVER, pools=(POOL, Pool("sorry", (OFF,)), Pool("gone", (ONE,), monitor="web")))
    after_ = Settings(
        SERVER,
        pools=(
            Pool("paris", (ONE, Origin("two", "192.0.2.2", enabled=False)), monitor="web"),
            Pool("sorry", (OFF,), enabled=False),
        ),
    )
    events = list(describe_removed(before, after_, 9.0))
    assert {event.kind for event in events} == {"removed"}
    assert [(event.pool, event.origin) for event in events] == [
        ("gone", ""),
        ("gone", "one"),
        ("paris", "two"),
        ("sorry", ""),
    ]
    assert list(describe_removed(before, before, 9.0)) == []
