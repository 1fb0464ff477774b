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
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import trio

from monitors.address import family_of
from monitors.health import HealthTable, Row, results_needed, step
from monitors.monitor import Monitor, Result, Target
from monitors.ping import PingNotPermitted, check_ping_permission
from monitors.probes.icmp import IcmpMonitor
from monitors.probes.udp_icmp import UdpIcmpMonitor
from monitors.scheduler import Scheduler, open_scheduler
from steering.balance.pools import Health, Verdict, judge_pool
from steering.cookies import SECRET_SIZE, make_secret, read_secrets
from steering.messages import (
    Configured,
    Counted,
    HealthChanged,
    Hello,
    MapFile,
    OriginStatus,
    PoolStatus,
    Status,
    TargetHealth,
    ToControl,
    WorkerStatus,
    ZoneStatus,
)
from steering.prepare import PrepareError, prepare
from steering.problems import SettingsError
from steering.process import ControlEnd, wait_for_end
from steering.serve.control_socket import serve_control
from steering.serve.feed import Connection, serve_feed
from steering.settings import Pool, Server, Settings, load_settings
from steering.wire import name_to_text
from steering.zones.load import LoadReport

FIRST_RESULTS_MARGIN = 5.0
"""Seconds that the first results may take beyond the timeouts of their monitors."""

logger = logging.getLogger("waypost.control")


