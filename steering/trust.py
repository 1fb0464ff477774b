"""Trust: whose client subnets count (RFC 7871 section 11.3: a subnet is a claim, which anybody can make)."""

from collections.abc import Callable

from geodata.ranges import Ranges, parse_network
from steering.settings import ClientLocation
from steering.wire import pack_address

Trusts = Callable[[str], bool]
"""Source address to whether its client subnets count."""


def make_trust(location: ClientLocation) -> Trusts | None:
    """What the settings say; None if all count."""
    if location.prefer_ecs == "always":
        return None
    listed = location.trusted_resolvers if location.prefer_ecs == "listed" else ()
    networks = [(bits, (start, length, 1)) for bits, start, length in map(parse_network, listed)]
    ipv4, ipv6 = (
        Ranges.nested(bits, [network for family, network in networks if family == bits], 0) for bits in (32, 128)
    )

    def trusts(client: str) -> bool:
        octets = pack_address(client)
        if octets[:12] == bytes(10) + b"\xff\xff":
            octets = octets[12:]
        runs = ipv4 if len(octets) == 4 else ipv6
        return runs.ids[runs.find(int.from_bytes(octets, "big"))] == 1

    return trusts
