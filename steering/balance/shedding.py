"""Shedding: which part of its traffic a pool or origin takes while it comes back, or has too much to do.

Pure: moments in, a share from 0 to 1 out. Shares that change over time go in steps of STEP seconds, so that answers are
not computed anew more often.
"""

import math
from typing import NamedTuple

from steering.settings import LoadShedding, Pool

RAMP_START = 0.1
"""What an origin gets at once when it has come back."""
STEP = 5.0
"""Seconds."""


class Load(NamedTuple):
    """A load figure that was reported for a pool."""

    figure: float
    at: float
    """Unix seconds."""


def find_share(pool: Pool, back_since: float | None, load: Load | None, now: float) -> tuple[float, float]:
    """The part of its traffic that an origin of a pool takes by ramp and load, and when to ask again (Unix seconds).

    `back_since`: when it came back after it had been down; None if it never was, as one that is new has no ramp. The
    part is a factor of what else the origin takes, for `Verdict.share`.
    """
    share, again = 1.0, math.inf
    if back_since is not None:
        share = ramp_share(back_since, now, pool.ramp_up)
        again = next_ramp_step(back_since, now, pool.ramp_up)
    if load is not None and now <= (end := load.at + pool.load_shedding.maximum_age):
        share *= load_share(load, now, pool.load_shedding)
        again = min(again, math.nextafter(end, math.inf))
    return share, again


def ramp_share(since: float, now: float, duration: float) -> float:
    """What an origin takes that has been up `since`: from RAMP_START in a straight line to 1, in `duration` seconds.
    A clock that was set back by more than that ends it."""
    if not since - duration <= now < since + duration:
        return 1.0
    elapsed = max(0.0, math.floor((now - since) / STEP) * STEP)
    return RAMP_START + (1 - RAMP_START) * elapsed / duration


def next_ramp_step(since: float, now: float, duration: float) -> float:
    """The moment at which `ramp_share` gives more; infinite if it has reached 1."""
    end = since + duration
    if not since - duration <= now < end:
        return math.inf
    steps = math.floor(max(0.0, now - since) / STEP) + 1
    if since + steps * STEP <= now:
        steps += 1  # rounding: the step is taken already
    return min(end, since + steps * STEP)


def load_share(load: Load, now: float, shedding: LoadShedding) -> float:
    """What a pool takes under a load: 1 up to the low watermark, 0 from the high one on, and in a straight line
    between; 1 too once the report is older than `maximum_age`."""
    low, high = shedding.low_watermark, shedding.high_watermark
    if low is None or high is None or now > load.at + shedding.maximum_age:
        return 1.0
    return min(1.0, max(0.0, (high - load.figure) / (high - low)))
