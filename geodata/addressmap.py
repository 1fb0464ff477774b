"""Address → small number, with the widest prefix for which it is true: what every question looks up.

An AddressMap is a view of one block of bytes (geodata.mapfile), mostly a mapped file, so that any number of
processes share one copy. Its columns are read as memoryviews where they lie: with the index of the top 16
bits a bisection is a few steps, and then a view is as fast as an array (measured: 0.15 µs each), which would
cost a copy in every process.

The runs of Ranges are stored as they are. The widest prefix around an address that stays inside its run
follows from the two addresses next to the run: it is one bit longer than the longer of the two prefixes
shared with them.

IPv4-mapped addresses (::ffff:0:0/96) answer as their IPv4 address. In the IPv6 columns they are one run with
the class MAPPED, which splits every prefix around it; only if all of IPv4 is one class do they have that
class there.
"""

import mmap
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from itertools import repeat
from pathlib import Path
from typing import ClassVar, Self

from geodata.mapfile import digest_of, map_file, pack, unpack, write_atomically
from geodata.ranges import MAPPED_END, MAPPED_START, Column, Ranges

MAPPED = 0xFFFFFFFF
"""No class of its own: the one of the IPv4 address."""

_END4 = 1 << 32  # shares no bit with an IPv4 address: nothing to keep away from
_END6_HIGH = 1 << 64  # the same for the high half of an IPv6 address
_END6 = 1 << 128


class AddressMap:
    """Look-ups in both families. `digest` is equal for equal maps, in memory and in files."""

    KIND: ClassVar[str]

    def __init__(self, packed: bytes | mmap.mmap, name: str = "map") -> None:
        """A view of a block. Raises GeoError, with `name` in it, if it is damaged."""
        columns = unpack(self.KIND, packed, name)
        self._packed = packed
        self._starts4, self._classes4, self._index4 = columns["start4"], columns["class4"], columns["index4"]
        self._highs6, self._lows6 = columns["high6"], columns["low6"]
        self._classes6, self._index6 = columns["class6"], columns["index6"]
        self._more = columns
        self.digest = digest_of(packed)

    @classmethod
    def of(cls, ipv4: Ranges, ipv6: Ranges, more: Mapping[str, Column] | None = None) -> Self:
        """The map with these classes, merged here; what `ipv6` says about ::ffff:0:0/96 does not matter."""
        ipv4 = ipv4.merged()
        mapped = Ranges.empty(128)
        mapped.append(0, MAPPED - 1)
        mapped.append(MAPPED_START, ipv4.ids[0] if len(ipv4.ids) == 1 else MAPPED)
        mapped.append(MAPPED_END, MAPPED - 1)
        ipv6 = ipv6.overlaid(mapped, transparent=MAPPED - 1)
        (starts,), (highs, lows) = ipv4.columns, ipv6.columns
        columns = {
            "start4": starts,
            "class4": ipv4.ids,
            "index4": _index(starts, 16),
            "high6": highs,
            "low6": lows,
            "class6": ipv6.ids,
            "index6": _index(highs, 48),
        }
        return cls(pack(cls.KIND, columns | dict(more or {})))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a file that `write` has written. GeoError if it is missing or damaged."""
        return cls(map_file(path), str(path))

    def write(self, path: Path) -> None:
        """Put the map at `path`, all or nothing; processes that have an older one open keep it."""
        write_atomically(path, self._packed)

    def find4(self, address: int) -> tuple[int, int]:
        """The class of an IPv4 address, and the length of the widest prefix around it of only this class."""
        starts = self._starts4
        index = self._index4
        slot = address >> 16
        after = bisect_right(starts, address, index[slot], index[slot + 1])
        # What differs from the address just before its run, and just after it.
        nearest = address ^ (starts[after - 1] - 1) if after > 1 else _END4
        right = address ^ starts[after] if after < len(starts) else _END4
        if right < nearest:
            nearest = right
        return self._classes4[after - 1], 33 - nearest.bit_length()

    def find6(self, address: int) -> tuple[int, int]:
        """The same for an IPv6 address; an IPv4-mapped one is as its IPv4 address, with 96 bits more."""
        highs = self._highs6
        index = self._index6
        high = address >> 64
        slot = high >> 48
        after = bisect_right(highs, high, index[slot], index[slot + 1])
        # All runs but those that begin or end inside a /64 are sets of whole /64s: the high half decides.
        start = highs[after - 1]
        if self._lows6[after - 1]:
            if start == high:
                return self._find_inside64(address)
            nearest = high ^ start
        else:
            nearest = high ^ (start - 1) if after > 1 else _END6_HIGH
        right = high ^ highs[after] if after < len(highs) else _END6_HIGH
        if right < nearest:
            nearest = right
        return self._classes6[after - 1], 65 - nearest.bit_length()

    def ranges(self) -> tuple[Ranges, Ranges]:
        """The runs of IPv4 and of IPv6, the latter with MAPPED in them."""
        ipv4 = Ranges(32, (self._starts4,), self._classes4)
        ipv6 = Ranges(128, (self._highs6, self._lows6), self._classes6)
        return ipv4, ipv6

    def _find_inside64(self, address: int) -> tuple[int, int]:
        if address >> 32 == 0xFFFF and len(self._starts4) > 1:
            class_, scope = self.find4(address & 0xFFFFFFFF)
            return class_, scope + 96
        _, runs = self.ranges()
        run = runs.find(address)
        left = address ^ (runs.start(run) - 1) if run else _END6
        return runs.ids[run], 129 - min(left, address ^ runs.start(run + 1)).bit_length()


def _index(starts: Column, shift: int) -> "array[int]":
    """For each value of the top 16 bits the first run that begins there or later; one more for the end."""
    index = array("I")
    for run, start in enumerate(starts):
        missing = (start >> shift) + 1 - len(index)
        if missing > 0:
            index.extend(repeat(run, missing))
    index.extend(repeat(len(starts), (1 << 16) + 1 - len(index)))
    return index
