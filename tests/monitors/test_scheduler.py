# ruff: noqa: ARG001  # the mock clock works by being asked for
import gc
import itertools
import resource
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from monitors import scheduler as scheduler_module
from monitors.monitor import Monitor, Reason, Result, Takes, Target
from monitors.probes import PROBES
from monitors.scheduler import TICK, Scheduler, allow_files, open_scheduler, probe_once
from monitors.tools import waiting_for

UP = Result(True, Reason.OK)


class Recorder:
    """A fake probe that records the times of its starts, and the reported results."""

    def __init__(self, act: Callable[[Target], Awaitable[Result]] | None = None) -> None:
        self.starts: list[tuple[float, str]] = []
        self.results: list[tuple[float, str, Result]] = []
        self.running = 0
        self.most_running = 0
        self._act = act

    async def probe(self, target: Target) -> Result:
        self.starts.append((trio.current_time(), target.address))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await self._act(target) if self._act else UP
        finally:
            self.running -= 1

    def on_result(self, target: Target, result: Result) -> None:
        self.results.append((trio.current_time(), target.address, result))

    def times(self, address: str) -> list[float]:
        return [time for time, started in self.starts if started == address]


def target(address: str, **fields: float) -> Target:
    settings = {"interval": 10.0, "timeout": 5.0, "retries": 0, **fields}
    return Target(Monitor(name="m", **settings), address)  # type: ignore[arg-type]  # retries is an int