class ConfigurationError(Exception):
    """A configuration that cannot be taken on this machine; every problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Running(msgspec.Struct, frozen=True):
    """The configuration that is in force."""

    settings: Settings
    maps: tuple[MapFile, ...]
    zones: tuple[LoadReport, ...]
    cookie_secrets: tuple[bytes, ...]
    since: float
    """Unix seconds."""


def run_control(path: Path, settings: Settings, end: ControlEnd) -> None:
    """Run until SIGTERM; the main function of the process. SystemExit 1 if the first configuration cannot be taken.

    After a restart (`end.resume`) the configuration is the last one that was in force, whatever the file says now.
    """
    if end.resume:
        settings = _read_accepted(Path(settings.server.state)) or settings
    if problems := trio.run(_run, path, settings, end):
        print("\n".join(problems), file=sys.stderr)  # noqa: T201 - the user's terminal: nothing has started
        sys.exit(1)


async def _run(path: Path, settings: Settings, end: ControlEnd) -> tuple[str, ...]:
    """The problems for which nothing was started; none after SIGTERM."""
    with trio.open_signal_receiver(signal.SIGTERM) as terms, trio.open_signal_receiver(signal.SIGHUP) as hangups:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_end, terms, end.lifeline, nursery.cancel_scope)
            health = HealthKeeper()
            async with open_scheduler(health.take) as scheduler:
                control = Control(path, settings, health, scheduler, nursery)
                try:
                    await control.take(settings)
                except ConfigurationError as error:
                    nursery.cancel_scope.cancel()
                    return error.problems
                await nursery.start(serve_control, Path(settings.server.state), control.handle)
                nursery.start_soon(serve_feed, end.feed, msgspec.msgpack.Decoder(ToControl), control.feed)
                end.ready()
                async for _ in hangups:
                    await control.reload()
    return ()


class HealthKeeper:
    """The health table, told of every result; says which targets count in another way than before."""

    def __init__(self) -> None:
        self.table = HealthTable()
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self.names: dict[tuple[str, str], str] = {}
        """What a target is called in the log: its origins."""
        self.on_change: Callable[[TargetHealth], None] = lambda _: None

    def take(self, target: Target, result: Result) -> None:
        """Step the row of a target; log flips with the evidence."""
        monitor, key = target.monitor, (target.monitor.name, target.address)
        old = self.table.get(key)
        row = step(old, result, monitor, time.time())
        self.table = self.table.replace({key: row})
        seen = f"{result.reason} ({result.evidence})" if result.evidence else str(result.reason)
        name = self.names.get(key, target.address)
        if old is None or old.up != row.up:
            logger.info("%s is %s: monitor %s saw: %s", name, "up" if row.up else "DOWN", monitor.name, seen)
        elif result.up != row.up:
            more, state = results_needed(row, monitor), "up" if row.up else "down"
            logger.info("%s stays %s until %d more: monitor %s saw: %s", name, state, more, monitor.name, seen)
        verdict = judge_row(row, monitor)
        if self._verdicts.get(key) != verdict:
            self._verdicts[key] = verdict
            self.on_change(TargetHealth(*key, verdict))

    def verdicts(self, settings: Settings) -> Health:
        """What the table says of the targets of a configuration."""
        return {
            (target.monitor.name, target.address): judge_row(row, target.monitor)
            for target in targets_of(settings)
            if (row := self.table.get((target.monitor.name, target.address))) is not None
        }

    def forget_others(self, settings: Settings) -> None:
        """Drop the rows of targets that are not in a configuration."""
        wanted = {(target.monitor.name, target.address) for target in targets_of(settings)}
        self.table = self.table.keep(wanted)
        self._verdicts = {key: verdict for key, verdict in self._verdicts.items() if key in wanted}
        self.names = name_targets(settings)


def judge_row(row: Row, monitor: Monitor) -> Verdict:
    """What answers need to know of a row."""
    return Verdict(row.healthy, monitor.interval * results_needed(row, monitor))


def targets_of(settings: Settings) -> list[Target]:
    """What is to be probed: each distinct (monitor, address) of the enabled origins of enabled pools, once."""
    monitors = {monitor.name: monitor for monitor in settings.monitors}
    targets = {
        (pool.monitor, origin.address): Target(monitors[pool.monitor], origin.address)
        for pool in settings.pools
        if pool.enabled and pool.monitor is not None
        for origin in pool.origins
        if origin.enabled
    }
    return list(targets.values())


def name_targets(settings: Settings) -> dict[tuple[str, str], str]:
    """What people call each target: its origins, with their pools."""
    names: dict[tuple[str, str], list[str]] = {}
    for pool in settings.pools:
        for origin in pool.origins:
            names.setdefault((pool.monitor or "", origin.address), []).append(f"{pool.name}/{origin.name}")
    return {key: f"{', '.join(origins)} ({key[1]})" for key, origins in names.items()}


class Control:
    """The configuration in force, and everybody who has to hear of it."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        health: HealthKeeper,
        scheduler: Scheduler,
        nursery: trio.Nursery,
    ) -> None:
        self._path = path
        self._server = settings.server
        self._health = health
        self._scheduler = scheduler
        self._nursery = nursery
        self._running: Running | None = None
        self._workers: dict[Connection[ToControl], Hello | None] = {}
        self._counters: dict[int, Counted] = {}
        health.on_change = self._tell_health

    async def take(self, settings: Settings) -> None:
        """Make a configuration the one in force; raises ConfigurationError, and then nothing has changed."""
        self._check_machine(settings)
        secrets = _load_secrets(settings.server)
        targets = targets_of(settings)
        old_targets = targets_of(self._running.settings) if self._running else []
        self._health.names |= name_targets(settings)
        if self._running is None:
            self._scheduler.replace(targets)
        try:
            preparation = await prepare(settings, self._nursery)
        except PrepareError as error:
            raise ConfigurationError(error.problems) from error
        self._scheduler.replace(targets)
        await self._wait_first_results(targets)
        try:
            await preparation.publish()
        except PrepareError as error:
            self._scheduler.replace(old_targets)
            raise ConfigurationError(error.problems) from error
        prepared = preparation.prepared
        self._health.forget_others(settings)
        self._running = Running(settings, prepared.maps, prepared.zones, secrets, time.time())
        _write_accepted(settings)
        for report in prepared.zones:
            if report.names:
                logger.info(
                    "zone %s: serial %d, %d names, %d changed",
                    name_to_text(report.apex),
                    report.serial,
                    report.names,
                    report.changed,
                )
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
                elif hello := self._workers[connection]:
                    self._counters[hello.number] = message
        finally:
            del self._workers[connection]

    def _configured(self) -> Configured:
        assert self._running is not None, "workers are fed when there is something to tell"
        verdicts = self._health.verdicts(self._running.settings)
        health = tuple(TargetHealth(*key, verdict) for key, verdict in verdicts.items())
        return Configured(self._running.settings, self._running.maps, health, self._running.cookie_secrets)

    def _tell_health(self, change: TargetHealth) -> None:
        for connection in self._workers:
            connection.send(HealthChanged((change,)))

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
        verdicts = self._health.verdicts(settings)
        return Status(
            configuration=str(self._path),
            since=self._running.since,
            pid=os.getppid(),
            listen=settings.server.listen,
            pools=tuple(self._pool_status(pool, monitors.get(pool.monitor or ""), verdicts) for pool in settings.pools),
            zones=tuple(ZoneStatus(name_to_text(report.apex), report.serial) for report in self._running.zones),
            workers=tuple(
                WorkerStatus(hello.number, hello.pid, **msgspec.structs.asdict(self._counters[hello.number]))
                for hello in sorted(filter(None, self._workers.values()), key=lambda hello: hello.number)
            ),
            probes=self._scheduler.statistics(),
        )

    def _pool_status(self, pool: Pool, monitor: Monitor | None, verdicts: Health) -> PoolStatus:
        state = judge_pool(pool, verdicts)
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


ACCEPTED_FILE = "accepted.msgpack"


def _write_accepted(settings: Settings) -> None:
    """Keep the configuration in force for a control that has to be restarted."""
    path = Path(settings.server.state) / ACCEPTED_FILE
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.msgpack.encode(settings))
    temporary.replace(path)


def _read_accepted(state: Path) -> Settings | None:
    try:
        return msgspec.msgpack.decode((state / ACCEPTED_FILE).read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError):
        logger.exception("the configuration that was in force cannot be read; taking the file as it was at the start")
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
