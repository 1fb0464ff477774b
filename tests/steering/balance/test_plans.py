"""Tests of plans: who answers, how often, and for how long."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.balance.plans import MINIMUM_TTL, Plan, balancer_pools, choose_pools, make_default, make_plan
from steering.balance.policies import Share
from steering.balance.pools import Draw, Health, Verdict, judge_pool
from steering.balance.rules import default_route, split_world
from steering.settings import LoadBalancer, Origin, Pool, RandomSteering, Settings
from steering.wire import CNAME, TXT, A, RRset, render_rrset, split_records
from tests.steering.balance.strategies import configurations, health_tables

NAME = b"\3www\0"


def pool(
    name: str, first: int, *weights: float, minimum: int = 1, monitor: str | None = "tcp", enabled: bool = True
) -> Pool:
    """A pool of origins at 192.0.2.first and on; with TXT records if its name begins with a t."""
    origins = tuple(
        Origin(
            f"{name}-{number}",
            f"192.0.2.{number}",
            weight,
            True,
            {TXT: (f"{number}".encode(),), CNAME: (f"{number}".encode(),)} if name.startswith("t") else {},
        )
        for number, weight in enumerate(weights or (1.0, 1.0), first)
    )
    return Pool(name, origins, enabled, monitor, minimum)


POOLS = {
    each.name: each
    for each in (
        pool("one", 10),
        pool("two", 20, minimum=2),
        pool("three", 30, 0.25, 0.75),
        pool("text", 40),
        pool("trio", 50, 0.5, 0.5, 1.0, monitor=None),
        pool("off", 60, enabled=False),
        pool("tlast", 90),
    )
}


def down(*numbers: int, flip_after: float = 60.0) -> dict[tuple[str, str], Verdict]:
    """Those at 192.0.2.number, which are named so."""
    return {
        (pool.name, origin.name): Verdict(False, flip_after)
        for pool in POOLS.values()
        for origin in pool.origins
        if int(origin.address.rpartition(".")[2]) in numbers
    }


def balancer(*defaults: str, policy: str = "off", ttl: int = 30, fixed: bool = False, **weights: float) -> LoadBalancer:
    return LoadBalancer(
        NAME,
        defaults,
        "tlast",
        (A,),
        policy,  # type: ignore[arg-type] # one of the policies
        random_steering=RandomSteering(1.0, weights),
        ttl=ttl,
        fixed_ttl=fixed,
    )


def plan_of(lb: LoadBalancer, health: Health, rrtype: int = A) -> Plan:
    states = {name: judge_pool(each, health) for name, each in POOLS.items()}
    return make_plan(lb, default_route(lb), rrtype, POOLS, states)


def octets(rrset: RRset) -> tuple[int, ...]:
    """The last octets of the addresses."""
    return tuple(record[-1] for record in split_records(rrset[2]))


def answered(lb: LoadBalancer, health: Health) -> list[tuple[int, ...]]:
    return [octets(rrset) for rrset in plan_of(lb, health).rrsets]


@pytest.mark.parametrize(
    ("lb", "health", "expected"),
    [
        pytest.param(balancer("one", "two"), {}, [(10, 11)], id="the first"),
        pytest.param(balancer("one", "two"), down(10), [(11,)], id="the first, degraded"),
        pytest.param(balancer("one", "two"), down(10, 11), [(20, 21)], id="the next"),
        pytest.param(balancer("two", "one"), down(20), [(10, 11)], id="fewer than minimum_origins"),
        pytest.param(balancer("off", "one"), {}, [(10, 11)], id="a disabled pool is left out"),
        pytest.param(balancer("one", "two"), down(10, 11, 21), [(90, 91)], id="the fallback pool"),
        pytest.param(balancer("one"), down(10, 11, 90), [(91,)], id="what is healthy in the fallback pool"),
        pytest.param(balancer("one"), down(10, 11, 90, 91), [(90, 91)], id="the fallback pool, whatever its health"),
        pytest.param(balancer("off"), {}, [(90, 91)], id="nothing but a disabled pool"),
        pytest.param(balancer("three"), {}, [(30,), (31,)], id="drawn origins"),
        pytest.param(balancer("three"), down(30), [(31,)], id="drawn origins, one down"),
        pytest.param(balancer("one", "two", policy="random"), {}, [(10, 11), (20, 21)], id="random"),
        pytest.param(balancer("one", "two", policy="random"), down(20), [(10, 11)], id="random, one down"),
        pytest.param(balancer("one", "two", policy="random", one=0.0), {}, [(20, 21)], id="random, one of weight 0"),
        pytest.param(
            balancer("one", "two", policy="random", one=0.0), down(20), [(90, 91)], id="weight 0 does not take over"
        ),
        pytest.param(balancer("one", "three", policy="random"), {}, [(10, 11), (30,), (31,)], id="random over drawn"),
    ],
)
def test_who_answers(lb: LoadBalancer, health: Health, expected: list[tuple[int, ...]]) -> None:
    assert answered(lb, health) == expected


def test_only_pools_that_carry_the_type_are_candidates() -> None:
    lb = balancer("one", "text", "trio")
    choice = choose_pools(
        default_route(lb), TXT, POOLS, {name: judge_pool(each, {}) for name, each in POOLS.items()}
    )
    assert [candidate.name for candidate in choice.candidates] == ["text", "trio"]
    assert choice.shares == (Share("text", 1.0),)
    assert not choice.fallback


def test_a_pool_whose_healthy_origins_carry_none_of_the_type_is_down_for_it() -> None:
    mixed = Pool(
        "mixed",
        (Origin("a", "192.0.2.1", records={TXT: (b"a",)}), Origin("b", "192.0.2.2")),
        monitor="tcp",
    )
    pools = {"mixed": mixed, "tlast": POOLS["tlast"]}
    for down, fallback in (("", False), ("a", True), ("b", False)):
        health = {("mixed", down): Verdict(False, 60.0)}
        states = {name: judge_pool(each, health) for name, each in pools.items()}
        route = default_route(balancer("mixed"))
        assert choose_pools(route, TXT, pools, states).fallback == fallback
        assert not choose_pools(route, A, pools, states).fallback


def test_a_fallback_pool_whose_healthy_origins_carry_none_of_the_type_answers_with_the_others() -> None:
    last = Pool("tlast", (Origin("a", "192.0.2.1", records={TXT: (b"a",)}), Origin("b", "192.0.2.2")), monitor="tcp")
    pools = {"one": POOLS["one"], "tlast": last}
    health = {("tlast", "a"): Verdict(False, 60.0)}
    states = {name: judge_pool(each, health) for name, each in pools.items()}
    plan = make_plan(balancer("one"), default_route(balancer("one")), TXT, pools, states)
    assert [rrset[1] for rrset in plan.rrsets] == [1]


# How often.


class Key:
    """A client with this key."""

    def __init__(self, key: int) -> None:
        self._key = key

    def take_key(self) -> int:
        """64 bits."""
        return self._key


NOBODY = Key(0)


def plan_with(*weights: float) -> Plan:
    """A plan of so many answers."""
    return Plan(
        NAME,
        1,
        [(render_rrset(A, 1, [bytes((place,))]), weight, Draw(weight, ())) for place, weight in enumerate(weights)],
    )


def shares(plan: Plan, draws: int = 100_000) -> dict[tuple[int, ...], float]:
    """Which part of the draws each answer gets."""
    dice = random.Random(1)
    counts = Counter(plan.draw(dice.random, NOBODY) for _ in range(draws))
    return {octets(plan.rrsets[number]): count / draws for number, count in counts.items()}


@pytest.mark.parametrize(
    ("lb", "health", "expected"),
    [
        (balancer("one", "trio", policy="random"), {}, {(10, 11): 0.5, (50,): 0.125, (51,): 0.125, (52,): 0.25}),
        (balancer("three"), {}, {(30,): 0.25, (31,): 0.75}),
        (balancer("trio"), {}, {(50,): 0.25, (51,): 0.25, (52,): 0.5}),
        (balancer("one", "two", policy="random"), {}, {(10, 11): 0.5, (20, 21): 0.5}),
        (balancer("one", "two", policy="random", two=0.25), {}, {(10, 11): 0.8, (20, 21): 0.2}),
        (
            balancer("one", "three", policy="random", one=0.5, three=0.5),
            {},
            {(10, 11): 0.5, (30,): 0.125, (31,): 0.375},
        ),
        (
            balancer("one", "two", "three", policy="random", three=0.5),
            down(10, 11),
            {(20, 21): 2 / 3, (30,): 1 / 12, (31,): 1 / 4},
        ),
    ],
)
def test_shares(lb: LoadBalancer, health: Health, expected: dict[tuple[int, ...], float]) -> None:
    assert shares(plan_of(lb, health)) == pytest.approx(expected, abs=0.01)


def test_two_cnames_share() -> None:
    assert sorted(shares(plan_of(balancer("text"), {}, CNAME)).values()) == pytest.approx([0.5, 0.5], abs=0.01)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.floats(0, 1, exclude_max=True))
def test_any_dice_draw_an_answer(weights: list[float], number: float) -> None:
    """Whatever rounding does."""
    plan = plan_with(*weights)
    drawn = plan.draw(lambda: number, NOBODY)
    assert 0 <= drawn < len(weights)
    if sum(weights) > 1e-300:
        assert weights[drawn] > 0 or number == 0.0 or len(weights) == 1 or drawn == len(weights) - 1


def test_nothing_of_weight_0_is_drawn() -> None:
    plan = plan_with(0.0, 1.0, 0.0)
    assert {plan.draw(lambda number=number: number / 100, NOBODY) for number in range(100)} == {1}  # type: ignore[misc] # a default binds it


# For how long.


@pytest.mark.parametrize(
    ("ttl", "fixed", "flip_after", "expected"),
    [
        (30, False, math.inf, 30),
        (30, False, 120.0, 30),
        (30, False, 30.0, 30),
        (30, False, 29.9, 29),
        (300, False, 60.0, 60),
        (300, False, 1.5, 1),
        (300, False, 0.2, MINIMUM_TTL),
        (300, False, 0.0, MINIMUM_TTL),
        (300, True, 0.0, 300),
        (1, False, math.inf, 1),
    ],
)
def test_the_ttl(ttl: int, fixed: bool, flip_after: float, expected: int) -> None:
    plan = plan_of(balancer("one", ttl=ttl, fixed=fixed), {("one", "one-10"): Verdict(True, flip_after)})
    assert plan.ttl == expected
    for rrset in plan.rrsets:
        assert {int.from_bytes(record[6:10], "big") for record in split_records(rrset[2])} == {expected}


@pytest.mark.parametrize(
    ("lb", "health", "expected"),
    [
        pytest.param(balancer("two", "one", ttl=300), down(20, flip_after=5.0), 5, id="an earlier pool may come back"),
        pytest.param(balancer("one", "two", ttl=300), down(20, flip_after=5.0), 300, id="a later pool may come back"),
        pytest.param(balancer("one", "two", ttl=300), {("two", "two-20"): Verdict(True, 5.0)}, 300, id="or fail"),
        pytest.param(
            balancer("one", "two", policy="random", ttl=300),
            down(20, flip_after=5.0),
            5,
            id="any pool that may share may come back",
        ),
        pytest.param(balancer("one", ttl=300), down(90, flip_after=5.0), 300, id="the fallback pool does not answer"),
        pytest.param(
            balancer("one", ttl=300), down(10, 11) | down(90, flip_after=5.0), 5, id="the fallback pool answers"
        ),
        pytest.param(balancer("one", ttl=300), down(20, flip_after=5.0), 300, id="a pool of others"),
        pytest.param(balancer("trio", ttl=300), down(50, flip_after=5.0), 5, id="a pool without a monitor"),
    ],
)
def test_whose_health_bounds_the_ttl(lb: LoadBalancer, health: Health, expected: int) -> None:
    assert plan_of(lb, health).ttl == expected


# Defaults.


def test_the_default_answer_is_that_of_the_default_pools_when_all_is_healthy() -> None:
    rrset = make_default(balancer("two", "one"), A, POOLS)
    assert rrset is not None
    assert octets(rrset) == (20, 21)
    assert make_default(balancer("one"), TXT, POOLS) == render_rrset(TXT, 30, [b"90", b"91"]), "the fallback pool's"


def test_pools_of_a_load_balancer() -> None:
    lb = LoadBalancer(
        NAME,
        ("a", "b"),
        "f",
        region_pools={"WEU": ("c",)},
        country_pools={"FR": ("d", "a")},
        subdivision_pools={"US-CA": ("e",)},
        network_pools={"192.0.2.0/24": ("g",)},
    )
    assert balancer_pools(lb) == set("abcdefg")


# Never empty because of health.


def all_plans(configuration: Settings, health: Health) -> dict[tuple[bytes, int, int], Plan]:
    """Every plan of every load balancer, by name, type and class."""
    pools = {each.name: each for each in configuration.pools}
    states = {name: judge_pool(each, health) for name, each in pools.items()}
    return {
        (lb.name, rrtype, number): make_plan(lb, route, rrtype, pools, states)
        for lb in configuration.load_balancers
        for number, route in enumerate(split_world(lb, pools)[1])
        for rrtype in lb.types
    }


@settings(max_examples=200)
@given(configurations(), health_tables)
def test_never_empty_because_of_health(configuration: Settings, health: Health) -> None:
    for key, plan in all_plans(configuration, health).items():
        assert plan.rrsets, key
        assert all(count and records for _, count, records in plan.rrsets)
        assert not plan.bounds or plan.bounds[-1] > 0
        assert len(plan.answers) == len(plan.rrsets)
        if key[1] == CNAME:
            assert all(count == 1 for _, count, _ in plan.rrsets), "one CNAME (RFC 2181 section 10.1)"
    for lb in configuration.load_balancers:
        for rrtype in lb.types:
            assert make_default(lb, rrtype, {each.name: each for each in configuration.pools}) is not None


@settings(max_examples=200)
@given(configurations(), health_tables)
def test_a_healthy_pool_is_preferred(configuration: Settings, health: Health) -> None:
    """What is answered is of origins that are up, as long as any candidate pool is."""
    pools = {each.name: each for each in configuration.pools}
    states = {name: judge_pool(each, health) for name, each in pools.items()}
    for lb in configuration.load_balancers:
        for route in split_world(lb, pools)[1]:
            for rrtype in lb.types:
                choice = choose_pools(route, rrtype, pools, states)
                plan = make_plan(lb, route, rrtype, pools, states)
                given_out = {record[12:] for rrset in plan.rrsets for record in split_records(rrset[2])}
                names = {share.name for share in choice.shares}
                if choice.fallback:
                    assert names == {lb.fallback_pool}
                    continue
                assert names <= {*route.pools, route.fallback_pool}
                healthy = {
                    rdata
                    for name in names
                    for origin in states[name].healthy
                    for rdata in origin.records.get(rrtype, ())
                }
                assert given_out <= healthy
                assert MINIMUM_TTL <= plan.ttl <= lb.ttl
