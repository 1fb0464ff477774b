"""The keeper of health: every result of a probe goes in, and what answers need to know comes out when it changes.

Rows belong to the configuration in force. Results of targets that are new with the next configuration, or that it
checks in another way under the same name, are kept apart until it is in force: if it never is, nothing has happened.
"""

import logging
import time
from collections.abc import Callable

from monitors.health import HealthTable, Key, Row, flip_after, results_needed, step
from monitors.monitor import Monitor, Result, Target
from steering.balance.pools import Health, Verdict
from steering.messages import OriginHealth
from steering.settings import Origin, Settings

logger = logging.getLogger("waypost.health")


class HealthKeeper:
    """The health table of the configuration in force, and the rows that wait for the next one."""

    def __init__(self) -> None:
        self.table = HealthTable()
        self._targets: dict[Key, Target] = {}
        self._pending: dict[Target, Row] = {}
        self._origins: dict[Key, tuple[tuple[str, str], ...]] = {}
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self._names: dict[Key, str] = {}
        self._pending_names: dict[Key, str] = {}
        self.on_change: Callable[[OriginHealth], None] = lambda _: None
        """Hears of each origin of the configuration in force that counts in another way than before."""
        self.on_flip: Callable[[Target], None] = lambda _: None
        """Hears of each of them that is up or down and was not before; a first result is a flip too."""
        self.on_warning: Callable[[Target, str], None] = lambda _target, _warning: None
        """Hears of each of them whose good results begin or cease ("") to warn; and once, when it is in force."""
        self._warned: dict[Key, bool] = {}

    def take(self, target: Target, result: Result) -> None:
        """Step the row of a target; the log gets every flip, and every result that may lead to one."""
        monitor, key = target.monitor, target.key
        in_force = self._targets.get(key) == target
        old = self.table.get(key) if in_force else self._pending.get(target)
        row = step(old, result, monitor, time.time())
        self._log(old, row, target, result)
        if not in_force:
            self._pending[target] = row
            return
        self.table = self.table.replace({key: row})
        verdict = judge_row(row, monitor)
        for origin in self._origins[key]:
            if self._verdicts.get(origin) != verdict:
                self._verdicts[origin] = verdict
                self.on_change(OriginHealth(*origin, verdict))
        if old is None or old.healthy != row.healthy:
            self.on_flip(target)
        if result.up and self._warned.get(key) != bool(result.warning):
            self._warned[key] = bool(result.warning)
            self.on_warning(target, result.warning)

    def _log(self, old: Row | None, row: Row, target: Target, result: Result) -> None:
        key = target.key
        name = self._pending_names.get(key) or self._names.get(key, target.endpoint)
        seen = f"{result.reason} ({result.evidence})" if result.evidence else str(result.reason)
        if old is None or old.up != row.up:
            state = "up" if row.up else "DOWN"
            logger.info("%s is %s: monitor %s saw: %s", name, state, target.monitor.name, seen)
        elif result.up != row.up:
            more, state = results_needed(row, target.monitor), "up" if row.up else "down"
            logger.info("%s stays %s until %d more: monitor %s saw: %s", name, state, more, target.monitor.name, seen)

    def expect(self, settings: Settings) -> None:
        """Results for these settings may come from now on."""
        self._pending_names = name_targets(settings)

    def commit(self, settings: Settings) -> None:
        """These settings are in force."""
        targets = {target.key: target for target in targets_of(settings)}
        rows = {
            key: row
            for key, target in targets.items()
            if (row := self._pending.get(target) or (self.table.get(key) if self._targets.get(key) == target else None))
        }
        self.table = HealthTable(rows)
        self._targets = targets
        self._names = name_targets(settings)
        self._warned = {}
        self._origins = origins_by_target(settings)
        self._verdicts = {
            origin: judge_row(row, targets[key].monitor) for key, row in rows.items() for origin in self._origins[key]
        }
        self.abandon()

    def abandon(self) -> None:
        """The settings that were expected will not be in force."""
        self._pending, self._pending_names = {}, {}

    @property
    def verdicts(self) -> Health:
        """What the table says of the origins of the configuration in force."""
        return self._verdicts


def judge_row(row: Row, monitor: Monitor) -> Verdict:
    """What answers need to know of a row."""
    return Verdict(row.healthy, flip_after(row, monitor), addresses=tuple(row.addresses))


def targets_of(settings: Settings) -> list[Target]:
    """What is to be probed: each distinct (monitor, endpoint) of the enabled origins of enabled pools, once."""
    monitors = {monitor.name: monitor for monitor in settings.monitors}
    targets = {
        (pool.monitor, origin.endpoint): target_of(origin, monitors[pool.monitor])
        for pool in settings.pools
        if pool.enabled and pool.monitor is not None
        for origin in pool.origins
        if origin.enabled
    }
    return list(targets.values())


def target_of(origin: Origin, monitor: Monitor) -> Target:
    """What `monitor` checks of an origin."""
    return Target(monitor, origin.address, origin.port, origin.header.Host)


def origins_by_target(settings: Settings) -> dict[Key, tuple[tuple[str, str], ...]]:
    """The (pool, origin) that each target stands for."""
    origins: dict[Key, list[tuple[str, str]]] = {}
    for pool in settings.pools:
        if pool.enabled and pool.monitor is not None:
            for origin in pool.origins:
                if origin.enabled:
                    origins.setdefault((pool.monitor, origin.endpoint), []).append((pool.name, origin.name))
    return {key: tuple(named) for key, named in origins.items()}


def name_targets(settings: Settings) -> dict[Key, str]:
    """What people call each target: its origins, with their pools."""
    names: dict[Key, list[str]] = {}
    for pool in settings.pools:
        for origin in pool.origins:
            names.setdefault((pool.monitor or "", origin.endpoint), []).append(f"{pool.name}/{origin.name}")
    return {key: f"{', '.join(origins)} ({key[1]})" for key, origins in names.items()}
