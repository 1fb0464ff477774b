"""dynamic_latency: the pool that is up and whose checks had the shortest round trips.

The round trip of a pool is the mean of its origins' moving averages, of which answers hear only when they have changed
enough, so that two pools that are about as fast do not take turns. A pool without one comes last, and of two with the
same, the one listed first.
"""

import math
from collections.abc import Sequence

from steering.balance.policies.policy import Candidate, Policy, Share, choose_first_up


def choose_fastest(candidates: Sequence[Candidate]) -> tuple[Share, ...]:
    """Failover order by round trip."""
    return choose_first_up(sorted(candidates, key=lambda each: math.inf if each.rtt is None else each.rtt))


DYNAMIC_LATENCY = Policy("dynamic_latency", by_place=False, in_order=False, choose=choose_fastest)
