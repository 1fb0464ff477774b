"""Addresses of origins and sources, and names of hosts: IP literals, never looked up. Pure."""

import ipaddress
import socket
from typing import Annotated

from msgspec import Meta


def family_of(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6. ValueError for anything but an IP literal, so that no probe can end in a name
    look-up."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.inet_pton(family, address)
    except (OSError, ValueError):
        raise ValueError(f"{address!r} does not appear to be an IPv4 or IPv6 address") from None
    return family


def source_towards(address: str, source: str | None) -> str | None:
    """`source` if packets to `address` can come from it, that is if both are of one family."""
    return source if source is not None and family_of(source) == family_of(address) else None


def parse_address(text: str) -> str:
    """An IP address in canonical form; ValueError."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("expected an IPv4 or IPv6 address") from None
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id or address.ipv4_mapped):
        raise ValueError("expected an address without a scope, and not an IPv4 address inside an IPv6 one")
    return str(address)


Address = Annotated[str, Meta(extra={"parse": parse_address}, description="an IPv4 or IPv6 address")]
HostName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\Z", max_length=253)
]
