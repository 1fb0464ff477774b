"""Latency: the round trip of an origin as steering sees it: a moving average that does not follow every twitch.

Each good result moves the average by AVERAGE_WEIGHT of its distance (an exponentially weighted moving average: half of
what it says is of the last three results). What answers are told is that average at the time when it last was more than
HYSTERESIS away from what had been told, so two pools that are about as fast do not take turns.
"""

import msgspec

AVERAGE_WEIGHT = 0.2
"""The part of a new result in the average."""
HYSTERESIS = 0.25
"""Of what was told: by how much the average must differ from it to be told anew."""
LEAST_CHANGE = 0.001
"""Seconds: what it must differ by at least."""


class Latency(msgspec.Struct, frozen=True):
    """The average, and what answers are told; seconds."""

    average: float
    told: float


def follow(latency: Latency | None, rtt: float) -> Latency:
    """After one more result with this round trip; the first is taken as it is."""
    if latency is None:
        return Latency(rtt, rtt)
    average = latency.average + AVERAGE_WEIGHT * (rtt - latency.average)
    if abs(average - latency.told) > max(LEAST_CHANGE, HYSTERESIS * latency.told):
        return Latency(average, average)
    return Latency(average, latency.told)
