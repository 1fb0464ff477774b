"""Plans: what each class of clients gets for one (name, type) under the present health, ready to be sent.

Pure: load balancer, pools and health in, Plans out. For one type, only pools that carry records of it are candidates,
and a pool whose healthy origins carry none of it is down for it; so an answer is never empty because of health. When
no candidate is up, the fallback pool answers: what is healthy in it if it is up, else all of it.

The TTL is the load balancer's, but no answer is kept past the earliest moment at which it could change:
the TTL is at most the shortest `flip_after` of the pools that were looked at, and at least MINIMUM_TTL.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from steering.balance.policies import POLICIES, Candidate, Share
from steering.balance.pools import PoolState, carries, draw_origins, judge_pool
from steering.settings import LoadBalancer, Pool
from steering.wire import NODE, NOERROR, Answer, RRset, render_rrset

MINIMUM_TTL = 1
"""Seconds."""


class Plan:
    """The answers that one class of clients may get; which one is a matter of weight. None at all: NODATA."""

    __slots__ = ("answers", "bounds", "rrsets", "ttl")

    def __init__(self, owner: bytes, ttl: int, rrsets: tuple[RRset, ...], weights: Sequence[float]) -> None:
        self.ttl = ttl
        self.rrsets = rrsets
        self.bounds = tuple(accumulate(weights)) if len(rrsets) > 1 else ()
        self.answers = tuple(
            Answer(NOERROR, True, (count, 0, 0), records, kind=NODE + owner) for _, count, records in rrsets
        )
        """Each RRset as the whole reply to a question for it."""

    def draw(self, dice: Callable[[], float]) -> int:
        """The index of the RRset to answer, by weight; `dice` gives numbers in [0, 1)."""
        bounds = self.bounds
        if not bounds:
            return 0
        return min(bisect_right(bounds, dice() * bounds[-1]), len(bounds) - 1)


class Choice(NamedTuple):
    """Which pools answer, and how it came to that."""

    shares: tuple[Share, ...]
    fallback: bool
    """Whether no candidate was up, so that the fallback pool answers."""
    candidates: tuple[Candidate, ...]
    flip_after: float
    """Seconds before health can change this choice or what the chosen pools answer."""


def choose_pools(
    balancer: LoadBalancer,
    order: Sequence[str],
    rrtype: int,
    pools: Mapping[str, Pool],
    states: Mapping[str, PoolState],
) -> Choice:
    """The pools that answer clients whose pools are `order`, for one type."""
    weights = balancer.random_steering.pool_weights
    candidates = tuple(
        Candidate(
            name,
            states[name].up and bool(draw_origins(states[name], rrtype)),
            weights.get(name, balancer.random_steering.default_weight),
        )
        for name in order
        if carries(pools[name], rrtype)
    )
    policy = POLICIES[balancer.steering_policy]
    shares = policy.choose(candidates)
    looked_at = [candidate.name for candidate in candidates]
    if shares and policy.in_order:
        del looked_at[looked_at.index(shares[0].name) + 1 :]
    fallback = not shares
    if fallback:
        shares = (Share(balancer.fallback_pool, 1.0),)
        looked_at.append(balancer.fallback_pool)
    flip_after = min((states[name].flip_after for name in looked_at), default=math.inf)
    return Choice(shares, fallback, candidates, flip_after)


def make_plan(
    balancer: LoadBalancer,
    order: Sequence[str],
    rrtype: int,
    pools: Mapping[str, Pool],
    states: Mapping[str, PoolState],
) -> Plan:
    """The plan of one class of clients, whose pools are `order`, for one type."""
    choice = choose_pools(balancer, order, rrtype, pools, states)
    ttl = balancer.ttl
    if not balancer.fixed_ttl:
        ttl = max(MINIMUM_TTL, int(min(ttl, choice.flip_after)))
    rrsets: list[RRset] = []
    weights: list[float] = []
    for share in choice.shares:
        state = states[share.name]
        draws = draw_origins(state, rrtype, ignore_health=choice.fallback and not state.up)
        if choice.fallback and not draws:
            draws = draw_origins(state, rrtype, ignore_health=True)
        total = sum(draw.weight for draw in draws)
        for draw in draws:
            rrsets.append(render_rrset(rrtype, ttl, draw.rdatas))
            weights.append(share.weight * draw.weight / total)
    return Plan(balancer.name, ttl, tuple(rrsets), weights)


def make_default(balancer: LoadBalancer, rrtype: int, pools: Mapping[str, Pool]) -> RRset | None:
    """What the zone store holds at a steered name: the answer of `default_pools` when all is healthy, in full."""
    states = {name: judge_pool(pool, {}) for name, pool in pools.items() if name in balancer_pools(balancer)}
    plan = make_plan(balancer, balancer.default_pools, rrtype, pools, states)
    return plan.rrsets[0] if plan.rrsets else None


def balancer_pools(balancer: LoadBalancer) -> set[str]:
    """The names of all pools that a load balancer may use."""
    maps = (balancer.region_pools, balancer.country_pools, balancer.subdivision_pools, balancer.network_pools)
    lists = [balancer.default_pools, *(names for pools_by_key in maps for names in pools_by_key.values())]
    return {name for names in lists for name in names} | {balancer.fallback_pool}
