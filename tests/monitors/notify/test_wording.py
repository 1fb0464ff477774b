import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.notify.event import Event, Message
from monitors.notify.wording import describe, duration_in_words, footnotes, time_in_words, title
from tests.monitors.notify.sample import MORNING, event, message

MANY = tuple(event(origin=f"o{number}") for number in range(5))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (message(event(address="192.0.2.1", reason="refused")), "down: mail/mx1 (192.0.2.1): refused"),
        (message(event(reminder=True)), "still down: mail/mx1"),
        (message(event("held", pool="", origin="")), "held: the checker"),
        (message(event(), event("up")), "1 down, 1 up: mail/mx1"),
        (message(*MANY), "5 down: mail/o0, mail/o1, mail/o2 and 2 more"),
        (message(*MANY, omitted={"down": 100}), "105 down: mail/o0, mail/o1, mail/o2 and 102 more"),
    ],
)
def test_titles(said: Message, words: str) -> None:
    assert title(said) == words


@pytest.mark.parametrize(
    ("about", "said", "seen"),
    [
        (
            event(address="192.0.2.1", monitor="smtp", reason="bad reply", evidence="554 no"),
            "down: mail/mx1 (192.0.2.1), monitor smtp, since 2026-11-25 10:00:00 UTC: bad reply",
            "554 no",
        ),
        (event("up", lasted=3725.0), "up: mail/mx1, since 2026-11-25 10:00:00 UTC, after 1 h 2 min", ""),
        (
            event("forced", up=False, reason="works", evidence="by a until b"),
            "forced: mail/mx1 to be down, since 2026-11-25 10:00:00 UTC: works",
            "by a until b",
        ),
    ],
)
def test_descriptions(about: Event, said: str, seen: str) -> None:
    assert describe(about) == (said, seen)


def test_footnotes_say_what_is_not_shown() -> None:
    assert footnotes(message(*MANY, omitted={"up": 3}, dropped=7, given_up=1), 4) == [
        "and 1 more down",
        "and 3 more up",
        "7 events before this were dropped: more came than could be taken in",
        "1 messages before this were given up: they could not be delivered",
    ]
    assert footnotes(message(*MANY), 5) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 s"),
        (59.9, "59 s"),
        (60.0, "1 min"),
        (3600.0, "1 h"),
        (11_100.0, "3 h 5 min"),
        (172_800.0, "2 d"),
        (190_000.0, "2 d 4 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words


def test_times() -> None:
    assert time_in_words(MORNING) == "2026-11-25 10:00:00 UTC"


@given(st.floats(0, 253_000_000_000), st.text(), st.floats(0, allow_infinity=False))
def test_every_event_can_be_told(since: float, text: str, lasted: float) -> None:
    about = event(since=since, reason=text, evidence=text, lasted=lasted, pool=text)
    assert title(message(about)).isprintable()
    assert describe(about)[0].isprintable()
