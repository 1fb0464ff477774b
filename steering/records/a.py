"""A: IPv4 addresses."""

import ipaddress

from steering.records.record import Record


class A(Record):
    """RFC 1035 section 3.4.1."""

    name = "A"
    type = 1
    example = "192.0.2.10"

    @staticmethod
    def from_address(address: str) -> bytes | None:
        """Four bytes from an IPv4 address, None from an IPv6 one."""
        parsed = ipaddress.ip_address(address)
        return parsed.packed if parsed.version == 4 else None
