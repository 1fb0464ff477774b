"""Tests of judgement: single monitors, groups, and orders."""

import math
from itertools import combinations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.health import Key, Row
from monitors.monitor import Reason, Target
from monitors.probes.tcp import TcpMonitor
from steering.balance.pools import Verdict
from steering.health.judgement import OriginState, Role, Watch, judge_origin, judge_watches, make_verdict
from steering.health.orders import Order

ADDRESS = "192.0.2.1"


def watch(name: str, role: Role = "votes", **fields: object) -> Watch:
    monitor = msgspec.convert({"type": "tcp", "name": name, "port": 80, "interval": 10.0} | fields, TcpMonitor)
    return Watch(Target(monitor, ADDRESS), role)


def row(up: bool, **fields: object) -> Row:
    reason = Reason.OK if up else Reason.REFUSED
    return msgspec.structs.replace(Row(up, 0, 100.0, 0.02, reason, "seen", 200.0, average_rtt=0.02), **fields)


def judged(*members: tuple[Watch, Row | None], now: float = 200.0) -> OriginState:
    state = judge_watches([watch for watch, _ in members], table(members), now)
    assert state is not None
    return state


def table(members: tuple[tuple[Watch, Row | None], ...]) -> dict[Key, Row]:
    return {watch.key: row for watch, row in members if row is not None}


class TestOne:
    def test_it_is_as_its_row(self) -> None:
        state = judged((watch("web", consecutive_down=3), row(True)))
        assert (state.up, state.checks, state.since, state.cause, state.flip_after) == (True, True, 100.0, "", 30.0)
        assert (state.reason, state.evidence, state.rtt, state.share) == ("ok", "seen", 0.02, 1.0)
        assert judge_watches([watch("web")], {}, 200.0) is None

    @pytest.mark.parametrize(
        ("fields", "up", "cause", "since"),
        [
            ({"damped": 150.0}, False, "damped", 150.0),
            ({"held": True}, True, "held", 100.0),
            ({"stale": True}, True, "stale", 100.0),
        ],
    )
    def test_why_it_counts_otherwise(self, fields: dict[str, object], up: bool, cause: str, since: float) -> None:
        state = judged((watch("web", damping_flips=1), row(True, **fields)))
        assert (state.up, state.cause, state.since) == (up, cause, since)


class TestGroup:
    @pytest.mark.parametrize(
        ("members", "up"),
        [
            ("vv --", False),
            ("vv +-", True),
            ("vvv +--", False),
            ("vvv ++-", True),
            ("mvv -++", False),
            ("mvv +--", False),
            ("mvv +-+", True),
            ("vww +--", True),
            ("vww -++", False),
            ("vvv -+.", True),
            ("vvv -..", False),
        ],
    )
    def test_who_decides(self, members: str, up: bool) -> None:
        roles: dict[str, Role] = {"v": "votes", "m": "must be healthy", "w": "only watches"}
        states = {"+": row(True), "-": row(False), ".": None}
        letters, signs = members.split()
        group = [
            (watch(f"m{place}", roles[letter]), states[sign])
            for place, (letter, sign) in enumerate(zip(letters, signs, strict=True))
        ]
        state = judged(*group)
        assert (state.up, state.checks) == (up, up)
        if "." in signs:
            assert state.flip_after == 0, "a first result may come at any moment"

    def test_nothing_is_known_without_a_vote(self) -> None:
        members = ((watch("a"), None), (watch("b", "only watches"), row(False)))
        assert judge_watches([each for each, _ in members], table(members), 200.0) is None

    def test_the_round_trip_is_the_mean_of_the_votes(self) -> None:
        state = judged(
            (watch("a"), row(True, rtt=0.01, average_rtt=0.01)),
            (watch("b"), row(True, rtt=0.03, average_rtt=0.05)),
            (watch("c"), row(True, rtt=None, average_rtt=None)),
            (watch("d", "only watches"), row(True, rtt=5.0, average_rtt=5.0)),
        )
        assert state.rtt == pytest.approx(0.02)
        assert state.average_rtt == pytest.approx(0.03)

    def test_the_reason_is_that_of_who_decided(self) -> None:
        state = judged(
            (watch("a"), row(True)),
            (watch("b"), row(False, reason=Reason.RESET)),
            (watch("c", "must be healthy"), row(False)),
        )
        assert (state.up, state.reason, state.evidence) == (False, "refused", "c: seen")

    def test_damped_in_a_group(self) -> None:
        state = judged((watch("a"), row(True, damped=150.0)), (watch("b", "only watches"), row(True)))
        assert (state.up, state.cause) == (False, "damped")

    @given(
        st.lists(
            st.tuples(st.booleans(), st.booleans(), st.integers(1, 50)),
            min_size=2,
            max_size=6,
        )
    )
    def test_the_earliest_moment_of_a_change(self, members: list[tuple[bool, bool, int]]) -> None:
        """Against every set of members that could have flipped by some moment."""
        group = tuple(
            (watch(f"m{place}", "must be healthy" if must else "votes", interval=float(interval)), row(up))
            for place, (up, must, interval) in enumerate(members)
        )
        state = judged(*group)
        earliest = math.inf
        for size in range(len(group) + 1):
            for flipped in combinations(range(len(group)), size):
                changed = [
                    (each, row(not found.up) if place in flipped else found)
                    for place, (each, found) in enumerate(group)
                ]
                if judged(*changed).up != state.up:
                    earliest = min(earliest, max(members[place][2] for place in flipped))
        assert state.flip_after == earliest


