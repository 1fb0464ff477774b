"""Control: the process that knows. It probes, prepares zones and maps, feeds the workers, reloads, answers `status`.

A configuration is taken in this order, and up to the last step nothing that runs has changed:
1. what it needs of this machine is there (ICMP sockets);
2. zones are staged and maps compiled (prepare.py), in a process of its own;
3. every target that is new has its first result, or has had the time for one: nobody is told a guess;
4. zones are published, and the workers get the configuration.

For `waypost probe` there is nothing to answer: of a configuration only what is probed, told and written into other
servers counts, nothing is prepared, and the zones that the state directory may have are left alone.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
import trio

from geodata.edition import Edition, EditionWatch, describe_older, look_at
from monitors.history import History, Past
from monitors.mailbox import Report, ReportError
from monitors.monitor import Monitor, Result, Target
from monitors.notify.notifications import Notifications, open_notifications
from monitors.ping import PingNotPermitted, check_ping_permission
from monitors.probes import ping_families
from monitors.probes.external import ExternalMonitor
from monitors.scheduler import Scheduler, open_scheduler
from steering.balance.pools import judge_pool
from steering.beside.updater import Updater, concerns
from steering.beside.writer import ExportWriter
from steering.cookies import SECRET_SIZE, make_secret, read_secrets
from steering.keeper import HealthKeeper, judge_row, targets_of
from steering.messages import (
    Configured,
    Counted,
    HealthChanged,
    Hello,
    MapFile,
    OriginHealth,
    OriginStatus,
    PoolStatus,
    Status,
    ToControl,
    WorkerStatus,
    ZoneStatus,
)
from steering.metrics import Probed
from steering.news import describe_pool, describe_removed, describe_warning, pools_by_target
from steering.prepare import Prepared, PrepareError, prepare, prepare_maps
from steering.problems import SettingsError
from steering.process import ControlEnd, beat_while_well, wait_for_end
from steering.serve.control_socket import serve_control
from steering.serve.feed import Connection, serve_feed
from steering.serve.http import HttpError, HttpServer, open_http
from steering.settings import Pool, Server, Settings, load_settings
from steering.wire import name_to_text
from steering.zones.load import LoadReport

FIRST_RESULTS_MARGIN = 5.0
"""Seconds that the first results may take beyond the timeouts of their monitors."""
GEO_INTERVAL = 10.0
"""Seconds between two looks at the files of [[geo]]; one that has changed is taken when it is the same at the next."""

STALL_LIMIT = 30.0
"""Seconds for which probes may be overdue before control counts as stuck, and ceases to beat."""

logger = logging.getLogger("waypost.control")


class ConfigurationError(Exception):
    """A configuration that cannot be taken on this machine; every problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Running(msgspec.Struct, frozen=True):
    """The configuration that is in force; kept in the state directory for a control that has to be restarted."""

    settings: Settings
    maps: tuple[MapFile, ...]
    zones: tuple[LoadReport, ...]
    cookie_secrets: tuple[bytes, ...]
    since: float
    """Unix seconds."""
    editions: tuple[Edition, ...] = ()
    """Of the files that the maps are made from."""


def without_answers(settings: Settings) -> Settings:
    """What of a configuration is left when nothing is answered."""
    server = msgspec.structs.replace(settings.server, listen=(), workers=1, cookie_secrets=None)
    # Their answers may still be written into other servers.
    balancers = tuple(each for each in settings.load_balancers if any(concerns(at, each) for at in settings.updates))
    return msgspec.structs.replace(settings, server=server, regions=None, geo=(), zones=(), load_balancers=balancers)


def run_control(path: Path, settings: Settings, answers: bool, end: ControlEnd) -> None:
    """Run until SIGTERM; the main function of the process. SystemExit 1 if the first configuration cannot be taken.

    `answers`: there are, or will be, workers; otherwise this only probes. After a restart (`end.resume`) what was in
    force goes on, whatever has become of the files.
    """
    if problems := trio.run(_run, path, settings, answers, end):
        print("\n".join(problems), file=sys.stderr)  # noqa: T201 - the user's terminal: nothing has started
        sys.exit(1)


