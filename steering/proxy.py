"""The PROXY protocol, version 2: whoever stands before us says for whom it asks.

https://www.haproxy.org/download/2.10/doc/proxy-protocol.txt, section 2.2. dnsdist and others put such a header before
each packet over UDP, and before the first message of each connection over TCP.

The header is believed from the listed addresses alone, and there it must be (section 2: the receiver must not guess):
a question without it is not answered, so that no client behind a proxy passes for the proxy itself.
"""

import functools
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
HEADER_SIZE: Final = 16
"""Octets before addresses: signature, version and command, family and protocol, length of the rest."""
LENGTH_LIMIT: Final = 2048
"""Octets behind these, addresses and the extensions (TLV) that we pass over."""
REMEMBERED: Final = 4096
"""Addresses of which is remembered whether they are listed."""

_VERSION_LOCAL: Final = 0x20
_VERSION_PROXY: Final = 0x21
_UNSPEC: Final = 0
_FAMILIES: Final = {1: (socket.AF_INET, 4), 2: (socket.AF_INET6, 16)}


class ProxyError(Exception):
    """No header that we understand."""


class Proxied(NamedTuple):
    """What a header says."""

    size: int
    """Octets of it."""
    client: tuple[str, int] | None
    """Address and port for which the proxy asks; None: it asks for itself, as its health checks do."""


def parse_proxy_untrusted(data: bytes | bytearray) -> Proxied | None:
    """The header at the start of `data`; None while it is not whole; raises ProxyError."""
    if data[:12] != SIGNATURE[: len(data)]:
        raise ProxyError("no PROXY header of version 2")
    if len(data) < HEADER_SIZE:
        return None
    command, family, length = data[12], data[13] >> 4, data[14] << 8 | data[15]
    if command not in (_VERSION_LOCAL, _VERSION_PROXY):
        raise ProxyError("a PROXY header of another version or with an unknown command")
    if length > LENGTH_LIMIT:
        raise ProxyError(f"a PROXY header of {length} octets")
    size = HEADER_SIZE + length
    if len(data) < size:
        return None
    if command == _VERSION_LOCAL or family == _UNSPEC:
        return Proxied(size, None)
    if family not in _FAMILIES:
        raise ProxyError("a PROXY header with addresses of an unknown family")
    kind, octets = _FAMILIES[family]
    if length < 2 * octets + 4:
        raise ProxyError("a PROXY header that ends early")
    address = socket.inet_ntop(kind, data[HEADER_SIZE : HEADER_SIZE + octets])
    port = int.from_bytes(data[HEADER_SIZE + 2 * octets : HEADER_SIZE + 2 * octets + 2], "big")
    return Proxied(size, (address, port))


def make_proxies(networks: Sequence[str]) -> Callable[[str], bool] | None:
    """Whether an address, as the socket gave it, is in one of the networks; None without any."""
    if not networks:
        return None
    listed = [ipaddress.ip_network(each) for each in networks]

    @functools.lru_cache(REMEMBERED)
    def is_proxy(address: str) -> bool:
        parsed = ipaddress.ip_address(address.partition("%")[0])
        return any(parsed in network for network in listed)

    return is_proxy
