"""Addresses of origins and sources, and names of hosts, as text; nothing here looks a name up. Pure."""

import ipaddress
import re
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


def is_host_name(address: str) -> bool:
    """Whether what `parse_address_or_name` gave is a host name."""
    return ":" not in address and not address.rpartition(".")[2].isdigit()


def join_endpoint(address: str, port: int | None, host: str | None) -> str:
    """What tells a target from others of its monitor: the address, and what it has of its own.

    "192.0.2.1", "192.0.2.1:8080", "[2001:db8::1]:8080", "www.example.com@192.0.2.1:8080".
    """
    if port is not None:
        address = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return address if host is None else f"{host}@{address}"


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


def parse_address_or_name(text: str) -> str:
    """An IP address in canonical form, or a host name in lower case without its last dot; ValueError.

    A name has a dot, be it the last one: so a word that is none is not looked up for ever.
    """
    try:
        ipaddress.ip_address(text)
    except ValueError:
        name = text.lower().removesuffix(".")
        if "." in text and len(name) <= 253 and re.search(HOST_NAME, name) and is_host_name(name):
            return name
        raise ValueError(f"expected {_ADDRESS_OR_NAME}") from None
    return parse_address(text)


HOST_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\Z"
_ADDRESS_OR_NAME = 'an IPv4 or IPv6 address, or a host name with a dot, like "www.example.com"'

Address = Annotated[str, Meta(extra={"parse": parse_address}, description="an IPv4 or IPv6 address")]
AddressOrName = Annotated[str, Meta(extra={"parse": parse_address_or_name}, description=_ADDRESS_OR_NAME)]
HostName = Annotated[str, Meta(pattern=HOST_NAME, max_length=253)]
