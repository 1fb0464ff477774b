"""The PROXY protocol, version 2, as it comes and as it must not come."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.proxy import LENGTH_LIMIT, SIGNATURE, Proxied, ProxyError, make_proxies, parse_proxy_untrusted

ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)


def header(
    client: str = "198.51.100.7",
    port: int = 4711,
    *,
    command: int = 0x21,
    family: int | None = None,
    extra: bytes = b"",
) -> bytes:
    """As dnsdist sends it."""
    address = ipaddress.ip_address(client)
    if family is None:
        family = 0x12 if address.version == 4 else 0x22
    body = address.packed + bytes(len(address.packed)) + struct.pack("!HH", port, 53) + extra
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


@given(ADDRESSES, st.integers(0, 65535), st.binary(max_size=100), st.binary(max_size=50))
def test_the_client_is_found_before_whatever_follows(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, extra: bytes, rest: bytes
) -> None:
    made = header(str(address), port, extra=extra)
    found = parse_proxy_untrusted(made + rest)
    assert found is not None
    assert found.size == len(made)
    assert found.client is not None
    assert (ipaddress.ip_address(found.client[0]), found.client[1]) == (address, port)


@given(st.data())
def test_a_part_of_a_header_is_waited_for(data: st.DataObject) -> None:
    made = header()
    assert parse_proxy_untrusted(made[: data.draw(st.integers(0, len(made) - 1))]) is None


@pytest.mark.parametrize("made", [header(command=0x20), header(family=0), SIGNATURE + b"\x20\0\0\0"])
def test_a_proxy_may_ask_for_itself(made: bytes) -> None:
    assert parse_proxy_untrusted(made + b"x") == Proxied(len(made), None)


@pytest.mark.parametrize(
    "made",
    [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        bytes(12),
        header(command=0x11),
        header(command=0x22),
        header(family=0x31),
        SIGNATURE + b"\x21\x12\0\x0b" + bytes(11),
        SIGNATURE + b"\x21\x22\0\x23" + bytes(35),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x12, LENGTH_LIMIT + 1),
    ],
)
def test_anything_else_is_refused(made: bytes) -> None:
    with pytest.raises(ProxyError):
        parse_proxy_untrusted(made)


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda rest: SIGNATURE + rest))
def test_any_bytes_are_a_header_a_part_of_one_or_refused(data: bytes) -> None:
    try:
        found = parse_proxy_untrusted(data)
    except ProxyError:
        return
    assert found is None or found.size <= len(data)


def test_who_is_a_proxy() -> None:
    assert make_proxies(()) is None
    is_proxy = make_proxies(["192.0.2.0/24", "fe80::/10"])
    assert is_proxy is not None
    assert is_proxy("192.0.2.9")
    assert is_proxy("fe80::1%eth0")
    assert not is_proxy("198.51.100.1")
    assert not is_proxy("2001:db8::1")
