import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.notify.event import Event, label, subject
from tests.monitors.notify.sample import event


@given(st.text(), st.text(), st.text())
def test_whatever_text_comes_in_is_one_printable_bounded_line_also_from_a_disk(a: str, b: str, c: str) -> None:
    made = Event(kind="down", since=0, pool=a, origin=b, address=c, monitor=a, reason=b, evidence=c)
    again = msgspec.json.decode(msgspec.json.encode(made), type=Event)
    for text in (made.pool, made.origin, made.address, made.monitor, made.reason, made.evidence):
        assert text.isprintable()
        assert len(text) <= 255
    assert again == made


def test_a_file_cannot_bring_in_what_an_event_would_not_hold() -> None:
    raw = b'{"kind":"down","since":0,"evidence":"a\\nSubject: b"}'
    assert msgspec.json.decode(raw, type=Event).evidence == "a Subject: b"


@pytest.mark.parametrize("raw", [b'{"kind":"down","since":1e300}', b'{"kind":"up!","since":0}', b'{"since":0}'])
def test_what_is_no_event_is_not_read(raw: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(raw, type=Event)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (event(), "mail/mx1"),
        (event(origin=""), "pool mail"),
        (event("held", pool="", origin=""), "the checker"),
    ],
)
def test_subject(about: Event, words: str) -> None:
    assert subject(about) == words


def test_label() -> None:
    assert label(event()) == "down"
    assert label(event(reminder=True)) == "still down"
