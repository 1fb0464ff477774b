"""AAAA: IPv6 addresses."""

import ipaddress

from steering.records.record import Record


class AAAA(Record):
    """RFC 3596 section 2."""

    name = "AAAA"
    type = 28
    example = "2001:db8::10"

    @staticmethod
    def from_address(address: str) -> bytes | None:
        """Sixteen bytes from an IPv6 address, None from an IPv4 one."""
        parsed = ipaddress.ip_address(address)
        return parsed.packed if parsed.version == 6 else None
