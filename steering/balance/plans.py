"""Plans: what each class of clients gets for one (name, type) under the present health, ready to be sent.

Pure: load balancer, pools and health in, Plans out. For one type, only pools that carry records of it are candidates,
and a pool whose healthy origins carry none of it is down for it; so an answer is never empty because of health. When
no candidate is up, the fallback pool answers: what is healthy in it if it is up, else all of it; unless a pool set says
that its own pools answer all the same, or nothing does.

A pool that takes only a part of its traffic counts as up for that part of the answers. For whom no candidate is left,
the fallback pool answers, if it is up; if it is not, the candidates share that too.

The TTL is the load balancer's, but no answer is kept past the earliest moment at which it could change:
the TTL is at most the shortest `flip_after` of the pools that were looked at, and at least MINIMUM_TTL.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from steering.balance.lottery import Dice, Lottery, Way
from steering.balance.policies import NEGLIGIBLE, POLICIES, Candidate, Share
from steering.balance.pools import Draw, PoolState, carries, draw_origins, judge_pool
from steering.balance.rules import Route, default_route
from steering.settings import LoadBalancer, Pool
from steering.wire import NODE, NOERROR, Answer, RRset, render_rrset

MINIMUM_TTL = 1
"""Seconds."""


class Client(Protocol):
    """Who asks."""

    def take_key(self) -> int:
        """64 bits that are the same whenever this client asks; the answer then depends on them."""
        ...


class Plan:
    """The answers that one class of clients may get; which one is a matter of weight. None at all: NODATA."""

    __slots__ = ("answers", "bounds", "draws", "rrsets", "ttl")

    def __init__(self, owner: bytes, ttl: int, draws: Sequence[tuple[RRset, float, Draw]]) -> None:
        """`draws`: each RRset, its weight among them, and whose records it has."""
        self.ttl = ttl
        self.rrsets = tuple(rrset for rrset, _, _ in draws)
        self.bounds = tuple(accumulate(weight for _, weight, _ in draws)) if len(draws) > 1 else ()
        self.answers = tuple(
            Answer(NOERROR, True, (count, 0, 0), records, kind=NODE + owner) for _, count, records in self.rrsets
        )
        """Each RRset as the whole reply to a question for it."""
        self.draws = tuple(draw for _, _, draw in draws)

    def draw(self, dice: Dice, client: Client) -> int:  # noqa: ARG002 - for plans that tell clients apart
        """The index of the RRset to answer, by weight."""
        bounds = self.bounds
        if not bounds:
            return 0
        return min(bisect_right(bounds, dice() * bounds[-1]), len(bounds) - 1)


class KeyedPlan(Plan):
    """A Plan that draws a pool and then of its origins, one or both of them by the client's key."""

    __slots__ = ("_firsts", "_of_origins", "_of_pools")

    def __init__(
        self,
        owner: bytes,
        ttl: int,
        draws: Sequence[tuple[RRset, float, Draw]],
        of_pools: Lottery,
        of_origins: tuple[Lottery, ...],
    ) -> None:
        """`draws` are those of the first pool's lottery, then those of the second one's, and so on."""
        super().__init__(owner, ttl, draws)
        self._of_pools = of_pools
        self._of_origins = of_origins
        self._firsts = tuple(accumulate((lottery.size for lottery in of_origins), initial=0))

    def draw(self, dice: Dice, client: Client) -> int:
        """The index of the RRset to answer."""
        key = client.take_key()
        pool = self._of_pools.draw(key, dice)
        return self._firsts[pool] + self._of_origins[pool].draw(key, dice)


class Choice(NamedTuple):
    """Which pools answer, and how it came to that."""

    shares: tuple[Share, ...]
    """Not of the load balancer's traffic, but relative to each other."""
    fallback: bool
    """Whether no candidate was up, so that the route's `when_down` says what answers."""
    candidates: tuple[Candidate, ...]
    flip_after: float
    """Seconds before health can change this choice or what the chosen pools answer."""
    ignores_health: bool
    """Whether the pools answer although they are down."""


