import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.monitor import EVIDENCE_LENGTH, Monitor, Reason, Result, one_line
from monitors.probes import PROBES, AnyMonitor

NEEDED: dict[str, dict[str, object]] = {
    "dns": {"query_name": b"\0"},
    "exec": {"command": ["true"]},
    "tcp": {"port": 25},
    "udp_icmp": {"port": 53},
}
"""What has no default."""


def decode(**fields: object) -> Monitor:
    monitor: Monitor = msgspec.convert({"name": "m", **fields}, AnyMonitor)
    return monitor


def test_defaults_are_those_of_the_best_known_product() -> None:
    monitor = decode(type="icmp")
    assert (monitor.interval, monitor.timeout, monitor.retries) == (60.0, 5.0, 2)
    assert (monitor.consecutive_up, monitor.consecutive_down) == (0, 0)


@pytest.mark.parametrize("kind", sorted(PROBES))
def test_every_kind_decodes_to_its_own_monitor(kind: str) -> None:
    fields = NEEDED.get(kind, {})
    assert type(decode(type=kind, **fields)) is PROBES[kind].monitor


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "tcp"}, "missing required field `port`"),
        ({"type": "udp_icmp"}, "missing required field `port`"),
        ({"type": "tcp", "port": 0}, "Expected `int` >= 1 - at `$.port`"),
        ({"type": "tcp", "port": 65536}, "Expected `int` <= 65535 - at `$.port`"),
        ({"type": "icmp", "port": 1}, "unknown field `port`"),
        ({"type": "icmp", "interval": 0.5}, "Expected `float` >= 1.0 - at `$.interval`"),
        ({"type": "icmp", "interval": 3601}, "Expected `float` <= 3600.0 - at `$.interval`"),
        ({"type": "icmp", "timeout": 0.05}, "Expected `float` >= 0.1 - at `$.timeout`"),
        ({"type": "icmp", "timeout": 61}, "Expected `float` <= 60.0 - at `$.timeout`"),
        ({"type": "icmp", "retries": 6}, "Expected `int` <= 5 - at `$.retries`"),
        ({"type": "icmp", "consecutive_up": -1}, "Expected `int` >= 0 - at `$.consecutive_up`"),
        ({"type": "icmp", "consecutive_down": 11}, "Expected `int` <= 10 - at `$.consecutive_down`"),
        ({"type": "icmp", "name": "a b"}, "matching regex"),
        ({"type": "smtp", "helo": "a b"}, "matching regex"),
        ({"type": "finger"}, "Invalid value 'finger' - at `$.type`"),
    ],
)
def test_what_is_out_of_range_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        decode(**fields)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("554 5.7.1 go away", "554 5.7.1 go away"),
        ("two\r\nlines", "two lines"),
        ("red \x1b[31m", "red \\x1b[31m"),
        ("right to left \u202e", "right to left \\u202e"),
        ("half a character \udcff", "half a character \\udcff"),
        ("x" * 1000, "x" * (EVIDENCE_LENGTH - 1) + "…"),
        ("x" * EVIDENCE_LENGTH, "x" * EVIDENCE_LENGTH),
    ],
)
def test_evidence_is_made_safe(text: str, shown: str) -> None:
    assert Result(False, Reason.BAD_REPLY, text).evidence == shown
    assert Result(True, Reason.OK, warning=text).warning == shown


@given(st.text(), st.integers(1, 300))
def test_a_line_is_always_printable_bounded_and_stays_as_it_is(text: str, length: int) -> None:
    line = one_line(text, length)
    assert line.isprintable()
    assert len(line) <= length
    assert one_line(line, length) == line
