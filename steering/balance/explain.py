"""Explanations: why a client gets an answer, as values that a person or a program can read.

Pure, and made by the same functions that make the answer: nothing here decides anything.
"""

from collections.abc import Mapping

import msgspec

from geodata.centres import coordinates_of
from geodata.place import Place, great_circle
from steering.balance.plans import KeyedPlan, Plan, choose_pools
from steering.balance.policies import POLICIES
from steering.balance.pools import Health, PoolState
from steering.balance.rules import Route, point_of
from steering.records import RECORDS_BY_TYPE
from steering.settings import LoadBalancer, Origin, Pool
from steering.wire import name_to_text


class OriginReason(msgspec.Struct, frozen=True):
    """An origin and whether it can take traffic."""

    name: str
    address: str
    state: str
    """up, down, disabled, unmonitored, or unresolved: a host name of which no address is known."""
    weight: float
    cause: str = ""
    """Why it counts otherwise than by its checks alone."""
    share: float = 1.0
    """The part of its traffic that it takes."""
    rtt: float | None = None
    """Seconds: the moving average of its checks, where answers depend on it."""


class PoolReason(msgspec.Struct, frozen=True):
    """A pool that was looked at."""

    name: str
    state: str
    """up or down; or "no TYPE records", which leaves it out."""
    healthy: int
    minimum_origins: int
    share: float
    """Of this client's answers, or by hash of all clients' like it, from 0 to 1."""
    origins: tuple[OriginReason, ...]
    room: float = 1.0
    """The part of its traffic that it takes."""
    distance: float | None = None
    """Kilometres from the client, where answers depend on it."""
    rtt: float | None = None
    """Seconds: of its origins, where answers depend on it."""
    origin_policy: str = "all"


class SteeringReason(msgspec.Struct, frozen=True):
    """How one load balancer came to what it gives this client for one type."""

    load_balancer: str
    type: str
    policy: str
    rule: str
    """The rule that applied: default_pools, pool_set.europe, country_pools.FR, …"""
    pools: tuple[PoolReason, ...]
    fallback: bool
    """Whether all pools of the rule are down."""
    ttl: int
    ttl_reason: str
    when_down: str = "fallback"
    """What answers if all pools of the rule are down."""
    by_key: bool = False
    """Whether it depends on the client's /24 or /48 which of several answers it gets."""


def explain_steering(
    balancer: LoadBalancer,
    rrtype: int,
    route: Route,
    rule: str,
    plan: Plan,
    place: Place,
    pools: Mapping[str, Pool],
    states: Mapping[str, PoolState],
    health: Health,
) -> SteeringReason:
    """The reasons for `plan`: what clients at a place get whose class has this route, by the rule of that name."""
    choice = choose_pools(route, rrtype, pools, states)
    total = sum(share.weight for share in choice.shares)
    shares = {share.name: share.weight / total for share in choice.shares}
    names = [*route.pools, *(share.name for share in choice.shares if share.name not in route.pools)]
    candidates = {candidate.name: candidate.up for candidate in choice.candidates}
    type_name = RECORDS_BY_TYPE[rrtype].name
    policy = POLICIES[route.policy]
    here = coordinates_of(place) if policy.by_distance else None
    reasons = []
    for name in names:
        pool, state = pools[name], states[name]
        if name in candidates:
            word = "up" if candidates[name] else "down"
        elif name in shares:
            word = "up" if state.up else "down"
        else:
            word = f"no {type_name} records"
        reasons.append(
            PoolReason(
                name,
                word,
                len(state.healthy),
                pool.minimum_origins,
                shares.get(name, 0.0),
                tuple(_explain_origin(origin, pool, health) for origin in pool.origins),
                state.room,
                great_circle(here, point_of(pool)) if here else None,
                state.rtt if policy is POLICIES["dynamic_latency"] else None,
                pool.origin_steering.policy,
            )
        )
    if balancer.fixed_ttl:
        ttl_reason = "fixed_ttl"
    elif plan.ttl < balancer.ttl:
        ttl_reason = f"health could change the answer in {max(choice.flip_after, 0):g} s"
    else:
        ttl_reason = "ttl of the load balancer"
    return SteeringReason(
        name_to_text(balancer.name),
        type_name,
        route.policy,
        rule,
        tuple(reasons),
        choice.fallback,
        plan.ttl,
        ttl_reason,
        route.when_down,
        isinstance(plan, KeyedPlan),
    )


def _explain_origin(origin: Origin, pool: Pool, health: Health) -> OriginReason:
    verdict = health.get((pool.name, origin.name))
    if not (origin.enabled and pool.enabled):
        return OriginReason(origin.name, origin.endpoint, "disabled", origin.weight)
    state = "unmonitored" if verdict is None and pool.monitor is None else "up"
    if verdict is not None and not verdict.up:
        state = "down"
    if origin.is_host and state == "up" and not (verdict and verdict.addresses):
        state = "unresolved"
    if verdict is None:
        return OriginReason(origin.name, origin.endpoint, state, origin.weight)
    return OriginReason(origin.name, origin.endpoint, state, origin.weight, verdict.cause, verdict.share, verdict.rtt)
