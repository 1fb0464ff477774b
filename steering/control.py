"""Control: the process that knows. It probes, prepares zones and maps, feeds the workers, reloads, answers `status`.

A configuration is taken in this order, and up to the last step nothing that runs has changed:
1. what it needs of this machine is there (ICMP sockets);
2. zones are staged and maps compiled (prepare.py), in a process of its own;
3. every target that is new has its first result, or has had the time for one: nobody is told a guess;
4. zones are published, and the workers get the configuration.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import trio

from monitors.address import family_of
from monitors.monitor import Monitor, Target
from monitors.notify.notifications import Notifications, open_notifications
from monitors.ping import PingNotPermitted, check_ping_permission
from monitors.probes.icmp import IcmpMonitor
from monitors.probes.udp_icmp import UdpIcmpMonitor
from monitors.scheduler import Scheduler, open_scheduler
from steering.balance.pools import judge_pool
from steering.cookies import SECRET_SIZE, make_secret, read_secrets
from steering.keeper import HealthKeeper, judge_row, targets_of
from steering.messages import (
    Configured,
    Counted,
    HealthChanged,
    Hello,
    MapFile,
    Notified,
    OriginStatus,
    PoolStatus,
    Secondaries,
    SecondaryStatus,
    Status,
    TargetHealth,
    ToControl,
    WorkerStatus,
    ZoneStatus,
)
from steering.news import describe_pool, describe_removed, describe_warning, pools_by_target
from steering.prepare import PrepareError, prepare
from steering.problems import SettingsError
from steering.process import ControlEnd, wait_for_end
from steering.secondaries import SecondaryZones
from steering.serve.control_socket import serve_control
from steering.serve.feed import Connection, serve_feed
from steering.settings import Pool, Server, Settings, load_settings
from steering.values import parse_secret
from steering.wire import name_to_text
from steering.zones.load import LoadReport
from steering.zones.notify import NotifySender
from steering.zones.tsig import Key

FIRST_RESULTS_MARGIN = 5.0
"""Seconds that the first results may take beyond the timeouts of their monitors."""

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
    keys: tuple[Key, ...] = ()
    """Of TSIG."""


def run_control(path: Path, settings: Settings, end: ControlEnd) -> None:
    """Run until SIGTERM; the main function of the process. SystemExit 1 if the first configuration cannot be taken.

    After a restart (`end.resume`) what was in force goes on, whatever has become of the files.
    """
    if problems := trio.run(_run, path, settings, end):
        print("\n".join(problems), file=sys.stderr)  # noqa: T201 - the user's terminal: nothing has started
        sys.exit(1)


async def _run(path: Path, settings: Settings, end: ControlEnd) -> tuple[str, ...]:
    """The problems for which nothing was started; none after SIGTERM."""
    problems: tuple[str, ...] = ()
    with trio.open_signal_receiver(signal.SIGTERM) as terms, trio.open_signal_receiver(signal.SIGHUP) as hangups:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_end, terms, end.lifeline, nursery.cancel_scope)
            health = HealthKeeper()
            state = Path(settings.server.state)
            async with (
                open_scheduler(health.take) as scheduler,
                open_notifications(state / NOTIFY_FOLDER, scheduler.tools) as notifications,
            ):
                control = Control(path, settings.server, health, scheduler, notifications, nursery)
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
                end.ready()
                async for _ in hangups:
                    await control.reload()
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
    ) -> None:
        self._path = path
        self._server = server
        self._health = health
        self._scheduler = scheduler
        self._notifications = notifications
        self._nursery = nursery
        self._running: Running | None = None
        self._pools: dict[tuple[str, str], tuple[Pool, ...]] = {}
        """By target; of the configuration in force."""
        self._workers: dict[Connection[ToControl], Hello | None] = {}
        self._counters: dict[int, Counted] = {}
        self._notify = NotifySender(nursery)
        self._secondaries = SecondaryZones(nursery, self._take_status)
        self._statuses: dict[bytes, SecondaryStatus] = {}
        health.on_change = self._tell_health
        health.on_flip = self._tell_flip
        health.on_warning = self._tell_warning

    async def take(self, settings: Settings) -> None:
        """Make a configuration the one in force; raises ConfigurationError, and then nothing has changed."""
        self._check_machine(settings)
        secrets, keys = _load_secrets(settings.server), _load_keys(settings, self._path)
        targets = targets_of(settings)
        self._health.expect(settings)
        if self._running is None:
            self._scheduler.replace(targets)
        try:
            preparation = await prepare(settings, self._nursery)
            self._scheduler.replace(targets)
            await self._wait_first_results(targets)
            await preparation.publish()
        except PrepareError as error:
            self._scheduler.replace(targets_of(self._running.settings) if self._running else [])
            self._health.abandon()
            raise ConfigurationError(error.problems) from error
        prepared = preparation.prepared
        for report in prepared.zones:
            if report.names:
                text = "zone %s: serial %d, %d names, %d changed"
                logger.info(text, name_to_text(report.apex), report.serial, report.names, report.changed)
        self._enforce(Running(settings, prepared.maps, prepared.zones, secrets, time.time(), keys))
        for report in prepared.zones:
            if report.changed:
                self._notify.tell(report.apex)

    async def resume(self, running: Running) -> None:
        """Go on where a control that died has left."""
        targets = targets_of(running.settings)
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
        write_running(running)
        self._notifications.replace(running.settings.notifiers)
        self._notify.replace(running.settings.zones, running.keys)
        zones = {zone.name for zone in running.settings.zones if zone.primaries}
        self._statuses = {apex: status for apex, status in self._statuses.items() if apex in zones}
        settings = msgspec.structs.replace(running.settings, keys=(), notifiers=())
        self._secondaries.replace(Secondaries(settings, running.keys))
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
        families = {
            family_of(target.address)
            for target in targets_of(settings)
            if isinstance(target.monitor, IcmpMonitor | UdpIcmpMonitor)
        }
        try:
            check_ping_permission(families)
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
                target.address,
                target.monitor.name,
                deadline,
            )

    async def reload(self) -> None:
        """Take the configuration file as it is now; if that is impossible say why, and change nothing."""
        logger.info("reloading %s", self._path)
        problems: tuple[object, ...] = ()
        try:
            await self.take(load_settings(self._path))
        except (SettingsError, ConfigurationError) as error:
            problems = error.problems
        for problem in problems:
            logger.error("%s", problem)
        if problems:
            logger.error("the configuration was not taken: what runs goes on unchanged")
        else:
            logger.info("the configuration is in force")

    async def feed(self, connection: Connection[ToControl]) -> None:
        """Keep a worker informed until it is gone."""
        self._workers[connection] = None
        connection.send(self._configured())
        try:
            async for message in connection:
                if isinstance(message, Hello):
                    self._workers[connection] = message
                    self._counters[message.number] = Counted()
                elif isinstance(message, Notified):
                    self._secondaries.notify(message)
                elif hello := self._workers[connection]:
                    self._counters[hello.number] = message
        finally:
            del self._workers[connection]

    def _configured(self) -> Configured:
        assert self._running is not None, "workers are fed when there is something to tell"
        health = tuple(TargetHealth(*key, verdict) for key, verdict in self._health.verdicts.items())
        # Workers have the store, and tell nobody.
        zones = tuple(zone for zone in self._running.settings.zones if zone.allow_transfer or zone.primaries)
        settings = msgspec.structs.replace(self._running.settings, zones=zones, keys=(), notifiers=())
        return Configured(settings, self._running.maps, health, self._running.cookie_secrets, self._running.keys)

    def _tell_health(self, change: TargetHealth) -> None:
        for connection in self._workers:
            connection.send(HealthChanged((change,)))

    def _tell_flip(self, target: Target) -> None:
        for pool in self._pools[target.monitor.name, target.address]:
            self._tell_pool(pool, target.address)

    def _tell_pool(self, pool: Pool, address: str | None = None) -> None:
        for event in describe_pool(pool, self._health.table, self._health.verdicts, address):
            self._notifications.tell(event)

    def _tell_warning(self, target: Target, warning: str) -> None:
        key = target.monitor.name, target.address
        for pool in self._pools[key]:
            for event in describe_warning(pool, self._health.table[key], target.address, warning, time.time()):
                self._notifications.tell(event)

    def _take_status(self, status: SecondaryStatus) -> None:
        before = self._statuses.get(status.apex)
        self._statuses[status.apex] = status
        if before is not None and before.serial != status.serial:
            self._notify.tell(status.apex)

    def _zone_status(self, report: LoadReport) -> ZoneStatus:
        name = name_to_text(report.apex)
        status = self._statuses.get(report.apex)
        if status is None:
            return ZoneStatus(name, report.serial or None)
        return ZoneStatus(
            name, status.serial, status.expired, status.last_check, status.last_change, status.next_try, status.error
        )

    async def handle(self, request: dict[str, object]) -> dict[str, object]:
        """Answer a request of the control socket."""
        await trio.lowlevel.checkpoint()
        match request.get("command"):
            case "status":
                reply: dict[str, object] = msgspec.to_builtins(self._status())
                return reply
            case command:
                return {"error": f"unknown command {command!r}; known: status"}

    def _status(self) -> Status:
        assert self._running is not None, "the control socket opens when a configuration is in force"
        settings = self._running.settings
        monitors = {monitor.name: monitor for monitor in settings.monitors}
        return Status(
            configuration=str(self._path),
            since=self._running.since,
            pid=os.getppid(),
            listen=settings.server.listen,
            pools=tuple(self._pool_status(pool, monitors.get(pool.monitor or "")) for pool in settings.pools),
            zones=tuple(map(self._zone_status, self._running.zones)),
            workers=tuple(
                WorkerStatus(hello.number, hello.pid, **msgspec.structs.asdict(self._counters[hello.number]))
                for hello in sorted(filter(None, self._workers.values()), key=lambda hello: hello.number)
            ),
            probes=self._scheduler.statistics(),
        )

    def _pool_status(self, pool: Pool, monitor: Monitor | None) -> PoolStatus:
        state = judge_pool(pool, self._health.verdicts)
        rows = {} if monitor is None else self._health.table
        origins = []
        for origin in pool.origins:
            status = OriginStatus(origin.name, origin.address, origin.enabled, origin.weight)
            row = rows.get((pool.monitor or "", origin.address))
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


def _load_keys(settings: Settings, path: Path) -> tuple[Key, ...]:
    """The keys for TSIG, those in files read; raises ConfigurationError, which never has a secret."""
    keys, problems = [], []
    for key in settings.keys:
        secret = key.secret
        try:
            if key.secret_file is not None:
                secret = parse_secret(Path(key.secret_file).read_text("utf-8").partition("\n")[0])
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            problems.append(f"{path}: secret_file of key {name_to_text(key.name)}: {key.secret_file}: {reason}")
        except ValueError:
            problems.append(f"{path}: secret_file of key {name_to_text(key.name)}: {key.secret_file}: not Base64")
        if secret is not None:
            keys.append(Key(key.name, key.algorithm, secret))
    if problems:
        raise ConfigurationError(problems)
    return tuple(keys)