async def _run(path: Path, settings: Settings, answers: bool, end: ControlEnd) -> tuple[str, ...]:
    """The problems for which nothing was started; none after SIGTERM."""
    problems: tuple[str, ...] = ()
    with trio.open_signal_receiver(signal.SIGTERM) as terms, trio.open_signal_receiver(signal.SIGHUP) as hangups:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_end, terms, end.lifeline, nursery.cancel_scope)
            health, history = HealthKeeper(), History()
            state = Path(settings.server.state)

            def take(target: Target, result: Result) -> None:
                history.add(target.key, result, time.time())
                health.take(target, result)

            async with (
                open_scheduler(take) as scheduler,
                open_notifications(state / NOTIFY_FOLDER, scheduler.tools) as notifications,
                open_http() as http,
            ):
                control = Control(
                    path, settings.server, health, scheduler, notifications, nursery, history, http, answers=answers
                )
                nursery.start_soon(beat_while_well, end.beat, control.is_well)
                try:
                    running = read_running(state) if end.resume else None
                    if end.resume and running is None:
                        logger.error("what was in force is lost: taking the configuration as it was at the start")
                    await (control.take(settings) if running is None else control.resume(running))
                except ConfigurationError as error:
                    problems = error.problems
                    nursery.cancel_scope.cancel()
                await nursery.start(serve_control, state, control.handle)
                nursery.start_soon(serve_feed, end.feed, msgspec.msgpack.Decoder(ToControl), control.feed)
                nursery.start_soon(control.exports.run)
                nursery.start_soon(control.updates.run)
                nursery.start_soon(control.watch_geo)
                end.ready()
                async for _ in hangups:
                    await control.reload()
                    end.ready()
    return problems


