import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.mailbox import MOST_BYTES, Mailbox, Report, ReportError, parse_report_untrusted

KEY = ("m", "192.0.2.1")


def test_the_last_report_counts_and_ages() -> None:
    mailbox = Mailbox()
    mailbox.put(KEY, Report(True), 100.0)
    mailbox.put(KEY, Report(False, "broken"), 130.0)
    assert mailbox.look(KEY, 131.5) == (1.5, Report(False, "broken"))


def test_what_has_no_report_waits_for_it_from_the_first_look_on() -> None:
    mailbox = Mailbox()
    assert mailbox.look(KEY, 50.0) == (0.0, None)
    assert mailbox.look(KEY, 57.0) == (7.0, None)


def test_the_reports_of_other_targets_are_forgotten() -> None:
    mailbox = Mailbox()
    for key in (KEY, ("m", "192.0.2.2")):
        mailbox.put(key, Report(True), 1.0)
    mailbox.keep({KEY})
    assert mailbox.look(KEY, 2.0)[1] == Report(True)
    assert mailbox.look(("m", "192.0.2.2"), 2.0)[1] is None


def test_a_report_in_json() -> None:
    assert parse_report_untrusted(b'{"up": true}') == Report(True)
    text = b'{"up": false, "evidence": "behind\\n\\u001b[31m", "rtt": 0.01}'
    assert parse_report_untrusted(text) == Report(False, "behind \\x1b[31m", 0.01)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b'{"up": 1}',
        b'{"up": "true"}',
        b'{"up": true, "down": true}',
        b'{"up": true, "rtt": -1}',
        b'{"up": true, "rtt": NaN}',
        b'{"up": true, "rtt": 1e999}',
        b'{"up": true, "evidence": "\xff"}',
        b'{"up": true, "evidence": ["' + b"[" * 2000,
        b'{"up": true}' + b" " * MOST_BYTES,
    ],
)
def test_what_is_no_report(text: bytes) -> None:
    with pytest.raises(ReportError):
        parse_report_untrusted(text)


@given(st.binary(max_size=300) | st.recursive(st.none() | st.text(), st.lists).map(msgspec.json.encode))
def test_any_bytes_are_a_report_or_none(text: bytes) -> None:
    try:
        report = parse_report_untrusted(text)
    except ReportError:
        return
    assert report.evidence.isprintable()
