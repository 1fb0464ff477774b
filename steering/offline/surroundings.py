"""The surroundings of one address: its place and class, without the maps of the whole world. Pure.

To make those of a City database takes half a minute; an address alone needs a few networks around it. What a map of a
part of the world says of a prefix that is longer than the part is true: such a prefix ends at a neighbour inside.
"""

import ipaddress
from collections.abc import Callable, Iterator

from geodata.classes import ClassMap, Finding, PlaceMap, compile_rules
from geodata.ranges import Network
from steering.balance.rules import Classifier, Rules


class Surroundings:
    """Maps of the places around the address that is asked for first; for one elsewhere, of the world."""

    def __init__(self, load: Callable[[Network | None], PlaceMap]) -> None:
        """`load` makes the map of the places in a network alone, or of all; what it raises, all here raises."""
        self._load = load
        self._whole: PlaceMap | None = None
        self._parts: dict[int, tuple[Network, PlaceMap]] = {}  # by length, which tells the family, too

    @property
    def whole(self) -> PlaceMap:
        """The map of the world."""
        self._whole = self._whole or self._load(None)
        return self._whole

    def around(self, bits: int, address: int) -> Iterator[tuple[int, PlaceMap]]:
        """Maps of ever wider prefixes around an address of 32 or 128 `bits`, by length; at last of the world, by -1."""
        for length in (bits // 4, bits // 8):
            first = address >> bits - length << bits - length
            # In the first IPv6 network is ::ffff:0:0/96, and what that has depends on all of IPv4.
            if self._whole is not None or (bits == 128 and first == 0):
                break
            network = bits, first, length
            if length not in self._parts:
                self._parts[length] = network, self._load(network)
            known, places = self._parts[length]
            if known != network:
                break
            yield length, places
        yield -1, self.whole

    def find(self, address: str) -> Finding | None:
        """As `PlaceMap.find`."""
        parsed = ipaddress.ip_address(address)
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        for length, places in self.around(parsed.max_prefixlen, int(parsed)):
            finding = places.find(address)
            if finding is None or int(finding.prefix.rpartition("/")[2]) > length:
                break
        return finding


class SurroundingClasses:
    """Classes by Rules, as a ClassMap of the world has them."""

    def __init__(self, rules: Rules, surroundings: Surroundings) -> None:
        self._rules = rules
        self._surroundings = surroundings
        self._compiled: dict[int, ClassMap] = {}

    def find4(self, address: int, /) -> tuple[int, int]:
        """The class of an IPv4 address, and the length of the widest prefix around it of only this class."""
        return self._find(32, address)

    def find6(self, address: int, /) -> tuple[int, int]:
        """The same of an IPv6 address."""
        return self._find(128, address)

    def _find(self, bits: int, address: int) -> tuple[int, int]:
        for length, places in self._surroundings.around(bits, address):
            compiled = self._compile(length, places)
            found = compiled.find4(address) if bits == 32 else compiled.find6(address)
            if found[1] > length:
                break
        return found

    def _compile(self, length: int, places: PlaceMap) -> ClassMap:
        if length not in self._compiled:
            rules = self._rules
            self._compiled[length] = compile_rules(places, Classifier(rules), rules.networks)
        return self._compiled[length]
