"""What one source of geographic data says about all addresses."""

from typing import Self

import msgspec

from geodata.place import NOWHERE, Place
from geodata.ranges import Network, Ranges

_INSIDE = 0xFFFFFFFF  # the id of no place


class Source(msgspec.Struct, frozen=True, eq=False):
    """The ids of `ipv4` and `ipv6` are indices into `places`; id 0 is `NOWHERE`: this source does not know.

    `operator`: the operator's own word, which goes before every database. `built`: Unix seconds, of the data.
    """

    name: str
    places: tuple[Place, ...]
    ipv4: Ranges
    ipv6: Ranges
    operator: bool = False
    built: int | None = None

    def within(self, network: Network) -> Self:
        """What it says about the addresses in a network, and nothing about any other."""
        bits, first, length = network
        inside = Ranges.nested(bits, [(first, length, _INSIDE)], 0)
        ipv4, ipv6 = (
            runs.overlaid(inside, transparent=_INSIDE) if runs.bits == bits else Ranges.uniform(runs.bits, 0)
            for runs in (self.ipv4, self.ipv6)
        )
        return msgspec.structs.replace(self, ipv4=ipv4, ipv6=ipv6)


class PlaceList:
    """Numbers the distinct places of a source in the order in which they are met."""

    def __init__(self) -> None:
        self._ids = {NOWHERE: 0}

    def id_of(self, place: Place) -> int:
        """The id."""
        return self._ids.setdefault(place, len(self._ids))

    def places(self) -> tuple[Place, ...]:
        """The places, each at its id."""
        return tuple(self._ids)
