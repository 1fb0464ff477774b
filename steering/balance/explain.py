"""Explanations: why a client gets an answer, as values that a person or a program can read.

Pure, and made by the same functions that make the answer: nothing here decides anything.
"""

from collections.abc import Mapping, Sequence

import msgspec

from steering.balance.plans import Plan, choose_pools
from steering.balance.pools import Health, PoolState
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


class PoolReason(msgspec.Struct, frozen=True):
    """A pool that was looked at."""

    name: str
    state: str
    """up or down; or "no TYPE records", which leaves it out."""
    healthy: int
    minimum_origins: int
    share: float
    """Of this client's answers, from 0 to 1."""
    origins: tuple[OriginReason, ...]


class SteeringReason(msgspec.Struct, frozen=True):
    """How one load balancer came to what it gives this client for one type."""

    load_balancer: str
    type: str
    policy: str
    rule: str
    """The rule that applied: default_pools, country_pools.FR, …"""
    pools: tuple[PoolReason, ...]
    fallback: bool
    ttl: int
    ttl_reason: str


def explain_steering(
    balancer: LoadBalancer,
    rrtype: int,
    order: Sequence[str],
    rule: str,
    plan: Plan,
    pools: Mapping[str, Pool],
    states: Mapping[str, PoolState],
    health: Health,
) -> SteeringReason:
    """The reasons for `plan`: what clients get whose pools are `order`, by the rule of that name."""
    choice = choose_pools(balancer, order, rrtype, pools, states)
    total = sum(share.weight for share in choice.shares)
    shares = {share.name: share.weight / total for share in choice.shares}
    names = [*order, balancer.fallback_pool] if choice.fallback and balancer.fallback_pool not in order else order
    candidates = {candidate.name: candidate.up for candidate in choice.candidates}
    type_name = RECORDS_BY_TYPE[rrtype].name
    reasons = []
    for name in names:
        pool, state = pools[name], states[name]
        if name in candidates:
            word = "up" if candidates[name] else "down"
        elif name in shares:
            word = "up" if state.up else "down"
        else:
            word = f"no {type_name} records"
        origins = tuple(_explain_origin(origin, pool, health) for origin in pool.origins)
        reasons.append(PoolReason(name, word, len(state.healthy), pool.minimum_origins, shares.get(name, 0.0), origins))
    if balancer.fixed_ttl:
        ttl_reason = "fixed_ttl"
    elif plan.ttl < balancer.ttl:
        ttl_reason = f"health could change the answer in {max(choice.flip_after, 0):g} s"
    else:
        ttl_reason = "ttl of the load balancer"
    return SteeringReason(
        name_to_text(balancer.name),
        type_name,
        balancer.steering_policy,
        rule,
        tuple(reasons),
        choice.fallback,
        plan.ttl,
        ttl_reason,
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
    return OriginReason(origin.name, origin.endpoint, state, origin.weight, verdict.cause if verdict else "")
