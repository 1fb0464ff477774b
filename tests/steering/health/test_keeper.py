"""Tests of the keeper of health: what becomes of results, before and after their configuration is in force."""

import logging
import math
import time
from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from monitors.monitor import Reason, Result, Target
from monitors.probes.http import HttpMonitor
from monitors.probes.tcp import TcpMonitor
from steering.balance.pools import Verdict
from steering.health.guard import Guard
from steering.health.judgement import OriginState
from steering.health.keeper import HealthKeeper, KeptHealth, OriginName, name_targets, targets_of
from steering.health.maintenance import Maintenance
from steering.health.overrides import Override
from steering.messages import OriginHealth
from steering.settings import LoadShedding, Member, MonitorGroup, Origin, OriginHeader, Pool, Settings
from tests.steering.balance.strategies import SERVER

UP = Result(True, Reason.OK, rtt=0.01)
DOWN = Result(False, Reason.REFUSED, "Connection refused")
MONITOR = TcpMonitor(name="web", port=80, interval=10, timeout=1, consecutive_down=3, consecutive_up=2)
OTHER_PORT = TcpMonitor(name="web", port=81, interval=10, timeout=1, consecutive_down=3, consecutive_up=2)
KEY = ("web", "192.0.2.1")
ORIGIN = ("paris", "paris-1")


def paris(monitor: TcpMonitor = MONITOR, address: str = "192.0.2.1") -> Settings:
    """One origin, probed by a monitor."""
    return Settings(
        SERVER, monitors=(monitor,), pools=(Pool("paris", (Origin("paris-1", address),), monitor=monitor.name),)
    )


@pytest.fixture
def told() -> list[OriginHealth]:
    """What `keeper` says."""
    return []


@pytest.fixture
def keeper(told: list[OriginHealth]) -> HealthKeeper:
    """One that has `paris()` in force."""
    made = HealthKeeper()
    made.on_change = told.extend
    made.commit(paris())
    return made


Take = Callable[[Result], None]


@pytest.fixture
def take(keeper: HealthKeeper) -> Take:
    """Give `keeper` a result of the origin."""
    return lambda result: keeper.take(Target(MONITOR, "192.0.2.1"), result)


