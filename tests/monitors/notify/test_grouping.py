from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.notify.event import Event, Message, label
from monitors.notify.grouping import EVENTS_PER_MESSAGE, Grouping, group, next_due, restrict
from monitors.notify.notifier import Notifier
from tests.monitors.notify.sample import MORNING, event, webhook

NOTIFIER = webhook(group_for=30.0)
REPEATING = webhook(group_for=30.0, repeat_every=600.0)


def told(message: Message | None) -> list[tuple[str, str]]:
    return [] if message is None else [(label(item), item.origin) for item in message.events]


class Story:
    """A notifier and what happens to it, one moment after the other."""

    def __init__(self, notifier: Notifier = NOTIFIER) -> None:
        self.notifier = notifier
        self.grouping = Grouping()

    def at(self, second: float, *events: Event) -> list[tuple[str, str]]:
        self.grouping, message = group(self.grouping, events, self.notifier, MORNING + second)
        return told(message)

    def due(self) -> float | None:
        due = next_due(self.grouping, self.notifier)
        return None if due is None else due - MORNING


def test_what_falls_together_is_one_message() -> None:
    story = Story()
    assert story.due() is None
    assert story.at(0, event(origin="a")) == []
    assert story.at(20, event(origin="b")) == []
    assert story.due() == 30
    assert story.at(30) == [("down", "a"), ("down", "b")]
    assert story.due() is None
    assert story.at(31, event(origin="c")) == []
    assert story.at(61) == [("down", "c")]


def test_without_a_time_of_grouping_it_is_told_at_once() -> None:
    assert Story(webhook(group_for=0.0)).at(0, event(), event(origin="b")) == [("down", "mx1"), ("down", "b")]


def test_what_is_known_is_no_news() -> None:
    story = Story(webhook(group_for=0.0))
    assert story.at(0, event("up")) == []
    assert story.at(1, event()) == [("down", "mx1")]
    assert story.at(2, event(since=MORNING - 99)) == []
    assert story.at(3, event("up")) == [("up", "mx1")]
    assert story.at(4, event("up")) == []


def test_up_says_how_long_it_was_down() -> None:
    grouping, _ = group(Grouping(), [event(since=MORNING - 50)], NOTIFIER, MORNING)
    _, message = group(grouping, [event("up", since=MORNING + 10)], NOTIFIER, MORNING + 30)
    assert message is not None
    assert [item.lasted for item in message.events] == [None, 60.0]


def test_the_clock_going_back_keeps_nothing_waiting() -> None:
    story = Story(REPEATING)
    story.at(0, event())
    assert story.at(-7200) == [("down", "mx1")]
    assert story.at(-9000) == [("still down", "mx1")]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (("down",), [("down", "a")]),
        (("up",), [("up", "a")]),
        (("down", "up"), [("down", "a"), ("up", "a")]),
        (("held",), []),
    ],
)
def test_only_news_that_was_asked_for_is_told(events: tuple[str, ...], expected: list[tuple[str, str]]) -> None:
    story = Story(webhook(group_for=0.0, events=events))
    assert story.at(0, event(origin="a")) + story.at(1, event("up", origin="a")) == expected


def test_only_pools_and_origins_that_were_asked_for() -> None:
    story = Story(webhook(group_for=0.0, pools=("mail*",), origins=("mx*",)))
    assert story.at(0, event(), event(pool="web"), event(origin="smtp")) == [("down", "mx1")]


def test_what_is_still_down_is_told_again_together() -> None:
    story = Story(REPEATING)
    story.at(0, event(origin="a"))
    story.at(30, event(origin="b"))
    story.at(60)
    assert story.due() == 630
    assert story.at(629) == []
    assert story.at(630) == [("still down", "a"), ("still down", "b")]
    assert story.due() == 1230
    story.at(700, event("up", origin="a"))
    assert story.at(1230) == [("up", "a"), ("still down", "b")]
    story.at(1240, event("up", origin="b"))
    assert story.at(1270) == [("up", "b")]
    assert story.due() is None


def test_what_was_never_told_is_not_told_again() -> None:
    story = Story(webhook(group_for=0.0, events=("up",), repeat_every=60.0))
    assert story.at(0, event()) == []
    assert story.due() is None
    assert story.at(1000) == []


def test_what_an_operator_has_taken_in_hand_is_not_told_again() -> None:
    story = Story(webhook(group_for=0.0, repeat_every=60.0))
    story.at(0, event())
    assert story.at(10, event("forced", up=True)) == [("forced", "mx1")]
    assert story.at(500) == []
    assert story.at(501, event("forced", up=False)) == [("forced", "mx1")]
    assert story.at(502, event("forced", up=False)) == []
    assert story.at(510, event("freed", up=False)) == [("freed", "mx1"), ("still down", "mx1")]


