"""Tests of the record kinds, with dnspython's own rdata as the oracle."""

import importlib
import pkgutil

import dns.rdata
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steering.records
from steering.records import RECORDS, RECORDS_BY_TYPE, Record, RecordError

KINDS = list(RECORDS.values())


def test_every_file_is_in_the_table() -> None:
    files = {module.name for module in pkgutil.iter_modules(steering.records.__path__)}
    assert files - {"record"} == {name.lower() for name in RECORDS}
    for name, kind in RECORDS.items():
        assert kind.__module__ == f"steering.records.{name.lower()}"
        assert importlib.import_module(kind.__module__).__doc__


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_says_who_it_is(kind: type[Record]) -> None:
    assert RECORDS[kind.name] is kind
    assert RECORDS_BY_TYPE[kind.type] is kind
    assert dns.rdatatype.from_text(kind.name) == kind.type
    assert kind.__doc__ is not None
    assert "RFC" in kind.__doc__


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_example_parses(kind: type[Record]) -> None:
    rdata = kind.parse(kind.example)
    assert kind.parse(dns.rdata.from_wire("IN", kind.name, rdata, 0, len(rdata)).to_text()) == rdata


@pytest.mark.parametrize(
    ("name", "text", "rdata"),
    [
        ("A", "192.0.2.10", b"\xc0\x00\x02\x0a"),
        ("A", r"\# 4 c000020a", b"\xc0\x00\x02\x0a"),
        ("AAAA", "::1", bytes(15) + b"\x01"),
        ("CNAME", "A.Example.", b"\x01A\x07Example\x00"),
        ("MX", "10 a.example.", b"\x00\x0a\x01a\x07example\x00"),
        ("MX", "0 .", b"\x00\x00\x00"),
        ("SRV", "1 2 3 a.example.", b"\x00\x01\x00\x02\x00\x03\x01a\x07example\x00"),
        ("HTTPS", "1 . alpn=h2", b"\x00\x01\x00\x00\x01\x00\x03\x02h2"),
        ("TXT", 'a "b; c" d\\101', b"\x01a\x04b; c\x02de"),
    ],
)
def test_parse(name: str, text: str, rdata: bytes) -> None:
    assert RECORDS[name].parse(text) == rdata


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("A", "192.0.2.256", "expected A record text, like 192.0.2.10 (Text input is malformed.)"),
        ("A", "192.0.2.1 2", 'expected A record text, like 192.0.2.10 (expected EOL or EOF, got 3 "2")'),
        ("A", "192.0.2.1\n192.0.2.2", "expected A record text in one line of printable characters, like 192.0.2.10"),
        ("MX", "10", "expected MX record text, like 10 mx1.example.com. (expecting an identifier)"),
        (
            "MX",
            "10 mx1.example.com",
            "a name in a record must be absolute, with a dot at its end, like 10 mx1.example.com.",
        ),
        ("CNAME", "@", "a name in a record must be absolute, with a dot at its end, like paris.example.net."),
        ("TXT", f"{'a' * 250} " * 300, "record data of 75300 bytes; at most 65535 fit"),
    ],
)
def test_parse_refuses(name: str, text: str, message: str) -> None:
    with pytest.raises(RecordError) as caught:
        RECORDS[name].parse(text)
    assert str(caught.value) == message


@given(st.sampled_from(KINDS), st.text() | st.text(alphabet='0123456789 .ab="\\;()@#:,'))
def test_any_text_is_rdata_or_an_error(kind: type[Record], text: str) -> None:
    try:
        rdata = kind.parse(text)
    except RecordError:
        return
    dns.rdata.from_wire("IN", kind.name, rdata, 0, len(rdata))
    target = kind.target(rdata)
    assert target is None or (target.endswith(b"\0") and target == target.lower())


@pytest.mark.parametrize(
    ("name", "text", "target"),
    [
        ("MX", "10 MX1.Example.", b"\x03mx1\x07example\x00"),
        ("MX", "0 .", None),
        ("SRV", "1 2 3 Sip.Example.", b"\x03sip\x07example\x00"),
        ("SRV", "0 0 0 .", None),
        ("HTTPS", "1 WEB.Example. alpn=h2 ipv4hint=192.0.2.1", b"\x03web\x07example\x00"),
        ("HTTPS", "0 web.example.", b"\x03web\x07example\x00"),
        ("HTTPS", "1 . alpn=h2", b"\x00"),
        ("HTTPS", "0 .", None),
        ("A", "192.0.2.1", None),
        ("AAAA", "::1", None),
        ("CNAME", "a.example.", None),
        ("TXT", "a.example.", None),
    ],
)
def test_target(name: str, text: str, target: bytes | None) -> None:
    assert RECORDS[name].target(RECORDS[name].parse(text)) == target


def test_what_an_address_stands_for() -> None:
    four = {name: kind.from_address("192.0.2.10") for name, kind in RECORDS.items()}
    six = {name: kind.from_address("2001:db8::10") for name, kind in RECORDS.items()}
    nothing = dict.fromkeys(RECORDS)
    assert four == {**nothing, "A": RECORDS["A"].parse("192.0.2.10")}
    assert six == {**nothing, "AAAA": RECORDS["AAAA"].parse("2001:db8::10")}


def test_only_a_cname_stands_alone() -> None:
    assert [name for name, kind in RECORDS.items() if kind.singular] == ["CNAME"]
