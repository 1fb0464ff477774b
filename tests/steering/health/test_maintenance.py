"""Tests of maintenance: when the windows are, and what they order."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.health.maintenance import PERIODS, Maintenance, concerns, length, next_start, order_maintenance, strictest

DAY = 86_400.0


def window(**fields: object) -> Maintenance:
    """An hour from 1,000,000 on."""
    return msgspec.convert({"name": "disks", "start": 1e6, "duration": 3600} | fields, Maintenance)


def test_whom_it_concerns() -> None:
    made = window(pools=("mail-*", "web"), origins=("mx1",))
    assert concerns(made, "mail-paris", "mx1")
    assert concerns(made, "web", "mx1")
    assert not concerns(made, "mail-paris", "mx2")
    assert not concerns(made, "other", "mx1")


def test_before_while_and_after() -> None:
    made = window(drain=600, reason="new disks")
    planned = order_maintenance(made, 1e6 - 700)
    assert planned is not None
    assert (planned.state, planned.cause, planned.up, planned.share) == ("planned", "", None, 1.0)
    assert planned.flip_after <= 700
    assert planned.look_again <= 1e6 - 600
    draining = order_maintenance(made, 1e6 - 300)
    assert draining is not None
    assert (draining.state, draining.cause, draining.share) == ("draining", "maintenance", 0.5)
    down = order_maintenance(made, 1e6)
    assert down is not None
    assert (down.state, down.cause, down.up, down.since, down.until) == ("down", "maintenance", False, 1e6, 1e6 + 3600)
    assert (down.by, down.reason) == ("maintenance disks", "new disks")
    assert order_maintenance(made, 1e6 + 3600) is None


@pytest.mark.parametrize("repeat", ["daily", "weekly"])
def test_it_comes_again(repeat: str) -> None:
    made, period = window(repeat=repeat), PERIODS[repeat]
    assert next_start(made, 0.0) == 1e6
    assert next_start(made, 1e6 + 3599) == 1e6
    assert next_start(made, 1e6 + 3600) == 1e6 + period
    assert next_start(made, 1e6 + 1000 * period + 10) == 1e6 + 1000 * period


windows = st.builds(
    Maintenance,
    name=st.just("disks"),
    start=st.floats(1e6, 2e6),
    duration=st.floats(1, DAY / 2),
    repeat=st.sampled_from([None, "daily", "weekly"]),
    drain=st.just(0.0) | st.floats(0, DAY / 2),
)


@given(windows, st.floats(0, 5e6))
def test_an_order_is_true_until_it_is_looked_at_again(made: Maintenance, now: float) -> None:
    order = order_maintenance(made, now)
    if order is None:
        assert made.repeat is None
        assert now >= made.start + length(made)
        return
    assert order.look_again > now
    later = order_maintenance(made, now + (order.look_again - now) * 0.999)
    assert later is not None
    assert (later.up, later.cause, later.share, later.until) == (order.up, order.cause, order.share, order.until)


def test_of_several_windows_the_strictest_counts_and_the_shortest_time() -> None:
    down, draining, planned = window(), window(start=1e6 + 300, drain=600), window(start=1e6 + 10)
    orders = [order_maintenance(each, 1e6 + 5) for each in (planned, draining, down)]
    order = strictest(filter(None, orders))
    assert order is not None
    assert (order.state, order.flip_after) == ("down", 4.0)
    order = strictest(filter(None, orders[:2]))
    assert order is not None
    assert order.state == "draining"
    assert strictest([]) is None


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({}, ""),
        ({"end": 2e6}, "end"),
        ({"duration": None}, "end"),
        ({"duration": None, "end": 1e6}, "end"),
        ({"duration": None, "end": 2e6}, ""),
        ({"repeat": "daily", "duration": DAY + 1}, "repeat"),
        ({"repeat": "daily", "duration": DAY - 10, "drain": 11}, "repeat"),
        ({"repeat": "weekly", "duration": DAY + 1}, ""),
    ],
)
def test_what_contradicts_itself(fields: dict[str, object], key: str) -> None:
    assert [place for place, _ in window(**fields).problems()] == ([key] if key else [])
