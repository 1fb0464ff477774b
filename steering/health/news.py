"""News: what people are told of the origins and pools of a configuration, as Events for `monitors.notify`; PoolTally
sees when there is any of a pool.

Rules for this file: pure. What is told is how things are now. It may have been told before: who is told knows that.
"""

from collections.abc import Iterator, Mapping

from monitors.notify.event import Event, Kind
from monitors.notify.wording import time_in_words
from steering.health.judgement import OriginState
from steering.settings import Origin, Pool, Settings

States = Mapping[tuple[str, str], OriginState]
"""(pool, origin) -> how it counts, where anything is known."""


def describe_origin(pool: Pool, origin: Origin, before: OriginState | None, state: OriginState) -> Iterator[Event]:
    """How an origin counts, and what has ended that was so `before` (None: perhaps anything). Nothing that is a guess,
    and no alarm for what people have ordered."""
    order = state.order

    def event(kind: Kind, since: float, reason: str = "", evidence: str = "") -> Event:
        return Event(
            kind=kind,
            since=since,
            pool=pool.name,
            origin=origin.name,
            address=origin.endpoint,
            monitor=pool.monitor or "",
            up=state.up,
            reason=reason,
            evidence=evidence,
        )

    if order is not None and order.cause:
        until = "it is cleared" if order.until is None else time_in_words(order.until)
        draining = "draining, " if order.up is None else ""
        yield event("forced", order.since, order.reason, f"{draining}by {order.by}, until {until}")
        return
    if before is None or before.cause in ("forced", "maintenance"):
        yield event("freed", state.since)
    # A last result that disagrees with the state is no reason for it.
    seen = (state.reason, state.evidence) if (state.reason == "ok") == state.up else ("", "")
    if state.cause == "damped":
        yield event("flapping", state.since, "", state.evidence)
        return
    if before is None or before.cause == "damped":
        yield event("steady", state.since)
    if state.cause != "stale":
        yield event("up" if state.up else "down", state.since, *seen)


def describe_freed(pool: Pool, origin: Origin, now: float) -> Event:
    """That nothing is ordered any more since `now` (Unix seconds) for an origin that no check knows."""
    return Event(kind="freed", since=now, pool=pool.name, origin=origin.name, address=origin.endpoint, up=True)


def describe_pool(pool: Pool, states: States, ended: float | None = None) -> Iterator[Event]:
    """Whether a pool is up, by the results of its checks or by what was ordered for its origins; no guesses. `ended`
    (Unix seconds): when an order has ended for an origin of which nothing else is known."""
    enabled = [origin for origin in pool.origins if origin.enabled] if pool.enabled else []
    known = [state for origin in enabled if (state := states.get((pool.name, origin.name)))]
    # What is not known counts as up.
    healthy = len(enabled) - sum(not state.up for state in known)
    by_checks = len(enabled) - sum(state.checks is False for state in known)
    up = healthy >= pool.minimum_origins
    since = [state.since for state in known if state.up == up and state.cause != "stale"]
    if ended is not None:
        since.append(ended)
    if not since:
        return
    ordered = up != (by_checks >= pool.minimum_origins)
    kinds: tuple[Kind, ...] = ("forced",) if ordered else ("freed", "up" if up else "down")
    for kind in kinds:
        yield Event(
            kind=kind,
            since=max(since),
            pool=pool.name,
            monitor=pool.monitor or "",
            up=up,
            reason=f"{healthy} of {len(enabled)} origins healthy, {pool.minimum_origins} needed",
        )


def describe_warning(pool: Pool, origin: Origin, up: bool, warning: str, now: float) -> Event:
    """What an origin warns of since `now` (Unix seconds); "": of nothing any more."""
    return Event(
        kind="warning" if warning else "cleared",
        since=now,
        pool=pool.name,
        origin=origin.name,
        address=origin.endpoint,
        monitor=pool.monitor or "",
        up=up,
        evidence=warning,
    )


def describe_hold(why: str, now: float) -> Event:
    """That states are held since `now` (Unix seconds), and why; "": no longer."""
    return Event(kind="held" if why else "resumed", since=now, reason=why)


def describe_removed(before: Settings, after: Settings, now: float) -> Iterator[Event]:
    """The origins and pools that were watched and are no longer since `now` (Unix seconds)."""
    gone = set(_watched(before)) - set(_watched(after))
    for pool, origin in sorted(gone):
        yield Event(kind="removed", since=now, pool=pool, origin=origin)


def _watched(settings: Settings) -> Iterator[tuple[str, str]]:
    """Pool and origin of all that something can be told of; without an origin for the pool itself."""
    for pool in settings.pools:
        if pool.enabled:
            yield pool.name, ""
            yield from ((pool.name, origin.name) for origin in pool.origins if origin.enabled)


class PoolTally:
    """How many origins of a pool count as up, and how many would by their checks alone."""

    def __init__(self, pool: Pool) -> None:
        self._needed = pool.minimum_origins
        # What is not known counts as up.
        self._up = self._by_checks = sum(origin.enabled for origin in pool.origins)

    def count(self, before: OriginState | None, after: OriginState | None) -> bool:
        """Note how an origin counts, and did before; whether that makes something else of the pool."""
        old = self._outcome()
        self._up += (after is None or after.up) - (before is None or before.up)
        self._by_checks += _passes(after) - _passes(before)
        return self._outcome() != old

    def _outcome(self) -> tuple[bool, bool]:
        return self._up >= self._needed, self._by_checks >= self._needed


def _passes(state: OriginState | None) -> bool:
    return state is None or state.checks is not False
