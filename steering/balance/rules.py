"""Rules: how a load balancer splits the world into classes of clients, one for each distinct list of pools.

The most specific rule wins: network, subdivision, country, region, and `default_pools` for everyone else. Classes are
numbered in the order in which their lists first appear, so two load balancers that split the world alike have equal
Rules, whatever their pools are called, and share one compiled map.
"""

import msgspec

from geodata.place import Place
from steering.balance.policies import POLICIES
from steering.settings import LoadBalancer

DEFAULT_CLASS = 0
"""The class of `default_pools`: also of the addresses that no database knows."""


class Rules(msgspec.Struct, frozen=True):
    """Class numbers by subdivision (US-CA), country (FR), region (WEU) and network (CIDR text)."""

    subdivisions: tuple[tuple[str, int], ...] = ()
    countries: tuple[tuple[str, int], ...] = ()
    regions: tuple[tuple[str, int], ...] = ()
    networks: tuple[tuple[str, int], ...] = ()

    @property
    def trivial(self) -> bool:
        """Whether every client is of one class, so that no map is needed."""
        return not (self.subdivisions or self.countries or self.regions or self.networks)


def split_world(balancer: LoadBalancer) -> tuple[Rules, tuple[tuple[str, ...], ...]]:
    """The rules of a load balancer, and the pools of each class in failover order."""
    if not POLICIES[balancer.steering_policy].by_place:
        return Rules(), (balancer.default_pools,)
    classes: dict[tuple[str, ...], int] = {balancer.default_pools: DEFAULT_CLASS}

    def number(pools_by_key: dict[str, tuple[str, ...]]) -> tuple[tuple[str, int], ...]:
        return tuple((key, classes.setdefault(pools, len(classes))) for key, pools in sorted(pools_by_key.items()))

    rules = Rules(
        number(balancer.subdivision_pools),
        number(balancer.country_pools),
        number(balancer.region_pools),
        number(balancer.network_pools),
    )
    return rules, tuple(classes)


class Classifier:
    """Places to classes by the Rules; networks are the map's business, since they are not of a place."""

    def __init__(self, rules: Rules) -> None:
        self._subdivisions = dict(rules.subdivisions)
        self._countries = dict(rules.countries)
        self._regions = dict(rules.regions)

    def __call__(self, place: Place) -> int:
        """The class of clients at this place."""
        for classes, key in (
            (self._subdivisions, place.subdivision),
            (self._countries, place.country),
            (self._regions, place.region),
        ):
            if key is not None and key in classes:
                return classes[key]
        return DEFAULT_CLASS


def name_rule(balancer: LoadBalancer, place: Place | None) -> str:
    """The rule that decides for this place, in words: `country_pools.FR`."""
    if POLICIES[balancer.steering_policy].by_place and place is not None:
        for table, pools_by_key, key in (
            ("subdivision_pools", balancer.subdivision_pools, place.subdivision),
            ("country_pools", balancer.country_pools, place.country),
            ("region_pools", balancer.region_pools, place.region),
        ):
            if key is not None and key in pools_by_key:
                return f"{table}.{key}"
    return "default_pools"
