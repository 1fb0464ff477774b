"""Tests of trust: whose client subnets count."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.settings import ClientLocation
from steering.trust import make_trust

LISTED = ("192.0.2.0/24", "192.0.2.128/25", "198.51.100.7/32", "2001:db8::/32")


def test_always_is_no_question() -> None:
    assert make_trust(ClientLocation()) is None


def test_never() -> None:
    trusts = make_trust(ClientLocation("never"))
    assert trusts is not None
    assert not trusts("192.0.2.1")
    assert not trusts("2001:db8::1")


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("192.0.2.1", True),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("198.51.100.7", True),
        ("198.51.100.8", False),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        ("::ffff:192.0.2.1", True),
        ("::ffff:192.0.3.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_listed(client: str, expected: bool) -> None:
    trusts = make_trust(ClientLocation("listed", LISTED))
    assert trusts is not None
    assert trusts(client) is expected


@given(st.ip_addresses() | st.ip_addresses(network="192.0.0.0/22") | st.ip_addresses(network="2001:db8::/31"))
def test_what_is_listed_is_what_the_networks_say(client: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    trusts = make_trust(ClientLocation("listed", LISTED))
    plain = getattr(client, "ipv4_mapped", None) or client
    assert trusts is not None
    assert trusts(str(client)) == any(plain in ipaddress.ip_network(network) for network in LISTED)
