"""Control: the process that knows. It probes, prepares zones and maps, feeds the workers, reloads, answers `status`,
and takes the orders of people.

A configuration is taken in this order, and up to the last step nothing that runs has changed:
1. what it needs of this machine is there (ICMP sockets);
2. zones are staged and maps compiled (prepare.py), in a process of its own;
3. every target that is new has its first result, or has had the time for one, unless its state is known from before a
   restart: nobody is told a guess;
4. zones are published, and the workers get the configuration.

For `waypost probe` there is nothing to answer: of a configuration only what is probed, told and written into other
servers counts, nothing is prepared, and the zones that the state directory may have are left alone.
"""

import logging
import math
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import trio

from geodata.edition import Edition, EditionWatch, describe_older, look_at
from monitors.history import History, Past
from monitors.mailbox import Report, ReportError
from monitors.monitor import Result, Target
from monitors.notify.notifications import Notifications, open_notifications
from monitors.ping import PingNotPermitted, check_ping_permission
from monitors.probes import ping_families
from monitors.probes.external import ExternalMonitor
from monitors.scheduler import Scheduler, open_scheduler
from steering.beside.updater import Updater, concerns
from steering.beside.writer import ExportWriter
from steering.cookies import SECRET_SIZE
from steering.health.judgement import OriginState
from steering.health.keeper import HealthKeeper, KeptReport, OriginName, targets_of
from steering.health.news import (
    PoolTally,
    describe_freed,
    describe_hold,
    describe_origin,
    describe_pool,
    describe_removed,
    describe_warning,
)
from steering.health.overrides import (
    Override,
    OverrideError,
    add_override,
    clear_overrides,
    describe_override,
    drop_expired,
)
from steering.health.statuses import make_override_statuses, make_pool_status
from steering.messages import (
    Configured,
    Counted,
    ForceRequest,
    HealthChanged,
    Hello,
    LoadReported,
    Notified,
    OriginHealth,
    Status,
    Taken,
    ToControl,
    UpdateAsked,
    UpdateDone,
    WorkerStatus,
)
from steering.metrics import Probed
from steering.prepare import Prepared, PrepareError, prepare, prepare_maps
from steering.problems import ConfigurationError, SettingsError
from steering.process import ControlEnd, beat_while_well, wait_for_end
from steering.secret_files import load_cookie_secrets, load_keys
from steering.serve.control_socket import serve_control
from steering.serve.feed import Connection, serve_feed
from steering.serve.http import HttpError, HttpServer, open_http
from steering.served_zones import ServedZones
from steering.settings import Origin, Pool, Server, Settings
from steering.settings_file import load_settings
from steering.state_files import (
    NOTIFY_FOLDER,
    Running,
    read_overrides,
    read_rows,
    read_running,
    write_overrides,
    write_rows,
    write_running,
)
from steering.wire import name_to_text

FIRST_RESULTS_MARGIN = 5.0
"""Seconds that the first results may take beyond the timeouts of their monitors."""
GEO_INTERVAL = 10.0
"""Seconds between two looks at the files of [[geo]]; one that has changed is taken when it is the same at the next."""

STALL_LIMIT = 30.0
"""Seconds for which probes may be overdue before control counts as stuck, and ceases to beat."""
LONGEST_SLEEP = 30.0
"""Seconds after which it is looked again what time it is: somebody may have set the clock."""
KEEP_INTERVAL = 5.0
"""Seconds between two times that the rows are kept for a restart, at least."""
KEEP_AT_LEAST = 60.0
"""Seconds after which they are kept though no state has changed."""

