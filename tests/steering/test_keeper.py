"""Tests of the keeper of health: what becomes of results, before and after their configuration is in force."""

import logging
from collections.abc import Callable

import pytest

from monitors.monitor import Reason, Result, Target
from monitors.probes.tcp import TcpMonitor
from steering.balance.pools import Verdict
from steering.judgement import OriginState
from steering.keeper import HealthKeeper, OriginName, name_targets, targets_of
from steering.messages import OriginHealth
from steering.settings import Origin, Pool, Settings
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
    made.on_change = told.append
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
