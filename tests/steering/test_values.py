"""Tests of the single values: text in, canonical value or ValueError out; nothing else for any text."""

import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.address import parse_address
from steering import values


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.parse_name, "Example.com", b"\x07example\x03com\x00"),
        (values.parse_name, "example.com.", b"\x07example\x03com\x00"),
        (values.parse_name, "_sip._tcp.example", b"\x04_sip\x04_tcp\x07example\x00"),
        (values.parse_name, r"a\.b.example", b"\x03a.b\x07example\x00"),
        (values.parse_name, ".", b"\x00"),
        (values.parse_owner, "*.Example.com", b"\x01*\x07example\x03com\x00"),
        (parse_address, "2001:DB8:0::1", "2001:db8::1"),
        (values.parse_listen, "127.0.0.1:053", "127.0.0.1:53"),
        (values.parse_listen, "[::0:1]:53", "[::1]:53"),
        (values.parse_network, "192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        (values.parse_network, "2001:DB8::/32", "2001:db8::/32"),
        (values.parse_network, "0.0.0.0/0", "0.0.0.0/0"),
        (values.parse_peer, "192.0.2.1", values.Peer("192.0.2.1", 53)),
        (values.parse_peer, "2001:DB8::1", values.Peer("2001:db8::1", 53)),
        (values.parse_peer, "[2001:DB8::1]:5353 key:Xfr", values.Peer("2001:db8::1", 5353, b"\3xfr\0")),
        (values.parse_permission, "192.0.2.1", values.Permission("192.0.2.1/32")),
        (values.parse_permission, "2001:db8::/32 key:xfr", values.Permission("2001:db8::/32", b"\3xfr\0")),
        (values.parse_permission, "key:xfr", values.Permission(None, b"\3xfr\0")),
        (values.parse_secret, "c2Vj cmV0", b"secret"),
        (values.parse_record_type, "HTTPS", 65),
        (values.parse_region, "WEU", "WEU"),
        (values.parse_country, "FR", "FR"),
        (values.parse_subdivision, "GB-ENG", "GB-ENG"),
    ],
)
def test_good(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (values.parse_name, ""),
        (values.parse_name, "@"),
        (values.parse_name, "a b.example"),
        (values.parse_name, "a..example"),
        (values.parse_name, "a" * 64),
        (values.parse_name, "a." * 128),
        (values.parse_name, "zürich.example"),
        (values.parse_name, "*.example"),
        (values.parse_owner, "a.*.example"),
        (parse_address, "192.0.2.01"),
        (parse_address, "192.0.2.0/24"),
        (parse_address, "fe80::1%1"),
        (values.parse_listen, "::1:53"),
        (values.parse_listen, "[::1%lo]:53"),
        (values.parse_listen, "127.0.0.1"),
        (values.parse_listen, "127.0.0.1:65536"),
        (values.parse_listen, "127.0.0.1:٥٣"),
        (values.parse_peer, ""),
        (values.parse_peer, "ns.example"),
        (values.parse_peer, "192.0.2.1:0"),
        (values.parse_peer, "192.0.2.1 xfr"),
        (values.parse_peer, "192.0.2.1 key:"),
        (values.parse_peer, "key:xfr"),
        (values.parse_permission, ""),
        (values.parse_permission, "192.0.2.1/24"),
        (values.parse_permission, "192.0.2.1 192.0.2.2"),
        (values.parse_permission, "key:a key:b"),
        (values.parse_permission, "key:a 192.0.2.1"),
        (values.parse_secret, ""),
        (values.parse_secret, "secret!"),
        (values.parse_network, "192.0.2.1/24"),
        (values.parse_network, "192.0.2.0"),
        (values.parse_network, "192.0.2.0/33"),
        (values.parse_record_type, "a"),
        (values.parse_region, "EU"),
        (values.parse_country, "fr"),
        (values.parse_country, "FRA"),
        (values.parse_subdivision, "CA"),
        (values.parse_subdivision, "XX-CA"),
    ],
)
def test_bad(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(text)


PARSERS = [getattr(values, name) for name in dir(values) if name.startswith("parse_")]


@given(st.sampled_from(PARSERS), st.text() | st.text(alphabet="0123456789abcdef:.[]/%*-\\AFR"))
def test_any_text_is_a_value_or_a_value_error(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        assert str(error)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_any_address_is_kept(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return
    assert parse_address(address.exploded) == str(address)
    host = f"[{address}]" if address.version == 6 else str(address)
    assert values.parse_listen(f"{host}:{port}") == f"{host}:{port}"
    assert values.parse_network(f"{address}/{address.max_prefixlen}") == f"{address}/{address.max_prefixlen}"
