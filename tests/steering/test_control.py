"""Control by itself: what it takes, what it tells whom, and that a configuration is taken whole or not at all.

Its children and its probes are fakes that answer when the test says so; the whole program is tested in test_run.py.
"""

import logging
import os
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from geodata.classes import ClassMap
from monitors.history import History
from monitors.mailbox import Mailbox, Report
from monitors.monitor import Reason, Result, Target
from monitors.notify import AnyNotifier
from monitors.notify.courier import Statistics as NotifierStatistics
from monitors.notify.event import Event
from monitors.scheduler import Statistics, open_scheduler
from steering import control
from steering.balance.pools import Verdict
from steering.control import FIRST_RESULTS_MARGIN, GEO_INTERVAL, STALL_LIMIT, Control, without_answers
from steering.health.keeper import HealthKeeper
from steering.messages import Configured, Counted, HealthChanged, Hello, OriginHealth, Status, Taken
from steering.metrics import Probed
from steering.prepare import Prepared, PrepareError
from steering.problems import ConfigurationError
from steering.serve.http import HttpError
from steering.settings import Http, Settings
from steering.settings_file import load_settings
from steering.state_files import Running, read_overrides, read_running, write_rows, write_running
from steering.zones.tsig import Key
from tests.geodata.mmdb import write_networks
from tests.steering.running import web_settings

SERVER = '[server]\nlisten = ["127.0.0.1:53"]\nstate = "state"\n'
UP = Result(True, Reason.OK, rtt=0.01)
DOWN = Result(False, Reason.REFUSED, "Connection refused")


class FakeScheduler:
    """Remembers its targets; results come when the test gives them."""

    def __init__(self) -> None:
        self.tools = SimpleNamespace(mailbox=Mailbox(), resolver=SimpleNamespace(nameservers=()))
        self.probed: list[Target] = []
        self.targets: list[Target] = []
        self.settled = trio.Event()
        self.missing: set[Target] = set()
        self.overdue = 0.0

    def replace(self, targets: Iterable[Target]) -> None:
        self.targets = list(targets)

    def find(self, monitor: str, address: str) -> Target | None:
        found = [target for target in self.targets if (target.monitor.name, target.address) == (monitor, address)]
        return found[0] if found else None

    def last_duration(self, monitor: str, address: str) -> float | None:  # noqa: ARG002
        return 0.5

    def probe_now(self, target: Target) -> None:
        self.probed.append(target)

    async def wait_first_results(self, targets: Iterable[Target], deadline_seconds: float) -> set[Target]:  # noqa: ARG002
        await self.settled.wait()
        return self.missing

    def statistics(self) -> Statistics:
        return Statistics(len(self.targets), 0, 0, 0, 0, 0.0, 0.0)

    def stalled(self) -> float:
        return self.overdue


class FakeNotifications:
    """Remembers whom to tell, and what."""

    def __init__(self) -> None:
        self.notifiers: list[AnyNotifier] = []
        self.events: list[Event] = []

    def replace(self, notifiers: Iterable[AnyNotifier]) -> None:
        self.notifiers = list(notifiers)

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def statistics(self) -> dict[str, NotifierStatistics]:
        return {}

    def news(self) -> list[tuple[str, str, str]]:
        """Kind, pool and origin of what was told since the last look, but for ends of what need not have been."""
        told, self.events = self.events, []
        return [(event.kind, event.pool, event.origin) for event in told if event.kind not in ("freed", "steady")]


class FakeHttp:
    """Remembers what it serves."""

    def __init__(self) -> None:
        self.problem = ""
        self.expected: Http | None = None
        self.served: list[Http | None] = []
        self.abandoned = 0

    def expect(self, settings: Http | None, source: object) -> None:  # noqa: ARG002
        if self.problem:
            raise HttpError(self.problem)
        self.expected = settings

    def commit(self) -> None:
        self.served.append(self.expected)

    def abandon(self) -> None:
        self.abandoned += 1


