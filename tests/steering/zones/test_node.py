"""Tests of nodes: keys in the order of names, values that come back, and cuts."""

import dns.name
from hypothesis import given
from hypothesis import strategies as st

from steering.wire import DNAME, NS, A, RRset, render_rrset
from steering.zones.node import (
    CUT_IS_DNAME,
    CutTracker,
    find_rrset,
    key_labels,
    name_of_key,
    pack_node,
    unpack_node,
)
from tests.steering.support import APEX, labels, names, wire_of

near_zero = labels(st.sampled_from([0, 1, 2, 0x2A, 0x61, 0xFF]), longest=4)
lower_names = st.one_of(names(), names(near_zero)).map(lambda made: made.canonicalize())


def key(made: dns.name.Name, apex: bytes = b"\0") -> bytes:
    """The whole key of a name."""
    return b"".join(key_labels(wire_of(made), apex))


@given(st.lists(lower_names))
def test_keys_are_in_canonical_order(made: list[dns.name.Name]) -> None:
    """RFC 4034 section 6.1, as dnspython orders names."""
    assert sorted(made, key=key) == sorted(made)


@given(lower_names, lower_names)
def test_a_key_begins_with_the_keys_of_its_ancestors_only(one: dns.name.Name, other: dns.name.Name) -> None:
    assert key(one).startswith(key(other)) == one.is_subdomain(other)


@given(lower_names)
def test_a_key_says_its_name(made: dns.name.Name) -> None:
    assert name_of_key(key(made), b"\0") == wire_of(made)


@given(st.lists(st.one_of(labels(longest=20), near_zero), max_size=8))
def test_keys_are_relative_to_the_apex(below: list[bytes]) -> None:
    owner = b"".join(bytes((len(label),)) + label.lower() for label in below) + APEX
    parts = key_labels(owner, APEX)
    assert len(parts) == len(below)
    assert all(part.endswith(b"\0") and part.count(b"\0") == 1 for part in parts)
    assert name_of_key(b"".join(parts), APEX) == owner


def test_the_longest_key_fits_into_the_store() -> None:
    """LMDB takes keys of up to 511 octets; four of them are the generation."""
    for octet in (b"\0", b"\1", b"a"):
        for size in (1, 2, 31, 62, 63):
            label = bytes((size,)) + octet * size
            owner = label * (254 // len(label)) + b"\0"
            rest = 255 - len(owner)
            if rest > 1:
                owner = bytes((rest - 1,)) + octet * (rest - 1) + owner
            assert len(b"".join(key_labels(owner, b"\0"))) + 4 <= 511


rrset_strategy = st.builds(
    render_rrset,
    st.integers(1, 65535),
    st.integers(0, 2**31 - 1),
    st.lists(st.binary(max_size=40), min_size=1, max_size=4),
)


@given(
    st.integers(0, 128),
    st.integers(0, 3),
    st.lists(rrset_strategy, max_size=6, unique_by=lambda rrset: rrset[0]),
    st.integers(1, 65535),
)
def test_a_node_comes_back(cut: int, flags: int, rrsets: list[RRset], absent: int) -> None:
    value = pack_node(cut, flags, rrsets)
    assert (value[0], value[1]) == (cut, flags)
    assert list(unpack_node(value)) == sorted(rrsets)
    for rrset in rrsets:
        assert find_rrset(value, rrset[0]) == rrset
    if all(rrset[0] != absent for rrset in rrsets):
        assert find_rrset(value, absent) is None


def walk_cuts(owners: list[tuple[str, int, set[int]]]) -> list[tuple[int, int]]:
    """The cut of each owner (its labels, topmost first) in canonical order."""
    tracker = CutTracker()
    return [
        tracker.visit("".join(label + "\0" for label in path.split()).encode(), depth, types)
        for path, depth, types in owners
    ]


def test_cuts() -> None:
    assert walk_cuts(
        [
            ("", 0, {NS, A}),
            ("a", 1, {A}),
            ("b", 1, {NS}),
            ("b x", 2, {A}),
            ("b x y", 3, {NS}),
            ("ba", 1, {A}),
            ("c", 1, {DNAME}),
            ("c x", 2, {NS}),
            ("d x", 2, {NS, DNAME}),
            ("d x y", 3, {A}),
            ("d y", 2, {A}),
        ]
    ) == [
        (0, 0),
        (0, 0),
        (2, 0),
        (2, 0),
        (2, 0),
        (0, 0),
        (2, CUT_IS_DNAME),
        (2, CUT_IS_DNAME),
        (3, 0),
        (3, 0),
        (0, 0),
    ]


def test_a_dname_at_the_apex_covers_all_below() -> None:
    assert walk_cuts([("", 0, {NS, DNAME}), ("a", 1, {NS})]) == [(1, CUT_IS_DNAME), (1, CUT_IS_DNAME)]
