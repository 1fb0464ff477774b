import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.payload import parse_payload, show


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ("PING", b"PING"),
        ("PING\r\n", b"PING\r\n"),
        (r"PING\r\n", b"PING\r\n"),
        (r"\xff\xFF\0\t\x5c", b"\xff\xff\0\t\\"),
        (r"\\r\\x41", rb"\r\x41"),
        ("grüezi", "grüezi".encode()),
        ("x" * 1024, b"x" * 1024),
    ],
)
def test_escapes(text: str, payload: bytes) -> None:
    assert parse_payload(text) == payload


@pytest.mark.parametrize("text", ["", "\\", r"\x", r"\x4", r"\xgg", r"\q", "a\\\\\\", "\udcff", "x" * 1025, "ü" * 513])
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_payload(text)


@given(st.binary(min_size=1, max_size=256))
def test_all_bytes_can_be_written(payload: bytes) -> None:
    assert parse_payload("".join(f"\\x{byte:02x}" for byte in payload)) == payload


@given(st.text())
def test_any_text_is_bytes_or_an_error(text: str) -> None:
    try:
        assert 1 <= len(parse_payload(text)) <= 1024
    except ValueError:
        pass


@given(st.binary())
def test_any_reply_can_be_shown(reply: bytes) -> None:
    assert isinstance(show(reply), str)
