import socket

import pytest

from monitors.address import (
    family_of,
    is_host_name,
    join_endpoint,
    parse_address,
    parse_address_or_name,
    source_towards,
)


def test_family_of_a_literal() -> None:
    assert family_of("192.0.2.10") == socket.AF_INET
    assert family_of("2001:db8::1") == socket.AF_INET6


@pytest.mark.parametrize("address", ["localhost", "", "1.2.3", "192.0.2.10:25", "[::1]"])
def test_anything_else_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        family_of(address)


@pytest.mark.parametrize(("text", "address"), [("192.0.2.1", "192.0.2.1"), ("2001:DB8:0::1", "2001:db8::1")])
def test_the_canonical_form(text: str, address: str) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["localhost", "", "192.0.2.0/24", "fe80::1%eth0", "::ffff:192.0.2.1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="expected an"):
        parse_address(text)


def test_a_source_is_for_its_family() -> None:
    assert source_towards("192.0.2.1", "127.0.0.1") == "127.0.0.1"
    assert source_towards("2001:db8::1", "127.0.0.1") is None
    assert source_towards("192.0.2.1", None) is None


@pytest.mark.parametrize(
    ("text", "address", "is_name"),
    [
        ("192.0.2.1", "192.0.2.1", False),
        ("2001:DB8:0::1", "2001:db8::1", False),
        ("WWW.Example.com", "www.example.com", True),
        ("www.example.com.", "www.example.com", True),
        ("mail.", "mail", True),
        ("_a-b.xn--p1ai", "_a-b.xn--p1ai", True),
        ("1.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpa", True),
    ],
)
def test_an_address_or_a_name(text: str, address: str, is_name: bool) -> None:
    assert parse_address_or_name(text) == address
    assert is_host_name(address) == is_name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "localhost",
        "192.0.2.256",
        "1.2.3.4.",
        "a..b",
        "-a.example.com",
        "a b.example.com",
        "www.example.com:80",
        "münchen.example.com",
        f"{'a' * 64}.example.com",
        f"{'a.' * 127}com",
        "192.0.2.0/24",
        "fe80::1%eth0",
        "::ffff:192.0.2.1",
    ],
)
def test_what_is_neither(text: str) -> None:
    with pytest.raises(ValueError, match="expected an"):
        parse_address_or_name(text)


@pytest.mark.parametrize(
    ("address", "port", "host", "endpoint"),
    [
        ("192.0.2.1", None, None, "192.0.2.1"),
        ("2001:db8::1", None, None, "2001:db8::1"),
        ("192.0.2.1", 8080, None, "192.0.2.1:8080"),
        ("2001:db8::1", 8080, "www.example.com", "www.example.com@[2001:db8::1]:8080"),
        ("a.example.com", None, "www.example.com", "www.example.com@a.example.com"),
    ],
)
def test_an_endpoint(address: str, port: int | None, host: str | None, endpoint: str) -> None:
    assert join_endpoint(address, port, host) == endpoint