class Control:
    """The configuration in force, and everybody who has to hear of it."""

    def __init__(
        self,
        path: Path,
        server: Server,
        health: HealthKeeper,
        scheduler: Scheduler,
        notifications: Notifications,
        nursery: trio.Nursery,
        history: History,
        http: HttpServer,
        *,
        answers: bool = True,
    ) -> None:
        self._path = path
        self._answers = answers
        self.exports = ExportWriter(lambda: health.verdicts)
        """The files for other servers; to be run."""
        self.updates = Updater(Path(server.state), lambda: health.verdicts)
        """What is written into other servers; to be run."""
        self._stalled = False
        self._server = server
        self._health = health
        self._scheduler = scheduler
        self._notifications = notifications
        self._nursery = nursery
        self._history = history
        self._http = http
        self._running: Running | None = None
        self._changing = trio.Lock()
        """Held by who is preparing something else to be in force."""
        self._pools: dict[tuple[str, str], tuple[Pool, ...]] = {}
        """By target; of the configuration in force."""
        self._workers: dict[Connection[ToControl], Hello | None] = {}
        self._counters: dict[int, Counted] = {}
        health.on_change = self._tell_health
        health.on_flip = self._tell_flip
        health.on_warning = self._tell_warning

    async def take(self, settings: Settings) -> None:
        """Make a configuration the one in force; raises ConfigurationError, and then nothing has changed."""
        self._check_machine(settings)
        secrets = _load_secrets(settings.server) if self._answers else ()
        targets = targets_of(settings)
        try:
            self._http.expect(settings.http, self)
        except HttpError as error:
            raise ConfigurationError([f"{self._path}: {error}"]) from error
        self._scheduler.tools.resolver.nameservers = settings.server.resolvers
        self._health.expect(settings)
        is_first = self._running is None
        if is_first:
            # It can be asked whether it is ready, and told first results, before they are in.
            self._http.commit()
            self._scheduler.replace(targets)
        try:
            preparation = await prepare(settings, self._nursery) if self._answers else None
            self._scheduler.replace(targets)
            await self._wait_first_results(targets)
            if preparation is not None:
                await preparation.publish()
        except PrepareError as error:
            if self._running:
                self._scheduler.tools.resolver.nameservers = self._running.settings.server.resolvers
            self._scheduler.replace(targets_of(self._running.settings) if self._running else [])
            self._health.abandon()
            self._http.abandon()
            raise ConfigurationError(error.problems) from error
        if not is_first:
            self._http.commit()
        prepared = preparation.prepared if preparation is not None else Prepared((), (), 0.0)
        for report in prepared.zones:
            if report.names:
                text = "zone %s: serial %d, %d names, %d changed"
                logger.info(text, name_to_text(report.apex), report.serial, report.names, report.changed)
        for older in describe_older(prepared.editions, self._running.editions if self._running else ()):
            logger.warning("%s; it is taken because a reload asks for it", older)
        running = Running(settings, prepared.maps, prepared.zones, secrets, time.time(), prepared.editions)
        self._enforce(running)

    async def resume(self, running: Running) -> None:
        """Go on where a control that died has left."""
        targets = targets_of(running.settings)
        self._scheduler.tools.resolver.nameservers = running.settings.server.resolvers
        try:
            self._http.expect(running.settings.http, self)
            self._http.commit()
        except HttpError as error:
            logger.error("without HTTP: %s", error)  # noqa: TRY400 - no trace
        self._health.expect(running.settings)
        self._scheduler.replace(targets)
        await self._wait_first_results(targets)
        self._enforce(running)

    def _enforce(self, running: Running) -> None:
        # At a start, notifiers remember what was in force when they were stopped.
        before = self._running or read_running(Path(self._server.state))
        self._running = running
        self._pools = pools_by_target(running.settings)
        self._health.commit(running.settings)
        keys = {target.key for target in targets_of(running.settings)}
        self._history.keep(keys)
        self._scheduler.tools.mailbox.keep(keys)
        write_running(running)
        self._notifications.replace(running.settings.notifiers)
        self.exports.replace(running.settings.exports, running.settings.pools)
        self.updates.replace(running.settings)
        for event in describe_removed(before.settings, running.settings, time.time()) if before else ():
            self._notifications.tell(event)
        for pool in running.settings.pools:
            self._tell_pool(pool)
        for connection in self._workers:
            connection.send(self._configured())

    def _check_machine(self, settings: Settings) -> None:
        """What cannot be had: other sockets or another state directory now, or pings without permission."""
        problems = [
            f"{self._path}: server.{key} cannot change while waypost runs; restart it for that"
            for key in ("listen", "state", "workers")
            if getattr(settings.server, key) != getattr(self._server, key)
        ]
        if self._answers and self._running and settings.powerdns != self._running.settings.powerdns:
            problems.append(f"{self._path}: powerdns cannot change while waypost runs; restart it for that")
        try:
            check_ping_permission(ping_families(targets_of(settings)))
        except PingNotPermitted as error:
            problems.append(str(error))
        if problems:
            raise ConfigurationError(problems)

    async def _wait_first_results(self, targets: list[Target]) -> None:
        if not targets:
            return
        monitors = {target.monitor for target in targets}
        deadline = max(monitor.timeout * (monitor.retries + 1) for monitor in monitors) + FIRST_RESULTS_MARGIN
        start = trio.current_time()
        missing = await self._scheduler.wait_first_results(targets, deadline)
        taken = trio.current_time() - start
        logger.info("first results of %d targets after %.1f s", len(targets) - len(missing), taken)
        for target in missing:
            logger.warning(
                "no result for %s (monitor %s) within %.1f s: it counts as up until there is one",
                target.endpoint,
                target.monitor.name,
                deadline,
            )

    async def reload(self) -> None:
        """Take the configuration file as it is now; if that is impossible say why, and change nothing."""
        logger.info("reloading %s", self._path)
        problems: tuple[object, ...] = ()
        try:
            async with self._changing:
                # In a thread, as reading a very long one takes longer than anybody may be silent.
                settings = await trio.to_thread.run_sync(load_settings, self._path)
                await self.take(settings if self._answers else without_answers(settings))
        except (SettingsError, ConfigurationError) as error:
            problems = error.problems
        for problem in problems:
            logger.error("%s", problem)
        if problems:
            logger.error("the configuration was not taken: what runs goes on unchanged")
        else:
            logger.info("the configuration is in force")

    async def watch_geo(self) -> None:
        """Take a file of [[geo]] that was replaced, by new maps alone; refuse one that is broken, or older."""
        watch = EditionWatch()
        while True:
            await trio.sleep(GEO_INTERVAL)
            async with self._changing:
                assert self._running is not None, "it starts when a configuration is in force"
                for each in self._running.maps:
                    with suppress(OSError):  # so that nobody takes it for one that is not used any more
                        os.utime(each.path)
                in_use = self._running.editions
                if watch.is_due(tuple(_look_at(edition.path) for edition in in_use), in_use):
                    await self._renew_maps(self._running)

    async def _renew_maps(self, running: Running) -> None:
        problems: tuple[str, ...] = ()
        try:
            prepared = await prepare_maps(running.settings, running.editions, self._nursery)
        except PrepareError as error:
            problems = error.problems
        for problem in problems:
            logger.error("%s", problem)
        if problems:
            logger.error("the replaced geo source was not taken: the maps go on unchanged")
            return
        self._running = msgspec.structs.replace(running, maps=prepared.maps, editions=prepared.editions)
        write_running(self._running)
        for connection in self._workers:
            connection.send(self._configured())
        logger.info("a geo source was replaced: %d maps in %.1f s", len(prepared.maps), prepared.seconds)

    async def feed(self, connection: Connection[ToControl]) -> None:
        """Keep a worker informed until it is gone."""
        self._workers[connection] = None
        connection.send(self._configured())
        try:
            async for message in connection:
                if isinstance(message, Hello):
                    self._workers[connection] = message
                    self._counters[message.number] = Counted()
                elif hello := self._workers[connection]:
                    self._counters[hello.number] = message
        finally:
            del self._workers[connection]

    def _configured(self) -> Configured:
        assert self._running is not None, "workers are fed when there is something to tell"
        health = tuple(OriginHealth(*key, verdict) for key, verdict in self._health.verdicts.items())
        # Workers have the store, and tell nobody.
        settings = msgspec.structs.replace(
            self._running.settings, zones=(), notifiers=(), exports=(), updates=(), keys=(), http=None
        )
        return Configured(settings, self._running.maps, health, self._running.cookie_secrets)

    def is_well(self) -> bool:
        """Whether probes begin and end when they should; says so in the log when they no longer do."""
        stalled, was_stalled = self._scheduler.stalled(), self._stalled
        self._stalled = stalled > STALL_LIMIT
        if self._stalled and not was_stalled:
            logger.critical("no probe has begun or ended for %.0f s in which one should have: this is stuck", stalled)
        return not self._stalled

    def _tell_health(self, change: OriginHealth) -> None:
        self.exports.mark_changed()
        self.updates.mark_changed()
        for connection in self._workers:
            connection.send(HealthChanged((change,)))

    def _tell_flip(self, target: Target) -> None:
        for pool in self._pools[target.key]:
            self._tell_pool(pool, target.endpoint)

    def _tell_pool(self, pool: Pool, endpoint: str | None = None) -> None:
        for event in describe_pool(pool, self._health.table, self._health.verdicts, endpoint):
            self._notifications.tell(event)

    def _tell_warning(self, target: Target, warning: str) -> None:
        key = target.key
        for pool in self._pools[key]:
            for event in describe_warning(pool, self._health.table[key], target.endpoint, warning, time.time()):
                self._notifications.tell(event)

    async def handle(self, request: dict[str, object]) -> dict[str, object]:
        """Answer a request of the control socket."""
        await trio.lowlevel.checkpoint()
        match request.get("command"):
            case "status":
                reply: dict[str, object] = msgspec.to_builtins(await self.status())
                return reply
            case "external":
                return self._take_report(request)
            case command:
                return {"error": f"unknown command {command!r}; known: external, status"}

    def _take_report(self, request: dict[str, object]) -> dict[str, object]:
        """A result of another checker, over the control socket."""
        given = {key: value for key, value in request.items() if key not in ("command", "monitor", "address")}
        target = self.find(str(request.get("monitor")), str(request.get("address")))
        if target is None:
            return {"error": "no target has this monitor and address"}
        try:
            self.report(target, msgspec.convert(given, Report))
        except (msgspec.ValidationError, ReportError) as error:
            return {"error": str(error)}
        return {}

    def is_ready(self) -> bool:
        """Whether a configuration is in force, and so its first results are in."""
        return self._running is not None

    def find(self, monitor: str, address: str) -> Target | None:
        """A target that is watched."""
        return self._scheduler.find(monitor, address)

    def history(self, monitor: str, address: str) -> tuple[Past, ...]:
        """The results of a target, the newest first."""
        return self._history.of((monitor, address))

    def probed(self, monitor: str, address: str) -> Probed | None:
        """The last of them."""
        past = self._history.last((monitor, address))
        if past is None:
            return None
        return Probed(monitor, past.up, past.time, past.rtt, self._scheduler.last_duration(monitor, address))

    async def try_out(self, target: Target) -> Result:
        """Check a target now; the result counts for nothing."""
        return await self._scheduler.try_out(target)

    def report(self, target: Target, report: Report) -> None:
        """Let a report of another checker take effect. ReportError."""
        if not isinstance(target.monitor, ExternalMonitor):
            raise ReportError(f"monitor {target.monitor.name} checks by itself; those of type external take reports")
        self._scheduler.tools.mailbox.put(target.key, report, trio.current_time())
        self._scheduler.probe_now(target)

    async def status(self) -> Status:
        """All that it knows, once a configuration is in force. Others run in between: it can take longer than a probe
        may wait for its turn."""
        assert self._running is not None, "a configuration is in force"
        settings = self._running.settings
        monitors = {monitor.name: monitor for monitor in settings.monitors}
        pools = []
        for pool in settings.pools:
            pools.append(self._pool_status(pool, monitors.get(pool.monitor or "")))
            await trio.lowlevel.checkpoint()
        return Status(
            configuration=str(self._path),
            since=self._running.since,
            pid=os.getppid(),
            listen=settings.server.listen,
            pools=tuple(pools),
            zones=tuple(ZoneStatus(name_to_text(report.apex), report.serial) for report in self._running.zones),
            workers=tuple(
                WorkerStatus(hello.number, hello.pid, **msgspec.structs.asdict(self._counters[hello.number]))
                for hello in sorted(filter(None, self._workers.values()), key=lambda hello: hello.number)
            ),
            probes=self._scheduler.statistics(),
            notifiers=self._notifications.statistics(),
            exports=self.exports.status(),
            updates=self.updates.status(),
        )

    def _pool_status(self, pool: Pool, monitor: Monitor | None) -> PoolStatus:
        state = judge_pool(pool, self._health.verdicts)
        rows = {} if monitor is None else self._health.table
        origins = []
        for origin in pool.origins:
            status = OriginStatus(origin.name, origin.endpoint, origin.enabled, origin.weight)
            row = rows.get((pool.monitor or "", origin.endpoint))
            if row is not None and monitor is not None:
                status = msgspec.structs.replace(
                    status,
                    up=row.healthy,
                    since=row.since,
                    rtt=row.rtt,
                    reason=row.reason,
                    evidence=row.evidence,
                    flip_after=judge_row(row, monitor).flip_after,
                )
            origins.append(status)
        healthy = len(state.healthy)
        return PoolStatus(
            pool.name, pool.enabled, state.up, pool.monitor, pool.minimum_origins, healthy, tuple(origins)
        )


