"""Tests of explanations: they say what the plan does."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodata.place import NOWHERE, Place
from steering.balance.explain import SteeringReason, explain_steering
from steering.balance.pools import Health, Verdict
from steering.balance.rules import Classifier, route_of_class, split_world
from steering.settings import LoadBalancer, Origin, Pool, PoolSet, RandomSteering, Settings
from steering.wire import TXT, A
from steering.world import Steering, World, make_world
from steering.zones.store import StoreReader
from tests.steering.balance.strategies import SERVER, configurations, health_tables
from tests.steering.support import HalvesMaps, opened_store

NAME = b"\3www\7example\3com\0"

POOLS = (
    Pool(
        "paris",
        (
            Origin("paris-1", "192.0.2.1", 0.25, records={TXT: (b"x",)}),
            Origin("paris-2", "192.0.2.2", 0.75),
            Origin("paris-3", "192.0.2.3", enabled=False),
        ),
        monitor="tcp",
    ),
    Pool("tokyo", (Origin("tokyo-1", "192.0.2.11"), Origin("tokyo-2", "192.0.2.12")), monitor="tcp", minimum_origins=2),
    Pool("sorry", (Origin("sorry-1", "192.0.2.91", records={TXT: (b"x",)}),)),
    Pool("closed", (Origin("closed-1", "192.0.2.81"),), False, "tcp"),
)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreReader]:
    with opened_store(tmp_path_factory.mktemp("store")) as store:
        yield StoreReader(store)


def explain(reader: StoreReader, lb: LoadBalancer, health: Health, rrtype: int = A) -> SteeringReason:
    world = make_world(Settings(SERVER, pools=POOLS, load_balancers=(lb,)), reader, HalvesMaps(), health)
    return explain_class(world.steered[NAME][rrtype], 0, "default_pools", world)


def explain_class(steering: Steering, number: int, rule: str, world: World) -> SteeringReason:
    """The reasons for what a class of clients gets."""
    return explain_steering(
        steering.balancer,
        steering.rrtype,
        route_of_class(steering.routes, number),
        rule,
        steering.plans[number],
        NOWHERE,
        world.pools,
        world.states,
        world.health,
    )


def down(*numbers: int) -> Health:
    """Those at 192.0.2.number."""
    return {
        (pool.name, origin.name): Verdict(False, 7.5)
        for pool in POOLS
        for origin in pool.origins
        if int(origin.address.rpartition(".")[2]) in numbers
    }


def pools_of(reason: SteeringReason) -> list[tuple[str, str, int, float]]:
    return [(pool.name, pool.state, pool.healthy, pool.share) for pool in reason.pools]


def test_the_first_pool(reader: StoreReader) -> None:
    reason = explain(reader, LoadBalancer(NAME, ("paris", "tokyo"), "sorry"), down(1))
    assert (reason.load_balancer, reason.type, reason.policy, reason.rule) == (
        "www.example.com.",
        "A",
        "off",
        "default_pools",
    )
    assert pools_of(reason) == [("paris", "up", 1, 1.0), ("tokyo", "up", 2, 0.0)]
    assert not reason.fallback
    assert [(origin.name, origin.address, origin.state, origin.weight) for origin in reason.pools[0].origins] == [
        ("paris-1", "192.0.2.1", "down", 0.25),
        ("paris-2", "192.0.2.2", "up", 0.75),
        ("paris-3", "192.0.2.3", "disabled", 1.0),
    ]
    assert reason.pools[1].minimum_origins == 2


def test_the_fallback_pool(reader: StoreReader) -> None:
    reason = explain(reader, LoadBalancer(NAME, ("tokyo", "closed"), "sorry"), down(11))
    assert reason.fallback
    assert pools_of(reason) == [
        ("tokyo", "down", 1, 0.0),
        ("closed", "no A records", 0, 0.0),
        ("sorry", "up", 1, 1.0),
    ]
    assert [origin.state for pool in reason.pools for origin in pool.origins] == [
        "down",
        "up",
        "disabled",
        "unmonitored",
    ]


def test_a_host_without_addresses(reader: StoreReader) -> None:
    named = Pool("named", (Origin("named-1", "named.example.com"),), monitor="tcp")
    lb = LoadBalancer(NAME, ("named",), "sorry")
    for addresses, state in (((), "unresolved"), (("192.0.2.7",), "up")):
        health = {("named", "named-1"): Verdict(True, 60.0, addresses=addresses)}
        world = make_world(Settings(SERVER, pools=(*POOLS, named), load_balancers=(lb,)), reader, HalvesMaps(), health)
        reason = explain_class(world.steered[NAME][A], 0, "default_pools", world)
        assert (reason.pools[0].origins[0].state, reason.fallback) == (state, not addresses)


def test_a_fallback_pool_that_is_in_the_list(reader: StoreReader) -> None:
    reason = explain(reader, LoadBalancer(NAME, ("paris", "tokyo"), "tokyo"), down(1, 2, 11))
    assert reason.fallback
    assert pools_of(reason) == [("paris", "down", 0, 0.0), ("tokyo", "down", 1, 1.0)]


def test_a_pool_without_records_of_the_type(reader: StoreReader) -> None:
    reason = explain(reader, LoadBalancer(NAME, ("tokyo", "paris"), "sorry", (TXT,)), {}, TXT)
    assert pools_of(reason) == [("tokyo", "no TXT records", 2, 0.0), ("paris", "up", 2, 1.0)]


def test_shares(reader: StoreReader) -> None:
    lb = LoadBalancer(
        NAME,
        ("paris", "tokyo"),
        "sorry",
        steering_policy="random",
        random_steering=RandomSteering(0.25, {"tokyo": 0.75}),
    )
    assert [pool.share for pool in explain(reader, lb, {}).pools] == [0.25, 0.75]
    assert [pool.share for pool in explain(reader, lb, down(11)).pools] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("ttl", "fixed", "health", "expected"),
    [
        (30, False, {}, (30, "ttl of the load balancer")),
        (30, True, down(1), (30, "fixed_ttl")),
        (30, False, down(1), (7, "health could change the answer in 7.5 s")),
        (5, False, down(1), (5, "ttl of the load balancer")),
    ],
)
def test_the_ttl(reader: StoreReader, ttl: int, fixed: bool, health: Health, expected: tuple[int, str]) -> None:
    reason = explain(reader, LoadBalancer(NAME, ("paris",), "sorry", ttl=ttl, fixed_ttl=fixed), health)
    assert (reason.ttl, reason.ttl_reason) == expected


@given(configurations(), health_tables, st.data())
def test_what_is_explained_is_what_is_done(
    reader: StoreReader, configuration: Settings, health: Health, data: st.DataObject
) -> None:
    world: World = make_world(configuration, reader, HalvesMaps(), health)
    for by_type in world.steered.values():
        for steering in by_type.values():
            number = data.draw(st.integers(0, len(steering.routes) - 1))
            reason = explain_class(steering, number, "rule", world)
            assert sum(pool.share for pool in reason.pools) == pytest.approx(1)
            assert reason.ttl == steering.plans[number].ttl
            assert len({pool.name for pool in reason.pools}) == len(reason.pools)
            order = steering.routes[number].pools
            assert [pool.name for pool in reason.pools][: len(order)] == list(order)
            for pool in reason.pools:
                assert pool.healthy == len(world.states[pool.name].healthy)
                if pool.share and not reason.fallback:
                    assert pool.state == "up"


# Sets, parts and policies.

CITIES = tuple(
    Pool(name, (Origin(f"{name}-1", f"198.51.100.{number}"),), monitor="tcp", latitude=latitude, longitude=longitude)
    for number, (name, latitude, longitude) in enumerate((("near", 48.9, 2.4), ("far", 40.7, -74.0)), 1)
)


def explain_at(reader: StoreReader, lb: LoadBalancer, place: Place, health: Health, rule: str = "x") -> SteeringReason:
    """The reasons for what clients at a place get."""
    pools = {pool.name: pool for pool in (*CITIES, *POOLS)}
    world = make_world(
        Settings(SERVER, pools=tuple(pools.values()), load_balancers=(lb,)), reader, HalvesMaps(), health
    )
    number = Classifier(split_world(lb, pools)[0])(place)
    steering = world.steered[NAME][A]
    return explain_steering(
        lb,
        A,
        route_of_class(steering.routes, number),
        rule,
        steering.plans[number],
        place,
        world.pools,
        world.states,
        world.health,
    )


def test_proximity_says_how_far(reader: StoreReader) -> None:
    lb = LoadBalancer(NAME, ("far", "near"), "sorry", (A,), "proximity")
    reason = explain_at(reader, lb, Place(country="FR"), {})
    assert [(pool.name, pool.share, round(pool.distance or 0)) for pool in reason.pools] == [
        ("near", 1.0, 324),
        ("far", 0.0, 5936),
    ]
    assert [pool.distance for pool in explain_at(reader, lb, NOWHERE, {}).pools] == [None, None]
    away = explain_at(reader, lb, Place(country="FR"), {("near", "near-1"): Verdict(False, 5.0)})
    assert [(pool.name, pool.share) for pool in away.pools] == [("near", 0.0), ("far", 1.0)]


def test_dynamic_latency_says_how_fast(reader: StoreReader) -> None:
    health = {("far", "far-1"): Verdict(True, 60.0, 1.0, 0.02), ("near", "near-1"): Verdict(True, 60.0, 1.0, 0.03)}
    lb = LoadBalancer(NAME, ("near", "far"), "sorry", (A,), "dynamic_latency")
    reason = explain_at(reader, lb, NOWHERE, health)
    assert [(pool.name, pool.share, pool.rtt) for pool in reason.pools] == [("near", 0.0, 0.03), ("far", 1.0, 0.02)]
    assert reason.pools[1].origins[0].rtt == 0.02
    off = explain_at(reader, LoadBalancer(NAME, ("near",), "sorry", (A,)), NOWHERE, health)
    assert off.pools[0].rtt is None, "it does not matter there"


def test_hash_says_that_the_client_decides(reader: StoreReader) -> None:
    lb = LoadBalancer(NAME, ("near", "far"), "sorry", (A,), "hash")
    reason = explain_at(reader, lb, NOWHERE, {})
    assert reason.by_key
    assert [(pool.name, pool.share) for pool in reason.pools] == [("near", 0.5), ("far", 0.5)]
    one = explain_at(reader, lb, NOWHERE, {("far", "far-1"): Verdict(False, 5.0)})
    assert not one.by_key


def test_parts_of_the_traffic(reader: StoreReader) -> None:
    lb = LoadBalancer(NAME, ("near", "far"), "sorry", (A,))
    reason = explain_at(reader, lb, NOWHERE, {("near", "near-1"): Verdict(True, 60.0, 0.25)})
    assert [(pool.name, pool.state, pool.room, pool.share) for pool in reason.pools] == [
        ("near", "up", 0.25, 0.25),
        ("far", "up", 1.0, 0.75),
    ]
    assert reason.pools[0].origins[0].share == 0.25
    assert not reason.fallback
    alone = explain_at(
        reader, LoadBalancer(NAME, ("near",), "sorry", (A,)), NOWHERE, {("near", "near-1"): Verdict(True, 60.0, 0.25)}
    )
    assert [(pool.name, pool.share) for pool in alone.pools] == [("near", 0.25), ("sorry", 0.75)]
    assert not alone.fallback, "the pool is up"


@pytest.mark.parametrize(
    ("when_down", "shares"),
    [("fallback", [("near", 0.0), ("sorry", 1.0)]), ("fail_open", [("near", 1.0)]), ("fail_closed", [("near", 0.0)])],
)
def test_when_all_pools_of_a_set_are_down(reader: StoreReader, when_down: str, shares: list[tuple[str, float]]) -> None:
    chosen = PoolSet("eu", ("EU",), pools=("near",), when_down=when_down)  # type: ignore[arg-type] # one of the three
    lb = LoadBalancer(NAME, ("far",), "sorry", (A,), pool_sets=(chosen,))
    reason = explain_at(reader, lb, Place("EU"), {("near", "near-1"): Verdict(False, 5.0)}, "pool_set.eu")
    assert (reason.rule, reason.fallback, reason.when_down) == ("pool_set.eu", True, when_down)
    assert [(pool.name, pool.share) for pool in reason.pools] == shares
    assert reason.pools[0].state == "down"
