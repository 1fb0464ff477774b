"""Tests of plans: who answers, how often, and for how long."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.balance.plans import MINIMUM_TTL, KeyedPlan, Plan, balancer_pools, choose_pools, make_default, make_plan
from steering.balance.policies import Share
from steering.balance.pools import Draw, Health, Verdict, judge_pool
from steering.balance.rules import default_route, split_world
from steering.settings import (
    LoadBalancer,
    LoadShedding,
    Origin,
    OriginSteering,
    Pool,
    PoolSet,
    RandomSteering,
    Settings,
)
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
    choice = choose_pools(default_route(lb), TXT, POOLS, {name: judge_pool(each, {}) for name, each in POOLS.items()})
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
    counts = Counter(plan.draw(dice.random, Key(number)) for number in range(draws))
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
        pytest.param(balancer("trio", ttl=300), {}, 300, id="a pool without a monitor"),
        pytest.param(balancer("trio", ttl=300), down(50, flip_after=5.0), 5, id="a pool that only people take down"),
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


NAMED = POOLS | {"named": Pool("named", (Origin("named-1", "www.example.com"),), monitor="tcp")}


def test_a_pool_of_hosts_is_passed_over_until_they_have_addresses() -> None:
    lb = balancer("named", "one")

    def answer(health: Health) -> Plan:
        return make_plan(
            lb, default_route(lb), A, NAMED, {name: judge_pool(each, health) for name, each in NAMED.items()}
        )

    assert [octets(rrset) for rrset in answer({}).rrsets] == [(10, 11)]
    passing = answer({("named", "named-1"): Verdict(True, 20.0, addresses=("192.0.2.200",))})
    assert ([octets(rrset) for rrset in passing.rrsets], passing.ttl) == ([(200,)], 20)


def test_the_default_has_no_addresses_of_hosts() -> None:
    literal = make_default(balancer("named", "one"), A, NAMED)
    fallback = make_default(balancer("named"), A, NAMED)
    assert literal is not None
    assert fallback is not None
    assert (octets(literal), octets(fallback)) == ((10, 11), (90, 91))


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
        for number in (0.0, 0.3, 0.999):
            assert 0 <= plan.draw(lambda number=number: number, Key(int(number * 2**40))) < len(plan.rrsets)  # type: ignore[misc] # a default binds it
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
                    assert names == {route.fallback_pool} or (
                        route.when_down == "fail_open" and names <= {*route.pools}
                    )
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


# Parts of the traffic.


def takes(**shares: float) -> dict[tuple[str, str], Verdict]:
    """Origins that are up and take a part: one_10=0.5."""
    return {
        (name.partition("_")[0], name.replace("_", "-")): Verdict(True, math.inf, share)
        for name, share in shares.items()
    }


def shedding(pool: str, percent: float, policy: str = "random") -> Mapping[str, Pool]:
    """The pools, of which one sheds."""
    load = LoadShedding(percent, policy)  # type: ignore[arg-type] # one of the policies
    return {**POOLS, pool: msgspec.structs.replace(POOLS[pool], load_shedding=load)}


ONE_OF_TWO = takes(one_10=0.25)
BOTH = takes(one_10=0.25, one_11=0.25)


@pytest.mark.parametrize(
    ("lb", "health", "expected"),
    [
        pytest.param(balancer("one", "two"), ONE_OF_TWO, {(10, 11): 0.25, (11,): 0.75}, id="one of two that are equal"),
        pytest.param(balancer("one", "two"), BOTH, {(10, 11): 0.25, (20, 21): 0.75}, id="a whole pool"),
        pytest.param(
            balancer("one", "two", "trio"),
            BOTH | takes(two_20=0.5, two_21=0.5),
            {(10, 11): 0.25, (20, 21): 0.375, (50,): 0.09375, (51,): 0.09375, (52,): 0.1875},
            id="of what is left to the next",
        ),
        pytest.param(
            balancer("one"), BOTH, {(10, 11): 0.25, (90, 91): 0.75}, id="of what is left to the fallback pool"
        ),
        pytest.param(balancer("one"), BOTH | down(90, 91), {(10, 11): 1.0}, id="but not if that is down"),
        pytest.param(
            balancer("three"), takes(three_31=0.5), {(30,): 0.4, (31,): 0.6}, id="weights 0.25 and 0.75 × 0.5"
        ),
        pytest.param(
            balancer("one", "two", policy="random"),
            BOTH,
            {(10, 11): 0.2, (20, 21): 0.8},
            id="random: 1 × 0.25 and 1",
        ),
        pytest.param(
            balancer("one", "two", policy="random"),
            BOTH | takes(two_20=0.5, two_21=0.5),
            {(10, 11): 0.625 / 3, (20, 21): 0.625 * 2 / 3, (90, 91): 0.375},
            id="random: what no pool takes",
        ),
        pytest.param(
            balancer("one", "two", policy="hash", two=0.25), {}, {(10, 11): 0.8, (20, 21): 0.2}, id="hash by weight"
        ),
        pytest.param(
            balancer("one", "two", policy="hash"), BOTH, {(10, 11): 0.2, (20, 21): 0.8}, id="hash by weight and share"
        ),
        pytest.param(
            balancer("one", "trio", policy="hash"),
            down(10, 11),
            {(50,): 0.25, (51,): 0.25, (52,): 0.5},
            id="hash of pools, dice of origins",
        ),
        pytest.param(balancer("one", "two"), takes(one_10=0.0), {(11,): 1.0}, id="share 0 counts as down"),
    ],
)
def test_shares_of_parts(lb: LoadBalancer, health: Health, expected: dict[tuple[int, ...], float]) -> None:
    assert shares(plan_of(lb, health)) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("policy", ["random", "hash"])
@pytest.mark.parametrize("percent", [0.0, 20.0, 60.0, 100.0])
def test_load_shedding(policy: str, percent: float) -> None:
    pools = shedding("one", percent, policy)
    found = shares(plan_with_pools(balancer("one", "two"), pools))
    expected = {(10, 11): 1 - percent / 100, (20, 21): percent / 100}
    assert found == pytest.approx({answer: share for answer, share in expected.items() if share}, abs=0.01)


def plan_with_pools(lb: LoadBalancer, pools: Mapping[str, Pool], health: Health | None = None) -> Plan:
    states = {name: judge_pool(each, health or {}) for name, each in pools.items()}
    return make_plan(lb, default_route(lb), A, pools, states)


def answers_by_key(plan: Plan, keys: Iterable[int], dice: float = 0.5) -> dict[int, tuple[int, ...]]:
    """What each client gets."""
    return {key: octets(plan.rrsets[plan.draw(lambda: dice, Key(key))]) for key in keys}


def test_shedding_by_hash_more_only_loses_clients() -> None:
    kept = []
    for percent in (10.0, 30.0, 50.0, 90.0):
        plan = plan_with_pools(balancer("one", "two"), shedding("one", percent, "hash"))
        kept.append({key for key, answer in answers_by_key(plan, range(2000)).items() if answer == (10, 11)})
    assert kept[0] > kept[1] > kept[2] > kept[3]


def test_a_client_stays_with_its_pool_whatever_the_dice() -> None:
    plan = plan_of(balancer("one", "two", "three", policy="hash"), {})
    first, second = (answers_by_key(plan, range(1000), dice) for dice in (0.1, 0.2))
    assert first == second, "0.1 and 0.2 draw the same of the pool with weights"
    assert len(set(first.values())) == 3


def test_a_client_stays_with_its_origin() -> None:
    sticky = {**POOLS, "trio": msgspec.structs.replace(POOLS["trio"], origin_steering=OriginSteering("hash"))}
    lb = balancer("trio", "two")
    before = answers_by_key(plan_with_pools(lb, sticky), range(20_000))
    assert before == answers_by_key(plan_with_pools(lb, sticky), range(20_000), 0.9)
    counts = Counter(before.values())
    assert {answer: count / 20_000 for answer, count in counts.items()} == pytest.approx(
        {(50,): 0.25, (51,): 0.25, (52,): 0.5}, abs=0.02
    )
    after = answers_by_key(plan_with_pools(lb, sticky, down(51)), range(20_000))
    assert {key for key in before if before[key] != after[key]} == {key for key in before if before[key] == (51,)}


def test_one_answer_does_not_depend_on_the_client() -> None:
    """Or else its scope would be narrower than it is true."""
    assert isinstance(plan_of(balancer("one", "two", policy="hash"), {}), KeyedPlan)
    assert type(plan_of(balancer("one", "two", policy="hash"), down(20))) is Plan
    assert type(plan_of(balancer("one", "two"), BOTH)) is Plan


@given(
    st.lists(st.sampled_from(["one", "two", "three", "trio"]), min_size=2, unique=True),
    st.dictionaries(st.sampled_from(["one", "two", "three", "trio"]), st.floats(0.01, 1)),
    st.integers(0, 2**48),
    st.data(),
)
def test_removing_a_pool_moves_only_its_clients(
    names: list[str], weights: dict[str, float], key: int, data: st.DataObject
) -> None:
    """By health, by less weight, by shedding, and by a configuration without it."""

    def pool_of(lb: LoadBalancer, health: Health) -> str:
        answer = answers_by_key(plan_of(lb, health), [key])[key]
        return next(name for name, pool in POOLS.items() if f"192.0.2.{answer[0]}" in [o.address for o in pool.origins])

    lb = balancer(*names, policy="hash", **_among(names, weights))
    mine = pool_of(lb, {})
    other = data.draw(st.sampled_from([name for name in names if name != mine]))
    dead = {(other, origin.name): Verdict(False, 1.0) for origin in POOLS[other].origins}
    part = {(other, origin.name): Verdict(True, 1.0, 0.3) for origin in POOLS[other].origins}
    rest = [name for name in names if name != other]
    without = balancer(*rest, policy="hash", **_among(rest, weights))
    assert pool_of(lb, dead) == pool_of(lb, part) == pool_of(without, {}) == mine


def _among(names: list[str], weights: dict[str, float]) -> Any:
    """Those of the weights, as keywords."""
    return {name: weight for name, weight in weights.items() if name in names}


# Which of a pool's origins.


def with_steering(steering: OriginSteering) -> Mapping[str, Pool]:
    """A pool "five" of equal origins."""
    return {**POOLS, "five": msgspec.structs.replace(pool("five", 70, *[0.5] * 5), origin_steering=steering)}


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 6])
def test_max_answers(most: int) -> None:
    plan = plan_with_pools(balancer("five"), with_steering(OriginSteering(max_answers=most)))
    found = shares(plan, 20_000)
    assert {len(answer) for answer in found} == {min(most, 5)}
    each = Counter[int]()
    for answer, share in found.items():
        each.update(dict.fromkeys(answer, share))
    assert each == pytest.approx(dict.fromkeys(range(70, 75), min(most, 5) / 5), abs=0.02)


def test_one_of_origins_with_equal_weights() -> None:
    plan = plan_with_pools(balancer("five"), with_steering(OriginSteering("random")))
    assert shares(plan) == pytest.approx({(number,): 0.2 for number in range(70, 75)}, abs=0.01)


# What answers when all pools of a set are down.


def plan_of_set(when_down: str, health: Health, *pools: str, rrtype: int = A, policy: str = "") -> Plan:
    """The plan of the clients of a set."""
    chosen = PoolSet("s", ("EU",), pools=pools, when_down=when_down, steering_policy=policy)  # type: ignore[arg-type] # texts of the settings
    lb = LoadBalancer(NAME, ("two",), "tlast", (A,), pool_sets=(chosen,))
    route = split_world(lb, POOLS)[1][1]
    return make_plan(lb, route, rrtype, POOLS, {name: judge_pool(each, health) for name, each in POOLS.items()})


@pytest.mark.parametrize(
    ("when_down", "health", "expected"),
    [
        ("fallback", {}, [(10, 11)]),
        ("fallback", down(10, 11), [(90, 91)]),
        ("fail_open", {}, [(10, 11)]),
        ("fail_open", down(10), [(11,)]),
        ("fail_open", down(10, 11), [(10, 11)]),
        ("fail_closed", down(10), [(11,)]),
        ("fail_closed", down(10, 11), []),
        ("fallback", BOTH, [(10, 11), (90, 91)]),
        ("fail_open", BOTH, [(10, 11)]),
        ("fail_closed", BOTH, [(10, 11)]),
    ],
)
def test_when_down(when_down: str, health: Health, expected: list[tuple[int, ...]]) -> None:
    plan = plan_of_set(when_down, health, "one")
    assert [octets(rrset) for rrset in plan.rrsets] == expected


def test_fail_open_by_weight() -> None:
    assert shares(plan_of_set("fail_open", down(10, 11, 30, 31), "one", "three", policy="random")) == pytest.approx(
        {(10, 11): 0.5, (30,): 0.125, (31,): 0.375}, abs=0.01
    )


def test_fail_open_where_no_pool_carries_the_type() -> None:
    assert plan_of_set("fail_open", {}, "one", rrtype=TXT).rrsets == (render_rrset(TXT, 30, [b"90", b"91"]),)
    assert plan_of_set("fail_closed", {}, "one", rrtype=TXT).rrsets == ()


@pytest.mark.parametrize("when_down", ["fail_open", "fail_closed"])
def test_the_ttl_when_down(when_down: str) -> None:
    """As soon as one may be up again."""
    assert plan_of_set(when_down, down(10, flip_after=7.0) | down(11), "one").ttl == 7


@settings(max_examples=100)
@given(configurations(closing=True), health_tables)
def test_only_fail_closed_is_ever_empty(configuration: Settings, health: Health) -> None:
    pools = {each.name: each for each in configuration.pools}
    for (name, _, number), plan in all_plans(configuration, health).items():
        lb = next(each for each in configuration.load_balancers if each.name == name)
        route = split_world(lb, pools)[1][number]
        assert plan.rrsets or route.when_down == "fail_closed"
