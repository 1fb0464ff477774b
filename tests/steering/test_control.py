"""Control by itself: what it takes, what it tells whom, and that a configuration is taken whole or not at all.

Its children and its probes are fakes that answer when the test says so; the whole program is tested in test_run.py.
"""

import logging
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from monitors.monitor import Reason, Result, Target
from monitors.notify import AnyNotifier
from monitors.notify.event import Event
from monitors.scheduler import Statistics, open_scheduler
from steering import control
from steering.balance.pools import Verdict
from steering.control import FIRST_RESULTS_MARGIN, ConfigurationError, Control
from steering.keeper import HealthKeeper
from steering.messages import Configured, Counted, HealthChanged, Hello, Status, TargetHealth
from steering.prepare import Prepared, PrepareError
from steering.settings import Settings, load_settings
from steering.zones.tsig import Key
from tests.steering.running import web_settings

SERVER = '[server]\nlisten = ["127.0.0.1:53"]\nstate = "state"\n'
UP = Result(True, Reason.OK, rtt=0.01)
DOWN = Result(False, Reason.REFUSED, "Connection refused")


class FakeScheduler:
    """Remembers its targets; results come when the test gives them."""

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.settled = trio.Event()
        self.missing: set[Target] = set()

    def replace(self, targets: Iterable[Target]) -> None:
        self.targets = list(targets)

    async def wait_first_results(self, targets: Iterable[Target], deadline_seconds: float) -> set[Target]:  # noqa: ARG002
        await self.settled.wait()
        return self.missing

    def statistics(self) -> Statistics:
        return Statistics(len(self.targets), 0, 0, 0, 0, 0.0, 0.0)


class FakeNotifications:
    """Remembers whom to tell, and what."""

    def __init__(self) -> None:
        self.notifiers: list[AnyNotifier] = []
        self.events: list[Event] = []

    def replace(self, notifiers: Iterable[AnyNotifier]) -> None:
        self.notifiers = list(notifiers)

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def news(self) -> list[tuple[str, str, str]]:
        """Kind, pool and origin of what has been told since the last look."""
        told, self.events = self.events, []
        return [(event.kind, event.pool, event.origin) for event in told]


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
        self.says, self._received = trio.open_memory_channel[Hello | Counted](10)

    def send(self, message: msgspec.Struct) -> None:
        self.told.append(message)

    def __aiter__(self) -> AsyncIterator[Hello | Counted]:
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
        self.nursery = nursery
        self.settings = load_settings(self.config)
        self.control = self.new_control()

    def new_control(self) -> Control:
        """One that has just started."""
        self.health = HealthKeeper()
        scheduler, notifications = self.scheduler, self.notifications
        return Control(self.config, self.settings.server, self.health, scheduler, notifications, self.nursery)  # type: ignore[arg-type] # fakes

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

    async def status(self) -> Status:
        """As `waypost status` gets it."""
        return msgspec.convert(await self.control.handle({"command": "status"}), Status)


def without_zones(settings: Settings) -> Settings:
    """What a worker is told of them: it has the zones in the store, and tells nobody."""
    return msgspec.structs.replace(settings, zones=(), notifiers=())


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
            notifications = stage.notifications
            made = Control(stage.config, stage.settings.server, stage.health, scheduler, notifications, nursery)  # type: ignore[arg-type] # a fake
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
        (stage.state / "running.new").mkdir()
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
            assert worker.told[-1].health == (TargetHealth("web", "127.0.0.1", Verdict(True, 1.0)),)
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
        assert worker.told[1:] == [HealthChanged((TargetHealth("web", "127.0.0.1", Verdict(False, 1.0)),))]

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
        [origin, pool] = stage.notifications.events
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


class TestStatus:
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
