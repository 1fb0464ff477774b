"""Statuses: what `waypost status` says of pools, origins and orders, made of what is known of their health.

Rules for this file: pure.
"""

import math
from collections.abc import Iterator

import msgspec

from monitors.health import Row
from steering.balance.pools import judge_pool
from steering.health.judgement import Watch
from steering.health.keeper import HealthKeeper
from steering.health.orders import Order
from steering.health.overrides import order_override
from steering.messages import MonitorStatus, OriginStatus, OverrideStatus, PoolStatus
from steering.settings import Origin, Pool


def make_pool_status(pool: Pool, health: HealthKeeper) -> PoolStatus:
    """A pool of the configuration in force."""
    judged = judge_pool(pool, health.verdicts)
    origins = tuple(_make_origin_status(pool, origin, health) for origin in pool.origins)
    causes = {each.cause for each in origins if each.enabled}
    return PoolStatus(
        pool.name,
        pool.enabled,
        judged.up,
        pool.monitor,
        pool.minimum_origins,
        len(judged.healthy),
        origins,
        judged.room,
        causes.pop() if len(causes) == 1 else "",
    )


def make_override_statuses(health: HealthKeeper, now: float) -> Iterator[OverrideStatus]:
    """What people have ordered that counts at `now` (Unix seconds)."""
    for override, meant in health.overridden.items():
        order = order_override(override, now)
        if order is not None:
            yield _make_order_status(order, override.origin, len(meant))


def _make_origin_status(pool: Pool, origin: Origin, health: HealthKeeper) -> OriginStatus:
    name = pool.name, origin.name
    status = OriginStatus(origin.name, origin.endpoint, origin.enabled, origin.weight)
    state = health.states.get(name)
    watches = health.watches(name)
    rows = [row for watch in watches if (row := health.table.get(watch.key)) is not None]
    if state is not None:
        status = msgspec.structs.replace(
            status,
            up=state.up if state.checks is not None or (state.order and state.order.up is not None) else None,
            since=state.since,
            rtt=state.rtt,
            reason=state.reason,
            evidence=state.evidence,
            flip_after=None if state.flip_after == math.inf else state.flip_after,
            checked=max((row.checked for row in rows), default=None),
            flips=sum(row.flips for row in rows),
            warning="; ".join(row.warning for row in rows if row.warning),
            certificate_expires=min(
                (row.certificate_expires for row in rows if row.certificate_expires is not None), default=None
            ),
            cause=state.cause,
            share=health.verdicts[name].share,
            addresses=state.addresses,
            override=None if state.order is None else _make_order_status(state.order),
        )
    if len(watches) > 1:
        members = tuple(_make_monitor_status(watch, health.table.get(watch.key)) for watch in watches)
        status = msgspec.structs.replace(status, monitors=members)
    return status


def _make_order_status(order: Order, origin: str = "", count: int = 0) -> OverrideStatus:
    return OverrideStatus(order.state, order.reason, order.by, order.since, order.until, origin, count)


def _make_monitor_status(watch: Watch, row: Row | None) -> MonitorStatus:
    if row is None:
        return MonitorStatus(watch.monitor.name, watch.role)
    return MonitorStatus(watch.monitor.name, watch.role, row.healthy, row.reason, row.evidence, row.rtt, row.checked)