class TestInForce:
    def test_the_verdict_is_told_when_it_matters_to_answers(
        self, keeper: HealthKeeper, told: list[OriginHealth], take: Take
    ) -> None:
        for result in (UP, UP, DOWN, DOWN, UP, DOWN, DOWN, DOWN, UP, UP):
            take(result)
            assert keeper.verdicts == {ORIGIN: told[-1].verdict}
        assert [(each.verdict.up, each.verdict.flip_after) for each in told] == [
            (True, 30.0),
            (True, 20.0),
            (True, 10.0),
            (True, 30.0),
            (True, 20.0),
            (True, 10.0),
            (False, 20.0),
            (False, 10.0),
            (True, 30.0),
        ]

    def test_a_flip_is_told_once_when_the_verdict_says_so(self, keeper: HealthKeeper, take: Take) -> None:
        turns: list[tuple[OriginName, bool | None, bool, bool]] = []

        def note(origin: OriginName, before: OriginState | None, state: OriginState | None) -> None:
            assert state is not None
            turns.append((origin, None if before is None else before.up, state.up, keeper.verdicts[origin].up))

        keeper.on_turn = note
        for result in (UP, UP, DOWN, DOWN, DOWN, DOWN, UP, UP):
            take(result)
        assert turns == [(ORIGIN, None, True, True), (ORIGIN, True, False, False), (ORIGIN, False, True, True)]

    def test_a_warning_is_told_when_it_comes_and_goes_and_again_after_a_reload(
        self, keeper: HealthKeeper, take: Take
    ) -> None:
        warnings: list[str] = []
        keeper.on_warning = lambda _, warning: warnings.append(warning)
        warned = Result(True, Reason.OK, warning="3 days")
        for result in (UP, warned, warned, DOWN, warned, UP, UP, warned):
            take(result)
        assert warnings == ["", "3 days", "", "3 days"]
        keeper.commit(paris())
        take(warned)
        assert warnings[4:] == ["3 days"]

    def test_the_log_says_which_probe_saw_what(self, take: Take, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        for result in (UP, UP, DOWN, DOWN, DOWN, DOWN):
            take(result)
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 4, "what goes on as it was is not news"
        assert all("paris/paris-1 (192.0.2.1)" in line and "monitor web" in line for line in lines)
        assert "is up" in lines[0]
        assert [line for line in lines if "Connection refused" in line] == lines[1:]
        assert "is DOWN" in lines[3]
        assert "is DOWN" not in lines[1] + lines[2]

    def test_a_target_that_has_gone_and_comes_again_starts_anew(
        self, keeper: HealthKeeper, told: list[OriginHealth], take: Take
    ) -> None:
        take(DOWN)
        keeper.commit(paris(address="192.0.2.2"))
        assert not keeper.table
        assert keeper.verdicts == {}
        keeper.commit(paris())
        assert keeper.verdicts == {}
        take(UP)
        assert [each.verdict.up for each in told] == [False, True], "without a streak of before"

    def test_a_target_that_stays_keeps_its_row(self, keeper: HealthKeeper, take: Take) -> None:
        for result in (UP, DOWN, DOWN):
            take(result)
        row = keeper.table[KEY]
        keeper.commit(paris())
        assert keeper.table[KEY] == row
        assert keeper.verdicts == {ORIGIN: Verdict(True, 10.0, rtt=0.01)}


class TestNext:
    """Results of a configuration that is not in force yet."""

    @pytest.mark.parametrize(
        ("following", "target"),
        [
            (paris(OTHER_PORT), Target(OTHER_PORT, "192.0.2.1")),
            (paris(address="192.0.2.2"), Target(MONITOR, "192.0.2.2")),
        ],
        ids=["the same name, another port", "a new address"],
    )
    def test_they_count_from_the_moment_it_is(
        self, keeper: HealthKeeper, told: list[OriginHealth], take: Take, following: Settings, target: Target
    ) -> None:
        take(UP)
        del told[:]
        turns: list[OriginName] = []
        keeper.on_turn = lambda origin, *_: turns.append(origin)
        keeper.expect(following)
        keeper.take(target, DOWN)
        take(UP)
        assert (told, turns) == ([], [])
        assert keeper.verdicts == {ORIGIN: Verdict(True, 30.0, rtt=0.01)}
        keeper.commit(following)
        assert keeper.verdicts == {ORIGIN: Verdict(False, 20.0)}
        keeper.take(target, UP)
        assert told == [OriginHealth(*ORIGIN, Verdict(False, 10.0, rtt=0.01))]
        keeper.commit(paris())
        keeper.commit(following)
        assert keeper.verdicts == {}, "they count once"

    def test_they_are_forgotten_if_it_never_is(
        self, keeper: HealthKeeper, told: list[OriginHealth], take: Take
    ) -> None:
        take(UP)
        del told[:]
        keeper.expect(paris(OTHER_PORT))
        keeper.take(Target(OTHER_PORT, "192.0.2.1"), DOWN)
        keeper.abandon()
        assert told == []
        assert keeper.verdicts == {ORIGIN: Verdict(True, 30.0, rtt=0.01)}
        keeper.expect(paris(OTHER_PORT))
        keeper.commit(paris(OTHER_PORT))
        assert keeper.verdicts == {}

    def test_their_origins_are_named_in_the_log(self, keeper: HealthKeeper, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        keeper.expect(paris(address="192.0.2.2"))
        keeper.take(Target(MONITOR, "192.0.2.2"), UP)
        assert "paris/paris-1 (192.0.2.2) is up" in caplog.text


def test_a_target_is_each_monitor_and_address_once_and_only_what_is_enabled() -> None:
    deep = TcpMonitor(name="deep", port=80)

    def pool(name: str, monitor: str | None, *origins: tuple[str, bool], enabled: bool = True) -> Pool:
        made = tuple(Origin(f"o{number}", address, enabled=on) for number, (address, on) in enumerate(origins))
        return Pool(name, made, enabled, monitor)

    configured = Settings(
        SERVER,
        monitors=(MONITOR, deep),
        pools=(
            pool("one", "web", ("192.0.2.1", True), ("192.0.2.2", False)),
            pool("two", "web", ("192.0.2.1", True), ("192.0.2.3", True)),
            pool("three", "deep", ("192.0.2.1", True)),
            pool("four", "web", ("192.0.2.4", True), enabled=False),
            pool("five", None, ("192.0.2.5", True)),
        ),
    )
    assert sorted((target.monitor.name, target.address) for target in targets_of(configured)) == [
        ("deep", "192.0.2.1"),
        ("web", "192.0.2.1"),
        ("web", "192.0.2.3"),
    ]
    assert name_targets(configured)["web", "192.0.2.1"] == "one/o0, two/o0 (192.0.2.1)"


def test_targets_of_origins_with_a_port_and_a_host(keeper: HealthKeeper, told: list[OriginHealth]) -> None:
    monitor = HttpMonitor(name="web")
    origins = (
        Origin("plain", "192.0.2.1"),
        Origin("port", "192.0.2.1", port=8080),
        Origin("host", "192.0.2.1", port=8080, header=OriginHeader(Host="www.example.com")),
    )
    settings = Settings(SERVER, monitors=(monitor,), pools=(Pool("p", origins, monitor="web"),))
    targets = targets_of(settings)
    assert targets == [
        Target(monitor, "192.0.2.1"),
        Target(monitor, "192.0.2.1", 8080),
        Target(monitor, "192.0.2.1", 8080, "www.example.com"),
    ]
    assert name_targets(settings)[targets[2].key] == "p/host (www.example.com@192.0.2.1:8080)"
    keeper.commit(settings)
    keeper.take(targets[1], DOWN)
    assert told == [OriginHealth("p", "port", Verdict(False, 60.0))]
    assert list(keeper.table) == [("web", "192.0.2.1:8080")]


def test_the_addresses_of_a_host_are_told_when_they_change(keeper: HealthKeeper, told: list[OriginHealth]) -> None:
    keeper.commit(paris(address="www.example.com"))
    target = Target(MONITOR, "www.example.com")
    for addresses in (("192.0.2.1",), ("192.0.2.1",), ("192.0.2.1", "192.0.2.2")):
        keeper.take(target, Result(True, Reason.OK, addresses=addresses, addresses_ttl=12))
    assert [change.verdict for change in told] == [
        Verdict(True, 12, addresses=("192.0.2.1",)),
        Verdict(True, 12, addresses=("192.0.2.1", "192.0.2.2")),
    ]


class Clock:
    """Unix time, as the test sets it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "time", made.time)
    return made


def forced(state: str, clock: Clock, **fields: object) -> Override:
    """An override of paris-1, or of other origins."""
    given = {"origin": "paris-1", "state": state, "by": "ann", "since": clock.now} | fields
    return msgspec.convert(given, Override)


class TestOrders:
    def test_they_win_at_once_and_their_end_brings_back_what_the_checks_say(
        self, clock: Clock, keeper: HealthKeeper, told: list[OriginHealth], take: Take
    ) -> None:
        take(UP)
        keeper.order((forced("down", clock, until=clock.now + 100),))
        assert told[-1].verdict == Verdict(False, 64.0, rtt=0.01, cause="forced")
        count = len(told)
        take(UP)
        assert len(told) == count, "results go on beneath it"
        ttls = []
        while (look := keeper.look()) != math.inf:
            clock.now = look
            keeper.look()
            ttls.append(told[-1].verdict.flip_after)
        assert ttls == [32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 0.0, 30.0]
        assert clock.now == 1_800_000_100.0
        assert told[-1].verdict == Verdict(True, 30.0, rtt=0.01)

    def test_a_drain_takes_the_share_down_and_then_the_origin(
        self, clock: Clock, keeper: HealthKeeper, told: list[OriginHealth], take: Take
    ) -> None:
        take(UP)
        start = clock.now
        keeper.order((forced("drain", clock, over=10.0),))
        shares = {start: 1.0}
        while (look := keeper.look()) != math.inf:
            clock.now = look
            keeper.look()
            if told[-1].verdict.up:
                shares[clock.now] = told[-1].verdict.share
        assert shares[start + 5] == pytest.approx(0.5)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
        assert min(shares.values()) == pytest.approx(0.1)
        assert told[-1].verdict == Verdict(False, math.inf, rtt=0.01, cause="forced")
        assert clock.now == start + 10

    def test_an_origin_without_a_monitor_can_be_taken_out(self, clock: Clock, told: list[OriginHealth]) -> None:
        keeper = HealthKeeper()
        keeper.on_change = told.extend
        keeper.commit(Settings(SERVER, pools=(Pool("sorry", (Origin("last", "192.0.2.9"),)),)))
        keeper.order((forced("down", clock, origin="last"),))
        keeper.order(())
        assert [each.verdict for each in told] == [
            Verdict(False, math.inf, cause="forced"),
            Verdict(True, math.inf),
        ]
        assert keeper.verdicts == {}

    def test_they_wait_for_origins_that_are_away(self, clock: Clock, keeper: HealthKeeper, take: Take) -> None:
        take(UP)
        keeper.order((forced("down", clock),))
        other = Settings(SERVER, pools=(Pool("lyon", (Origin("lyon-1", "192.0.2.1"),)),))
        keeper.commit(other)
        assert keeper.verdicts == {}
        keeper.commit(paris())
        assert not keeper.verdicts[ORIGIN].up

    def test_the_newest_counts_and_wins_over_maintenance(self, clock: Clock, keeper: HealthKeeper, take: Take) -> None:
        window = Maintenance(name="disks", start=clock.now, duration=60.0)
        keeper.commit(msgspec.structs.replace(paris(), maintenance=(window,)))
        take(UP)
        state = keeper.states[ORIGIN]
        assert (state.up, state.cause, state.checks) == (False, "maintenance", True)
        keeper.order((forced("down", clock, origin="*"), forced("up", clock)))
        assert (keeper.states[ORIGIN].up, keeper.states[ORIGIN].cause) == (True, "forced")
        keeper.order(())
        clock.now += 60
        assert keeper.look() == math.inf
        assert (keeper.states[ORIGIN].up, keeper.states[ORIGIN].cause) == (True, "")


def many(count: int, **fields: object) -> Settings:
    """So many origins, each a target."""
    origins = tuple(Origin(f"o{number}", f"192.0.2.{number}") for number in range(count))
    monitor = TcpMonitor(name="web", port=80, interval=10, timeout=1)
    made = Settings(SERVER, monitors=(monitor,), pools=(Pool("paris", origins, monitor="web"),))
    return msgspec.structs.replace(made, **fields)


class TestGuard:
    def give(self, keeper: HealthKeeper, settings: Settings, result: Result, count: int | None = None) -> None:
        for target in targets_of(settings)[:count]:
            keeper.take(target, result)

    def test_what_fell_is_put_back_and_held_until_enough_succeed(self, clock: Clock) -> None:
        settings, keeper = many(10), HealthKeeper()
        keeper.commit(settings)
        self.give(keeper, settings, UP)
        since = {origin: state.since for origin, state in keeper.states.items()}
        holds: list[str] = []
        keeper.on_hold = lambda: holds.append(keeper.held)
        clock.now += 10
        self.give(keeper, settings, DOWN, 8)
        assert sum(verdict.up for verdict in keeper.verdicts.values()) == 2
        self.give(keeper, settings, DOWN)
        assert all(verdict.up for verdict in keeper.verdicts.values())
        assert {origin: state.since for origin, state in keeper.states.items()} == since
        assert {state.cause for state in keeper.states.values()} == {"held"}
        assert keeper.held == "10 of 10 targets fail at once"
        keeper.commit(settings)
        assert keeper.held, "a reload changes nothing of it"
        self.give(keeper, settings, UP, 2)
        assert not keeper.held
        assert {state.cause for state in keeper.states.values()} == {""}
        assert all(verdict.up for verdict in keeper.verdicts.values())
        self.give(keeper, settings, DOWN, 1)
        assert sum(verdict.up for verdict in keeper.verdicts.values()) == 9
        assert [bool(why) for why in holds] == [True, False]

    def test_references_are_probed_and_have_the_last_word(self, clock: Clock) -> None:  # noqa: ARG002 - time stands
        settings, keeper = many(10, guard=Guard(("198.51.100.1",), "web")), HealthKeeper()
        reference = targets_of(settings)[-1]
        assert reference.address == "198.51.100.1"
        keeper.commit(settings)
        self.give(keeper, settings, UP)
        assert set(keeper.origins) == {("paris", f"o{number}") for number in range(10)}
        self.give(keeper, settings, DOWN, 10)
        assert not any(verdict.up for verdict in keeper.verdicts.values())
        keeper.take(reference, DOWN)
        assert keeper.held == "none of 1 references answers"
        assert all(verdict.up for verdict in keeper.verdicts.values())
        keeper.take(reference, UP)
        assert not keeper.held


class TestRestart:
    def kept(self, keeper: HealthKeeper, settings: Settings) -> HealthKeeper:
        """One that has started with what the other kept, over the disk."""
        disk = msgspec.msgpack.encode(keeper.keep(settings.monitors))
        made = HealthKeeper()
        made.recall(msgspec.msgpack.decode(disk, type=KeptHealth))
        return made

    def test_states_are_known_until_the_first_results(self, clock: Clock, keeper: HealthKeeper, take: Take) -> None:
        for result in (UP, DOWN, DOWN, DOWN):
            take(result)
        since = clock.now
        clock.now += 600
        again = self.kept(keeper, paris())
        target = Target(MONITOR, "192.0.2.1")
        assert again.knows(target)
        assert not again.knows(Target(OTHER_PORT, "192.0.2.1"))
        assert not again.knows(Target(MONITOR, "192.0.2.2"))
        again.expect(paris())
        again.commit(paris())
        state = again.states[ORIGIN]
        assert (state.up, state.cause, state.since, state.flip_after) == (False, "stale", since, 10.0)
        again.take(target, DOWN)
        assert (again.states[ORIGIN].cause, again.states[ORIGIN].since) == ("", since)

    def test_a_result_that_comes_before_it_is_in_force_goes_on_with_them(
        self, clock: Clock, keeper: HealthKeeper, take: Take
    ) -> None:
        take(UP)
        clock.now += 1
        again = self.kept(keeper, paris())
        again.expect(paris())
        again.take(Target(MONITOR, "192.0.2.1"), DOWN)
        again.commit(paris())
        assert again.verdicts[ORIGIN].up
        assert again.table[KEY].streak == 1

    @pytest.mark.parametrize("later", [3601.0, -1.0], ids=["too old", "from the future"])
    def test_what_is_no_use(self, clock: Clock, keeper: HealthKeeper, take: Take, later: float) -> None:
        take(DOWN)
        clock.now += later
        assert not self.kept(keeper, paris()).knows(Target(MONITOR, "192.0.2.1"))


def test_a_group_watches_with_all_its_members(clock: Clock, told: list[OriginHealth]) -> None:
    names = ("one", "two", "three")
    monitors = tuple(TcpMonitor(name=name, port=80, interval=10, timeout=1) for name in names)
    group = MonitorGroup("all", (Member("one"), Member("two"), Member("three")))
    settings = Settings(
        SERVER,
        monitors=monitors,
        monitor_groups=(group,),
        pools=(Pool("paris", (Origin("paris-1", "192.0.2.1"),), monitor="all"),),
    )
    keeper = HealthKeeper()
    keeper.on_change = told.extend
    keeper.commit(settings)
    one, two, three = targets_of(settings)
    for target in (one, two, three):
        keeper.take(target, UP)
    since = keeper.states[ORIGIN].since
    for result in (DOWN, UP, DOWN):
        clock.now += 10
        keeper.take(one, result)
        assert (keeper.states[ORIGIN].up, keeper.states[ORIGIN].since) == (True, since)
    keeper.take(two, DOWN)
    assert (keeper.states[ORIGIN].up, keeper.states[ORIGIN].since) == (False, clock.now)
    assert told[-1].verdict.up is False
    assert [watch.monitor.name for watch in keeper.watches(ORIGIN)] == list(names)


class TestTraffic:
    """What an origin takes while it comes back, and under load (steering/balance/shedding.py)."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """The time, in its only item."""
        now = [1_000_000.0]
        monkeypatch.setattr(time, "time", lambda: now[0])
        return now

    def test_an_origin_that_comes_back_takes_more_step_by_step(
        self, keeper: HealthKeeper, take: Take, clock: list[float]
    ) -> None:
        settings = paris()
        keeper.commit(replace(settings, pools=(replace(settings.pools[0], ramp_up=100.0),)))
        take(UP)
        assert keeper.verdicts[ORIGIN].share == 1.0, "it is new, and was never down"
        for _ in range(3):
            take(DOWN)
        for _ in range(2):
            take(UP)
        assert keeper.verdicts[ORIGIN].share == pytest.approx(0.1)
        shares = []
        while (moment := keeper.look()) < float("inf"):
            clock[0] = moment
            keeper.look()
            shares.append(keeper.verdicts[ORIGIN].share)
        assert shares == sorted(shares)
        assert (len(shares), shares[-1], clock[0]) == (20, 1.0, 1_000_100.0)

    def test_a_ramp_that_only_orders_have_begun_ends_with_them(self, keeper: HealthKeeper, clock: list[float]) -> None:
        settings = paris()
        keeper.commit(replace(settings, pools=(replace(settings.pools[0], ramp_up=100.0),)))
        for state in ("down", "up"):
            keeper.order((Override(origin="*", state=state, by="ann", since=clock[0]),))
        keeper.order(())
        clock[0] += 50
        assert keeper.look() == math.inf, "or it would be looked again at once, and for ever"

    def test_a_load_counts_until_it_is_old(
        self, keeper: HealthKeeper, take: Take, told: list[OriginHealth], clock: list[float]
    ) -> None:
        settings = paris()
        shedding = LoadShedding(low_watermark=50.0, high_watermark=100.0, maximum_age=60.0)
        keeper.commit(replace(settings, pools=(replace(settings.pools[0], load_shedding=shedding),)))
        take(UP)
        keeper.report_load("paris", 75.0)
        assert told[-1].verdict.share == 0.5
        take(UP)
        assert keeper.verdicts[ORIGIN].share == 0.5
        clock[0] = keeper.look()
        assert keeper.look() == float("inf")
        assert told[-1].verdict.share == 1.0
        with pytest.raises(KeyError):
            keeper.report_load("rome", 1.0)