def _look_at(path: str) -> Edition | None:
    try:
        return look_at(path)
    except OSError:
        return None


NOTIFY_FOLDER = "notify"
"""Of the state directory: what notifiers remember, and what they have still to deliver."""
RUNNING_FILE = "running.msgpack"


def write_running(running: Running) -> None:
    """Keep what is in force; a disk that is full costs a restarted control its memory, and nobody an answer."""
    path = Path(running.settings.server.state) / RUNNING_FILE
    temporary = path.with_suffix(".new")
    try:
        temporary.touch(mode=0o600)
        temporary.write_bytes(msgspec.msgpack.encode(running))
        temporary.replace(path)
    except OSError:
        logger.exception("the configuration in force could not be kept for a restart of control")


def read_running(state: Path) -> Running | None:
    """What was in force; None if nothing was, or, with the reason in the log, if that cannot be read."""
    try:
        return msgspec.msgpack.decode((state / RUNNING_FILE).read_bytes(), type=Running)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        logger.exception("what was in force before cannot be read; it does not count")
        return None


COOKIE_FILE = "cookie.secret"


def _load_secrets(server: Server) -> tuple[bytes, ...]:
    """The secrets for DNS cookies: the operator's, or one of our own that is kept; raises ConfigurationError."""
    path = Path(server.cookie_secrets or Path(server.state) / COOKIE_FILE)
    try:
        if server.cookie_secrets is None and not path.exists():
            path.touch(mode=0o600)
            path.write_text(make_secret(os.urandom(SECRET_SIZE)))
        return read_secrets(path.read_text(), str(path))
    except SettingsError as error:
        raise ConfigurationError(map(str, error.problems)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: {error}"]) from error
