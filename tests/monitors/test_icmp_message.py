import socket
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitors.icmp_message import (
    Echo,
    Unreachable,
    make_echo_request,
    parse_icmp_untrusted,
    strip_ipv4_header_untrusted,
)
from monitors.monitor import Reason

IPV4, IPV6 = socket.AF_INET, socket.AF_INET6


def icmp(kind: int, code: int, rest: bytes) -> bytes:
    return bytes([kind, code, 0, 0]) + rest


def ipv4(payload: bytes, *, options: bytes = b"", protocol: int = 1, destination: str = "192.0.2.10") -> bytes:
    words = 5 + len(options) // 4
    header = struct.pack("!BBHHHBBH", 0x40 | words, 0, 4 * words + len(payload), 0, 0, 64, protocol, 0)
    return header + socket.inet_aton("198.51.100.1") + socket.inet_aton(destination) + options + payload


def ipv6(payload: bytes, *, next_header: int = 58) -> bytes:
    addresses = socket.inet_pton(IPV6, "2001:db8::1") + socket.inet_pton(IPV6, "2001:db8::2")
    return struct.pack("!IHBB", 6 << 28, len(payload), next_header, 64) + addresses + payload


REQUEST4 = icmp(8, 0, struct.pack("!HH", 7, 9))
REQUEST6 = icmp(128, 0, struct.pack("!HH", 7, 9))


@given(st.integers(0, 65535), st.integers(0, 65535), st.binary(max_size=100))
def test_a_request_has_the_checksum_of_icmp(identifier: int, sequence: int, payload: bytes) -> None:
    request = make_echo_request(IPV4, identifier, sequence, payload)
    assert (request[:2], request[4:]) == (b"\x08\0", struct.pack("!HH", identifier, sequence) + payload)
    # RFC 1071: with the checksum in it, the words add up to all ones.
    padded = request + bytes(len(request) % 2)
    total = sum(int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


def test_a_request_of_icmpv6_leaves_the_checksum_to_the_kernel() -> None:
    assert make_echo_request(IPV6, 7, 9, b"x") == icmp(128, 0, struct.pack("!HH", 7, 9) + b"x")


def test_echo_replies() -> None:
    reply = struct.pack("!HH", 7, 9) + b"nonce"
    assert parse_icmp_untrusted(icmp(0, 0, reply), IPV4) == Echo(7, 9, b"nonce")
    assert parse_icmp_untrusted(icmp(129, 0, reply), IPV6) == Echo(7, 9, b"nonce")


def test_requests_and_replies_of_the_other_family_are_nothing() -> None:
    reply = struct.pack("!HH", 7, 9)
    assert parse_icmp_untrusted(icmp(8, 0, reply), IPV4) is None
    assert parse_icmp_untrusted(icmp(129, 0, reply), IPV4) is None
    assert parse_icmp_untrusted(icmp(0, 0, reply), IPV6) is None
    assert parse_icmp_untrusted(icmp(0, 1, reply), IPV4) is None


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        (3, 0, Reason.NETWORK_UNREACHABLE),
        (3, 1, Reason.HOST_UNREACHABLE),
        (3, 3, Reason.PORT_UNREACHABLE),
        (3, 5, Reason.NO_ROUTE),
        (3, 13, Reason.PROHIBITED),
        (3, 200, Reason.HOST_UNREACHABLE),
        (11, 0, Reason.NO_ROUTE),
    ],
)
def test_icmpv4_errors_about_a_request(kind: int, code: int, reason: Reason) -> None:
    for options in (b"", b"\x01" * 8):
        message = parse_icmp_untrusted(icmp(kind, code, bytes(4) + ipv4(REQUEST4, options=options)), IPV4)
        assert isinstance(message, Unreachable)
        assert message[2:] == (7, 9, "192.0.2.10")
        assert message.reason == reason
        assert f"type {kind} code {code}" in message.evidence


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        (1, 0, Reason.NO_ROUTE),
        (1, 1, Reason.PROHIBITED),
        (1, 3, Reason.HOST_UNREACHABLE),
        (1, 4, Reason.PORT_UNREACHABLE),
        (3, 0, Reason.NO_ROUTE),
    ],
)
def test_icmpv6_errors_about_a_request(kind: int, code: int, reason: Reason) -> None:
    message = parse_icmp_untrusted(icmp(kind, code, bytes(4) + ipv6(REQUEST6)), IPV6)
    assert isinstance(message, Unreachable)
    assert message[2:] == (7, 9, "2001:db8::2")
    assert message.reason == reason


@pytest.mark.parametrize(
    "quoted",
    [
        b"",
        ipv4(REQUEST4)[:27],
        ipv4(REQUEST4, protocol=17),
        ipv4(icmp(0, 0, struct.pack("!HH", 7, 9))),
        ipv6(REQUEST6),
        b"\x4f" + ipv4(REQUEST4)[1:],
    ],
)
def test_errors_about_anything_else_are_nothing(quoted: bytes) -> None:
    assert parse_icmp_untrusted(icmp(3, 1, bytes(4) + quoted), IPV4) is None


def test_the_header_length_is_honoured() -> None:
    assert strip_ipv4_header_untrusted(ipv4(REQUEST4)) == REQUEST4
    assert strip_ipv4_header_untrusted(ipv4(REQUEST4, options=b"\x01" * 40)) == REQUEST4
    assert strip_ipv4_header_untrusted(b"\x41" + ipv4(REQUEST4)[1:]) == b""


message_like = st.builds(
    lambda kind, code, rest: bytes([kind, code, 0, 0]) + rest,
    st.sampled_from([0, 1, 3, 11, 129]),
    st.integers(0, 255),
    st.binary(max_size=12).flatmap(
        lambda junk: st.sampled_from([junk, bytes(4) + ipv4(REQUEST4) + junk, bytes(4) + ipv6(REQUEST6) + junk])
    ),
)


@given(st.binary(max_size=100) | message_like, st.sampled_from([IPV4, IPV6]), st.integers(0, 100))
@example(b"", IPV4, 0)
def test_any_bytes_give_a_value_or_none(packet: bytes, family: socket.AddressFamily, length: int) -> None:
    for cut in (packet, packet[:length], strip_ipv4_header_untrusted(packet)):
        message = parse_icmp_untrusted(cut, family)
        assert message is None or isinstance(message, Echo | Unreachable)
