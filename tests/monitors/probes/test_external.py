# ruff: noqa: ARG001  # the mock clock works by being asked for
"""Reports of other checkers, through the scheduler, as people's reports come."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from monitors.mailbox import Report
from monitors.monitor import Reason, Result, Target
from monitors.probes.external import ExternalMonitor
from monitors.scheduler import Scheduler, open_scheduler
from tests.monitors.name_server import serving_names


class Stage:
    """One target, and what is seen of it."""

    def __init__(self, scheduler: Scheduler, results: list[tuple[float, Result]], target: Target) -> None:
        self.scheduler = scheduler
        self.results = results
        self.target = target

    async def report(self, report: Report) -> Result:
        """The result at once after a report."""
        before = len(self.results)
        self.scheduler.tools.mailbox.put(("m", self.target.address), report, trio.current_time())
        self.scheduler.probe_now(self.target)
        await wait_all_tasks_blocked()
        assert len(self.results) == before + 1
        return self.results[-1][1]


@asynccontextmanager
async def staged(**fields: object) -> AsyncIterator[Stage]:
    results: list[tuple[float, Result]] = []
    monitor = ExternalMonitor(name="m", **{"interval": 10.0, "max_age": 60.0, **fields})  # type: ignore[arg-type] # of each its own type
    target = Target(monitor, "192.0.2.1")
    async with open_scheduler(lambda _, result: results.append((trio.current_time(), result))) as scheduler:
        scheduler.replace([target])
        assert await scheduler.wait_first_results([target], 1) == set()
        yield Stage(scheduler, results, target)


async def test_a_report_counts_when_it_comes_and_until_it_is_too_old(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        assert await stage.report(Report(False, "behind", 0.5)) == Result(False, Reason.REPORTED_DOWN, "behind", 0.5)
        assert await stage.report(Report(True, "in step", 0.25)) == Result(True, Reason.OK, "in step", 0.25)
        reported = trio.current_time()
        await trio.sleep(100)
        ages = {time - reported: result for time, result in stage.results if time > reported}
        assert all(result.up for age, result in ages.items() if age <= 60)
        assert all(result.reason is Reason.TOO_OLD for age, result in ages.items() if age > 60)
        assert min(age for age, result in ages.items() if not result.up) <= 70
        assert not stage.results[-1][1].up
        assert stage.results[-1][1].evidence.startswith("no report for ")
        assert (await stage.report(Report(True))).up


async def test_until_the_first_report_it_is_up_but_not_for_ever(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        [(began, first)] = stage.results
        assert (first.up, first.reason, first.evidence) == (True, Reason.OK, "no report yet; it has 60 s more to come")
        await trio.sleep(100)
        assert all(result.up for time, result in stage.results if time - began <= 60)
        assert stage.results[-1][1].reason is Reason.TOO_OLD


async def test_what_is_too_old_can_count_as_up(autojump_clock: MockClock) -> None:
    async with staged(when_too_old="up") as stage:
        await stage.report(Report(False))
        await trio.sleep(100)
        assert (stage.results[-1][1].up, stage.results[-1][1].reason) == (True, Reason.TOO_OLD)


async def test_reports_in_a_row_are_each_seen(autojump_clock: MockClock) -> None:
    async with staged() as stage:
        for up in (True, False, True, True, False):
            assert (await stage.report(Report(up))).up is up


async def test_a_report_for_a_host_name_is_for_all_of_its_addresses() -> None:
    monitor = ExternalMonitor(name="m")
    named, other = Target(monitor, "www.example.com"), Target(monitor, "192.0.2.1")
    seen: dict[str, Result] = {}
    async with (
        serving_names(A=["192.0.2.1", "192.0.2.2"]) as server,
        open_scheduler(lambda target, result: seen.update({target.address: result})) as scheduler,
    ):
        scheduler.tools.resolver.nameservers = (("127.0.0.1", server.port),)
        for target, report in ((named, Report(False, "behind")), (other, Report(True))):
            scheduler.tools.mailbox.put(target.key, report, trio.current_time())
        scheduler.replace([named, other])
        assert await scheduler.wait_first_results([named, other], 5) == set()
        assert (seen["www.example.com"].up, seen["192.0.2.1"].up) == (False, True)
        assert seen["www.example.com"].failed == ("192.0.2.1", "192.0.2.2")
        scheduler.tools.mailbox.put(named.key, Report(True), trio.current_time())
        assert (await scheduler.try_out(named)).addresses == ("192.0.2.1", "192.0.2.2")