async def test_first_probes_are_immediate_and_paced(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    targets = [target(str(number), interval=3600) for number in range(1000)]
    began = trio.current_time()
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace(targets)
        assert await scheduler.wait_first_results(targets, 30) == set()
    times = [time - began for time, _ in recorder.starts]
    assert times[0] == 0
    assert max(Counter(int(time * 10) for time in times).values()) <= 51
    assert 1.9 < max(times) < 2.1


async def test_probes_spread_over_the_interval_and_never_drift(autojump_clock: MockClock) -> None:
    async def slow(_: Target) -> Result:
        await trio.sleep(0.3)
        return UP

    recorder = Recorder(slow)
    targets = [target(f"192.0.2.{number}") for number in range(200)]
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace(targets)
        await trio.sleep(1000.5)
    for watched in targets:
        _, *times = recorder.times(watched.address)
        # Each start is up to a tick behind its due time; that does not add up.
        steps = [10 * number for number in range(len(times))]
        assert [time - times[0] for time in times] == pytest.approx(steps, abs=TICK + 1e-6)
        assert len(times) in (99, 100, 101)
    tenths = Counter(int(recorder.times(watched.address)[-1] % 10) for watched in targets)
    assert len(tenths) == 10
    assert max(tenths.values()) < 40


async def test_the_place_in_the_interval_is_kept_through_reloads(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a")])
        await trio.sleep(50)
        scheduler.replace([])
        await trio.sleep(33)
        scheduler.replace([target("a")])
        await trio.sleep(50)
    times = recorder.times("a")
    assert times[-1] % 10 == pytest.approx(times[1] % 10)


async def test_one_probe_for_all_who_share_monitor_and_address(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a"), target("b"), target("a")])
        await trio.sleep(0.1)
        assert sorted(address for _, address in recorder.starts) == ["a", "b"]
        assert scheduler.statistics().targets == 2


async def test_a_timeout_is_retried_at_once_and_reported_once(autojump_clock: MockClock) -> None:
    async def hang(_: Target) -> Result:
        waiting_for.set("greeting")
        await trio.sleep_forever()
        raise AssertionError

    recorder = Recorder(hang)
    began = trio.current_time()
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a", interval=60, timeout=2, retries=2)])
        await trio.sleep(20)
        assert scheduler.statistics().retried == 2
    assert [time - began for time in recorder.times("a")[:3]] == [0, 2, 4]
    time, _, result = recorder.results[0]
    assert time - began == 6
    assert result == Result(False, Reason.TIMEOUT, "greeting: nothing within 2 s")


async def test_a_retry_that_answers_is_up(autojump_clock: MockClock) -> None:
    async def second_time(watched: Target) -> Result:
        if len(recorder.times(watched.address)) == 1:
            await trio.sleep_forever()
        return UP

    recorder = Recorder(second_time)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a", retries=1)])
        await trio.sleep(5.5)
    assert [result for _, _, result in recorder.results] == [UP]


async def test_no_other_failure_is_retried(autojump_clock: MockClock) -> None:
    async def refuse(_: Target) -> Result:
        raise ConnectionRefusedError(111, "x")

    recorder = Recorder(refuse)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a", interval=60, retries=5)])
        await trio.sleep(0.1)
    assert len(recorder.starts) == 1
    assert [result.reason for _, _, result in recorder.results] == [Reason.REFUSED]


async def test_an_exception_is_a_result_and_the_others_go_on(autojump_clock: MockClock) -> None:
    async def act(watched: Target) -> Result:
        if watched.address == "a":
            raise ZeroDivisionError("by zero")
        return UP

    recorder = Recorder(act)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a"), target("b")])
        await trio.sleep(35)
    broken = [result for _, address, result in recorder.results if address == "a"]
    assert set(broken) == {Result(False, Reason.CHECK_ERROR, "ZeroDivisionError: by zero")}
    assert len(broken) >= 4
    assert len(recorder.times("b")) >= 4


async def test_a_long_probe_skips_and_never_piles_up(autojump_clock: MockClock) -> None:
    async def long(_: Target) -> Result:
        await trio.sleep(25)
        return UP

    recorder = Recorder(long)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a", timeout=30)])
        await trio.sleep(200)
        statistics = scheduler.statistics()
    assert recorder.most_running == 1
    _, *times = recorder.times("a")
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == pytest.approx([30] * (len(times) - 1))
    assert statistics.skipped >= 2 * (len(times) - 1)


async def test_replace_keeps_cancels_and_starts(autojump_clock: MockClock) -> None:
    async def wait(_: Target) -> Result:
        await trio.sleep(3)
        return UP

    recorder = Recorder(wait)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("kept"), target("removed"), target("changed")])
        await trio.sleep(1)
        assert recorder.running == 3
        scheduler.replace([target("kept"), target("changed", interval=20), target("new")])
        await trio.sleep(1)
        assert recorder.running == 3
        assert {address: len(recorder.times(address)) for address in ("kept", "removed", "changed", "new")} == {
            "kept": 1,
            "removed": 1,
            "changed": 2,
            "new": 1,
        }
        await trio.sleep(30)
        assert len(recorder.times("removed")) == 1
    reported = Counter(address for _, address, _ in recorder.results)
    assert reported["removed"] == 0
    assert reported["kept"] >= 3


async def test_a_target_dropped_by_its_own_result_reports_no_more(autojump_clock: MockClock) -> None:
    reported: list[str] = []

    def on_result(watched: Target, _: Result) -> None:
        reported.append(watched.address)
        scheduler.replace([])

    recorder = Recorder()
    async with open_scheduler(on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a")])
        await trio.sleep(100)
    assert reported == ["a"]


async def test_a_target_dropped_as_its_probe_ends_is_not_reported(autojump_clock: MockClock) -> None:
    async def drop(_: Target) -> Result:
        scheduler.replace([])
        return UP

    recorder = Recorder(drop)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a")])
        await trio.sleep(100)
    assert len(recorder.starts) == 1
    assert recorder.results == []


async def test_first_results_are_waited_for_up_to_the_deadline(autojump_clock: MockClock) -> None:
    async def act(watched: Target) -> Result:
        await trio.sleep(float(watched.address))
        return UP

    quick, late, unwatched, removed = (
        target("1"),
        target("30", timeout=60),
        target("2"),
        target("40", timeout=60),
    )
    recorder = Recorder(act)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([quick, late, removed])
        began = trio.current_time()
        assert await scheduler.wait_first_results([quick], 10) == set()
        assert trio.current_time() - began == pytest.approx(1)
        assert await scheduler.wait_first_results([quick, late], 10) == {late}
        assert trio.current_time() - began == pytest.approx(11, abs=2 * TICK)
        assert await scheduler.wait_first_results([unwatched], 10) == {unwatched}
        scheduler.replace([quick, late])
        assert await scheduler.wait_first_results([removed, target("1", interval=20)], 5) == {
            removed,
            target("1", interval=20),
        }
        assert trio.current_time() - began == pytest.approx(11)
        assert await scheduler.wait_first_results([quick, late], 60) == set()
        assert trio.current_time() - began == pytest.approx(30, abs=2 * TICK)


async def test_a_target_that_is_removed_is_waited_for_no_longer(autojump_clock: MockClock) -> None:
    async def hang(_: Target) -> Result:
        await trio.sleep_forever()
        raise AssertionError

    async def remove(scheduler: Scheduler) -> None:
        await trio.sleep(2)
        scheduler.replace([])

    async with open_scheduler(Recorder().on_result, hang) as scheduler, trio.open_nursery() as nursery:
        scheduler.replace([target("a", timeout=60)])
        nursery.start_soon(remove, scheduler)
        began = trio.current_time()
        assert await scheduler.wait_first_results([target("a", timeout=60)], 50) == {target("a", timeout=60)}
        assert trio.current_time() - began == pytest.approx(2)


async def test_probes_in_flight_are_bounded_and_waiting_is_lag_and_no_timeout(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_: Target) -> Result:
        await trio.sleep(4)
        return UP

    monkeypatch.setattr(scheduler_module, "allow_files", lambda: 13)
    recorder = Recorder(busy)
    targets = [target(str(number), interval=60) for number in range(30)]
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace(targets)
        assert await scheduler.wait_first_results(targets, 60) == set()
        statistics = scheduler.statistics()
    assert recorder.most_running == 10
    assert {result for _, _, result in recorder.results} == {UP}
    assert statistics.lag_maximum == pytest.approx(8, abs=0.1)
    assert statistics.lag_seconds == pytest.approx(120, abs=2)


class Weightless(Monitor, frozen=True, kw_only=True):
    takes = Takes.NOTHING


async def test_what_takes_nothing_waits_for_nobody(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(_: Target) -> Result:
        await trio.sleep(4)
        return UP

    monkeypatch.setattr(scheduler_module, "allow_files", lambda: 1)
    recorder = Recorder(busy)
    targets = [Target(Weightless(name="m", retries=0), str(number)) for number in range(100)]
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace(targets)
        await trio.sleep(1)
        assert scheduler.statistics().running == recorder.running == 100


def test_what_each_kind_takes() -> None:
    takes = {name: kind.monitor.takes for name, kind in PROBES.items()}
    assert takes.pop("icmp") is Takes.NOTHING
    assert takes.pop("external") is Takes.NOTHING
    assert takes.pop("exec") is Takes.PROCESS
    assert set(takes.values()) == {Takes.FILE}


def test_as_many_files_as_the_administrator_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1000), hard))
    try:
        assert allow_files() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_garbage_is_looked_for_the_more_seldom_the_more_targets_there_are(autojump_clock: MockClock) -> None:
    before = gc.get_threshold()
    async with open_scheduler(Recorder().on_result, Recorder().probe) as scheduler:
        found = [gc.get_threshold()[0]]
        for number in (1, 1000, 2000, 10):
            scheduler.replace([target(str(each)) for each in range(number)])
            found.append(gc.get_threshold()[0])
    assert found == [10_000, 10_000, 64_000, 128_000, 10_000]
    assert gc.get_threshold() == before