def choose_pools(
    route: Route,
    rrtype: int,
    pools: Mapping[str, Pool],
    states: Mapping[str, PoolState],
) -> Choice:
    """The pools that answer the clients of a class, for one type."""
    weights = route.weights or (1.0,) * len(route.pools)
    candidates = tuple(
        Candidate(
            name,
            states[name].up and bool(draw_origins(states[name], rrtype)),
            weight,
            states[name].room,
            states[name].rtt,
        )
        for name, weight in zip(route.pools, weights, strict=True)
        if carries(pools[name], rrtype)
    )
    policy = POLICIES[route.policy]
    shares = policy.choose(candidates)
    fallback, ignores_health = not shares, False
    looked_at = [candidate.name for candidate in candidates]
    if shares and policy.in_order:
        del looked_at[looked_at.index(shares[-1].name) + 1 :]
    fallback_state = states[route.fallback_pool]
    if fallback and route.when_down == "fail_open":
        shares = policy.choose([candidate._replace(up=True, room=1.0) for candidate in candidates])
        ignores_health = bool(shares)
    if fallback and not shares and route.when_down != "fail_closed":
        shares = (Share(route.fallback_pool, 1.0),)
        ignores_health = not (fallback_state.up and draw_origins(fallback_state, rrtype))
        looked_at.append(route.fallback_pool)
    elif not fallback and route.when_down == "fallback" and fallback_state.up and draw_origins(fallback_state, rrtype):
        shares = _add_rest(shares, candidates, route.fallback_pool)
        looked_at += [share.name for share in shares if share.name not in looked_at]
    flip_after = min((states[name].flip_after for name in looked_at), default=math.inf)
    return Choice(shares, fallback, candidates, flip_after, ignores_health)


def _add_rest(shares: tuple[Share, ...], candidates: Sequence[Candidate], fallback_pool: str) -> tuple[Share, ...]:
    """With what no candidate takes for the fallback pool."""
    chosen = {share.name: share.weight for share in shares}
    left = math.prod(1 - candidate.room for candidate in candidates if candidate.name in chosen)
    if left <= NEGLIGIBLE:
        return shares
    total = sum(chosen.values())
    chosen[fallback_pool] = chosen.get(fallback_pool, 0.0) + total * left / (1 - left)
    return tuple(Share(name, weight) for name, weight in chosen.items())


def make_plan(
    balancer: LoadBalancer,
    route: Route,
    rrtype: int,
    pools: Mapping[str, Pool],
    states: Mapping[str, PoolState],
) -> Plan:
    """The plan of one class of clients for one type."""
    choice = choose_pools(route, rrtype, pools, states)
    ttl = balancer.ttl
    if not balancer.fixed_ttl:
        ttl = max(MINIMUM_TTL, int(min(ttl, choice.flip_after)))
    made: list[tuple[RRset, float, Draw]] = []
    of_origins = []
    for share in choice.shares:
        state = states[share.name]
        draws = draw_origins(state, rrtype, ignore_health=choice.ignores_health)
        total = sum(draw.weight for draw in draws)
        made += ((render_rrset(rrtype, ttl, each.rdatas), share.weight * each.weight / total, each) for each in draws)
        of_origins.append(_make_lottery_of_origins(state, draws))
    of_pools = Lottery(
        "pool",
        [share.name for share in choice.shares],
        [share.weight for share in choice.shares],
        find_way(route, choice.shares, states),
    )
    if not any(lottery.by_key for lottery in (of_pools, *of_origins)):
        return Plan(balancer.name, ttl, made)
    return KeyedPlan(balancer.name, ttl, made, of_pools, tuple(of_origins))


def find_way(route: Route, shares: Sequence[Share], states: Mapping[str, PoolState]) -> Way:
    """How one of several pools is drawn."""
    if POLICIES[route.policy].by_key:
        return "rendezvous"
    if any(states[share.name].shed_by_key and states[share.name].room < 1 for share in shares):
        return "point"
    return "dice"


def _make_lottery_of_origins(state: PoolState, draws: Sequence[Draw]) -> Lottery:
    by_key = state.steering.policy == "hash"
    names = [draw.origins[0].name for draw in draws]
    return Lottery("origin", names, [draw.weight for draw in draws], "rendezvous" if by_key else "dice")


def make_default(balancer: LoadBalancer, rrtype: int, pools: Mapping[str, Pool]) -> RRset | None:
    """What the zone store holds at a steered name: the answer of `default_pools` when all is healthy, in full."""
    states = {name: judge_pool(pool, {}) for name, pool in pools.items() if name in balancer_pools(balancer)}
    plan = make_plan(balancer, default_route(balancer), rrtype, pools, states)
    return plan.rrsets[0] if plan.rrsets else None


def balancer_pools(balancer: LoadBalancer) -> set[str]:
    """The names of all pools that a load balancer may use."""
    maps = (balancer.region_pools, balancer.country_pools, balancer.subdivision_pools, balancer.network_pools)
    lists = [balancer.default_pools, *(names for pools_by_key in maps for names in pools_by_key.values())]
    lists += [each.pools for each in balancer.pool_sets]
    fallbacks = {balancer.fallback_pool, *(each.fallback_pool for each in balancer.pool_sets if each.fallback_pool)}
    return {name for names in lists for name in names} | fallbacks
