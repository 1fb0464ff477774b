"""News: what people are told of the origins and pools of a configuration, as Events for `monitors.notify`.

Rules for this file: pure. What is told is how things are now. It may have been told before: who is told knows that.
"""

from collections.abc import Iterator, Mapping

from monitors.health import Key, Row
from monitors.notify.event import Event
from steering.balance.pools import Health, judge_pool
from steering.settings import Pool, Settings


def describe_pool(pool: Pool, table: Mapping[Key, Row], health: Health, endpoint: str | None = None) -> Iterator[Event]:
    """Up or down of the origins of a pool, or of those at an endpoint, then of the pool; nothing that is a guess."""
    state = judge_pool(pool, health)
    since = []
    for origin in state.enabled:
        row = table.get((pool.monitor or "", origin.endpoint))
        if row is None:
            continue
        if row.healthy == state.up:
            since.append(row.since)
        if endpoint is None or endpoint == origin.endpoint:
            # A last result that disagrees with the state is no reason for it.
            reason, evidence = (str(row.reason), row.evidence) if not row.streak else ("", "")
            yield Event(
                kind="up" if row.healthy else "down",
                since=row.since,
                pool=pool.name,
                origin=origin.name,
                address=origin.endpoint,
                monitor=pool.monitor or "",
                up=row.healthy,
                reason=reason,
                evidence=evidence,
            )
    if since:
        yield Event(
            kind="up" if state.up else "down",
            since=max(since),
            pool=pool.name,
            monitor=pool.monitor or "",
            up=state.up,
            reason=f"{len(state.healthy)} of {len(state.enabled)} origins healthy, {pool.minimum_origins} needed",
        )


def describe_warning(pool: Pool, row: Row, endpoint: str, warning: str, now: float) -> Iterator[Event]:
    """What the origins of a pool at an endpoint warn of since `now` (Unix seconds); "": of nothing any more."""
    for origin in pool.origins:
        if origin.enabled and origin.endpoint == endpoint:
            yield Event(
                kind="warning" if warning else "cleared",
                since=now,
                pool=pool.name,
                origin=origin.name,
                address=endpoint,
                monitor=pool.monitor or "",
                up=row.healthy,
                evidence=warning,
            )


def describe_removed(before: Settings, after: Settings, now: float) -> Iterator[Event]:
    """The origins and pools that were watched and are no longer since `now` (Unix seconds)."""
    gone = set(_watched(before)) - set(_watched(after))
    for pool, origin in sorted(gone):
        yield Event(kind="removed", since=now, pool=pool, origin=origin)


def pools_by_target(settings: Settings) -> dict[Key, tuple[Pool, ...]]:
    """The pools that each target stands for an origin of."""
    pools: dict[Key, dict[str, Pool]] = {}
    for pool in settings.pools:
        if pool.enabled and pool.monitor is not None:
            for origin in pool.origins:
                if origin.enabled:
                    pools.setdefault((pool.monitor, origin.endpoint), {})[pool.name] = pool
    return {key: tuple(named.values()) for key, named in pools.items()}


def _watched(settings: Settings) -> Iterator[tuple[str, str]]:
    """Pool and origin of all that has a monitor; without an origin for the pool itself."""
    for pool in settings.pools:
        if pool.enabled and pool.monitor is not None:
            yield pool.name, ""
            yield from ((pool.name, origin.name) for origin in pool.origins if origin.enabled)