async def test_checks_leave_no_garbage_that_only_the_collector_finds(autojump_clock: MockClock) -> None:
    """It comes so seldom that thousands of them would fill the memory meanwhile."""

    async def act(watched: Target) -> Result:
        match watched.address:
            case "silent":
                await trio.sleep_forever()
            case "refused":
                raise ConnectionRefusedError(111, "x")
        return UP

    recorder = Recorder(act)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target(address, retries=1) for address in ("silent", "refused", "up")])
        await trio.sleep(100)
        gc.collect()
        await trio.sleep(100)
        assert gc.collect() == 0


async def test_many_targets_are_first_probed_as_fast_as_ever_after(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    targets = [target(str(number), interval=2) for number in range(3000)]
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        began = trio.current_time()
        scheduler.replace(targets)
        assert await scheduler.wait_first_results(targets, 30) == set()
        assert 1.9 < trio.current_time() - began < 2.1


async def test_after_a_stall_missed_times_are_skipped(mock_clock: MockClock) -> None:
    recorder = Recorder()
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a")])
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(10)
        await trio.testing.wait_all_tasks_blocked()
        assert len(recorder.starts) == 2
        mock_clock.jump(100_000)
        await trio.testing.wait_all_tasks_blocked()
        assert len(recorder.starts) == 3
        assert scheduler.statistics().skipped == 9_999
        mock_clock.jump(10)
        await trio.testing.wait_all_tasks_blocked()
        assert len(recorder.starts) == 4


async def test_leaving_cancels_what_runs(autojump_clock: MockClock) -> None:
    async def hang(_: Target) -> Result:
        await trio.sleep_forever()
        raise AssertionError

    recorder = Recorder(hang)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a")])
        await trio.sleep(1)
    assert recorder.running == 0
    assert recorder.results == []


async def test_a_probe_at_once_is_one_more_and_moves_no_other(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a"), target("b")])
        await trio.sleep(33)
        usual = len(recorder.results)
        scheduler.probe_now(target("a"))
        assert len(recorder.results) == usual
        await trio.testing.wait_all_tasks_blocked()
        assert [address for _, address, _ in recorder.results[usual:]] == ["a"]
        await trio.sleep(40)
    begun, *times = recorder.times("a")
    times.remove(next(time for time in times if time == pytest.approx(begun + 33)))
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == pytest.approx([10] * 6)


async def test_a_probe_at_once_leaves_one_that_runs_alone_and_strangers_too(autojump_clock: MockClock) -> None:
    async def slow(_: Target) -> Result:
        await trio.sleep(3)
        return UP

    recorder = Recorder(slow)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a")])
        await trio.sleep(1)
        for asked in (target("a"), target("a", interval=20.0), target("b")):
            scheduler.probe_now(asked)
        await trio.sleep(1)
        assert len(recorder.starts) == 1


async def test_a_trial_is_reported_to_nobody(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        assert await scheduler.try_out(target("a")) == UP
        assert scheduler.statistics().started == 0
    assert len(recorder.starts) == 1
    assert recorder.results == []


async def test_what_is_known_of_a_target(autojump_clock: MockClock) -> None:
    async def slow(_: Target) -> Result:
        await trio.sleep(3)
        return UP

    async with open_scheduler(Recorder().on_result, slow) as scheduler:
        scheduler.replace([target("a")])
        assert scheduler.find("m", "a") == target("a")
        assert scheduler.find("m", "b") is None
        assert scheduler.last_duration("m", "a") is None
        await trio.sleep(5)
        assert scheduler.last_duration("m", "a") == pytest.approx(3)
        assert scheduler.last_duration("m", "b") is None


async def test_nothing_is_overdue_however_many_time_out(autojump_clock: MockClock) -> None:
    """More targets than can be in flight, and each keeps its place for as long as it may."""

    async def silent(_: Target) -> Result:
        await trio.sleep_forever()
        raise AssertionError

    recorder = Recorder(silent)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target(str(number), retries=5) for number in range(1200)])
        assert scheduler.stalled() == 0
        for _ in range(60):
            await trio.sleep(1.7)
            assert scheduler.stalled() < 0.01
        scheduler.replace([])
        await trio.sleep(1000)
        assert scheduler.stalled() == 0


async def test_probes_that_do_not_end_are_overdue(autojump_clock: MockClock) -> None:
    async def stuck(_: Target) -> Result:
        with trio.CancelScope(shield=True):
            await released.wait()
        return UP

    released = trio.Event()
    recorder = Recorder(stuck)
    async with open_scheduler(recorder.on_result, recorder.probe) as scheduler:
        scheduler.replace([target("a"), target("b", interval=3600)])
        await trio.sleep(4.9)
        assert scheduler.stalled() == 0
        await trio.sleep(30)
        assert 29 < scheduler.stalled() < 31
        released.set()
        await trio.sleep(1)
        assert scheduler.stalled() == 0


async def test_each_target_is_probed_once_and_tried_again(autojump_clock: MockClock) -> None:
    async def answer_late(watched: Target) -> Result:
        if watched.address == "late" and len(recorder.times("late")) < 3:
            await trio.sleep_forever()
        return UP

    recorder = Recorder(answer_late)
    began = trio.current_time()
    targets = [target("late", retries=2, interval=1, timeout=1), target("never", timeout=0.5), target("quick")]
    await probe_once(targets, recorder.on_result, recorder.probe)
    assert [len(recorder.times(address)) for address in ("late", "never", "quick")] == [3, 1, 1]
    assert {address: time - began for time, address, _ in recorder.results} == {"late": 2, "never": 0, "quick": 0}


async def test_so_many_are_probed_at_a_time(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "allow_files", lambda: 250)

    async def slow(_: Target) -> Result:
        await trio.sleep(1)
        return UP

    recorder = Recorder(slow)
    await probe_once([target(str(number)) for number in range(1200)], recorder.on_result, recorder.probe)
    assert (len(recorder.results), recorder.most_running) == (1200, 200)
