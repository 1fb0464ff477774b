"""Maintenance: planned windows in the configuration, in which origins count as down.

Pure. Times are Unix seconds; windows that repeat do so every 24 hours or 7 days, whatever clocks on the wall do.
"""

import math
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitors.notify.notifier import Glob
from steering.health.orders import Order, drain, lead
from steering.values import Identifier, Moment

PERIODS = {"daily": 86_400.0, "weekly": 604_800.0}
"""Seconds from one window to the next."""


class Maintenance(msgspec.Struct, frozen=True, kw_only=True):
    """[[maintenance]]: when which origins are out of service."""

    name: Identifier
    pools: Annotated[tuple[Glob, ...], Meta(min_length=1)] = ("*",)
    origins: Annotated[tuple[Glob, ...], Meta(min_length=1)] = ("*",)
    start: Moment
    end: Moment | None = None
    duration: Annotated[float, Meta(ge=1, le=31_622_400)] | None = None
    """Exactly one of `end` and `duration`."""
    repeat: Literal["daily", "weekly"] | None = None
    drain: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    """Seconds before the start, in which traffic goes from all to none."""
    reason: Annotated[str, Meta(max_length=200)] = ""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Keys that contradict each other, as (key, what is wrong)."""
        if (self.end is None) == (self.duration is None):
            yield "end", "expected either end or duration"
        elif self.end is not None and self.end <= self.start:
            yield "end", "is not after start"
        elif self.repeat and length(self) + self.drain > PERIODS[self.repeat]:
            yield "repeat", "the next window would begin before this one has ended"


def length(window: Maintenance) -> float:
    """Seconds from its start to its end."""
    return (window.end or 0.0) - window.start if window.duration is None else window.duration


def concerns(window: Maintenance, pool: str, origin: str) -> bool:
    """Whether an origin is out of service in the window."""
    return any(fnmatchcase(pool, glob) for glob in window.pools) and any(
        fnmatchcase(origin, glob) for glob in window.origins
    )


def order_maintenance(window: Maintenance, now: float) -> Order | None:
    """What a window orders at `now`; None when it will not come any more."""
    start = next_start(window, now)
    if start is None:
        return None
    end, draining = start + length(window), start - window.drain
    cause, up, share, share_until = "maintenance", None, 1.0, math.inf
    if now < draining:
        cause, since, flips_at, share_until = "", draining, start, draining
    elif now < start:
        since, flips_at = draining, start
        share, share_until = drain(draining, start, now)
    else:
        up, since, flips_at = False, start, end
    flip_after, look_again = lead(flips_at, now)
    return Order(
        up,
        share,
        cause,  # type: ignore[arg-type] # one of two
        window.reason,
        f"maintenance {window.name}",
        since,
        end,
        flip_after,
        min(look_again, share_until),
    )


def next_start(window: Maintenance, now: float) -> float | None:
    """The start of the window that is open at `now`, or else of the next; None if there is none."""
    if window.repeat is None:
        return window.start if now < window.start + length(window) else None
    period = PERIODS[window.repeat]
    passed = max(0, math.floor((now - window.start) / period))
    start = window.start + passed * period
    return start if now < start + length(window) else start + period


def strictest(orders: Iterable[Order]) -> Order | None:
    """Of several windows, the order that counts: down before draining before planned."""
    found = list(orders)
    if not found:
        return None
    first = min(found, key=lambda order: (order.up is None, not order.cause, order.share))
    # Nothing may be believed for longer than any of them allows.
    return msgspec.structs.replace(
        first,
        flip_after=min(order.flip_after for order in found),
        look_again=min(order.look_again for order in found),
    )
