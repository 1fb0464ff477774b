"""Shedding: which part of its traffic a pool or origin takes while it comes back, or has too much to do.

Pure: moments in, a share from 0 to 1 out. Shares that change over time go in steps of STEP seconds, so that answers are
not computed anew more often.
"""

import math

from steering.settings import LoadShedding

RAMP_START = 0.1
"""What an origin gets at once when it has come back."""
STEP = 5.0
"""Seconds."""


def ramp_share(since: float, now: float, duration: float) -> float:
    """What an origin takes that has been up `since`: from RAMP_START in a straight line to 1, in `duration` seconds."""
    if now >= since + duration:
        return 1.0
    elapsed = max(0.0, math.floor((now - since) / STEP) * STEP)
    return RAMP_START + (1 - RAMP_START) * elapsed / duration


def next_ramp_step(since: float, now: float, duration: float) -> float:
    """The moment at which `ramp_share` gives more; infinite if it has reached 1."""
    end = since + duration
    if now >= end:
        return math.inf
    return min(end, since + (math.floor(max(0.0, now - since) / STEP) + 1) * STEP)


def load_share(load: float, at: float, now: float, shedding: LoadShedding) -> float:
    """What a pool takes under a load that was reported `at`: 1 up to the low watermark, 0 from the high one on, and in
    a straight line between; 1 too once the report is older than `maximum_age`."""
    low, high = shedding.low_watermark, shedding.high_watermark
    if low is None or high is None or now - at > shedding.maximum_age:
        return 1.0
    return min(1.0, max(0.0, (high - load) / (high - low)))
