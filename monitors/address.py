"""Addresses of origins: IP literals, never names. Pure."""

import ipaddress
import socket


def family_of(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6. ValueError for anything but an IP literal, so that no probe can end in a name
    look-up."""
    return socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6
