import socket

import pytest

from monitors.address import family_of, parse_address, source_towards


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
