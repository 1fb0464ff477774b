"""ICMP: echo requests → bytes, and what comes back: bytes → Echo, Unreachable or nothing (RFC 792, RFC 4443).

Rules for this file: pure. A function that ends in `_untrusted` is fed by the network: any bytes give a value
or None, never an exception. The message of an Echo is ours only if the payload is; an Unreachable is ours
only if identifier, sequence and destination are. Deciding that is left to who sent the request.
"""

import socket
import struct
from typing import NamedTuple

from monitors.monitor import Reason

ECHO_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
ECHO_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
UNREACHABLE = {socket.AF_INET: (3, 11), socket.AF_INET6: (1, 3)}
"""The errors that tell about an echo request: destination unreachable and time exceeded, per family."""


class Echo(NamedTuple):
    """An echo reply."""

    identifier: int
    sequence: int
    payload: bytes


class Unreachable(NamedTuple):
    """An ICMP error about an echo request to `destination` (IP text)."""

    reason: Reason
    evidence: str
    identifier: int
    sequence: int
    destination: str


def make_echo_request(family: socket.AddressFamily, identifier: int, sequence: int, payload: bytes) -> bytes:
    """The message; that of ICMPv6 has no checksum, which the kernel computes, as it takes the addresses too."""
    message = struct.pack("!BBHHH", ECHO_REQUEST[family], 0, 0, identifier, sequence) + payload
    if family != socket.AF_INET:
        return message
    # RFC 1071: the sum of the 16-bit words in ones' complement, which is the remainder by 0xFFFF.
    total: int = sum(struct.unpack(f"!{(len(message) + 1) // 2}H", message + bytes(len(message) % 2))) % 0xFFFF
    return message[:2] + (0xFFFF - total).to_bytes(2, "big") + message[4:]


def parse_icmp_untrusted(message: bytes, family: socket.AddressFamily) -> Echo | Unreachable | None:
    """What an ICMP message says, from its type byte on; None for what is not about an echo request, or is cut
    short."""
    if len(message) < 8:
        return None
    kind, code, _, identifier, sequence = struct.unpack_from("!BBHHH", message)
    if kind == ECHO_REPLY[family] and code == 0:
        return Echo(identifier, sequence, message[8:])
    if kind not in UNREACHABLE[family]:
        return None
    quoted = _quoted_request_untrusted(message[8:], family)
    if quoted is None:
        return None
    identifier, sequence, destination = quoted
    reason, evidence = reason_of(family, kind, code)
    return Unreachable(reason, evidence, identifier, sequence, destination)


def strip_ipv4_header_untrusted(packet: bytes) -> bytes:
    """The ICMP message in an IPv4 packet, options and all honoured (RFC 791 IHL); b"" if there is none."""
    length = (packet[0] & 15) * 4 if packet else 0
    if length < 20 or len(packet) < length or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_ICMP:
        return b""
    return packet[length:]


def reason_of(family: socket.AddressFamily, kind: int, code: int) -> tuple[Reason, str]:
    """Reason and evidence for an ICMP error by its type and code."""
    if kind != UNREACHABLE[family][0]:
        return Reason.NO_ROUTE, f"ICMP type {kind} code {code}: time exceeded"
    reason = _REASONS[family].get(code, Reason.HOST_UNREACHABLE)
    return reason, f"ICMP type {kind} code {code}: {reason}"


def _quoted_request_untrusted(quoted: bytes, family: socket.AddressFamily) -> tuple[int, int, str] | None:
    """Identifier, sequence and destination of the echo request that an error quotes."""
    if family == socket.AF_INET:
        request, destination = strip_ipv4_header_untrusted(quoted), quoted[16:20]
    else:
        # Our requests have no extension headers, so the ICMPv6 header follows the fixed one at once.
        is_icmp = len(quoted) >= 40 and quoted[0] >> 4 == 6 and quoted[6] == socket.IPPROTO_ICMPV6
        request, destination = quoted[40:] if is_icmp else b"", quoted[24:40]
    if len(request) < 8 or request[0] != ECHO_REQUEST[family]:
        return None
    identifier, sequence = struct.unpack_from("!HH", request, 4)
    return identifier, sequence, socket.inet_ntop(family, destination)


# RFC 792 and RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1; RFC 4443 section 3.1.
_REASONS: dict[socket.AddressFamily, dict[int, Reason]] = {
    socket.AF_INET: {
        0: Reason.NETWORK_UNREACHABLE,
        3: Reason.PORT_UNREACHABLE,
        5: Reason.NO_ROUTE,
        6: Reason.NETWORK_UNREACHABLE,
        9: Reason.PROHIBITED,
        10: Reason.PROHIBITED,
        11: Reason.NETWORK_UNREACHABLE,
        13: Reason.PROHIBITED,
    },
    socket.AF_INET6: {
        0: Reason.NO_ROUTE,
        1: Reason.PROHIBITED,
        4: Reason.PORT_UNREACHABLE,
        5: Reason.PROHIBITED,
        6: Reason.PROHIBITED,
    },
}