class FakePreparation:
    """What `prepare` gives; publishing fails when there are problems."""

    def __init__(self) -> None:
        self.prepared = Prepared((), (), 0.0)
        self.problems: tuple[str, ...] = ()
        self.refusals: tuple[str, ...] = ()
        self.published = 0

    async def publish(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.problems:
            raise PrepareError(self.problems)
        self.published += 1

    async def prepare(self, settings: Settings, nursery: trio.Nursery) -> "FakePreparation":  # noqa: ARG002
        await trio.lowlevel.checkpoint()
        if self.refusals:
            raise PrepareError(self.refusals)
        return self


class FakeWorker:
    """The far end of a connection: what it was told, and what it says."""

    def __init__(self) -> None:
        self.told: list[msgspec.Struct] = []
        self.says, self._received = trio.open_memory_channel[Hello | Taken | Counted](10)

    def send(self, message: msgspec.Struct) -> None:
        self.told.append(message)

    def __aiter__(self) -> AsyncIterator[Hello | Taken | Counted]:
        return self._received.__aiter__()


class Stage:
    """A Control with everything around it."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.config = folder / "waypost.toml"
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.write(web_settings(80))
        self.preparation = FakePreparation()
        self.scheduler = FakeScheduler()
        self.notifications = FakeNotifications()
        self.http = FakeHttp()
        self.nursery = nursery
        self.settings = load_settings(self.config)
        self.control = self.new_control()

    def new_control(self, *, answers: bool = True) -> Control:
        """One that has just started."""
        self.health = HealthKeeper()
        self.history = History()
        shells = (self.scheduler, self.notifications, self.nursery, self.history, self.http)
        return Control(self.config, self.settings.server, self.health, *shells, answers=answers)  # type: ignore[arg-type] # fakes

    def write(self, text: str, server: str = SERVER) -> None:
        self.config.write_text(server + text)

    async def taken(self) -> None:
        """Let the first configuration be in force, with site-1 up."""
        self.scheduler.settled.set()
        await self.control.take(self.settings)
        self.give(UP)

    def give(self, result: Result) -> None:
        """A result for each target."""
        for target in self.scheduler.targets:
            self.health.take(target, result)

    async def connect(self) -> FakeWorker:
        """A worker that is fed."""
        worker = FakeWorker()
        self.nursery.start_soon(self.control.feed, worker)  # type: ignore[arg-type] # a fake
        await wait_all_tasks_blocked()
        return worker

    async def force(self, origin: str, state: str, **fields: object) -> dict[str, object]:
        """As `waypost force`, asked for by ann."""
        return await self.control.handle({"command": "force", "origin": origin, "state": state, "by": "ann"} | fields)

    async def report_load(self, pool: object, figure: object) -> dict[str, object]:
        """As `waypost load`."""
        return await self.control.handle({"command": "load", "pool": pool, "figure": figure})

    async def status(self) -> Status:
        """As `waypost status` gets it."""
        return msgspec.convert(await self.control.handle({"command": "status"}), Status)


def listed(value: object) -> list[object]:
    """A list, for the type checker."""
    assert isinstance(value, list | tuple)
    return list(value)


def without_zones(settings: Settings) -> Settings:
    """What a worker is told of them: it has the zones in the store, and tells nobody."""
    return msgspec.structs.replace(settings, zones=(), notifiers=(), exports=())


NOTIFIER = '[[notifier]]\nname = "ops"\ntype = "webhook"\nurl = "http://127.0.0.1:1/"\n'


@pytest.fixture
async def stage(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Stage:
    caplog.set_level(logging.INFO)
    made = Stage(tmp_path, nursery)
    monkeypatch.setattr(control, "prepare", made.preparation.prepare)
    return made


class TestTake:
    async def test_nothing_is_published_before_every_first_result(self, stage: Stage, nursery: trio.Nursery) -> None:
        nursery.start_soon(stage.control.take, stage.settings)
        await wait_all_tasks_blocked()
        assert [target.address for target in stage.scheduler.targets] == ["127.0.0.1"]
        assert stage.preparation.published == 0
        stage.scheduler.settled.set()
        await wait_all_tasks_blocked()
        assert stage.preparation.published == 1

    async def test_a_probe_that_never_ends_is_waited_for_no_longer_than_the_bound(
        self,
        tmp_path: Path,
        nursery: trio.Nursery,
        autojump_clock: MockClock,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def stuck(target: Target) -> Result:  # noqa: ARG001
            with trio.CancelScope(shield=True):
                await trio.sleep(1000)
            return UP

        stage = Stage(tmp_path, nursery)
        monkeypatch.setattr(control, "prepare", stage.preparation.prepare)
        async with open_scheduler(stage.health.take, stuck) as scheduler:
            shells = (scheduler, stage.notifications, nursery, History(), stage.http)
            made = Control(stage.config, stage.settings.server, stage.health, *shells)  # type: ignore[arg-type] # fakes
            start = autojump_clock.current_time()
            await made.take(stage.settings)
            monitor = stage.settings.monitors[0]
            bound = monitor.timeout * (monitor.retries + 1) + FIRST_RESULTS_MARGIN
            assert autojump_clock.current_time() - start == pytest.approx(bound, abs=1)
        assert "no result for 127.0.0.1 (monitor web) within 8.0 s" in caplog.text
        assert stage.preparation.published == 1

    async def test_without_targets_there_is_nothing_to_wait_for(self, stage: Stage) -> None:
        _, _, pools = web_settings(80).replace('monitor = "web"\n', "").partition("[[pool]]")
        stage.write("[[pool]]" + pools)
        await stage.control.take(load_settings(stage.config))
        assert stage.preparation.published == 1

    @pytest.mark.parametrize("at", ["preparing", "publishing"])
    async def test_a_failure_leaves_all_as_it_was(self, stage: Stage, at: str) -> None:
        await stage.taken()
        worker = await stage.connect()
        before = await stage.status()
        told, targets = list(worker.told), list(stage.scheduler.targets)
        stage.write(web_settings(81, address="192.0.2.2"))
        if at == "preparing":
            stage.preparation.refusals = ("one", "two")
        else:
            stage.preparation.problems = ("one", "two")
        with pytest.raises(ConfigurationError) as caught:
            await stage.control.take(load_settings(stage.config))
        assert caught.value.problems == ("one", "two")
        assert worker.told == told
        assert stage.scheduler.targets == targets
        assert await stage.status() == before

    async def test_names_are_looked_up_by_the_resolvers_in_force(self, stage: Stage) -> None:
        first, second = (("192.0.2.53", 53),), (("2001:db8::53", 5353),)
        with_resolver = SERVER + 'resolvers = ["{}"]\n'
        stage.write(web_settings(80), with_resolver.format("192.0.2.53"))
        stage.settings = load_settings(stage.config)
        await stage.taken()
        resolver = stage.scheduler.tools.resolver
        assert resolver.nameservers == first
        stage.write(web_settings(80), with_resolver.format("[2001:db8::53]:5353"))
        stage.preparation.refusals = ("one",)
        with pytest.raises(ConfigurationError):
            await stage.control.take(load_settings(stage.config))
        assert resolver.nameservers == first
        stage.preparation.refusals = ()
        await stage.control.take(load_settings(stage.config))
        assert resolver.nameservers == second
        resolver.nameservers = ()
        running = read_running(stage.state)
        assert running is not None
        await stage.new_control().resume(running)
        assert resolver.nameservers == second

    async def test_results_of_a_configuration_that_is_not_in_force_yet_count_for_nothing(
        self, stage: Stage, nursery: trio.Nursery
    ) -> None:
        await stage.taken()
        worker = await stage.connect()
        told = list(worker.told)
        stage.scheduler.settled = trio.Event()
        stage.write(web_settings(81))  # the same monitor looks at another port
        nursery.start_soon(stage.control.take, load_settings(stage.config))
        await wait_all_tasks_blocked()
        stage.give(DOWN)
        assert worker.told == told
        assert [pool.up for pool in (await stage.status()).pools] == [True, True]

    async def test_a_state_that_cannot_be_written_does_not_end_it(self, stage: Stage) -> None:
        await stage.taken()
        worker = await stage.connect()
        (stage.state / ".running.msgpack.new").mkdir()
        stage.write(web_settings(80, address="192.0.2.2"))
        await stage.control.reload()
        assert stage.preparation.published == 2
        assert isinstance(worker.told[-1], Configured)
        assert worker.told[-1].settings == without_zones(load_settings(stage.config)), (
            "what was published is what is told"
        )


class TestReload:
    async def test_a_good_one_is_told_to_every_worker(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        await stage.taken()
        workers = [await stage.connect() for _ in range(3)]
        stage.write(web_settings(80, address="192.0.2.2"))
        await stage.control.reload()
        for worker in workers:
            assert isinstance(worker.told[-1], Configured)
            assert worker.told[-1].settings == without_zones(load_settings(stage.config))
            assert worker.told[-1].health == (OriginHealth("site", "site-1", Verdict(True, 1.0, rtt=0.01)),)
        assert "the configuration is in force" in caplog.text

    @pytest.mark.parametrize(
        ("server", "text", "problems"),
        [
            (SERVER, "[[", ["not TOML"]),
            (SERVER, web_settings(80).replace('monitor = "web"', 'monitor = "wbe"'), ["pool[0].monitor"]),
            (SERVER.replace(":53", ":54"), web_settings(80), ["server.listen cannot change while waypost runs"]),
            (SERVER.replace('"state"', '"other"'), web_settings(80), ["server.state cannot change"]),
            (SERVER + "workers = 2\n", web_settings(80), ["server.workers cannot change"]),
            (SERVER.replace(":53", ":54") + "workers = 2\n", web_settings(80), ["server.listen", "server.workers"]),
        ],
        ids=["syntax", "meaning", "listen", "state", "workers", "two"],
    )
    async def test_a_bad_one_changes_nothing_and_says_why(
        self, stage: Stage, caplog: pytest.LogCaptureFixture, server: str, text: str, problems: list[str]
    ) -> None:
        await stage.taken()
        worker = await stage.connect()
        before = await stage.status()
        told = list(worker.told)
        stage.write(text, server)
        await stage.control.reload()
        for problem in problems:
            assert problem in caplog.text
        assert str(stage.config) in caplog.text
        assert "the configuration was not taken: what runs goes on unchanged" in caplog.text
        assert worker.told == told
        assert await stage.status() == before


GEO = web_settings(80, balancers='country_pools = { FR = ["sorry"] }\n\n[[geo]]\ntype = "maxmind"\npath = "a.mmdb"\n')
OLD, NEW, NEWER = 1_700_000_000, 1_750_000_000, 1_760_000_000
"""2023-11-14, 2025-06-15 and 2025-10-09."""


class GeoStage(Stage):
    """A Control with real children, whose maps are made from a file; it looks at it when the test says so."""

    def __init__(self, folder: Path, nursery: trio.Nursery, log: pytest.LogCaptureFixture) -> None:
        self.database = folder / "a.mmdb"
        self.replace("DE", NEW)
        super().__init__(folder, nursery)
        self.write(GEO)
        self.settings = load_settings(self.config)
        self.log = log

    def replace(self, country: str, built: int) -> None:
        """As geoipupdate does: a new file, put in the place of the old one."""
        new = self.database.with_suffix(".new")
        write_networks(new, {"10.0.0.0/8": {"country": {"iso_code": country}}}, metadata={"build_epoch": built})
        new.replace(self.database)

    async def look(self, clock: MockClock, times: int = 2) -> None:
        """Let it look so often, and wait for what it does then, which takes real time. A change is taken at the second
        look."""
        for _ in range(times):
            await wait_all_tasks_blocked()
            clock.jump(GEO_INTERVAL)
            await wait_all_tasks_blocked()
            async with self.control._changing:
                pass

    def class_told(self, worker: FakeWorker) -> int:
        """The class of 10.0.0.1 by the map that a worker was told of last."""
        told = worker.told[-1]
        assert isinstance(told, Configured)
        [each] = told.maps
        return ClassMap.open(Path(each.path)).find4(0x0A000001)[0]


@pytest.fixture
async def geo(tmp_path: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> GeoStage:
    caplog.set_level(logging.INFO)
    stage = GeoStage(tmp_path, nursery, caplog)
    await stage.taken()
    nursery.start_soon(stage.control.watch_geo)
    return stage


class TestGeo:
    async def test_a_database_that_was_replaced_is_taken(self, geo: GeoStage, mock_clock: MockClock) -> None:
        worker = await geo.connect()
        assert geo.class_told(worker) == 0
        old = worker.told[-1]
        geo.replace("FR", NEWER)
        await geo.look(mock_clock, 1)
        assert worker.told == [old], "it may still be being written"
        await geo.look(mock_clock, 1)
        assert "a geo source was replaced: 1 maps" in geo.log.text
        assert geo.class_told(worker) == 1
        assert isinstance(old, Configured)
        assert isinstance(worker.told[-1], Configured)
        assert (old.settings, old.health) == (worker.told[-1].settings, worker.told[-1].health)
        kept = read_running(geo.state)
        assert kept is not None
        assert kept.maps == worker.told[-1].maps, "a control that is restarted goes on with it"
        assert [edition.built for edition in kept.editions] == [NEWER]
        told = len(worker.told)
        await geo.look(mock_clock, 5)
        assert len(worker.told) == told, "it is taken once"

    @pytest.mark.parametrize("damage", ["older", "broken", "gone"])
    async def test_one_that_cannot_be_used_is_refused_once_and_the_next_one_taken(
        self, geo: GeoStage, damage: str, mock_clock: MockClock
    ) -> None:
        worker = await geo.connect()
        [told] = worker.told
        if damage == "older":
            geo.replace("FR", OLD)
            reason = "built 2023-11-14 22:13 UTC, older than the one in use, built 2025-06-15 15:06 UTC"
        elif damage == "broken":
            geo.database.write_bytes(b"broken")
            reason = "not a usable MaxMind database: no metadata"
        else:
            geo.database.unlink()
            reason = "No such file or directory"
        await geo.look(mock_clock, 5)
        assert f"{geo.database}: {reason}" in geo.log.text
        assert geo.log.text.count("the maps go on unchanged") == 1
        assert worker.told == [told]
        geo.replace("FR", NEW)
        await geo.look(mock_clock)
        assert "a geo source was replaced" in geo.log.text
        assert geo.class_told(worker) == 1

    async def test_a_reload_takes_an_older_one_and_says_so(self, geo: GeoStage, mock_clock: MockClock) -> None:
        worker = await geo.connect()
        geo.replace("FR", OLD)
        await geo.control.reload()
        assert geo.class_told(worker) == 1
        assert "older than the one in use, built 2025-06-15 15:06 UTC; it is taken because a reload" in geo.log.text
        await geo.look(mock_clock, 5)
        assert "a geo source was replaced" not in geo.log.text

    async def test_the_maps_in_use_are_never_old(self, geo: GeoStage, mock_clock: MockClock) -> None:
        worker = await geo.connect()
        assert isinstance(worker.told[-1], Configured)
        [each] = worker.told[-1].maps
        os.utime(each.path, (1, 1))
        await geo.look(mock_clock)
        assert os.stat(each.path).st_mtime > 1  # noqa: PTH116 - in trio, a Path must not


class TestFeed:
    async def test_a_worker_gets_everything_and_then_what_changes(self, stage: Stage) -> None:
        await stage.taken()
        worker = await stage.connect()
        [first] = worker.told
        assert isinstance(first, Configured)
        assert first.settings == without_zones(stage.settings)
        stage.give(UP)
        assert worker.told == [first], "a result that changes nothing is not told"
        stage.give(DOWN)
        assert worker.told[1:] == [HealthChanged((OriginHealth("site", "site-1", Verdict(False, 1.0, rtt=0.01)),))]

    async def test_zones_are_served_when_every_worker_has_taken_the_last_configuration(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served: list[int] = []
        monkeypatch.setattr(stage.control._zones, "serve", lambda: served.append(len(served)))
        await stage.taken()
        one, two = await stage.connect(), await stage.connect()

        async def take(worker: FakeWorker) -> int:
            await worker.says.send(Taken())
            await wait_all_tasks_blocked()
            return len(served)

        assert await take(one) == 0
        stage.control._configure_workers()
        assert await take(two) == 0
        assert await take(one) == 0
        await two.says.send(Hello(2, 200))
        assert await take(two) == 1
        stage.control._configure_workers()
        await two.says.aclose()
        await wait_all_tasks_blocked()
        assert await take(one) == 2, "who is gone holds nobody up"

    async def test_who_is_fed_is_in_the_status(self, stage: Stage) -> None:
        await stage.taken()
        one, two = await stage.connect(), await stage.connect()
        assert (await stage.status()).workers == (), "they have not said who they are"
        await two.says.send(Hello(2, 200))
        await one.says.send(Hello(1, 100))
        await one.says.send(Counted(5, 6))
        await wait_all_tasks_blocked()
        assert [(worker.number, worker.pid, worker.udp, worker.tcp) for worker in (await stage.status()).workers] == [
            (1, 100, 5, 6),
            (2, 200, 0, 0),
        ]
        await one.says.aclose()
        await wait_all_tasks_blocked()
        assert [worker.number for worker in (await stage.status()).workers] == [2]
        stage.give(DOWN)
        assert isinstance(two.told[-1], HealthChanged)
        assert not isinstance(one.told[-1], HealthChanged)

    async def test_a_successor_does_not_inherit_the_counters(self, stage: Stage) -> None:
        await stage.taken()
        first = await stage.connect()
        await first.says.send(Hello(1, 100))
        await first.says.send(Counted(5, 6))
        await first.says.aclose()
        second = await stage.connect()
        await second.says.send(Hello(1, 101))
        await wait_all_tasks_blocked()
        [worker] = (await stage.status()).workers
        assert (worker.pid, worker.udp, worker.tcp) == (101, 0, 0)


class TestNews:
    async def test_each_flip_is_told_once_of_the_origin_and_its_pool(self, stage: Stage) -> None:
        await stage.taken()
        begun = [("up", "site", "site-1"), ("up", "site", ""), ("cleared", "site", "site-1")]
        assert stage.notifications.news() == begun
        stage.give(UP)
        assert stage.notifications.news() == []
        stage.give(DOWN)
        origin, *_, pool = stage.notifications.events
        assert (origin.kind, origin.address, origin.monitor) == ("down", "127.0.0.1", "web")
        assert (origin.reason, origin.evidence) == ("refused", "Connection refused")
        assert (pool.kind, pool.origin, pool.reason) == ("down", "", "0 of 1 origins healthy, 1 needed")
        stage.notifications.news()
        stage.give(UP)
        assert stage.notifications.news() == [("up", "site", "site-1"), ("up", "site", "")]

    async def test_every_state_is_told_when_a_configuration_is_in_force(
        self, stage: Stage, nursery: trio.Nursery
    ) -> None:
        nursery.start_soon(stage.control.take, stage.settings)
        await wait_all_tasks_blocked()
        stage.give(DOWN)
        assert stage.notifications.news() == [], "it is not in force yet"
        stage.scheduler.settled.set()
        await wait_all_tasks_blocked()
        assert stage.notifications.news() == [("down", "site", "site-1"), ("down", "site", "")]

    async def test_notifiers_are_those_in_force_and_workers_know_none(self, stage: Stage) -> None:
        await stage.taken()
        worker = await stage.connect()
        stage.write(web_settings(80) + NOTIFIER)
        await stage.control.reload()
        assert [notifier.name for notifier in stage.notifications.notifiers] == ["ops"]
        assert isinstance(worker.told[-1], Configured)
        assert worker.told[-1].settings.notifiers == ()
        stage.preparation.refusals = ("one",)
        stage.write(web_settings(80))
        await stage.control.reload()
        assert len(stage.notifications.notifiers) == 1

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_an_origin_that_leaves_is_told_also_across_a_restart(self, stage: Stage, restarted: bool) -> None:
        await stage.taken()
        stage.notifications.news()
        stage.write(web_settings(80).replace("site-1", "site-2"))
        if restarted:
            stage.control = stage.new_control()
        await stage.control.take(load_settings(stage.config))
        stage.give(UP)
        told = stage.notifications.news()
        assert told[0] == ("removed", "site", "site-1")
        assert ("up", "site", "site-2") in told

    async def test_who_only_watches_may_warn_before_anybody_has_voted(self, stage: Stage) -> None:
        group = """
[[monitor]]
name = "watcher"
type = "exec"
command = ["true"]
[[monitor_group]]
name = "both"
members = [{ monitor = "web" }, { monitor = "watcher", monitoring_only = true }]
"""
        stage.write(web_settings(80).replace('monitor = "web"', 'monitor = "both"') + group)
        stage.scheduler.settled.set()
        await stage.control.take(load_settings(stage.config))
        [watcher] = [target for target in stage.scheduler.targets if target.monitor.name == "watcher"]
        stage.health.take(watcher, Result(True, Reason.OK, warning="soon", certificate_expires=99.0))
        assert ("warning", "site", "site-1") in stage.notifications.news()
        stage.history.add(watcher.key, UP, 5.0)
        probed = stage.control.probed(*watcher.key)
        assert probed is not None
        assert probed.certificate_expires == 99.0

    async def test_a_warning_is_told_once_and_when_it_has_gone(self, stage: Stage) -> None:
        await stage.taken()
        stage.notifications.news()
        warning = Result(True, Reason.OK, warning="the certificate ends in 3 days")
        for result in (warning, warning):
            stage.give(result)
        [event] = stage.notifications.events
        assert (event.kind, event.origin, event.up, event.evidence) == ("warning", "site-1", True, warning.warning)
        stage.notifications.news()
        stage.give(DOWN)
        assert ("cleared", "site", "site-1") not in stage.notifications.news(), "nobody has seen a certificate"
        stage.give(UP)
        assert ("cleared", "site", "site-1") in stage.notifications.news()


EXTERNAL = """
[[monitor]]
name = "elsewhere"
type = "external"
[[pool]]
name = "reported"
monitor = "elsewhere"
[[pool.origin]]
name = "far"
address = "192.0.2.7"
"""


class TestHttp:
    async def test_it_is_served_before_the_first_results_are_in(self, stage: Stage, nursery: trio.Nursery) -> None:
        stage.write(web_settings(80) + "[http]\n")
        nursery.start_soon(stage.control.take, load_settings(stage.config))
        await wait_all_tasks_blocked()
        assert stage.http.served == [Http()]
        assert not stage.control.is_ready()
        stage.scheduler.settled.set()
        await wait_all_tasks_blocked()
        assert stage.control.is_ready()
        assert stage.http.served == [Http()]

    async def test_a_reload_changes_it_and_workers_are_told_no_token(self, stage: Stage) -> None:
        await stage.taken()
        worker = await stage.connect()
        stage.write(web_settings(80) + '[http]\ntoken = "0123456789abcdef"\n')
        await stage.control.reload()
        assert stage.http.served == [None, Http(token="0123456789abcdef")]
        assert isinstance(worker.told[-1], Configured)
        assert worker.told[-1].settings.http is None

    @pytest.mark.parametrize("at", ["listening", "preparing"])
    async def test_a_failure_leaves_it_as_it_was(self, stage: Stage, at: str) -> None:
        await stage.taken()
        stage.write(web_settings(80) + "[http]\n")
        if at == "listening":
            stage.http.problem = "http.listen: cannot listen"
        else:
            stage.preparation.refusals = ("a bad zone",)
        with pytest.raises(ConfigurationError) as caught:
            await stage.control.take(load_settings(stage.config))
        expected = f"{stage.config}: http.listen: cannot listen" if at == "listening" else "a bad zone"
        assert caught.value.problems == (expected,)
        assert stage.http.served == [None]
        assert stage.http.abandoned == (at == "preparing")

    async def test_a_control_that_resumes_goes_on_without_it(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        await stage.taken()
        running = read_running(stage.state)
        assert running is not None
        stage.http.problem = "http.listen: cannot listen"
        await stage.new_control().resume(running)
        assert "without HTTP: http.listen: cannot listen" in caplog.text

    async def test_a_report_over_the_control_socket(self, stage: Stage) -> None:
        _, _, rest = web_settings(80).partition("[[zone]]")
        pools = web_settings(80).removesuffix("[[zone]]" + rest)
        stage.write(pools + EXTERNAL)
        stage.scheduler.settled.set()
        await stage.control.take(load_settings(stage.config))
        request = {"command": "external", "monitor": "elsewhere", "address": "192.0.2.7", "up": False, "evidence": "x"}
        assert await stage.control.handle(request) == {}
        assert [target.address for target in stage.scheduler.probed] == ["192.0.2.7"]
        mailbox = stage.scheduler.tools.mailbox
        assert mailbox.look(("elsewhere", "192.0.2.7"), trio.current_time())[1] == Report(False, "x")
        for wrong, why in (
            ({"address": "192.0.2.8"}, "no target has this monitor and address"),
            ({"monitor": "web", "address": "127.0.0.1"}, "monitor web checks by itself"),
            ({"up": "no"}, "Expected `bool`"),
            ({"extra": 1}, "unknown field"),
        ):
            error = (await stage.control.handle(request | wrong))["error"]
            assert why in str(error)
        assert len(stage.scheduler.probed) == 1

    async def test_what_is_known_of_a_target_that_left_is_forgotten(self, stage: Stage) -> None:
        await stage.taken()
        key = ("web", "127.0.0.1")
        stage.history.add(key, UP, 5.0)
        assert stage.control.probed(*key) == Probed("web", True, 5.0, UP.rtt, 0.5)
        assert len(stage.control.history(*key)) == 1
        stage.write(web_settings(80).replace('address = "127.0.0.1"', 'address = "127.0.0.2"'))
        await stage.control.reload()
        assert stage.control.probed(*key) is None
        assert stage.control.history(*key) == ()


class TestForce:
    async def test_an_order_is_on_the_disk_before_the_reply_and_told_to_workers(self, stage: Stage) -> None:
        await stage.taken()
        worker = await stage.connect()
        stage.notifications.news()
        reply = await stage.force("site-1", "down", lasts=7200.0, reason="new disks")
        assert [str(line).split(" until ")[0] for line in listed(reply["done"])] == ["site-1 forced down by ann"]
        [kept] = read_overrides(stage.state)
        assert (kept.origin, kept.state, kept.by, kept.reason) == ("site-1", "down", "ann", "new disks")
        assert kept.until is not None
        assert kept.until - kept.since == 7200
        told = worker.told[-1]
        assert isinstance(told, HealthChanged)
        [change] = told.health
        assert (change.origin, change.verdict.up, change.verdict.cause) == ("site-1", False, "forced")
        assert stage.notifications.news() == [("forced", "site", "site-1"), ("forced", "site", "")]
        status = await stage.status()
        [origin] = status.pools[0].origins
        assert (origin.up, origin.cause, origin.reason) == (False, "forced", "ok")
        assert (status.pools[0].up, status.pools[0].cause) == (False, "forced")
        assert origin.override is not None
        assert (origin.override.by, origin.override.reason, origin.override.until) == ("ann", "new disks", kept.until)
        assert [(each.origin, each.state, each.matches) for each in status.overrides] == [("site-1", "down", 1)]

    async def test_it_is_in_force_after_a_restart_and_can_be_cleared(self, stage: Stage) -> None:
        await stage.taken()
        await stage.force("*", "down")
        stage.control = stage.new_control()
        stage.control.remember()
        await stage.taken()
        worker = await stage.connect()
        first = worker.told[0]
        assert isinstance(first, Configured)
        assert {(each.origin, each.verdict.up) for each in first.health} == {("site-1", False), ("sorry-1", False)}
        reply = await stage.force("*", "clear")
        assert len(listed(reply["done"])) == 1
        assert (await stage.status()).overrides == ()
        assert (await stage.status()).pools[0].up
        assert read_overrides(stage.state) == ()

    async def test_the_end_is_told_also_of_an_origin_that_nothing_checks(self, stage: Stage) -> None:
        await stage.taken()
        await stage.force("sorry-1", "down")
        assert ("forced", "sorry", "sorry-1") in stage.notifications.news()
        await stage.force("sorry-1", "clear")
        told = {(event.kind, event.pool, event.origin) for event in stage.notifications.events}
        assert {("freed", "sorry", "sorry-1"), ("freed", "sorry", "")} <= told

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"origin": "site-2"}, "no origin is called 'site-2'; did you mean \"site-1\"?"),
            ({"state": "sideways"}, "a request that makes no sense"),
            ({"lasts": -1.0}, "a request that makes no sense"),
            ({"lasts": float("nan")}, "a request that makes no sense"),
            ({"origin": ""}, "no origin is called"),
            ({"reason": "x" * 201}, "a request that makes no sense"),
            ({"state": "clear"}, "no override is for"),
        ],
    )
    async def test_what_cannot_be_is_refused_and_changes_nothing(
        self, stage: Stage, fields: dict[str, object], said: str
    ) -> None:
        await stage.taken()
        before = await stage.status()
        reply = await stage.control.handle(
            {"command": "force", "origin": "site-1", "state": "down", "by": "a"} | fields
        )
        assert said in str(reply["error"])
        assert await stage.status() == before

    async def test_a_disk_that_is_full_refuses_it(self, stage: Stage) -> None:
        await stage.taken()
        (stage.state / ".overrides.json.new").mkdir()
        reply = await stage.force("site-1", "down")
        assert "nothing was changed" in str(reply["error"])
        assert (await stage.status()).overrides == ()

    async def test_overrides_that_cannot_be_read_are_none_and_said(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        for content in (b"[", b'[{"origin": 1}]', b"\xff"):
            (stage.state / "overrides.json").write_bytes(content)
            stage.control.remember()
            assert "the overrides cannot be read" in caplog.text
            caplog.clear()
        await stage.taken()
        assert (await stage.status()).overrides == ()

    async def test_it_expires_by_itself(
        self, stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "time", lambda: 1_800_000_000 + autojump_clock.current_time())
        await stage.taken()
        nursery.start_soon(stage.control.keep_time)
        await wait_all_tasks_blocked()
        await stage.force("site-1", "down", lasts=10.0)
        await trio.sleep(10.5)
        assert (await stage.status()).pools[0].up, "whatever it was waiting for before"
        await stage.force("site-1", "down", lasts=100.0)
        await stage.force("sorry/*", "drain", lasts=90.0, over=60.0)
        await trio.sleep(30)
        site, sorry = (await stage.status()).pools
        assert (site.up, sorry.up, sorry.cause) == (False, True, "forced")
        assert sorry.share == pytest.approx(0.5, abs=0.02)
        await trio.sleep(31)
        assert [pool.up for pool in (await stage.status()).pools] == [False, False]
        await trio.sleep(29.5)
        assert [pool.up for pool in (await stage.status()).pools] == [False, True]
        await trio.sleep(10)
        status = await stage.status()
        assert [(pool.up, pool.cause) for pool in status.pools] == [(True, ""), (True, "")]
        assert status.overrides == ()
        assert read_overrides(stage.state) == ()
        told = [(event.kind, event.origin) for event in stage.notifications.events]
        assert told.count(("freed", "site-1")) == 3, "at the start, and at the end of each"


class TestLoad:
    async def test_a_load_is_what_workers_hear(self, stage: Stage) -> None:
        shedding = "load_shedding = { low_watermark = 50, high_watermark = 100 }\n"
        stage.write(web_settings(80).replace("[[pool.origin]]", shedding + "[[pool.origin]]", 1))
        stage.settings = load_settings(stage.config)
        await stage.taken()
        worker = await stage.connect()
        assert await stage.report_load("site", 60) == {}
        told = worker.told[-1]
        assert isinstance(told, HealthChanged)
        assert [(each.origin, each.verdict.share) for each in told.health] == [("site-1", 0.8)]
        site = (await stage.status()).pools[0]
        assert (site.share, site.origins[0].share) == (0.8, 0.8)

    @pytest.mark.parametrize(("pool", "figure"), [("site", "much"), ("site", -1), (7, 1), ("sight", 1)])
    async def test_what_cannot_be_is_refused(self, stage: Stage, pool: object, figure: object) -> None:
        await stage.taken()
        assert (await stage.report_load(pool, figure))["error"]


class TestRows:
    async def test_they_are_kept_when_a_state_changes_and_at_the_end(
        self, stage: Stage, autojump_clock: MockClock
    ) -> None:
        await stage.taken()
        file = stage.state / "health.msgpack"
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(stage.control.keep_rows)
                await trio.sleep(control.KEEP_INTERVAL + 1)
                first = file.read_bytes()
                stage.give(UP)
                await trio.sleep(2 * control.KEEP_INTERVAL)
                assert file.read_bytes() == first, "nothing has changed"
                stage.give(DOWN)
                await trio.sleep(control.KEEP_INTERVAL + 1)
                second = file.read_bytes()
                assert second != first
                stage.give(UP)
                scope.cancel()
        assert file.read_bytes() != second
        assert autojump_clock.current_time() < 60

    async def test_a_start_waits_only_for_what_is_not_known(self, stage: Stage) -> None:
        await stage.taken()
        stage.give(DOWN)
        write_rows(stage.state, stage.health.keep(stage.settings.monitors))
        stage.notifications.news()
        stage.scheduler.settled = trio.Event()
        stage.control = stage.new_control()
        stage.control.remember()
        with trio.fail_after(5):
            await stage.control.take(stage.settings)
        [origin] = (await stage.status()).pools[0].origins
        assert (origin.up, origin.cause, origin.flips) == (False, "stale", 0)
        assert [news for news in stage.notifications.news() if news[1] == "site"] == []
        stage.give(DOWN)
        assert stage.notifications.news() == [("down", "site", "site-1"), ("down", "site", "")]

    async def test_reports_of_others_are_known_after_a_restart(self, stage: Stage) -> None:
        pools, _, _ = web_settings(80).partition("[[zone]]")
        stage.write(pools + EXTERNAL)
        stage.scheduler.settled.set()
        settings = load_settings(stage.config)
        await stage.control.take(settings)
        target = stage.scheduler.find("elsewhere", "192.0.2.7")
        assert target is not None
        stage.scheduler.tools.mailbox.put(target.key, Report(False, "behind"), trio.current_time() - 290)
        stage.health.take(target, Result(False, Reason.REPORTED_DOWN, "behind"))  # a check: it makes no report younger
        stage.control._write_rows()
        stage.scheduler.tools.mailbox = Mailbox()
        stage.new_control().remember()
        age, report = stage.scheduler.tools.mailbox.look(target.key, trio.current_time())
        assert report == Report(False, "behind")
        assert 290 <= age < 300

    async def test_no_report_is_not_taken_for_one_after_a_restart(self, stage: Stage) -> None:
        pools, _, _ = web_settings(80).partition("[[zone]]")
        stage.write(pools + EXTERNAL)
        stage.scheduler.settled.set()
        await stage.control.take(load_settings(stage.config))
        target = stage.scheduler.find("elsewhere", "192.0.2.7")
        assert target is not None
        stage.scheduler.tools.mailbox.look(target.key, trio.current_time())
        stage.health.take(target, Result(True, Reason.OK, "no report yet"))
        stage.control._write_rows()
        stage.scheduler.tools.mailbox = Mailbox()
        stage.new_control().remember()
        assert stage.scheduler.tools.mailbox.look(target.key, trio.current_time()) == (0.0, None)

    @pytest.mark.parametrize("content", [b"", b"\xc1", b"\x80", b"\xff" * 100])
    async def test_what_cannot_be_read_is_said_and_does_not_count(
        self, stage: Stage, caplog: pytest.LogCaptureFixture, content: bytes
    ) -> None:
        (stage.state / "health.msgpack").write_bytes(content)
        stage.control.remember()
        assert "the states of before the restart cannot be read" in caplog.text

    async def test_a_disk_that_fails_is_said(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        await stage.taken()
        (stage.state / ".health.msgpack.new").mkdir()
        write_rows(stage.state, stage.health.keep(stage.settings.monitors))
        assert "the states could not be kept for a restart" in caplog.text
        (stage.state / ".running.msgpack.new").mkdir()
        write_running(Running(stage.settings, (), (), (), 0.0))
        assert "the configuration in force could not be kept" in caplog.text
        assert "Traceback" not in caplog.text


class TestHold:
    async def test_it_is_told_and_shown(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        stage.write(web_settings(80) + "[guard]\nminimum_targets = 1\n")
        stage.settings = load_settings(stage.config)
        await stage.taken()
        stage.notifications.news()
        stage.give(DOWN)
        status = await stage.status()
        assert status.held == "1 of 1 targets fail at once"
        [origin] = status.pools[0].origins
        assert (origin.up, origin.cause, origin.reason) == (True, "held", "refused")
        assert ("held", "", "") in stage.notifications.news()
        assert "states are held" in caplog.text
        stage.give(UP)
        assert (await stage.status()).held == ""
        assert ("resumed", "", "") in stage.notifications.news()


class TestStatus:
    async def test_of_a_group_every_member_is_shown(self, stage: Stage) -> None:
        settings = web_settings(80).replace('monitor = "web"', 'monitor = "both"')
        more = '[[monitor]]\nname = "more"\ntype = "tcp"\nport = 81\n[[monitor_group]]\nname = "both"\n'
        stage.write(settings + more + 'members = [{ monitor = "web" }, { monitor = "more", monitoring_only = true }]\n')
        stage.settings = load_settings(stage.config)
        await stage.taken()
        [origin] = (await stage.status()).pools[0].origins
        assert [(each.name, each.role, each.up, each.reason) for each in origin.monitors] == [
            ("web", "votes", True, "ok"),
            ("more", "only watches", True, "ok"),
        ]

    async def test_it(self, stage: Stage) -> None:
        await stage.taken()
        status = await stage.status()
        assert (status.configuration, status.pid) == (str(stage.config), os.getppid())
        site, sorry = status.pools
        [origin] = site.origins
        assert (site.up, site.healthy, site.minimum_origins, site.monitor) == (True, 1, 1, "web")
        assert (origin.up, origin.rtt, origin.reason, origin.flip_after) == (True, 0.01, "ok", 1.0)
        assert (sorry.up, sorry.monitor, sorry.origins[0].up) == (True, None, None)
        stage.give(DOWN)
        [origin] = (await stage.status()).pools[0].origins
        assert (origin.up, origin.reason, origin.evidence) == (False, "refused", "Connection refused")

    @pytest.mark.parametrize("request_", [{}, {"command": "nonsense"}, {"command": None}, {"command": ["status"]}])
    async def test_other_requests_are_told_apart(self, stage: Stage, request_: dict[str, object]) -> None:
        reply = await stage.control.handle(request_)
        assert "unknown command" in str(reply["error"])


class TestIsWell:
    async def test_it_is_said_once_that_probes_are_overdue(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert stage.control.is_well()
        stage.scheduler.overdue = STALL_LIMIT
        assert stage.control.is_well()
        stage.scheduler.overdue = STALL_LIMIT + 1
        assert not stage.control.is_well()
        assert not stage.control.is_well()
        assert caplog.text.count("no probe has begun or ended for 31 s") == 1
        stage.scheduler.overdue = 0
        assert stage.control.is_well()


class TestSecrets:
    async def test_a_reload_logs_none(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        await stage.taken()
        url = 'url = "hooks.example.com/s3cret"\nheaders = { Authorization = " s3cret" }\nproxy = "s3cret"\n'
        stage.write(web_settings(80) + NOTIFIER.replace('url = "http://127.0.0.1:1/"\n', url))
        await stage.control.reload()
        assert "notifier[0].url = (secret)" in caplog.text
        assert "s3cret" not in caplog.text


class TestExports:
    async def test_what_is_in_force_is_written_and_each_change(self, stage: Stage, tmp_path: Path) -> None:
        path = tmp_path / "health"
        stage.write(web_settings(80) + '[[export]]\ntype = "gdnsd_extfile"\npath = "health"\npools = ["site"]\n')
        stage.settings = load_settings(stage.config)
        await stage.taken()
        await stage.control.exports.write()
        assert path.read_text() == "192.0.2.1 => UP/1\n"
        stage.give(DOWN)
        await stage.control.exports.write()
        assert path.read_text() == "192.0.2.1 => DOWN/1\n"
        (told,) = (await stage.status()).exports
        assert (told.path, told.problem) == (str(path), "")


class TestWithoutAnswers:
    """`waypost probe`."""

    @pytest.fixture
    def alone(self, stage: Stage) -> Stage:
        """A stage with a Control for that."""
        stage.settings = without_answers(stage.settings)
        stage.control = stage.new_control(answers=False)
        return stage

    async def test_nothing_is_prepared(self, alone: Stage) -> None:
        alone.preparation.refusals = ("nobody may ask for this",)
        await alone.taken()
        assert alone.preparation.published == 0
        status = await alone.status()
        assert [pool.up for pool in status.pools] == [True, True]
        assert (status.listen, status.zones) == ((), ())
        assert not (alone.state / "cookie.secret").exists()

    async def test_a_reload_may_change_what_only_run_uses(self, alone: Stage, caplog: pytest.LogCaptureFixture) -> None:
        await alone.taken()
        server = SERVER.replace("127.0.0.1:53", "192.0.2.1:5353") + "workers = 2\n"
        alone.write(web_settings(80).replace("site-1", "other"), server)
        await alone.control.reload()
        assert "the configuration is in force" in caplog.text
        assert (await alone.status()).pools[0].origins[0].name == "other"

    async def test_the_state_directory_cannot_change(self, alone: Stage, caplog: pytest.LogCaptureFixture) -> None:
        await alone.taken()
        alone.write(web_settings(80), SERVER.replace('"state"', '"elsewhere"'))
        await alone.control.reload()
        assert "server.state cannot change while waypost runs" in caplog.text


class TestKeys:
    SETTINGS = """
[[zone]]
name = "example.com"
nameservers = ["ns1.example.net"]
allow_transfer = ["key:xfr"]
[[key]]
name = "xfr"
secret_file = "xfr.secret"
"""

    async def test_workers_get_them_and_their_zones(self, stage: Stage) -> None:
        (stage.config.parent / "xfr.secret").write_text("c2VjcmV0\nmore\n")
        stage.write(self.SETTINGS)
        settings = load_settings(stage.config)
        await stage.control.take(settings)
        first = (await stage.connect()).told[0]
        assert isinstance(first, Configured)
        assert first.keys == (Key(b"\3xfr\0", "hmac-sha256", b"secret"),)
        assert first.settings.zones == settings.zones

    @pytest.mark.parametrize(
        ("content", "reason"), [(None, "No such file"), (b"not Base64!", "not Base64"), (b"\xff", "not UTF-8")]
    )
    async def test_a_file_that_is_none(self, stage: Stage, content: bytes | None, reason: str) -> None:
        if content is not None:
            (stage.config.parent / "xfr.secret").write_bytes(content)
        stage.write(self.SETTINGS)
        with pytest.raises(ConfigurationError, match=reason) as caught:
            await stage.control.take(load_settings(stage.config))
        assert "key xfr." in str(caught.value)
        assert "not Base64!" not in str(caught.value)