logger = logging.getLogger("waypost.control")


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
                control.remember()
                nursery.start_soon(beat_while_well, end.beat, control.is_well)
                try:
                    running = read_running(state) if end.resume else None
                    if end.resume and running is None:
                        logger.error("what was in force is lost: taking the configuration as it was at the start")
                    await (control.take(settings) if running is None else control.resume(running))
                except ConfigurationError as error:
                    problems = error.problems
                    nursery.cancel_scope.cancel()
                nursery.start_soon(control.keep_time)
                nursery.start_soon(control.keep_rows)
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
        self._origins: dict[OriginName, tuple[Pool, Origin]] = {}
        """Of the configuration in force."""
        self._overrides: tuple[Override, ...] = ()
        self._sleep = trio.CancelScope()
        self._turned = False
        """Whether a state has changed since the rows were kept."""
        self._workers: dict[Connection[ToControl], Hello | None] = {}
        self._untaken: dict[Connection[ToControl], int] = {}
        """Of each, the configurations that it has been told and has not taken yet."""
        self._counters: dict[int, Counted] = {}
        self._tallies: dict[str, PoolTally] = {}
        """By pool."""
        self._zones = ServedZones(nursery, self._configure_workers, self._reply_to_update)
        health.on_change = self._tell_health
        health.on_turn = self._tell_turn
        health.on_warning = self._tell_warning
        health.on_hold = self._tell_hold

    def remember(self) -> None:
        """Take what was ordered, and what was known of health, before a restart."""
        state = Path(self._server.state)
        self._overrides = drop_expired(read_overrides(state), time.time())
        self._health.order(self._overrides)
        if (kept := read_rows(state)) is not None:
            self._health.recall(kept)
            # What other checkers had reported counts on, and is as old as it is.
            for each in kept.reports:
                age = max(0.0, time.time() - each.came)
                self._scheduler.tools.mailbox.put(each.key, each.report, trio.current_time() - age)

    async def take(self, settings: Settings) -> None:
        """Make a configuration the one in force; raises ConfigurationError, and then nothing has changed."""
        self._check_machine(settings)
        secrets = load_cookie_secrets(settings.server, os.urandom(SECRET_SIZE)) if self._answers else ()
        keys = load_keys(settings, self._path)
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
        running = Running(settings, prepared.maps, prepared.zones, secrets, time.time(), prepared.editions, keys)
        self._enforce(running)
        for report in prepared.zones:
            if report.changed:
                self._zones.tell(report.apex)

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
        enabled = [pool for pool in running.settings.pools if pool.enabled]
        self._origins = {
            (pool.name, origin.name): (pool, origin) for pool in enabled for origin in pool.origins if origin.enabled
        }
        self._health.commit(running.settings)
        keys = {target.key for target in targets_of(running.settings)}
        self._history.keep(keys)
        self._scheduler.tools.mailbox.keep(keys)
        self._sleep.cancel()
        write_running(running)
        self._notifications.replace(running.settings.notifiers)
        self.exports.replace(running.settings.exports, running.settings.pools)
        self._zones.replace(running.settings, running.zones, running.keys)
        self.updates.replace(running.settings)
        for event in describe_removed(before.settings, running.settings, time.time()) if before else ():
            self._notifications.tell(event)
        self._tallies = {pool.name: PoolTally(pool) for pool in enabled}
        for name, state in self._health.states.items():
            self._tallies[name[0]].count(None, state)
            for event in describe_origin(*self._origins[name], None, state):
                self._notifications.tell(event)
        for pool in enabled:
            self._tell_pool(pool)
        self._configure_workers()

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
        targets = [target for target in targets if not self._health.knows(target)]
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
        self._configure_workers()
        logger.info("a geo source was replaced: %d maps in %.1f s", len(prepared.maps), prepared.seconds)

    async def feed(self, connection: Connection[ToControl]) -> None:
        """Keep a worker informed until it is gone."""
        self._workers[connection] = None
        self._configure(connection)
        try:
            async for message in connection:
                if isinstance(message, Taken):
                    self._untaken[connection] -= 1
                    if not any(self._untaken.values()):
                        self._zones.serve()
                elif isinstance(message, Hello):
                    self._workers[connection] = message
                    self._counters[message.number] = Counted()
                elif isinstance(message, Notified):
                    self._zones.notify(message)
                elif isinstance(message, UpdateAsked):
                    self._zones.update(message)
                elif hello := self._workers[connection]:
                    self._counters[hello.number] = message
        finally:
            del self._workers[connection], self._untaken[connection]

    def _configure_workers(self) -> None:
        for connection in self._workers:
            self._configure(connection)

    def _configure(self, connection: Connection[ToControl]) -> None:
        self._untaken[connection] = self._untaken.get(connection, 0) + 1
        connection.send(self._configured())

    def _reply_to_update(self, done: UpdateDone) -> None:
        for connection, hello in self._workers.items():
            if hello is not None and hello.number == done.worker:
                connection.send(done)

    def _configured(self) -> Configured:
        assert self._running is not None, "workers are fed when there is something to tell"
        health = tuple(OriginHealth(*key, verdict) for key, verdict in self._health.verdicts.items())
        # Workers have the store, and tell nobody.
        zones = tuple(zone for zone in self._zones.all if zone.allow_transfer or zone.primaries or zone.allow_update)
        settings = msgspec.structs.replace(
            self._running.settings, zones=zones, keys=(), notifiers=(), exports=(), updates=(), http=None
        )
        return Configured(settings, self._running.maps, health, self._running.cookie_secrets, self._running.keys)

    def is_well(self) -> bool:
        """Whether probes begin and end when they should; says so in the log when they no longer do."""
        stalled, was_stalled = self._scheduler.stalled(), self._stalled
        self._stalled = stalled > STALL_LIMIT
        if self._stalled and not was_stalled:
            logger.critical("no probe has begun or ended for %.0f s in which one should have: this is stuck", stalled)
        return not self._stalled

    def _tell_health(self, changes: tuple[OriginHealth, ...]) -> None:
        self.exports.mark_changed()
        self.updates.mark_changed()
        for connection in self._workers:
            connection.send(HealthChanged(changes))

    def _tell_turn(self, name: OriginName, before: OriginState | None, state: OriginState | None) -> None:
        self._turned = True
        pool, origin = self._origins[name]
        # Only an order was known of an origin of which nothing is known now: it has ended.
        ended = time.time() if state is None else None
        news = describe_origin(pool, origin, before, state) if state else (describe_freed(pool, origin, time.time()),)
        for event in news:
            self._notifications.tell(event)
        if pool.ramp_up and state is not None and state.up:
            self._sleep.cancel()  # its share goes up in steps from now on
        if self._tallies[pool.name].count(before, state) or before is None or before.cause == "stale":
            self._tell_pool(pool, ended)

    def _tell_pool(self, pool: Pool, ended: float | None = None) -> None:
        for event in describe_pool(pool, self._health.states, ended):
            self._notifications.tell(event)

    def _tell_warning(self, target: Target, warning: str) -> None:
        for name in self._health.origins_of(target):
            pool, origin = self._origins[name]
            # Who has a vote may have no result yet: then it counts as up.
            up = (state := self._health.states.get(name)) is None or state.up
            self._notifications.tell(describe_warning(pool, origin, up, warning, time.time()))

    def _tell_hold(self) -> None:
        why = self._health.held
        if why:
            logger.error("states are held, as the network of this machine seems broken: %s", why)
        else:
            logger.warning("states are no longer held")
        self._notifications.tell(describe_hold(why, time.time()))

    async def keep_time(self) -> None:
        """See to it that orders begin, go on and end in time."""
        while True:
            now = time.time()
            overrides = drop_expired(self._overrides, now)
            if overrides != self._overrides:
                for override in self._overrides:
                    if override not in overrides:
                        logger.info("expired: %s", describe_override(override))
                self._overrides = overrides
                self._write_overrides(overrides)
                self._health.order(overrides)
            left = self._health.look() - time.time()
            until = min((each.until for each in overrides if each.until is not None), default=math.inf) - time.time()
            with trio.move_on_after(max(0.0, min(left, until, LONGEST_SLEEP))) as self._sleep:
                await trio.sleep_forever()

    async def keep_rows(self) -> None:
        """Keep the rows for a restart: soon after a state has changed, now and then besides, and at the end."""
        kept = trio.current_time()
        try:
            while True:
                await trio.sleep(KEEP_INTERVAL)
                if self._turned or trio.current_time() - kept >= KEEP_AT_LEAST:
                    kept = trio.current_time()
                    self._write_rows()
        finally:
            self._write_rows()

    def _write_rows(self) -> None:
        """Some 50 ms for 20,000 rows, nearly all of it with the interpreter locked: a thread would not help."""
        if self._running is None:
            return  # the first configuration could not be taken, and all ends
        self._turned = False
        # Reports are known by monotonic seconds, which begin anew with a machine.
        came = time.time() - trio.current_time()
        reports = tuple(KeptReport(key, came + at, each) for key, each, at in self._scheduler.tools.mailbox.reports())
        kept = self._health.keep(self._running.settings.monitors)
        write_rows(Path(self._server.state), msgspec.structs.replace(kept, reports=reports))

    async def handle(self, request: dict[str, object]) -> dict[str, object]:
        """Answer a request of the control socket."""
        await trio.lowlevel.checkpoint()
        match request.get("command"):
            case "status":
                reply: dict[str, object] = msgspec.to_builtins(await self.status())
                return reply
            case "external":
                return self._take_report(request)
            case "force":
                return self._force(request)
            case "load":
                return self._take_load(request)
            case command:
                return {"error": f"unknown command {command!r}; known: external, force, load, status"}

    def _take_load(self, request: dict[str, object]) -> dict[str, object]:
        """Take a load figure of a pool."""
        try:
            report = msgspec.convert(request, LoadReported)
            self._health.report_load(report.pool, report.figure)
        except msgspec.ValidationError as error:
            return {"error": f"a request that makes no sense: {error}"}
        except KeyError:
            return {"error": f"no pool is called {request['pool']!r}"}
        self._sleep.cancel()
        return {}

    def _force(self, request: dict[str, object]) -> dict[str, object]:
        """Take an override, or clear some; they are on the disk before the reply."""
        now = time.time()
        try:
            wish = msgspec.convert(request, ForceRequest)
            if wish.state == "clear":
                overrides, cleared = clear_overrides(self._overrides, wish.origin)
                lines = [f"cleared by {wish.by}: {describe_override(each)}" for each in cleared]
            else:
                override = Override(
                    origin=wish.origin,
                    state=wish.state,
                    reason=wish.reason,
                    by=wish.by,
                    since=now,
                    until=None if wish.lasts is None else now + wish.lasts,
                    over=wish.over,
                )
                overrides = add_override(self._overrides, override, self._health.origins)
                lines = [describe_override(override)]
            write_overrides(Path(self._server.state), overrides)
        except msgspec.ValidationError as error:
            return {"error": f"a request that makes no sense: {error}"}
        except OverrideError as error:
            return {"error": str(error)}
        except OSError as error:
            return {"error": f"nothing was changed, as it could not be kept: {error}"}
        for line in lines:
            logger.info("%s", line)
        self._overrides = overrides
        self._health.order(overrides)
        self._sleep.cancel()
        overridden = tuple(make_override_statuses(self._health, now))
        reply: dict[str, object] = msgspec.to_builtins({"overrides": overridden, "done": lines})
        return reply

    def _write_overrides(self, overrides: tuple[Override, ...]) -> None:
        try:
            write_overrides(Path(self._server.state), overrides)
        except OSError:
            logger.exception("that overrides have expired could not be kept: they will expire again")

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
        row = self._health.table.get((monitor, address))
        expires = None if row is None else row.certificate_expires
        return Probed(monitor, past.up, past.time, past.rtt, self._scheduler.last_duration(monitor, address), expires)

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
        pools = []
        for pool in settings.pools:
            pools.append(make_pool_status(pool, self._health))
            await trio.lowlevel.checkpoint()
        return Status(
            configuration=str(self._path),
            since=self._running.since,
            pid=os.getppid(),
            listen=settings.server.listen,
            pools=tuple(pools),
            zones=self._zones.statuses(),
            workers=tuple(
                WorkerStatus(hello.number, hello.pid, **msgspec.structs.asdict(self._counters[hello.number]))
                for hello in sorted(filter(None, self._workers.values()), key=lambda hello: hello.number)
            ),
            probes=self._scheduler.statistics(),
            held=self._health.held,
            overrides=tuple(make_override_statuses(self._health, time.time())),
            notifiers=self._notifications.statistics(),
            exports=self.exports.status(),
            updates=self.updates.status(),
        )


def _look_at(path: str) -> Edition | None:
    try:
        return look_at(path)
    except OSError:
        return None