def order(up: bool | None, **fields: object) -> Order:
    made = Order(up, 1.0, "forced", "works", "ann", 150.0, 900.0, 512.0, 388.0)
    return msgspec.structs.replace(made, **fields)


class TestOrders:
    def test_an_order_wins_and_the_checks_go_on_beneath_it(self) -> None:
        checked = judged((watch("web"), row(True)))
        state = judge_origin(checked, order(False))
        assert state is not None
        assert (state.up, state.checks, state.cause, state.since, state.flip_after) == (
            False,
            True,
            "forced",
            150.0,
            512.0,
        )
        assert state.reason == "ok"

    def test_what_is_drained_still_depends_on_its_checks(self) -> None:
        for up in (True, False):
            state = judge_origin(judged((watch("web"), row(up))), order(None, share=0.5, flip_after=4.0))
            assert state is not None
            assert (state.up, state.share, state.cause, state.flip_after) == (up, 0.5, "forced", 4.0)

    def test_what_is_planned_only_shortens_the_time(self) -> None:
        checked = judged((watch("web"), row(True)))
        state = judge_origin(checked, order(None, cause="", flip_after=4.0))
        assert state is not None
        assert (state.up, state.share, state.cause, state.flip_after, state.since) == (True, 1.0, "", 4.0, 100.0)

    def test_without_checks(self) -> None:
        state = judge_origin(None, order(False))
        assert state is not None
        assert (state.up, state.checks) == (False, None)
        assert judge_origin(None, None) is None


class TestVerdict:
    def test_it_has_what_answers_need(self) -> None:
        state = judge_origin(judged((watch("web"), row(True))), order(None, share=0.25))
        assert state is not None
        assert make_verdict(state, None) == Verdict(True, 10.0, 0.25, 0.02, cause="forced")

    @pytest.mark.parametrize(
        ("before", "now", "told"),
        [(0.1, 0.119, 0.1), (0.1, 0.121, 0.121), (0.0001, 0.0009, 0.0001), (0.0001, 0.002, 0.002), (None, 0.1, 0.1)],
    )
    def test_a_round_trip_that_hardly_changes_is_not_told(self, before: float | None, now: float, told: float) -> None:
        state = judged((watch("web"), row(True, average_rtt=now)))
        assert make_verdict(state, Verdict(True, 10.0, rtt=before)).rtt == told
