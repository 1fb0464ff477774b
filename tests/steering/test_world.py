"""Tests of the world: a change makes the world that would have been made from the start, and only what it must anew."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.balance.matches import Match
from steering.balance.pools import Health, Verdict, judge_pool
from steering.balance.rules import Rules, split_world
from steering.settings import LoadBalancer, Origin, Pool, Settings
from steering.wire import TXT, A
from steering.world import Steering, World, make_world, rules_in_use
from steering.zones.store import StoreReader
from tests.steering.balance.strategies import SERVER, configurations, health_tables
from tests.steering.support import HalvesMaps, opened_store

ONE, TWO, BOTH = b"\3one\0", b"\3two\0", b"\4both\0"
POOLS = tuple(
    Pool(name, (Origin(name, f"192.0.2.{number}", records={TXT: (b"x",)}),), monitor=monitor)
    for number, (name, monitor) in enumerate((("a", "tcp"), ("b", "tcp"), ("c", "icmp"), ("last", None)), 1)
)
SETTINGS = Settings(
    SERVER,
    pools=POOLS,
    load_balancers=(
        LoadBalancer(ONE, ("a",), "last", (A,)),
        LoadBalancer(ONE, ("c",), "last", (TXT,)),
        LoadBalancer(TWO, ("b",), "last", (A,), country_pools={"FR": ("c", "b")}),
        LoadBalancer(BOTH, ("a", "b"), "last", (A, TXT)),
    ),
)
UP, DOWN = Verdict(True, 60.0), Verdict(False, 60.0)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreReader]:
    with opened_store(tmp_path_factory.mktemp("store")) as store:
        yield StoreReader(store)


Shown = dict[tuple[bytes, int], tuple[object, ...]]


def show(world: World) -> Shown:
    """All that decides an answer, as values."""
    return {
        (owner, rrtype): (
            steering.balancer,
            steering.routes,
            [
                (plan.ttl, plan.rrsets, plan.bounds, plan.draws, [answer.body for answer in plan.answers])
                for plan in map(steering.plans.__getitem__, range(len(steering.routes)))
            ],
        )
        for owner, by_type in world.steered.items()
        for rrtype, steering in by_type.items()
    }


def steerings(world: World) -> dict[tuple[bytes, int], Steering]:
    return {(owner, rrtype): each for owner, by_type in world.steered.items() for rrtype, each in by_type.items()}


@settings(max_examples=150)
@given(configurations(), health_tables, st.lists(health_tables, max_size=5))
def test_any_changes_lead_to_the_world_of_the_final_health(
    reader: StoreReader, configuration: Settings, start: Health, changes: list[Health]
) -> None:
    world = make_world(configuration, reader, HalvesMaps(), start)
    health = dict(start)
    for change in changes:
        health |= change
        world = world.with_health(change)
    made = make_world(configuration, reader, HalvesMaps(), health)
    assert show(world) == show(made)
    assert world.states == made.states
    assert world.health == made.health


@settings(max_examples=150)
@given(configurations(), health_tables, health_tables)
def test_a_change_touches_users_of_changed_pools_only(
    reader: StoreReader, configuration: Settings, start: Health, change: Health
) -> None:
    old = make_world(configuration, reader, HalvesMaps(), start)
    before = show(old)
    new = old.with_health(change)
    changed = {name for name, state in new.states.items() if state != old.states[name]}
    for key, steering in steerings(new).items():
        lb = steering.balancer
        routes = split_world(lb, new.pools)[1]
        used = {name for route in routes for name in (*route.pools, route.fallback_pool)}
        if not used & changed:
            assert steering is steerings(old)[key]
    assert show(old) == before, "the old world is what it was"
    assert old.health == start


def touched(reader: StoreReader, changes: Health) -> set[tuple[bytes, int]]:
    """Whose plans a change makes anew."""
    old = make_world(SETTINGS, reader, HalvesMaps(), {})
    new = old.with_health(changes)
    return {key for key, steering in steerings(new).items() if steering is not steerings(old)[key]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({("a", "a"): DOWN}, {(ONE, A), (BOTH, A), (BOTH, TXT)}),
        ({("b", "a"): DOWN}, set()),
        ({("c", "c"): DOWN}, {(ONE, TXT), (TWO, A)}),
        ({("b", "b"): UP}, {(TWO, A), (BOTH, A), (BOTH, TXT)}),
        ({("last", "last"): DOWN}, {(ONE, A), (ONE, TXT), (TWO, A), (BOTH, A), (BOTH, TXT)}),
        ({("none", "a"): DOWN}, set()),
    ],
)
def test_whom_a_change_touches(reader: StoreReader, changes: Health, expected: set[tuple[bytes, int]]) -> None:
    assert touched(reader, changes) == expected


def test_the_same_health_again_touches_nobody(reader: StoreReader) -> None:
    changes = {("a", "a"): DOWN}
    world = make_world(SETTINGS, reader, HalvesMaps(), {}).with_health(changes)
    assert {id(each) for each in steerings(world.with_health(changes)).values()} == {
        id(each) for each in steerings(world).values()
    }


def test_a_new_world_remembers_nothing(reader: StoreReader) -> None:
    world = make_world(SETTINGS, reader, HalvesMaps(), {})
    world.memo[ONE, A] = steerings(world)[ONE, A]
    assert not world.with_health({}).memo
    changed = world.with_zones_changed()
    assert not changed.memo
    assert (changed.steered, changed.health, changed.states, changed.zones) == (
        world.steered,
        world.health,
        world.states,
        world.zones,
    )
    assert len(world.memo) == 1


def test_maps_are_needed_for_places_only(reader: StoreReader) -> None:
    world = make_world(SETTINGS, reader, HalvesMaps(), {})
    assert [key for key, steering in steerings(world).items() if steering.classes is not None] == [(TWO, A)]
    assert rules_in_use(SETTINGS) == {Rules((Match(countries=("FR",), route=1),))}
    with pytest.raises(KeyError):
        make_world(SETTINGS, reader, {}, {})


@given(configurations(), health_tables)
def test_the_states_are_those_of_the_pools(reader: StoreReader, configuration: Settings, health: Health) -> None:
    world = make_world(configuration, reader, HalvesMaps(), health)
    assert world.states == {pool.name: judge_pool(pool, health) for pool in configuration.pools}
    for (owner, rrtype), steering in steerings(world).items():
        assert (steering.balancer.name, steering.rrtype) == (owner, rrtype)
        assert len(steering.plans) == len(steering.routes)
