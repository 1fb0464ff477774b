"""Tests of pools: what is up, and what is drawn from them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.balance.pools import Draw, Health, PoolState, Verdict, carries, draw_origins, judge_pool
from steering.settings import Origin, Pool
from steering.wire import AAAA, CNAME, MX, TXT, A
from tests.steering.balance.strategies import health_tables, pools

UP, DOWN = Verdict(True, 120.0), Verdict(False, 60.0)


def origin(number: int, weight: float = 1.0, *, enabled: bool = True, **records: str) -> Origin:
    """An origin with an address, and records by type."""
    types = {"MX": MX, "TXT": TXT, "CNAME": CNAME}
    return Origin(
        f"o{number}",
        f"192.0.2.{number}",
        weight,
        enabled,
        {types[word]: (text.encode(),) for word, text in records.items()},
    )


def health(**verdicts: Verdict) -> Health:
    """Verdicts on origins of the pool "p": o1=UP."""
    return {("p", name): verdict for name, verdict in verdicts.items()}


def address(number: int) -> bytes:
    return bytes((192, 0, 2, number))


@pytest.mark.parametrize(
    ("minimum", "table", "up", "healthy", "flip_after"),
    [
        (1, health(), True, "o1 o2 o3", math.inf),
        (1, health(o1=UP, o2=UP, o3=UP), True, "o1 o2 o3", 120.0),
        (1, health(o1=DOWN), True, "o2 o3", 60.0),
        (1, health(o1=DOWN, o2=DOWN), True, "o3", 60.0),
        (1, health(o1=DOWN, o2=DOWN, o3=DOWN), False, "", 60.0),
        (2, health(o1=DOWN, o2=UP), True, "o2 o3", 60.0),
        (2, health(o1=DOWN, o2=DOWN), False, "o3", 60.0),
        (3, health(o2=DOWN), False, "o1 o3", 60.0),
        (3, health(o9=DOWN), True, "o1 o2 o3", math.inf),
    ],
)
def test_minimum_origins(minimum: int, table: Health, up: bool, healthy: str, flip_after: float) -> None:
    pool = Pool("p", (origin(1), origin(2), origin(3)), True, "tcp", minimum)
    state = judge_pool(pool, table)
    assert (state.up, " ".join(each.name for each in state.healthy), state.flip_after) == (up, healthy, flip_after)


def test_another_pool_says_nothing_about_a_pool() -> None:
    pool = Pool("q", (origin(1),), True, "icmp")
    assert judge_pool(pool, health(o1=DOWN)).up


def test_disabled_origins_are_not_there() -> None:
    pool = Pool("p", (origin(1), origin(2, enabled=False)), True, "tcp")
    state = judge_pool(pool, health(o1=UP, o2=DOWN))
    assert [each.name for each in state.enabled] == ["o1"]
    assert state.flip_after == 120.0
    assert draw_origins(state, A, ignore_health=True) == (Draw(1.0, (address(1),), state.enabled),)


@pytest.mark.parametrize("monitor", [None, "tcp"])
def test_a_disabled_pool_has_nothing(monitor: str | None) -> None:
    pool = Pool("p", (origin(1),), False, monitor)
    assert judge_pool(pool, {}) == PoolState(False, (), (), math.inf)
    assert not carries(pool, A)


def test_a_pool_without_a_monitor_is_healthy() -> None:
    pool = Pool("p", (origin(1), origin(2)), True, None)
    assert judge_pool(pool, {(None, "192.0.2.1"): DOWN}) == PoolState(True, pool.origins, pool.origins, math.inf)  # type: ignore[dict-item] # what must not be looked up


def test_carries() -> None:
    pool = Pool("p", (origin(1, MX="x"), origin(2, TXT="x", enabled=False)))
    assert (carries(pool, A), carries(pool, MX), carries(pool, TXT)) == (True, True, False)


def draws(*origins: Origin, down: str = "", rrtype: int = A, ignore_health: bool = False) -> list[tuple[float, str]]:
    """Weights and the last octets (or texts) that are drawn, with some origins down."""
    pool = Pool("p", origins, True, "tcp")
    state = judge_pool(pool, health(**dict.fromkeys(down.split(), DOWN)))
    return [
        (draw.weight, " ".join(str(rdata[3]) if rrtype == A else rdata.decode() for rdata in draw.rdatas))
        for draw in draw_origins(state, rrtype, ignore_health=ignore_health)
    ]


def test_equal_weights_are_answered_together() -> None:
    assert draws(origin(1, 0.5), origin(2, 0.5), origin(3, 0.5)) == [(1.0, "1 2 3")]
    assert draws(origin(1), origin(2), origin(3), down="o2") == [(1.0, "1 3")]
    assert draws(origin(1), down="o1") == []


def test_different_weights_are_drawn() -> None:
    three = origin(1, 0.25), origin(2, 0.75), origin(3, 0.75)
    assert draws(*three) == [(0.25, "1"), (0.75, "2"), (0.75, "3")]
    assert draws(*three, down="o1") == [(0.75, "2"), (0.75, "3")], "one answer or several does not depend on health"
    assert draws(*three, down="o2 o3") == [(0.25, "1")]


def test_weights_of_origins_that_do_not_carry_the_type_do_not_count() -> None:
    assert draws(origin(1, TXT="a"), origin(2, 0.5), origin(3, TXT="b"), rrtype=TXT) == [(1.0, "a b")]
    assert draws(origin(1, TXT="a"), origin(2, 0.5, TXT="x", enabled=False), rrtype=TXT) == [(1.0, "a")]


def test_weight_0_gets_nothing() -> None:
    assert draws(origin(1, 0.0), origin(2, 0.5)) == [(0.5, "2")]
    assert draws(origin(1, 0.0), origin(2, 0.5), down="o2") == []
    assert draws(origin(1, 0.0), origin(2, 0.0)) == []


def test_health_ignored_is_never_empty() -> None:
    assert draws(origin(1), origin(2), down="o1 o2", ignore_health=True) == [(1.0, "1 2")]
    assert draws(origin(1, 0.0), origin(2, 0.5), down="o1 o2", ignore_health=True) == [(0.5, "2")]
    assert draws(origin(1, 0.0), origin(2, 0.0), down="o1 o2", ignore_health=True) == [(1.0, "1 2")]


def test_one_cname_is_drawn() -> None:
    both = origin(1, CNAME="a"), origin(2, CNAME="b")
    assert draws(*both, rrtype=CNAME) == [(1.0, "a"), (1.0, "b")]
    assert draws(*both, rrtype=CNAME, down="o1") == [(1.0, "b")]
    zero = origin(1, 0.0, CNAME="a"), origin(2, 0.0, CNAME="b")
    assert draws(*zero, rrtype=CNAME) == []
    assert draws(*zero, rrtype=CNAME, ignore_health=True) == [(1.0, "a"), (1.0, "b")]


def test_all_records_of_an_origin_go_together() -> None:
    one = Origin("o1", "192.0.2.1", 0.5, True, {TXT: (b"a", b"b")})
    assert draws(one, origin(2, TXT="c"), rrtype=TXT) == [(0.5, "a b"), (1.0, "c")]


NAMED = Origin("o1", "www.example.com", 0.5, records={TXT: (b"a",)})


def drawn(state: PoolState, rrtype: int) -> tuple[tuple[float, tuple[bytes, ...]], ...]:
    """Weight and records of each draw."""
    return tuple((draw.weight, draw.rdatas) for draw in draw_origins(state, rrtype))


def test_a_host_has_the_addresses_that_pass() -> None:
    passing = Verdict(True, 60.0, addresses=("192.0.2.8", "192.0.2.9", "2001:db8::9"))
    pool = Pool("p", (NAMED, origin(2, 0.5)), True, "tcp")
    state = judge_pool(pool, health(o1=passing))
    assert drawn(state, A) == ((1.0, (address(8), address(9), address(2))),)
    assert drawn(state, AAAA) == ((1.0, (b"\x20\x01\x0d\xb8" + bytes(11) + b"\x09",)),)
    assert drawn(state, TXT) == ((1.0, (b"a",)),)
    down = judge_pool(pool, health(o1=Verdict(False, 60.0, addresses=passing.addresses)))
    assert drawn(down, A) == ((1.0, (address(2),)),)
    assert draw_origins(down, AAAA, ignore_health=True) == draw_origins(state, AAAA)


def test_a_host_that_has_not_been_looked_up_has_no_address() -> None:
    state = judge_pool(Pool("p", (NAMED,), True, "tcp"), {})
    assert (drawn(state, A), drawn(state, TXT)) == ((), ((1.0, (b"a",)),))


def test_a_host_may_carry_addresses_and_keeps_records_of_its_own() -> None:
    assert [carries(Pool("p", (NAMED,), True, "tcp"), rrtype) for rrtype in (A, AAAA, TXT, MX)] == [
        True,
        True,
        True,
        False,
    ]
    own = Origin("o1", "www.example.com", records={A: (address(7),)})
    state = judge_pool(Pool("p", (own,), True, "tcp"), health(o1=Verdict(True, 60.0, addresses=("192.0.2.8",))))
    assert drawn(state, A) == ((1.0, (address(7),)),)


@given(st.booleans().flatmap(lambda answering: pools("p", answering=answering)), health_tables)
def test_health_only_demotes(pool: Pool, table: Health) -> None:
    """What is drawn is of healthy, enabled origins with a weight; never more than without bad news."""
    state, best = judge_pool(pool, table), judge_pool(pool, {})
    assert all(origin in state.enabled for origin in state.healthy)
    assert best.up or not state.up
    for rrtype in (A, CNAME, TXT):
        drawn = {rdata for draw in draw_origins(state, rrtype) for rdata in draw.rdatas}
        assert drawn <= {rdata for each in state.healthy if each.weight > 0 for rdata in each.records.get(rrtype, ())}
        assert drawn <= {rdata for draw in draw_origins(best, rrtype) for rdata in draw.rdatas}
        ignored = draw_origins(state, rrtype, ignore_health=True)
        assert bool(ignored) == carries(pool, rrtype)
        assert all(draw.weight > 0 and draw.rdatas for draw in (*draw_origins(state, rrtype), *ignored))
