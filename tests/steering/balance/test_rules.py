"""Tests of rules: how load balancers split the world."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodata.place import NOWHERE, Place
from steering.balance.rules import DEFAULT_CLASS, Classifier, Match, Rules, name_rule, split_world
from steering.settings import LoadBalancer

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
