"""Orders: what people have decided for an origin, whatever its checks say; and when that changes by itself.

Pure. Times are Unix seconds. An Order is for a moment, and for a while after it: until `look_again` it stays true.

An answer must not outlive an order that ends, or one that begins. So the time that is left is rounded down to a power
of two, and an order is looked at again each time half of it is over: some 16 times, and always with a TTL that is not
too long.
"""

import math
from typing import Literal

import msgspec

Cause = Literal["", "forced", "maintenance", "damped", "held", "stale"]
"""Why an origin counts otherwise than by the results of its checks alone; "" if it does not."""

LONGEST_LEAD = 65_536.0
"""Seconds before a change at which answers begin to heed it. Most TTLs are far shorter."""
STEPS = 60
SHORTEST_STEP = 1.0
"""A drain goes down in at most so many steps, of at least so many seconds."""


class Order(msgspec.Struct, frozen=True):
    """What is ordered for an origin."""

    up: bool | None
    """Whether it counts as up; None: as its checks say."""
    share: float
    """How much of its traffic it takes, from 0 to 1."""
    cause: Cause
    """ "" while it has not begun."""
    reason: str
    by: str
    """Who ordered it."""
    since: float
    until: float | None
    """None: until somebody ends it."""
    flip_after: float
    """Seconds before it can make the origin up or down, rounded down."""
    look_again: float
    """The moment up to which all of this is true."""

    @property
    def state(self) -> str:
        """up, down or draining; planned before it begins."""
        if not self.cause:
            return "planned"
        return "draining" if self.up is None else "up" if self.up else "down"


def lead(flips_at: float, now: float) -> tuple[float, float]:
    """How many seconds are left at least, and until when that is true."""
    if flips_at == math.inf:
        return math.inf, math.inf
    left = flips_at - now
    if left <= 1:
        return 0.0, flips_at
    seconds = min(2.0 ** (math.ceil(math.log2(left)) - 1), LONGEST_LEAD)
    return seconds, flips_at - seconds


def drain(start: float, end: float, now: float) -> tuple[float, float]:
    """The share of an origin that is drained from `start` to `end`, between which `now` is, and until when that is its
    share."""
    count = max(1, min(STEPS, int((end - start) / SHORTEST_STEP)))
    step = (end - start) / count
    # A little more, so that the moment at which a step ends belongs to the next.
    place = min(count - 1, math.floor((now - start) / step + 1e-6)) if now > start else 0
    return 1 - place / count, start + (place + 1) * step
