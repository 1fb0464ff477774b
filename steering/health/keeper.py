"""The keeper of health: every result of a probe goes in, and what answers need to know comes out when it changes.

Rows belong to the configuration in force. Results of targets that are new with the next configuration, or that it
checks in another way under the same name, are kept apart until it is in force: if it never is, nothing has happened.

From the rows of an origin, and what people have ordered for it, it is judged (judgement.py) when either changes: when
one of its results comes in, when an order is given, and when `look` finds that the time of one has come.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from monitors.health import HealthTable, Key, Row, recall, results_needed, step
from monitors.mailbox import Report
from monitors.monitor import Monitor, Result, Target
from monitors.probes import AnyMonitor
from steering.balance.pools import Health, Verdict
from steering.balance.shedding import Load, find_share
from steering.health import maintenance
from steering.health.guard import Episode, Guard
from steering.health.judgement import OriginState, Role, Watch, judge_origin, judge_watches, make_verdict
from steering.health.orders import Order
from steering.health.overrides import Override, matches, order_override
from steering.messages import OriginHealth
from steering.settings import Member, Origin, Pool, Settings

OriginName = tuple[str, str]
"""(pool, origin)"""

RECALLED = 3600.0
"""Seconds for which a row counts that was kept over a restart; longer if its interval is."""

logger = logging.getLogger("waypost.health")


class KeptRow(msgspec.Struct, frozen=True, array_like=True):
    """A row for the time after a restart."""

    monitor: str
    address: str
    port: int | None
    host: str | None
    row: Row


class KeptReport(msgspec.Struct, frozen=True, array_like=True):
    """The last report of another checker for a target."""

    key: Key
    came: float
    """Unix seconds."""
    report: Report


class KeptHealth(msgspec.Struct, frozen=True):
    """What is known of health, for the time after a restart."""

    monitors: tuple[AnyMonitor, ...]
    rows: tuple[KeptRow, ...]
    reports: tuple[KeptReport, ...] = ()


class HealthKeeper:
    """The health table of the configuration in force, and the rows that wait for the next one."""

    def __init__(self) -> None:
        self.table = HealthTable()
        self.states: dict[OriginName, OriginState] = {}
        """How each origin counts of which anything is known."""
        self._targets: dict[Key, Target] = {}
        self._pending: dict[Target, Row] = {}
        self._recalled: dict[Target, Row] = {}
        self._origins: dict[Key, tuple[OriginName, ...]] = {}
        self._watches: dict[OriginName, tuple[Watch, ...]] = {}
        self._verdicts: dict[OriginName, Verdict] = {}
        self._names: dict[Key, str] = {}
        self._pending_names: dict[Key, str] = {}
        self._overrides: tuple[Override, ...] = ()
        self._windows: dict[OriginName, tuple[maintenance.Maintenance, ...]] = {}
        self.overridden: dict[Override, tuple[OriginName, ...]] = {}
        """The origins that each override means."""
        self._overridden: dict[OriginName, Override] = {}
        self._orders: dict[OriginName, Order] = {}
        self._references: frozenset[Key] = frozenset()
        self._episode = Episode(Guard(), 0.0, {})
        self._changes: list[OriginHealth] = []
        self._pools: dict[str, Pool] = {}
        self._back: dict[OriginName, float] = {}
        """Since when those are up that have been down before."""
        self._loads: dict[str, Load] = {}
        self._steps: dict[OriginName, float] = {}
        """When those take another part of their traffic that do so by ramp or load (balance/shedding.py)."""
        self.on_change: Callable[[tuple[OriginHealth, ...]], None] = lambda _: None
        """Hears of the origins of the configuration in force that count in another way than before."""
        self.on_turn: Callable[[OriginName, OriginState | None, OriginState | None], None] = lambda *_: None
        """Hears of each of them that is up or down, or is so for a cause, and was not before: before, and now. None:
        nothing is known of it."""
        self.on_warning: Callable[[Target, str], None] = lambda _target, _warning: None
        """Hears of each target whose good results begin or cease ("") to warn; and once, when it is in force."""
        self.on_hold: Callable[[], None] = lambda: None
        """Hears when a hold begins or ends."""
        self._warned: dict[Key, bool] = {}

    @property
    def verdicts(self) -> Health:
        """What answers need to know of the origins of the configuration in force."""
        return self._verdicts

    @property
    def held(self) -> str:
        """Why states are held at present; "" if they are not."""
        return self._episode.why

    @property
    def origins(self) -> Collection[OriginName]:
        """All origins of the configuration in force for which something can be ordered."""
        return self._watches.keys()

    def take(self, target: Target, result: Result) -> None:
        """Step the row of a target; the log gets every flip, and every result that may lead to one."""
        monitor, key, now = target.monitor, target.key, time.time()
        in_force = self._targets.get(key) == target
        old = self.table.get(key) if in_force else self._pending.get(target) or self._recalled.get(target)
        row = step(old, result, monitor, now, hold=bool(self._episode.why) and in_force)
        self._log(old, row, target, result)
        if not in_force:
            self._pending[target] = row
            return
        self.table = self.table.replace({key: row})
        changed = key in self._references and self._episode.note_reference(key, not result.up)
        origins = self._origins.get(key, ())
        changed |= bool(origins) and self._episode.note(key, old, row, not result.up, now)
        if changed:
            self._change_hold(now)
        self._judge(origins, now)
        if origins and result.up and self._warned.get(key) != bool(result.warning):
            self._warned[key] = bool(result.warning)
            self.on_warning(target, result.warning)

    def expect(self, settings: Settings) -> None:
        """Results for these settings may come from now on."""
        self._pending_names = name_targets(settings)

    def commit(self, settings: Settings) -> None:
        """These settings are in force."""
        now = time.time()
        targets = {target.key: target for target in targets_of(settings)}
        rows = {
            key: row
            for key, target in targets.items()
            if (
                row := self._pending.get(target)
                or (self.table.get(key) if self._targets.get(key) == target else None)
                or self._recalled.get(target)
            )
        }
        self.table = HealthTable(rows)
        self._targets = targets
        self._names = name_targets(settings)
        self._warned = {}
        self._origins = origins_by_target(settings)
        self._watches = watches_of(settings)
        self._windows = {
            origin: found
            for origin in self._watches
            if (found := tuple(each for each in settings.maintenance if maintenance.concerns(each, *origin)))
        }
        self._recalled = {}
        self.abandon()
        self._commit_guard(settings, rows)
        self._assign_overrides()
        self._order(now)
        self._pools = {pool.name: pool for pool in settings.pools}
        self._back = {origin: since for origin, since in self._back.items() if origin in self._watches}
        self._loads = {name: load for name, load in self._loads.items() if name in self._pools}
        self._steps = {}
        earlier, self.states, self._verdicts = self.states, {}, {}
        for origin in self._watches:
            state = self._state_of(origin, earlier.get(origin), now)
            if state is not None:
                self.states[origin] = state
                self._verdicts[origin] = self._make_verdict(origin, state, None, now)

    def abandon(self) -> None:
        """The settings that were expected will not be in force."""
        self._pending, self._pending_names = {}, {}

    def order(self, overrides: tuple[Override, ...]) -> None:
        """These overrides, and no others, are in force from now on."""
        now = time.time()
        before = set(self._orders)
        self._overrides = overrides
        self._assign_overrides()
        self._order(now)
        self._judge(before | set(self._orders), now)

    def look(self) -> float:
        """Judge again what an order, a ramp or a load makes otherwise by now; the moment (Unix seconds) to look again,
        if nothing happens before: infinite if there is nothing to wait for."""
        now = time.time()
        due = [origin for origin, order in self._orders.items() if order.look_again <= now]
        due += [origin for origin, step in self._steps.items() if step <= now]
        if due:
            self._order(now)
            self._judge(due, now)
        return min((*(order.look_again for order in self._orders.values()), *self._steps.values()), default=math.inf)

    def report_load(self, pool: str, figure: float) -> None:
        """So much has a pool to do now; KeyError if there is no such pool."""
        now = time.time()
        self._loads[self._pools[pool].name] = Load(figure, now)
        self._judge([origin for origin in self._watches if origin[0] == pool], now)

    def recall(self, kept: KeptHealth) -> None:
        """Rows of before a restart count, for targets that are the same, until there are results."""
        monitors = {monitor.name: monitor for monitor in kept.monitors}
        now = time.time()
        for each in kept.rows:
            monitor = monitors.get(each.monitor)
            if monitor is not None and 0 <= now - each.row.checked <= max(RECALLED, 2 * monitor.interval):
                self._recalled[Target(monitor, each.address, each.port, each.host)] = recall(each.row)

    def knows(self, target: Target) -> bool:
        """Whether a target has a state of before a restart."""
        return target in self._recalled

    def keep(self, monitors: tuple[AnyMonitor, ...]) -> KeptHealth:
        """What `recall` takes after a restart; `monitors` are those in force."""
        targets = ((self._targets[key], row) for key, row in self.table.items())
        rows = (KeptRow(each.monitor.name, each.address, each.port, each.host, row) for each, row in targets)
        return KeptHealth(monitors, tuple(rows))

    def origins_of(self, target: Target) -> tuple[OriginName, ...]:
        """The origins that a target stands for."""
        return self._origins.get(target.key, ())

    def watches(self, origin: OriginName) -> tuple[Watch, ...]:
        """What watches an origin."""
        return self._watches.get(origin, ())

    def _judge(self, origins: Iterable[OriginName], now: float) -> None:
        """Find out how these count by now, and tell what that changes, all at once."""
        for origin in origins:
            self._judge_origin(origin, now)
        if self._changes:
            changes, self._changes = tuple(self._changes), []
            self.on_change(changes)

    def _judge_origin(self, origin: OriginName, now: float) -> None:
        before = self.states.get(origin)
        state = self._state_of(origin, before, now)
        if state is None:
            # Only an order was known, and has ended: as without a result yet.
            if before is not None:
                del self.states[origin], self._verdicts[origin]
                self._steps.pop(origin, None)
                self._changes.append(OriginHealth(*origin, Verdict(True, math.inf)))
                self.on_turn(origin, before, None)
            return
        self.states[origin] = state
        known = self._verdicts.get(origin)
        if before is not None and state.up and not before.up:
            self._back[origin] = now
        verdict = self._make_verdict(origin, state, known, now)
        if verdict != known:
            self._verdicts[origin] = verdict
            self._changes.append(OriginHealth(*origin, verdict))
        if before is None or before.up != state.up or before.cause != state.cause:
            self.on_turn(origin, before, state)

    def _make_verdict(self, origin: OriginName, state: OriginState, known: Verdict | None, now: float) -> Verdict:
        if not state.up:
            self._back.pop(origin, None)
        share, again = find_share(self._pools[origin[0]], self._back.get(origin), self._loads.get(origin[0]), now)
        self._steps.pop(origin, None)
        if again < math.inf:
            self._steps[origin] = again
        verdict = make_verdict(state, known)
        return msgspec.structs.replace(verdict, share=verdict.share * share)

    def _state_of(self, origin: OriginName, before: OriginState | None, now: float) -> OriginState | None:
        watches = self._watches.get(origin, ())
        state = judge_origin(judge_watches(watches, self.table, now) if watches else None, self._orders.get(origin))
        if len(watches) > 1 and state and before and (state.up, state.cause) == (before.up, before.cause):
            # That one of a group has changed its mind is not yet a change.
            return msgspec.structs.replace(state, since=before.since)
        return state

    def _assign_overrides(self) -> None:
        self.overridden = {
            override: tuple(origin for origin in self._watches if matches(override.origin, *origin))
            for override in self._overrides
        }
        # The newest is the last.
        self._overridden = {origin: override for override, meant in self.overridden.items() for origin in meant}

    def _order(self, now: float) -> None:
        """Find out what is ordered at present for every origin."""
        by_override = {each: order_override(each, now) for each in self._overrides}
        windows = {each for found in self._windows.values() for each in found}
        by_window = {each: maintenance.order_maintenance(each, now) for each in windows}
        orders: dict[OriginName, Order] = {}
        for origin, found in self._windows.items():
            order = maintenance.strictest(filter(None, map(by_window.get, found)))
            if order is not None:
                orders[origin] = order
        for origin, override in self._overridden.items():
            if (order := by_override[override]) is not None:
                orders[origin] = order
        self._orders = orders

    def _commit_guard(self, settings: Settings, rows: Mapping[Key, Row]) -> None:
        guard = settings.guard
        self._references = frozenset((guard.reference_monitor or "", address) for address in guard.references)
        window = max((failure_seconds(target.monitor) for target in self._targets.values()), default=0.0)
        episode = Episode(guard, window, {key: row for key, row in rows.items() if key in self._origins})
        episode.inherit(self._episode, rows)
        self._episode = episode

    def _change_hold(self, now: float) -> None:
        """A hold has begun, or is over: put back what fell, or count for itself again what was held."""
        episode = self._episode
        changes: dict[Key, Row] = {}
        for key, (_, before) in episode.suspects.items():
            row = self.table[key]
            if episode.why:
                changes[key] = put_back(row, before)
                episode.put_back(key)
            elif row.held:
                changes[key] = msgspec.structs.replace(row, held=False)
        if not episode.why:
            episode.end()
        self.table = self.table.replace(changes)
        self._judge((origin for key in changes for origin in self._origins[key]), now)
        self.on_hold()

    def _log(self, old: Row | None, row: Row, target: Target, result: Result) -> None:
        if old is not None and old.up == row.up == result.up and old.damped == row.damped:
            return
        key = target.key
        name = self._pending_names.get(key) or self._names.get(key, target.endpoint)
        seen = f"{result.reason} ({result.evidence})" if result.evidence else str(result.reason)
        if old is None or old.up != row.up:
            state = "up" if row.up else "DOWN"
            logger.info("%s is %s: monitor %s saw: %s", name, state, target.monitor.name, seen)
        elif row.held:
            logger.debug("%s stays up as states are held: monitor %s saw: %s", name, target.monitor.name, seen)
        elif result.up != row.up:
            more, state = results_needed(row, target.monitor), "up" if row.up else "down"
            logger.info("%s stays %s until %d more: monitor %s saw: %s", name, state, more, target.monitor.name, seen)
        if old is not None and old.damped != row.damped:
            flips = f"more than {target.monitor.damping_flips} times in {target.monitor.damping_window:g} s"
            text = f"flips {flips}: it counts as down until it is steady" if row.damped else "is steady again"
            logger.warning("%s %s", name, text)


def put_back(row: Row, before: Row) -> Row:
    """The row of a target that was `before` and should not have fallen, with what was seen since."""
    return msgspec.structs.replace(
        before, streak=0, rtt=row.rtt, reason=row.reason, evidence=row.evidence, checked=row.checked, held=True
    )


def failure_seconds(monitor: Monitor) -> float:
    """The longest that it may take from the first failed check of a target to the one that makes it down."""
    return monitor.interval * max(1, monitor.consecutive_down) + monitor.timeout * (monitor.retries + 1)


def targets_of(settings: Settings) -> list[Target]:
    """What is to be probed: each distinct (monitor, endpoint) of the enabled origins of enabled pools, and of the
    references of the guard, once."""
    targets = {watch.key: watch.target for watches in watches_of(settings).values() for watch in watches}
    for monitor in settings.monitors:
        if monitor.name == settings.guard.reference_monitor:
            targets |= {(monitor.name, address): Target(monitor, address) for address in settings.guard.references}
    return list(targets.values())


def target_of(origin: Origin, monitor: Monitor) -> Target:
    """What `monitor` checks of an origin."""
    return Target(monitor, origin.address, origin.port, origin.header.Host)


def watches_of(settings: Settings) -> dict[OriginName, tuple[Watch, ...]]:
    """What watches each enabled origin of an enabled pool: nothing, a monitor, or the members of a group."""
    monitors = {monitor.name: monitor for monitor in settings.monitors}
    members: dict[str, tuple[tuple[Monitor, Role], ...]] = {
        name: ((monitor, "votes"),) for name, monitor in monitors.items()
    }
    for group in settings.monitor_groups:
        members[group.name] = tuple((monitors[member.monitor], role_of(member)) for member in group.members)
    return {
        (pool.name, origin.name): tuple(
            Watch(target_of(origin, monitor), role) for monitor, role in members.get(pool.monitor or "", ())
        )
        for pool in settings.pools
        if pool.enabled
        for origin in pool.origins
        if origin.enabled
    }


def role_of(member: Member) -> Role:
    """What a member of a group has to say."""
    if member.must_be_healthy:
        return "must be healthy"
    return "only watches" if member.monitoring_only else "votes"


def origins_by_target(settings: Settings) -> dict[Key, tuple[OriginName, ...]]:
    """The origins that each target stands for."""
    origins: dict[Key, list[OriginName]] = {}
    for origin, watches in watches_of(settings).items():
        for watch in watches:
            origins.setdefault(watch.key, []).append(origin)
    return {key: tuple(named) for key, named in origins.items()}


def name_targets(settings: Settings) -> dict[Key, str]:
    """What people call each target: its origins, with their pools."""
    names: dict[Key, list[str]] = {}
    for key, origins in origins_by_target(settings).items():
        names[key] = [f"{pool}/{origin}" for pool, origin in origins]
    for address in settings.guard.references:
        names.setdefault((settings.guard.reference_monitor or "", address), []).append("reference")
    return {key: f"{', '.join(origins)} ({key[1]})" for key, origins in names.items()}
