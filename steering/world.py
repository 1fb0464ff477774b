"""The world: everything that decides an answer, as one immutable value behind one reference.

Whoever answers takes the reference once per batch of packets. A change makes a new World from the old one and only
what the change touches is computed again: a change of health, the plans of load balancers that use a pool whose state
changed.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from steering.balance.plans import Plan, balancer_pools, make_plan
from steering.balance.pools import Health, PoolState, Verdict, judge_pool
from steering.balance.rules import Rules, split_world
from steering.settings import LoadBalancer, Pool, Settings
from steering.wire import Answer
from steering.zones.store import StoreReader

MEMO_SIZE = 20_000
"""Answers that a World remembers; only for names that exist, so a flood of random names cannot fill it."""


class AddressMap(Protocol):
    """Addresses (as integers) to (class, scope prefix length): `geodata.classes.ClassMap`."""

    def find4(self, address: int, /) -> tuple[int, int]: ...
    def find6(self, address: int, /) -> tuple[int, int]: ...


class Steering:
    """One (name, type) of a load balancer: a Plan for each class, and the map that finds the class of a client."""

    __slots__ = ("balancer", "classes", "orders", "plans", "rrtype")

    def __init__(
        self,
        balancer: LoadBalancer,
        rrtype: int,
        orders: tuple[tuple[str, ...], ...],
        classes: AddressMap | None,
        plans: tuple[Plan, ...],
    ) -> None:
        self.balancer = balancer
        self.rrtype = rrtype
        self.orders = orders
        """The pools of each class in failover order."""
        self.classes = classes
        """None when all clients are of one class."""
        self.plans = plans


Steered = dict[bytes, dict[int, Steering]]
"""Owner name -> type -> Steering."""

MapFinder = Mapping[Rules, AddressMap]


class World:
    """What a packet sees."""

    __slots__ = ("_users", "health", "memo", "pools", "states", "steered", "zones")

    def __init__(
        self,
        zones: StoreReader,
        pools: dict[str, Pool],
        health: Health,
        states: dict[str, PoolState],
        steered: Steered,
        users: dict[str, frozenset[tuple[bytes, int]]],
    ) -> None:
        self.zones = zones
        self.pools = pools
        self.health = health
        self.states = states
        self.steered = steered
        self._users = users
        self.memo: dict[tuple[bytes, int], Answer | Steering] = {}
        """What questions came to, for as long as this World and its snapshot of the zones are current."""

    def with_health(self, changes: Mapping[tuple[str, str], Verdict]) -> "World":
        """This world after the health of some targets has changed."""
        health = {**self.health, **changes}
        states = dict(self.states)
        touched: set[tuple[bytes, int]] = set()
        for name, pool in self.pools.items():
            if pool.monitor is not None and any((pool.monitor, origin.address) in changes for origin in pool.origins):
                state = judge_pool(pool, health)
                if state != states[name]:
                    states[name] = state
                    touched |= self._users.get(name, frozenset())
        steered = dict(self.steered)
        for owner, rrtype in touched:
            old = steered[owner][rrtype]
            plans = tuple(make_plan(old.balancer, order, rrtype, self.pools, states) for order in old.orders)
            steered[owner] = {
                **steered[owner],
                rrtype: Steering(old.balancer, rrtype, old.orders, old.classes, plans),
            }
        return World(self.zones, self.pools, health, states, steered, self._users)

    def with_zones_changed(self) -> "World":
        """This world with nothing remembered, for when its reader has come to a newer snapshot."""
        return World(self.zones, self.pools, self.health, self.states, self.steered, self._users)


def make_world(settings: Settings, zones: StoreReader, maps: MapFinder, health: Health) -> World:
    """The world of a configuration; `maps` has the map of each set of Rules that is not trivial."""
    pools = {pool.name: pool for pool in settings.pools}
    states = {name: judge_pool(pool, health) for name, pool in pools.items()}
    steered: Steered = {}
    users: dict[str, set[tuple[bytes, int]]] = {}
    for balancer in settings.load_balancers:
        rules, orders = split_world(balancer)
        found = None if rules.trivial else maps[rules]
        for rrtype in balancer.types:
            plans = tuple(make_plan(balancer, order, rrtype, pools, states) for order in orders)
            steered.setdefault(balancer.name, {})[rrtype] = Steering(balancer, rrtype, orders, found, plans)
            for name in balancer_pools(balancer):
                users.setdefault(name, set()).add((balancer.name, rrtype))
    return World(zones, pools, dict(health), states, steered, {name: frozenset(uses) for name, uses in users.items()})


def rules_in_use(balancers: Iterable[LoadBalancer]) -> set[Rules]:
    """Every set of Rules for which a map is needed."""
    return {rules for rules, _ in map(split_world, balancers) if not rules.trivial}
