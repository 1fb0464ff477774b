"""The world: everything that decides an answer, as one immutable value behind one reference.

Whoever answers takes the reference once per batch of packets. A change makes a new World from the old one and only
what the change touches is computed again: a change of health, the plans of load balancers that use a pool whose state
changed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from steering.balance.plans import Plan, balancer_pools, make_plan
from steering.balance.policies import POLICIES
from steering.balance.pools import Health, PoolState, Verdict, judge_pool
from steering.balance.rules import Route, Rules, route_of_class, split_world
from steering.cookies import CookieSigner
from steering.peers import Peers
from steering.proxy import make_proxies
from steering.ratelimit import Decision
from steering.settings import LoadBalancer, Pool, Server, Settings
from steering.trust import Trusts, make_trust
from steering.wire import AAAA, A, Answer
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


ADDRESS_TYPES = (A, AAAA)


class Steering:
    """One (name, type) of a load balancer: a Plan for each class, and the map that finds the class of a client."""

    __slots__ = ("balancer", "classes", "flatten", "memorable", "plans", "routes", "rrtype")

    def __init__(
        self,
        balancer: LoadBalancer,
        rrtype: int,
        routes: tuple[Route, ...],
        classes: AddressMap | None,
        plans: "Plans",
    ) -> None:
        self.balancer = balancer
        self.rrtype = rrtype
        self.routes = routes
        self.classes = classes
        """None when all clients are of one class."""
        self.plans = plans
        """By class."""
        self.flatten = balancer.flatten and rrtype in ADDRESS_TYPES
        # Whether there is an answer at all depends on no ranking, and plans without one are there from the start.
        self.memorable = not self.flatten and all(plans[number].rrsets for number in range(len(routes)))
        """Whether every plan is a whole answer."""


class RankedPlans(dict[int, Plan]):
    """The plans of a load balancer that ranks pools by distance: there are many rankings, of which few are met."""

    def __init__(self, make: Callable[[int], Plan], routes: int) -> None:
        super().__init__((number, make(number)) for number in range(routes))
        self._make = make

    def __missing__(self, class_: int) -> Plan:
        self[class_] = plan = self._make(class_)
        return plan


Plans = Sequence[Plan] | RankedPlans
"""By class."""

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
    trusts: Trusts | None = None
    """None: every client subnet counts."""
    peers: Peers | None = None
    """None: other name servers get nothing."""
    is_proxy: Callable[[str], bool] | None = None
    """Whether an address is of a proxy, which says for whom it asks (proxy.py); None: there are none."""
    memo: dict[tuple[bytes, int], Answer | Steering] = msgspec.field(default_factory=dict)
    """What questions came to, for as long as this World and its snapshot of the zones are current."""

    def with_health(self, changes: Mapping[tuple[str, str], Verdict]) -> "World":
        """This world after the health of some origins has changed."""
        health = {**self.health, **changes}
        states = dict(self.states)
        touched: set[tuple[bytes, int]] = set()
        for name in {pool for pool, _ in changes} & self.pools.keys():
            state = judge_pool(self.pools[name], health)
            if state != states[name]:
                states[name] = state
                touched |= self.users.get(name, frozenset())
        steered = dict(self.steered)
        for owner, rrtype in touched:
            old = steered[owner][rrtype]
            plans = _make_plans(old.balancer, old.routes, rrtype, self.pools, states)
            steering = Steering(old.balancer, rrtype, old.routes, old.classes, plans)
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
    peers: Peers | None = None,
) -> World:
    """The world of a configuration; `maps` has the map of each set of Rules that is not trivial."""
    pools = {pool.name: pool for pool in settings.pools}
    states = {name: judge_pool(pool, health) for name, pool in pools.items()}
    steered: Steered = {}
    users: dict[str, set[tuple[bytes, int]]] = {}
    for balancer in settings.load_balancers:
        rules, routes = split_world(balancer, pools)
        found = None if rules.trivial else maps[rules]
        for rrtype in balancer.types:
            plans = _make_plans(balancer, routes, rrtype, pools, states)
            steered.setdefault(balancer.name, {})[rrtype] = Steering(balancer, rrtype, routes, found, plans)
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
        trusts=make_trust(settings.server.location),
        peers=peers,
        is_proxy=make_proxies(settings.server.proxy_from),
    )


def rules_in_use(settings: Settings) -> set[Rules]:
    """Every set of Rules for which a map is needed."""
    pools = {pool.name: pool for pool in settings.pools}
    needed = (split_world(balancer, pools)[0] for balancer in settings.load_balancers)
    return {rules for rules in needed if not rules.trivial}


def _make_plans(
    balancer: LoadBalancer,
    routes: tuple[Route, ...],
    rrtype: int,
    pools: Mapping[str, Pool],
    states: Mapping[str, PoolState],
) -> Plans:
    def make(class_: int) -> Plan:
        return make_plan(balancer, route_of_class(routes, class_), rrtype, pools, states)

    if any(POLICIES[route.policy].by_distance for route in routes):
        return RankedPlans(make, len(routes))
    return tuple(map(make, range(len(routes))))
