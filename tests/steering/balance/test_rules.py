"""Tests of rules: how load balancers split the world."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodata.place import NOWHERE, Place
from steering.balance.matches import Match
from steering.balance.rules import (
    CLASS_LIMIT,
    DEFAULT_CLASS,
    Classifier,
    Route,
    Rules,
    find_networks,
    name_rule,
    rank_by_distance,
    route_of_class,
    split_world,
)
from steering.settings import LoadBalancer, Origin, Pool, PoolSet, RandomSteering

LB = LoadBalancer(
    b"\3www\0",
    ("d",),
    "f",
    region_pools={"WEU": ("a", "b"), "ENAM": ("c",)},
    country_pools={"FR": ("b",), "US": ("c",), "DE": ("d",)},
    subdivision_pools={"US-CA": ("a", "b")},
    network_pools={"192.0.2.0/24": ("e",)},
)


def test_a_class_for_each_list_of_pools() -> None:
    rules, routes = split_world(LB, {})
    assert [route.pools for route in routes] == [("d",), ("e",), ("a", "b"), ("b",), ("c",)]
    assert rules == Rules(
        (
            Match(networks=("192.0.2.0/24",), route=1),
            Match(subdivisions=("US-CA",), route=2),
            Match(countries=("DE",), route=DEFAULT_CLASS),
            Match(countries=("FR",), route=3),
            Match(countries=("US",), route=4),
            Match(regions=("ENAM",), route=4),
            Match(regions=("WEU",), route=2),
        )
    )
    assert not rules.trivial


@pytest.mark.parametrize("policy", ["off", "random"])
def test_policies_that_do_not_ask_for_the_place(policy: str) -> None:
    lb = msgspec.structs.replace(LB, steering_policy=policy)
    rules, routes = split_world(lb, {})
    assert (rules, [route.pools for route in routes]) == (Rules(), [("d",)])
    assert name_rule(lb, Place(country="FR")) == "default_pools"
    assert Rules().trivial


def test_the_names_of_pools_and_the_order_of_keys_do_not_matter() -> None:
    other = LoadBalancer(
        b"\5other\0",
        ("D",),
        "d",
        region_pools={"ENAM": ("C",), "WEU": ("A", "B")},
        country_pools={"DE": ("D",), "US": ("C",), "FR": ("B",)},
        subdivision_pools={"US-CA": ("A", "B")},
        network_pools={"192.0.2.0/24": ("E",)},
    )
    assert split_world(other, {})[0] == split_world(LB, {})[0]
    assert hash(split_world(other, {})[0]) == hash(split_world(LB, {})[0])
    different = msgspec.structs.replace(other, country_pools={"DE": ("D",), "US": ("C",), "FR": ("C",)})
    assert split_world(different, {})[0] != split_world(LB, {})[0]


@pytest.mark.parametrize(
    ("place", "pools", "rule"),
    [
        (NOWHERE, ("d",), "default_pools"),
        (Place(country="JP", region="NEAS"), ("d",), "default_pools"),
        (Place(country="IT", region="WEU"), ("a", "b"), "region_pools.WEU"),
        (Place(country="FR", region="WEU"), ("b",), "country_pools.FR"),
        (Place(country="DE", region="WEU"), ("d",), "country_pools.DE"),
        (Place(country="US", region="ENAM", subdivision="US-NY"), ("c",), "country_pools.US"),
        (Place(country="US", region="WNAM", subdivision="US-CA"), ("a", "b"), "subdivision_pools.US-CA"),
    ],
)
def test_the_most_specific_rule(place: Place, pools: tuple[str, ...], rule: str) -> None:
    rules, routes = split_world(LB, {})
    assert routes[Classifier(rules)(place)].pools == pools
    assert name_rule(LB, place) == rule


lists = st.lists(st.sampled_from("abcd"), min_size=1, max_size=2, unique=True).map(tuple)


@given(
    st.dictionaries(st.sampled_from(["WEU", "ENAM"]), lists),
    st.dictionaries(st.sampled_from(["FR", "US"]), lists),
    st.dictionaries(st.sampled_from(["US-CA", "US-NY"]), lists),
    st.builds(
        Place,
        region=st.sampled_from([None, "WEU", "ENAM", "OC"]),
        country=st.sampled_from([None, "FR", "US", "AU"]),
        subdivision=st.sampled_from([None, "US-CA", "US-NY", "US-TX"]),
    ),
)
def test_every_place_gets_what_the_tables_say(
    regions: dict[str, tuple[str, ...]],
    countries: dict[str, tuple[str, ...]],
    subdivisions: dict[str, tuple[str, ...]],
    place: Place,
) -> None:
    lb = LoadBalancer(b"\0", ("a",), "f", (1,), "geo", regions, countries, subdivisions)
    rules, routes = split_world(lb, {})
    expected = subdivisions.get(
        place.subdivision or "", countries.get(place.country or "", regions.get(place.region or "", ("a",)))
    )
    assert routes[Classifier(rules)(place)].pools == expected
    assert len(set(routes)) == len(routes)
    table, _, key = name_rule(lb, place).partition(".")
    assert (getattr(lb, table)[key] if key else lb.default_pools) == expected


# Pool sets.

SETS = msgspec.structs.replace(
    LB,
    pool_sets=(
        PoolSet("carrier", countries=("FR", "BE"), asns=(64500, 64501), pools=("s",)),
        PoolSet("office", networks=("192.0.2.0/25", "2001:db8::/32"), pools=("o",), fallback_pool="other"),
        PoolSet("europe", continents=("EU",), steering_policy="random", when_down="fail_open"),
        PoolSet("unknown", unknown=True, pools=("u",)),
    ),
)


@pytest.mark.parametrize(
    ("place", "inside", "pools", "rule"),
    [
        (Place("EU", "WEU", "FR", None, 64500), "", ("s",), "pool_set.carrier"),
        (Place("EU", "WEU", "BE", None, 64501), "", ("s",), "pool_set.carrier"),
        (Place("EU", "WEU", "FR", None, 64502), "", ("d",), "pool_set.europe"),
        (Place("EU", "WEU", "DE", None, 64500), "", ("d",), "pool_set.europe"),
        (Place("EU", "WEU", "DE", None, 64500), "192.0.2.1", ("o",), "pool_set.office"),
        (Place("EU", "WEU", "FR", None, 64500), "192.0.2.1", ("s",), "pool_set.carrier"),
        (NOWHERE, "2001:db8::1", ("o",), "pool_set.office"),
        (NOWHERE, "", ("u",), "pool_set.unknown"),
        (Place(asn=64500), "", ("u",), "pool_set.unknown"),
        (Place("NA", "ENAM", "US"), "192.0.2.129", ("e",), "network_pools.192.0.2.0/24"),
        (Place("NA", "ENAM", "US"), "::ffff:192.0.2.129", ("e",), "network_pools.192.0.2.0/24"),
        (Place("NA", "ENAM", "US"), "192.0.3.1", ("c",), "country_pools.US"),
        (Place("AS", "NEAS", "JP"), "192.0.3.1", ("d",), "default_pools"),
    ],
)
def test_the_first_set_that_matches(place: Place, inside: str, pools: tuple[str, ...], rule: str) -> None:
    rules, routes = split_world(SETS, {})
    networks = find_networks(SETS, inside) if inside else frozenset[str]()
    assert networks <= set(rules.networks)
    assert routes[Classifier(rules)(place, networks)].pools == pools
    assert name_rule(SETS, place, inside or None) == rule


def test_what_a_set_does_not_say_is_as_for_all() -> None:
    rules, routes = split_world(SETS, {})
    by_name = {each.name: routes[match.route] for each, match in zip(SETS.pool_sets, rules.matches, strict=False)}
    assert by_name["carrier"] == Route(("s",), "f", "geo", (), "fallback")
    assert by_name["office"] == Route(("o",), "other", "geo", (), "fallback")
    assert by_name["europe"] == Route(("d",), "f", "random", (1.0,), "fail_open")


def test_weights_of_a_set() -> None:
    weights = RandomSteering(0.5, {"a": 0.25})
    lb = LoadBalancer(
        b"\0",
        ("a", "b"),
        "f",
        steering_policy="hash",
        random_steering=weights,
        pool_sets=(
            PoolSet("own", countries=("FR",), pools=("b", "c"), random_steering=RandomSteering(1.0, {"c": 0.1})),
            PoolSet("same", countries=("DE",), pools=("b", "a")),
            PoolSet("other", countries=("IT",), steering_policy="off"),
        ),
    )
    _, routes = split_world(lb, {})
    assert [(route.pools, route.policy, route.weights) for route in routes] == [
        (("a", "b"), "hash", (0.25, 0.5)),
        (("b", "c"), "hash", (1.0, 0.1)),
        (("b", "a"), "hash", (0.5, 0.25)),
        (("a", "b"), "off", ()),
    ]


def test_names_of_pools_and_order_in_lists_do_not_matter_in_sets() -> None:
    one = LoadBalancer(b"\0", ("a",), "f", pool_sets=(PoolSet("x", countries=("FR", "DE"), pools=("b",)),))
    two = LoadBalancer(b"\0", ("q",), "r", pool_sets=(PoolSet("y", countries=("DE", "FR"), pools=("p",)),))
    short = LoadBalancer(b"\0", ("d",), "f", country_pools={"FR": ("e",), "DE": ("e",)})
    assert split_world(one, {})[0] == split_world(two, {})[0] == split_world(short, {})[0]


# Rankings.

CITIES = {"paris": (48.9, 2.4), "newyork": (40.7, -74.0), "tokyo": (35.7, 139.7), "sydney": (-33.9, 151.2)}
POOLS = {
    name: Pool(name, (Origin("o", "192.0.2.1"),), latitude=latitude, longitude=longitude)
    for name, (latitude, longitude) in CITIES.items()
}
NEAR = LoadBalancer(b"\0", tuple(CITIES), "f", steering_policy="proximity")


@pytest.mark.parametrize(
    ("place", "order"),
    [
        (Place(country="FR"), "paris newyork tokyo sydney"),
        (Place(country="JP"), "tokyo sydney paris newyork"),
        (Place(country="NZ"), "sydney tokyo newyork paris"),
        (Place(country="US"), "newyork paris tokyo sydney"),
        (Place(country="US", latitude=34.0, longitude=-118.2), "newyork tokyo paris sydney"),
        (NOWHERE, "paris newyork tokyo sydney"),
        (Place(continent="OC"), "paris newyork tokyo sydney"),
        (Place(latitude=-36.8, longitude=174.8), "sydney tokyo newyork paris"),
    ],
)
def test_the_nearest_first(place: Place, order: str) -> None:
    rules, routes = split_world(NEAR, POOLS)
    assert not rules.trivial
    assert " ".join(route_of_class(routes, Classifier(rules)(place)).pools) == order


def test_load_balancers_with_pools_at_the_same_places_share_a_map() -> None:
    others = {f"other-{name}": msgspec.structs.replace(pool, name=f"other-{name}") for name, pool in POOLS.items()}
    other = msgspec.structs.replace(NEAR, default_pools=tuple(others))
    assert split_world(other, others)[0] == split_world(NEAR, POOLS)[0]


def test_proximity_inside_a_set() -> None:
    lb = LoadBalancer(
        b"\0",
        ("paris", "sydney"),
        "f",
        pool_sets=(
            PoolSet("a", continents=("AS", "OC"), pools=("tokyo", "sydney"), steering_policy="proximity"),
            PoolSet("b", continents=("EU",), pools=("newyork",)),
        ),
    )
    rules, routes = split_world(lb, POOLS)
    classify = Classifier(rules)
    found = {
        country: route_of_class(routes, classify(Place(continent, country=country))).pools
        for continent, country in (("AS", "JP"), ("OC", "NZ"), ("EU", "FR"), ("NA", "US"))
    }
    assert found == {
        "JP": ("tokyo", "sydney"),
        "NZ": ("sydney", "tokyo"),
        "FR": ("newyork",),
        "US": ("paris", "sydney"),
    }


@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=40),
    st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
    st.integers(0, 20),
)
def test_a_class_says_the_whole_ranking(
    points: list[tuple[float, float]], here: tuple[float, float], more: int
) -> None:
    """Of up to 11 pools beside some other sets; of more, the nearest, and the others in the order of the list."""
    pools = {
        str(number): Pool(str(number), (Origin("o", "192.0.2.1"),), latitude=north, longitude=east)
        for number, (north, east) in enumerate(points)
    }
    sets = tuple(
        PoolSet(f"s{number}", asns=(number + 1,), pools=("x",), steering_policy="off") for number in range(more)
    )
    lb = LoadBalancer(b"\0", tuple(pools), "f", steering_policy="proximity", pool_sets=sets)
    rules, routes = split_world(lb, pools)
    class_ = Classifier(rules)(Place(latitude=here[0], longitude=here[1]))
    assert class_ < CLASS_LIMIT
    order = [int(name) for name in route_of_class(routes, class_).pools]
    ranking = rank_by_distance(here, points)
    told_apart = len(points) if len(points) <= 11 else 5
    assert order[:told_apart] == ranking[:told_apart]
    assert sorted(order) == list(range(len(points)))
