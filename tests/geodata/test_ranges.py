"""Sorted runs, held against the same thing done address by address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodata.ranges import Ranges, parse_network

from .strategies import addresses, near, ranges

FAMILIES = st.sampled_from([32, 128])


def id_at(runs: Ranges, address: int) -> int:
    """What a run says about the address, found by trying all runs."""
    (found,) = (id_ for start, end, id_ in runs if start <= address < end)
    return found


def is_merged(runs: Ranges) -> bool:
    starts = [start for start, _, _ in runs]
    ids = list(runs.ids)
    return starts == sorted(set(starts)) and starts[0] == 0 and all(map(int.__ne__, ids, ids[1:]))


@given(st.data(), FAMILIES)
def test_find_is_the_run_around_an_address(data: st.DataObject, bits: int) -> None:
    runs = data.draw(ranges(bits))
    address = data.draw(near(runs))
    run = runs.find(address)
    assert runs.start(run) <= address < runs.start(run + 1)
    assert is_merged(runs)


@given(st.data(), FAMILIES)
def test_the_most_specific_network_wins(data: st.DataObject, bits: int) -> None:
    networks: dict[tuple[int, int], int] = {}
    for start, length, id_ in data.draw(
        st.lists(st.tuples(addresses(bits), st.integers(0, bits), st.integers(0, 3)), max_size=10)
    ):
        networks[start >> bits - length << bits - length, length] = id_
    runs = Ranges.nested(bits, [(start, length, id_) for (start, length), id_ in networks.items()], 9)
    assert is_merged(runs)
    for address in [data.draw(near(runs)) for _ in range(5)]:
        around = {
            length: id_ for (start, length), id_ in networks.items() if start <= address < start + (1 << bits - length)
        }
        assert id_at(runs, address) == (around[max(around)] if around else 9)


@given(st.data(), FAMILIES)
def test_a_layer_covers_what_is_below_it(data: st.DataObject, bits: int) -> None:
    below, above = data.draw(ranges(bits)), data.draw(ranges(bits))
    both = below.overlaid(above, transparent=0)
    assert is_merged(both)
    for address in (data.draw(near(below)), data.draw(near(above)), data.draw(near(both))):
        assert id_at(both, address) == (id_at(above, address) or id_at(below, address))


@given(st.data(), FAMILIES)
def test_a_table_gives_each_run_another_id(data: st.DataObject, bits: int) -> None:
    runs = data.draw(ranges(bits))
    translated = runs.translated([5, 6, 5])
    assert is_merged(translated)
    address = data.draw(near(runs))
    assert id_at(translated, address) == [5, 6, 5][id_at(runs, address)]


@given(st.data(), FAMILIES)
def test_two_at_once_have_an_id_for_each_pair(data: st.DataObject, bits: int) -> None:
    one, other = data.draw(ranges(bits)), data.draw(ranges(bits, classes=4))
    asked: list[tuple[int, int]] = []

    def pair(ours: int, theirs: int) -> int:
        asked.append((ours, theirs))
        return ours * theirs

    both = one.paired(other, pair)
    assert is_merged(both)
    assert len(asked) == len(set(asked))
    for address in (data.draw(near(one)), data.draw(near(other)), data.draw(near(both))):
        assert id_at(both, address) == id_at(one, address) * id_at(other, address)
        assert (id_at(one, address), id_at(other, address)) in asked


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.0/24", (32, 0xC0000200, 24)),
        ("192.0.2.1", (32, 0xC0000201, 32)),
        ("0.0.0.0/0", (32, 0, 0)),
        ("2001:db8::/32", (128, 0x20010DB8 << 96, 32)),
        ("::/0", (128, 0, 0)),
        ("::ffff:0:0/95", None),
        ("::ffff:0:0/96", (32, 0, 0)),
        ("::ffff:192.0.2.0/120", (32, 0xC0000200, 24)),
        ("::fffe:0:0/95", (128, 0xFFFE << 32, 95)),
        ("192.0.2.1/24", None),
        ("192.0.2.0/33", None),
        ("example.com", None),
        ("", None),
    ],
)
def test_networks(text: str, network: tuple[int, int, int] | None) -> None:
    if network is None:
        with pytest.raises(ValueError, match=r"host bits|does not appear"):
            parse_network(text)
    else:
        assert parse_network(text) == network
