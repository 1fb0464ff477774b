"""Rules: how a load balancer splits the world into classes of clients, and what the clients of each class get.

A Route is what clients get: pools in order, a policy, a fallback. Rules say who gets which Route, and know Routes by
number only: load balancers that split the world alike have equal Rules, whatever their pools are called, and share one
compiled map.

The pool sets come first, in the order of the file; then the maps of pools, the most specific first: network (the
longest prefix first), subdivision, country, region; then `default_pools`. All of them become Matches, of which the
first that a client fits decides.

Where pools are ranked by distance, a class is a Route and a ranking: class = number of the Route + number of Routes ×
number of the ranking, and ranking 0 is the order in which the pools are listed.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import prod
from typing import NamedTuple

import msgspec

from geodata.centres import coordinates_of
from geodata.place import Place, great_circle
from steering.balance.matches import FIELDS, Match
from steering.balance.policies import POLICIES
from steering.settings import LoadBalancer, Pool, PoolSet, RandomSteering

DEFAULT_CLASS = 0
"""The class of `default_pools`."""
CLASS_LIMIT = 2**32 - 2
"""Classes are below this (geodata.classes)."""

Point = tuple[float, float]
"""Latitude and longitude in degrees."""


class Route(NamedTuple):
    """What the clients of a class get."""

    pools: tuple[str, ...]
    fallback_pool: str
    policy: str
    weights: tuple[float, ...]
    """Of the pools, where the policy asks for weights; else empty."""
    when_down: str


class Rules(msgspec.Struct, frozen=True):
    """Who is of which class: the first Match that fits, else DEFAULT_CLASS."""

    matches: tuple[Match, ...] = ()
    points: tuple[tuple[Point, ...], ...] = ()
    """By Route: where its pools are, if they are ranked by distance; empty if that is so of no Route."""

    @property
    def trivial(self) -> bool:
        """Whether every client is of one class, so that no map is needed."""
        return not (self.matches or self.points)

    @property
    def networks(self) -> tuple[str, ...]:
        """All networks that matter."""
        return tuple(dict.fromkeys(network for match in self.matches for network in match.networks))


def split_world(balancer: LoadBalancer, pools: Mapping[str, Pool]) -> tuple[Rules, tuple[Route, ...]]:
    """The rules of a load balancer, and its Routes."""
    default = default_route(balancer)
    numbers: dict[Route, int] = {default: DEFAULT_CLASS}
    matches = []
    for pool_set in balancer.pool_sets:
        number = numbers.setdefault(_route_of_set(balancer, pool_set), len(numbers))
        matches.append(msgspec.structs.replace(pool_set.match, route=number))
    if POLICIES[balancer.steering_policy].by_place:
        for field, pools_by_key in _split_maps(balancer):
            keys: dict[int, list[str]] = {}
            for key, names in pools_by_key:
                keys.setdefault(numbers.setdefault(default._replace(pools=names), len(numbers)), []).append(key)
            matches += [_match_of_keys(field, listed, number) for number, listed in keys.items()]
    routes = tuple(numbers)
    points = tuple(
        tuple(point_of(pools[name]) for name in route.pools) if POLICIES[route.policy].by_distance else ()
        for route in routes
    )
    return Rules(tuple(matches), points if any(points) else ()), routes


def matches_of(balancer: LoadBalancer) -> list[Match]:
    """Who is meant by the rules of a load balancer, in the order in which they count."""
    matches = [pool_set.match for pool_set in balancer.pool_sets]
    if POLICIES[balancer.steering_policy].by_place:
        for field, pools_by_key in _split_maps(balancer):
            matches.append(_match_of_keys(field, (key for key, _ in pools_by_key), 0))
    return matches


def default_route(balancer: LoadBalancer) -> Route:
    """What clients get whom no rule knows."""
    pools, policy = balancer.default_pools, balancer.steering_policy
    return Route(
        pools, balancer.fallback_pool, policy, _weights_of(pools, policy, balancer.random_steering), "fallback"
    )


def route_of_class(routes: Sequence[Route], class_: int) -> Route:
    """The Route of a class, its pools in the order of the class."""
    ranking, number = divmod(class_, len(routes))
    route = routes[number]
    if not ranking:
        return route
    return route._replace(pools=_decode_ranking(ranking, route.pools, len(routes)))


class Classifier:
    """Places and the networks around an address to classes."""

    def __init__(self, rules: Rules) -> None:
        self._points = rules.points
        self._matches = tuple(
            (
                match.route,
                match.unknown,
                frozenset(match.networks),
                tuple((field, frozenset(listed)) for field, name in FIELDS.items() if (listed := getattr(match, name))),
            )
            for match in rules.matches
        )
        self._rankings: dict[tuple[int, Point], int] = {}

    def __call__(self, place: Place, inside: frozenset[str] = frozenset()) -> int:
        """The class of clients at this place, inside of these networks of the rules (and of no other of them)."""
        for route, unknown, networks, fields in self._matches:
            if (
                not (networks and networks.isdisjoint(inside))
                and not (unknown and (place.country is not None or place.region is not None))
                and all(getattr(place, field) in listed for field, listed in fields)
            ):
                return self._rank(route, place)
        return self._rank(DEFAULT_CLASS, place)

    def _rank(self, route: int, place: Place) -> int:
        """The class of a Route and the ranking of its pools at a place."""
        if not self._points or not self._points[route]:
            return route
        here = coordinates_of(place)
        if here is None:
            return route
        if (route, here) not in self._rankings:
            ranking = _encode_ranking(rank_by_distance(here, self._points[route]), len(self._points))
            self._rankings[route, here] = route + len(self._points) * ranking
        return self._rankings[route, here]


def rank_by_distance(here: Point, points: Sequence[Point]) -> list[int]:
    """The indices of the points, the nearest first; of two at the same distance, the one listed first."""
    return sorted(range(len(points)), key=lambda index: great_circle(here, points[index]))


def point_of(pool: Pool) -> Point:
    """Where a pool is that is ranked by distance."""
    assert pool.latitude is not None and pool.longitude is not None, "proximity asks for pools with coordinates"
    return pool.latitude, pool.longitude


def name_rule(balancer: LoadBalancer, place: Place, address: str | None = None) -> str:
    """The rule that decides for a client, in words: `pool_set.europe`, `country_pools.FR`, `default_pools`."""
    inside = find_networks(balancer, address) if address is not None else frozenset()
    for pool_set in balancer.pool_sets:
        rules = Rules((msgspec.structs.replace(pool_set.match, route=1),))
        if Classifier(rules)(place, inside):
            return f"pool_set.{pool_set.name}"
    if POLICIES[balancer.steering_policy].by_place:
        for field, pools_by_key in _split_maps(balancer):
            for key, _ in pools_by_key:
                if Classifier(Rules((_match_of_keys(field, (key,), 1),)))(place, inside):
                    return f"{_MAPS[field]}.{key}"
    return "default_pools"


def find_networks(balancer: LoadBalancer, address: str) -> frozenset[str]:
    """The networks in the rules of a load balancer that an address is in."""
    known = ipaddress.ip_address(address)
    known = getattr(known, "ipv4_mapped", None) or known
    listed = [*balancer.network_pools, *(network for each in balancer.pool_sets for network in each.networks)]
    return frozenset(network for network in listed if known in ipaddress.ip_network(network))


def _route_of_set(balancer: LoadBalancer, pool_set: PoolSet) -> Route:
    """What a pool set gives, which takes from the load balancer what it does not say."""
    return Route(
        pools := pool_set.pools or balancer.default_pools,
        pool_set.fallback_pool or balancer.fallback_pool,
        policy := pool_set.steering_policy or balancer.steering_policy,
        _weights_of(pools, policy, pool_set.random_steering or balancer.random_steering),
        pool_set.when_down,
    )


def _weights_of(pools: tuple[str, ...], policy: str, steering: RandomSteering) -> tuple[float, ...]:
    if not POLICIES[policy].weighted:
        return ()
    return tuple(steering.pool_weights.get(name, steering.default_weight) for name in pools)


def _match_of_keys(field: str, keys: Iterable[str], number: int) -> Match:
    """The keys of a map of pools that have the same pools."""
    return msgspec.structs.replace(Match(route=number), **{field: tuple(keys)})


_MAPS = {
    "networks": "network_pools",
    "subdivisions": "subdivision_pools",
    "countries": "country_pools",
    "regions": "region_pools",
}
"""List of a Match to the map of a load balancer, the most specific first."""


def _split_maps(balancer: LoadBalancer) -> Iterator[tuple[str, list[tuple[str, tuple[str, ...]]]]]:
    """The maps as groups of keys that exclude each other, the most specific first."""
    networks = sorted(balancer.network_pools.items(), key=lambda item: (-_prefix_length(item[0]), item[0]))
    for _, group in groupby(networks, key=lambda item: _prefix_length(item[0])):
        yield "networks", list(group)
    for field, name in list(_MAPS.items())[1:]:
        yield field, sorted(getattr(balancer, name).items())


def _prefix_length(network: str) -> int:
    return int(network.partition("/")[2])


# A ranking as a number: digit by digit, which of the pools that are left comes next. What is not told apart (there are
# more rankings of many pools than numbers of classes) follows in the order of the list.


def _ranked(count: int, routes: int) -> int:
    """How many of so many pools can be told apart by distance."""
    return max(depth for depth in range(count + 1) if routes * prod(range(count, count - depth, -1)) < CLASS_LIMIT)


def _encode_ranking(ranking: Iterable[int], routes: int) -> int:
    order = list(ranking)
    left = sorted(order)
    number, unit = 0, 1
    for index in order[: _ranked(len(order), routes)]:
        number += unit * left.index(index)
        unit *= len(left)
        left.remove(index)
    return number


def _decode_ranking(number: int, pools: Sequence[str], routes: int) -> tuple[str, ...]:
    left = list(pools)
    ranked = []
    for _ in range(_ranked(len(left), routes)):
        number, digit = divmod(number, len(left))
        ranked.append(left.pop(digit))
    return (*ranked, *left)
