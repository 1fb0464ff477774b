"""Tests of rendezvous: shares by weight, and that what is removed moves only its own clients."""

from collections import Counter
from ipaddress import ip_address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from steering.balance.rendezvous import Rendezvous, draw_number, key_of, mix, seed_of

KEYS = range(100_000)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 1.0), (0.25, 0.75), (0.1, 0.2, 0.3, 0.4), (1e-6, 1.0)])
def test_shares_of_neighbouring_keys(weights: tuple[float, ...]) -> None:
    drawn = Counter(map(Rendezvous([f"pool {number}" for number in range(len(weights))], weights).choose, KEYS))
    expected = {number: weight / sum(weights) for number, weight in enumerate(weights)}
    assert {number: drawn[number] / len(KEYS) for number in expected} == pytest.approx(expected, abs=0.01)


@given(
    st.dictionaries(st.text(max_size=5), st.floats(1e-9, 1), min_size=2, max_size=6),
    st.integers(0, 2**64 - 1),
    st.data(),
)
def test_who_is_removed_or_weighs_less_moves_only_its_own(
    weights: dict[str, float], key: int, data: st.DataObject
) -> None:
    names = list(weights)
    chosen = names[Rendezvous(names, list(weights.values())).choose(key)]
    loser = data.draw(st.sampled_from(names))
    assume(loser != chosen)
    rest = [name for name in names if name != loser]
    assert rest[Rendezvous(rest, [weights[name] for name in rest]).choose(key)] == chosen
    less = [weights[name] / (2 if name == loser else 1) for name in names]
    assert names[Rendezvous(names, less).choose(key)] == chosen
    backwards = names[::-1]
    assert backwards[Rendezvous(backwards, [weights[name] for name in backwards]).choose(key)] == chosen


def test_every_server_comes_to_the_same() -> None:
    assert seed_of("pool paris") == 0x44D283073B5B9AD1
    assert mix(1) == 0x5692161D100B05E5
    assert Rendezvous(["pool a", "pool b", "pool c"], [1.0, 1.0, 1.0]).choose(42) == 2


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_numbers_are_between_0_and_1(key: int, seed: int) -> None:
    assert 0 < draw_number(key, seed) < 1
    assert 0 <= mix(key) < 2**64


@pytest.mark.parametrize(
    ("address", "source", "like", "length"),
    [
        ("192.0.2.1", 32, "192.0.2.99", 24),
        ("192.0.2.0", 24, "192.0.2.99", 24),
        ("192.0.0.0", 16, "192.0.0.99", 16),
        ("2001:db8:1:2::", 128, "2001:db8:1::", 48),
        ("2001:db8::", 32, "2001:db8:0:9::", 32),
        ("::ffff:192.0.2.1", 128, "192.0.2.99", 120),
        ("::ffff:192.0.2.0", 120, "192.0.2.99", 120),
    ],
)
def test_keys(address: str, source: int, like: str, length: int) -> None:
    made, other = ip_address(address), ip_address(like)
    key, depends = key_of(int(made), made.version, source)
    assert depends == length
    assert key == key_of(int(other), other.version, other.max_prefixlen)[0]
    assert 0 <= key < 2**48


def test_neighbours_have_other_keys() -> None:
    keys = {key_of(int(ip_address(text)), 4, 32)[0] for text in ("192.0.2.1", "192.0.3.1", "193.0.2.1")}
    assert len(keys) == 3
