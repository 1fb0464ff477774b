"""The world: everything that decides an answer, as one immutable value behind one reference.

Whoever answers takes the reference once per batch of packets. A change makes a new World from the old one and only
what the change touches is computed again: a change of health, the plans of load balancers that use a pool whose state
changed.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from steering.balance.plans import Plan, balancer_pools, make_plan
from steering.balance.pools import Health, PoolState, Verdict, judge_pool
from steering.balance.rules import Rules, split_world
from steering.cookies import CookieSigner
from steering.proxy import make_proxies
from steering.ratelimit import Decision
from steering.settings import LoadBalancer, Pool, Server, Settings
from steering.wire import Answer
from steering.zones.store import StoreReader

MEMO_SIZE = 20_000
"""Answers that a World remembers; only for names that exist, so a flood of random names cannot fill it."""
MEMORABLE_SIZE = 1024
"""Octets of the longest answer that is remembered: so the memory of a World has a bound."""


class AddressMap(Protocol):
    """Addresses (as integers) to (class, scope prefix length): `geodata.classes.ClassMap`."""

    def find4(self, address: int, /) -> tuple[int, int]: ...
    def find6(self, address: int, /) -> tuple[int, int]: ...


class Identity(NamedTuple):
    """What the server says of itself when asked; empty: nothing."""

    name: bytes
    """For NSID (RFC 5001), id.server and hostname.bind (RFC 4892)."""
    version: bytes
    """For version.server and version.bind."""

    @classmethod
    def of(cls, server: Server) -> "Identity":
        """As configured."""
        return cls(server.identity.encode(), server.version.encode())


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

Limit = Callable[[str, bytes, float], Decision]
"""Client, kind of answer and Unix time to what becomes of an answer over UDP: `RateLimiter.judge`."""

MapFinder = Mapping[Rules, AddressMap]


class World(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a packet sees."""

    zones: StoreReader
    pools: Mapping[str, Pool]
    health: Health
    states: Mapping[str, PoolState]
    """Of each pool under that health."""
    steered: Steered
    users: Mapping[str, frozenset[tuple[bytes, int]]]
    """Pool to the (name, type) that may use it."""
    identity: Identity
    cookies: CookieSigner | None = None
    """None: cookies are ignored."""
    limit: Limit | None = None
    """None: no limit."""
    is_proxy: Callable[[str], bool] | None = None
    """Whether an address is of a proxy, which says for whom it asks (proxy.py); None: there are none."""
    memo: dict[tuple[bytes, int], Answer | Steering] = msgspec.field(default_factory=dict)
    """What questions came to, for as long as this World and its snapshot of the zones are current."""

    def with_health(self, changes: Mapping[tuple[str, str], Verdict]) -> "World":
        """This world after the health of some origins has changed."""
        health = {**self.health, **changes}
        states = dict(self.states)
        touched: set[tuple[bytes, int]] = set()
        for name, pool in self.pools.items():
            if pool.monitor is not None and any((name, origin.name) in changes for origin in pool.origins):
                state = judge_pool(pool, health)
                if state != states[name]:
                    states[name] = state
                    touched |= self.users.get(name, frozenset())
        steered = dict(self.steered)
        for owner, rrtype in touched:
            old = steered[owner][rrtype]
            plans = tuple(make_plan(old.balancer, order, rrtype, self.pools, states) for order in old.orders)
            steering = Steering(old.balancer, rrtype, old.orders, old.classes, plans)
            steered[owner] = {**steered[owner], rrtype: steering}
        return replace(self, health=health, states=states, steered=steered, memo={})

    def with_zones_changed(self) -> "World":
        """This world with nothing remembered, for when its reader has come to a newer snapshot."""
        return replace(self, memo={})


def make_world(
    settings: Settings,
    zones: StoreReader,
    maps: MapFinder,
    health: Health,
    cookies: CookieSigner | None = None,
    limit: Limit | None = None,
) -> World:
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
    return World(
        zones=zones,
        pools=pools,
        health=health,
        states=states,
        steered=steered,
        users={name: frozenset(owners) for name, owners in users.items()},
        identity=Identity.of(settings.server),
        cookies=cookies,
        limit=limit,
        is_proxy=make_proxies(settings.server.proxy_from),
    )


def rules_in_use(balancers: Iterable[LoadBalancer]) -> set[Rules]:
    """Every set of Rules for which a map is needed."""
    return {rules for rules, _ in map(split_world, balancers) if not rules.trivial}
