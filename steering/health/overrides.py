"""Overrides: origins that people have forced up or down, or drain; who, why, and until when.

Pure: an Override is a value, those in force are a tuple, the newest last. Of several for one origin the newest counts.
Times are Unix seconds.
"""

import math
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitors.monitor import one_line
from monitors.notify.wording import duration_in_words, time_in_words
from steering.health.orders import Order, drain, lead
from steering.problems import did_you_mean

MOST = 200
"""Overrides at a time."""
LONGEST = 366 * 86400.0
"""Seconds that an override may last, and a drain take."""

Moment = Annotated[float, Meta(ge=0, le=253_000_000_000)]


class OverrideError(Exception):
    """An override that cannot be; the text says why."""


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody ordered. `origin` is a name or a pattern, of "origin" or of "pool/origin"."""

    origin: Annotated[str, Meta(min_length=1, max_length=512)]
    state: Literal["up", "down", "drain"]
    reason: str = ""
    by: str
    since: Moment
    until: Moment | None = None
    over: Annotated[float, Meta(ge=0, le=LONGEST)] = 0.0
    """Seconds that a drain takes from all of its traffic to none; then the origin counts as down."""

    def __post_init__(self) -> None:
        for name in ("origin", "reason", "by"):
            msgspec.structs.force_setattr(self, name, one_line(getattr(self, name)))


def matches(pattern: str, pool: str, origin: str) -> bool:
    """Whether a pattern means an origin."""
    return fnmatchcase(f"{pool}/{origin}" if "/" in pattern else origin, pattern)


def order_override(override: Override, now: float) -> Order | None:
    """What it orders at `now`; None once it has expired."""
    until = math.inf if override.until is None else override.until
    if now >= until:
        return None
    up: bool | None = override.state == "up"
    share, since, flips_at, share_until = 1.0, override.since, until, math.inf
    if override.state == "drain":
        drained = override.since + override.over
        if now < drained:
            up, flips_at = None, min(drained, until)
            share, share_until = drain(override.since, drained, now)
        else:
            since = drained
    flip_after, look_again = lead(flips_at, now)
    return Order(
        up,
        share,
        "forced",
        override.reason,
        override.by,
        since,
        override.until,
        flip_after,
        min(look_again, share_until),
    )


def add_override(
    overrides: tuple[Override, ...], override: Override, origins: Collection[tuple[str, str]]
) -> tuple[Override, ...]:
    """The overrides with a new one, which replaces that of the same pattern; `origins` are all there are, with their
    pools. OverrideError if it means none of them, or is one too many."""
    if not any(matches(override.origin, *origin) for origin in origins):
        raise OverrideError(f"no origin is called {override.origin!r}" + _meant(override.origin, origins))
    if override.until is not None and override.until <= override.since + override.over:
        raise OverrideError("it would end before it has drained")
    kept = tuple(each for each in overrides if each.origin != override.origin)
    if len(kept) >= MOST:
        raise OverrideError(f"there are {MOST} overrides already; clear some")
    return (*kept, override)


def clear_overrides(overrides: tuple[Override, ...], pattern: str) -> tuple[tuple[Override, ...], tuple[Override, ...]]:
    """The overrides that stay, and those that are cleared: of the same pattern, or whose own matches this one.
    OverrideError if it means none."""
    cleared = tuple(each for each in overrides if each.origin == pattern or fnmatchcase(each.origin, pattern))
    if not cleared:
        known = dict.fromkeys(each.origin for each in overrides)
        raise OverrideError(f"no override is for {pattern!r}" + did_you_mean(pattern, known))
    return tuple(each for each in overrides if each not in cleared), cleared


def drop_expired(overrides: Iterable[Override], now: float) -> tuple[Override, ...]:
    """Those that have not expired."""
    return tuple(each for each in overrides if each.until is None or now < each.until)


def describe_override(override: Override) -> str:
    """An override in words, for people."""
    said = f"{override.origin} forced {override.state}"
    if override.state == "drain":
        said = f"{override.origin} drained over {duration_in_words(override.over)}"
    until = "it is cleared" if override.until is None else time_in_words(override.until)
    return f"{said} by {override.by} until {until}" + (f": {override.reason}" if override.reason else "")


def _meant(pattern: str, origins: Collection[tuple[str, str]]) -> str:
    full = "/" in pattern
    return did_you_mean(pattern, dict.fromkeys(f"{pool}/{origin}" if full else origin for pool, origin in origins))
