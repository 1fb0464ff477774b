"""Tests of overrides: whom they mean, how long they count, and the list of them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.health.overrides import (
    MOST,
    Override,
    OverrideError,
    add_override,
    clear_overrides,
    describe_override,
    drop_expired,
    matches,
    order_override,
)

ORIGINS = [("mail-paris", "mx1"), ("mail-paris", "mx2"), ("web", "mx1")]


def override(origin: str = "mx1", **fields: object) -> Override:
    """One of ann's since 1,000."""
    return msgspec.convert({"origin": origin, "state": "down", "by": "ann", "since": 1000.0} | fields, Override)


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("mx1", [0, 2]),
        ("mail-paris/mx1", [0]),
        ("mail-*/*", [0, 1]),
        ("*", [0, 1, 2]),
        ("mx?", [0, 1, 2]),
        ("web", []),
        ("MX1", []),
        ("mail-paris", []),
    ],
)
def test_whom_a_pattern_means(pattern: str, meant: list[int]) -> None:
    assert [place for place, origin in enumerate(ORIGINS) if matches(pattern, *origin)] == meant


class TestOrder:
    def test_forced_until_a_time(self) -> None:
        down = order_override(override(until=1010.0, reason="works"), 1001.0)
        assert down is not None
        assert (down.up, down.state, down.cause, down.share) == (False, "down", "forced", 1.0)
        assert (down.reason, down.by, down.since, down.until) == ("works", "ann", 1000.0, 1010.0)
        assert (down.flip_after, down.look_again) == (8.0, 1002.0)

    def test_drained_and_then_down(self) -> None:
        drain = override(state="drain", over=60.0, until=2000.0)
        half = order_override(drain, 1030.0)
        assert half is not None
        assert (half.up, half.state, half.share, half.look_again) == (None, "draining", 0.5, 1031.0)
        assert half.flip_after <= 30
        drained = order_override(drain, 1060.0)
        assert drained is not None
        assert (drained.up, drained.state, drained.since) == (False, "down", 1060.0)
        assert order_override(drain, 2000.0) is None

    @given(
        st.sampled_from(["up", "down", "drain"]),
        st.none() | st.floats(1001, 1e6),
        st.floats(0, 1e5),
        st.floats(0, 2e6),
    )
    def test_an_expired_one_never_counts_and_the_others_always_do(
        self, state: str, until: float | None, over: float, now: float
    ) -> None:
        made = override(state=state, until=until, over=over)
        order = order_override(made, now)
        assert (order is None) == (until is not None and now >= until)
        assert drop_expired([made], now) == (() if order is None else (made,))
        if order is not None:
            assert order.look_again > now
            assert until is None or order.look_again <= until
            assert 0 < order.share <= 1


class TestList:
    def test_the_same_pattern_is_replaced_and_the_newest_is_last(self) -> None:
        one, two = override("mx1"), override("mx*", state="up")
        overrides = add_override(add_override((), one, ORIGINS), two, ORIGINS)
        assert overrides == (one, two)
        again = override("mx1", state="up")
        assert add_override(overrides, again, ORIGINS) == (two, again)

    def test_one_that_means_nothing_is_refused_with_what_was_meant(self) -> None:
        with pytest.raises(OverrideError, match=r"no origin is called 'mx3'; did you mean"):
            add_override((), override("mx3"), ORIGINS)
        with pytest.raises(OverrideError, match=r'did you mean "mail-paris/mx[12]"'):
            add_override((), override("mail-pariss/mx1"), ORIGINS)

    def test_a_drain_that_could_not_end_is_refused(self) -> None:
        with pytest.raises(OverrideError, match="before it has drained"):
            add_override((), override(state="drain", over=60.0, until=1060.0), ORIGINS)

    def test_there_is_a_bound(self) -> None:
        many = tuple(override(str(number)) for number in range(MOST))
        with pytest.raises(OverrideError, match="already"):
            add_override(many, override("mx1"), ORIGINS)
        assert len(add_override((*many[1:], override("mx1")), override("mx1", state="up"), ORIGINS)) == MOST

    def test_clearing(self) -> None:
        one, two, three = override("mx1"), override("mail-paris/*", state="drain"), override("mx[12]")
        overrides = (one, two, three)
        assert clear_overrides(overrides, "mx1") == ((two, three), (one,))
        assert clear_overrides(overrides, "mail-paris/*") == ((one, three), (two,))
        assert clear_overrides(overrides, "mx[12]")[1] == (one, three)
        assert clear_overrides(overrides, "*") == ((), overrides)
        with pytest.raises(OverrideError, match=r'no override is for \'mx2\'; did you mean "mx'):
            clear_overrides(overrides, "mx2")


overrides_ = st.builds(
    Override,
    origin=st.text(min_size=1, max_size=20),
    state=st.sampled_from(["up", "down", "drain"]),
    reason=st.text(max_size=300),
    by=st.text(max_size=20),
    since=st.floats(0, 2e9),
    until=st.none() | st.floats(0, 2e9),
    over=st.floats(0, 1e6),
)


@given(st.lists(overrides_).map(tuple))
def test_what_is_kept_is_what_is_read(overrides: tuple[Override, ...]) -> None:
    readable = tuple(each for each in overrides if each.origin)
    kept = msgspec.json.encode(readable)
    assert msgspec.json.decode(kept, type=tuple[Override, ...]) == readable


def test_in_words() -> None:
    assert describe_override(override(reason="works")) == "mx1 forced down by ann until it is cleared: works"
    text = describe_override(override("mail/*", state="drain", over=600.0, until=1_800_000_000.0))
    assert text == "mail/* drained over 10 min by ann until 2027-01-15 08:00:00 UTC"