def test_held_is_told_again_and_warnings_are_told_once() -> None:
    story = Story(webhook(group_for=0.0, repeat_every=60.0))
    held = event("held", pool="", origin="")
    assert story.at(0, held, event("warning", evidence="13.9 days")) == [("held", ""), ("warning", "mx1")]
    assert story.at(60, event("warning", evidence="13.8 days")) == [("still held", "")]
    assert story.at(61, event("resumed", pool="", origin="")) == [("resumed", "")]
    assert story.at(62, event("cleared")) == [("cleared", "mx1")]


def test_what_is_no_longer_watched_is_forgotten_silently() -> None:
    story = Story(webhook(group_for=0.0, repeat_every=60.0))
    story.at(0, event(), event("warning"), event(origin="b"))
    assert story.at(1, event("removed")) == []
    assert story.at(61) == [("still down", "b")]
    assert story.at(62, event()) == [("down", "mx1")]


def test_a_message_has_bounds_and_tells_what_it_leaves_out() -> None:
    story = Story(REPEATING)
    many = [event(origin=f"o{number}") for number in range(20_000)]
    grouping, message = group(story.grouping, many, webhook(group_for=0.0), MORNING, dropped=7, given_up=2)
    assert message is not None
    assert len(message.events) == EVENTS_PER_MESSAGE
    assert message.omitted == {"down": 20_000 - EVENTS_PER_MESSAGE}
    assert (message.dropped, message.given_up) == (7, 2)
    _, reminder = group(grouping, [], REPEATING, MORNING + 600)
    assert reminder is not None
    assert len(reminder.events) == EVENTS_PER_MESSAGE
    assert reminder.omitted == {"still down": 20_000 - EVENTS_PER_MESSAGE}


def test_a_notifier_that_changed_forgets_what_no_longer_concerns_it() -> None:
    grouping, _ = group(Grouping(), [event(), event(pool="web")], NOTIFIER, MORNING)
    narrower = webhook(pools=("web",))
    grouping, message = group(restrict(grouping, narrower), [], narrower, MORNING + 30)
    assert message is not None
    assert [item.pool for item in message.events] == ["web"]
    assert [known.event.pool for known in grouping.conditions.values()] == ["web"]


def test_identifiers_differ_and_are_the_same_for_the_same() -> None:
    now = webhook(group_for=0.0)
    messages = [group(Grouping(), [event(origin=origin)], now, MORNING)[1] for origin in ("a", "b", "a")]
    identifiers = [message.identifier for message in messages if message]
    assert identifiers[0] == identifiers[2] != identifiers[1]


EVENTS = st.builds(
    event,
    st.sampled_from(["down", "up", "held", "resumed", "flapping", "steady", "forced", "freed", "warning", "removed"]),
    st.sampled_from(["a", "b", ""]),
    st.floats(MORNING - 100, MORNING + 100),
    st.sampled_from(["p", "q"]),
)
STEPS = st.lists(st.tuples(st.floats(-50, 200), st.lists(EVENTS, max_size=4)), max_size=30)


@given(STEPS, st.sampled_from([0.0, 30.0, 3600.0]), st.sampled_from([None, 60.0, 600.0]))
def test_at_the_moment_that_is_due_there_is_always_a_message(
    steps: Iterable[tuple[float, list[Event]]], group_for: float, repeat_every: float | None
) -> None:
    """So a courier that sleeps until then never spins; and what is kept as JSON is the same."""
    notifier = webhook(group_for=group_for, repeat_every=repeat_every)
    grouping, now = Grouping(), MORNING
    for seconds, events in steps:
        now += seconds
        grouping, _ = group(grouping, events, notifier, now)
        due = next_due(grouping, notifier)
        if due is not None:
            assert group(grouping, [], notifier, due)[1] is not None
            assert due <= now + max(group_for, repeat_every or 0)
        assert msgspec.json.decode(msgspec.json.encode(grouping), type=Grouping) == grouping


@given(STEPS)
def test_downs_and_ups_of_an_origin_take_turns_whatever_comes(steps: Iterable[tuple[float, list[Event]]]) -> None:
    notifier, grouping, now = webhook(group_for=30.0), Grouping(), MORNING
    turns: dict[tuple[str, str], list[str]] = {}
    for seconds, events in [*steps, (10_000.0, [])]:
        now += abs(seconds)
        events = [item for item in events if item.kind in ("down", "up")]
        grouping, message = group(grouping, events, notifier, now)
        for item in message.events if message else ():
            turns.setdefault((item.pool, item.origin), []).append(item.kind)
    for kinds in turns.values():
        assert kinds == ["down", "up"] * (len(kinds) // 2) + ["down"] * (len(kinds) % 2)
