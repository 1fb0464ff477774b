"""The whole address space of one family as sorted runs, each with a small id: the working form of all maps.

Rules: run i goes from its start to just before the start of run i+1, the last one to the end of the space;
the first starts at 0, so that every address is in exactly one run. In a merged value neighbours have
different ids. Starts are kept in columns, since lists of Python integers would take five times the memory:
one column of 32 bits for IPv4, two of 64 bits (high half, low half) for IPv6. A column is an array or a view
of a mapped file.
"""

import ipaddress
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from operator import ne
from typing import Self, TypeAlias

Column: TypeAlias = "array[int] | memoryview[int]"

Network: TypeAlias = tuple[int, int, int]
"""Bits of the family (32 or 128), first address, prefix length."""

LOW_HALF = (1 << 64) - 1
MAPPED_START = 0xFFFF << 32
"""First address of ::ffff:0:0/96, the IPv4-mapped addresses (RFC 4291 section 2.5.5.2)."""
MAPPED_END = MAPPED_START + (1 << 32)


class Ranges:
    """Sorted runs over all addresses of `bits` bits (32 or 128)."""

    __slots__ = ("bits", "columns", "ids")

    def __init__(self, bits: int, columns: tuple[Column, ...], ids: Column) -> None:
        self.bits = bits
        self.columns = columns
        self.ids = ids

    @classmethod
    def uniform(cls, bits: int, id_: int) -> Self:
        """One run over everything."""
        runs = cls.empty(bits)
        runs.append(0, id_)
        return runs

    @classmethod
    def empty(cls, bits: int) -> Self:
        """No run yet: to be filled with `append`, the first one at 0."""
        return cls(bits, (array("I"),) if bits == 32 else (array("Q"), array("Q")), array("I"))

    @classmethod
    def nested(cls, bits: int, networks: Iterable[tuple[int, int, int]], outside: int) -> Self:
        """Runs of networks (first address, prefix length, id): the most specific wins; else `outside`."""
        runs = cls.uniform(bits, outside)
        around: list[tuple[int, int]] = []  # the networks that the sweep is inside of: (end, id)
        for start, length, id_ in sorted(networks):
            runs._leave(around, start, outside)
            runs.append(start, id_)
            around.append((start + (1 << bits - length), id_))
        runs._leave(around, 1 << bits, outside)
        return runs.merged()

    def append(self, start: int, id_: int) -> None:
        """Begin a run; one that begins where the last one does takes its place."""
        assert isinstance(self.ids, array)
        if len(self.ids) and self.start(len(self.ids) - 1) == start:
            self.ids[-1] = id_
            return
        halves = (start,) if self.bits == 32 else (start >> 64, start & LOW_HALF)
        for column, half in zip(self.columns, halves, strict=True):
            assert isinstance(column, array)
            column.append(half)
        self.ids.append(id_)

    def start(self, run: int) -> int:
        """The first address of a run; of the one after the last: the end of the space."""
        if run == len(self.ids):
            return 1 << self.bits
        if self.bits == 32:
            return self.columns[0][run]
        return self.columns[0][run] << 64 | self.columns[1][run]

    def find(self, address: int) -> int:
        """The index of the run that the address is in."""
        if self.bits == 32:
            return bisect_right(self.columns[0], address) - 1
        highs, lows = self.columns
        high = address >> 64
        last = bisect_right(highs, high)
        return bisect_right(lows, address & LOW_HALF, bisect_left(highs, high, 0, last), last) - 1

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """The runs as (first address, end, id); the end is not in the run."""
        for run, id_ in enumerate(self.ids):
            yield self.start(run), self.start(run + 1), id_

    def translated(self, table: Mapping[int, int] | Sequence[int]) -> Self:
        """The runs with each id looked up in the table, merged."""
        return type(self)(self.bits, self.columns, array("I", map(table.__getitem__, self.ids))).merged()

    def merged(self) -> Self:
        """The same map with as few runs as possible."""
        changes = b"\1" + bytes(map(ne, memoryview(self.ids)[1:], self.ids))
        if 0 not in changes:
            return self
        columns = tuple(array("I" if self.bits == 32 else "Q", compress(column, changes)) for column in self.columns)
        return type(self)(self.bits, columns, array("I", compress(self.ids, changes)))

    def overlaid(self, over: Self, transparent: int) -> Self:
        """What `over` says, and this where `over` has the id `transparent`; merged."""
        result = self.empty(self.bits)
        for start, end, id_ in over:
            if id_ != transparent:
                result.append(start, id_)
                continue
            first, last = self.find(start), self.find(end - 1)
            result.append(start, self.ids[first])
            for column, ours in zip((*result.columns, result.ids), (*self.columns, self.ids), strict=True):
                assert isinstance(column, array)
                column.extend(ours[first + 1 : last + 1])
        return result.merged()

    def paired(self, other: Self, pair: Callable[[int, int], int]) -> Self:
        """For each of our ids and the one of `other` for the same addresses what `pair` gives for the two; merged.

        It is asked once for each pair that there is.
        """
        if len(other.ids) > len(self.ids):
            return other.paired(self, lambda theirs, ours: pair(ours, theirs))
        ids = _Pairs(pair)
        result = self.empty(self.bits)
        first = 0
        for start, end, their_id in other:
            their_key = their_id << 32
            last = self.find(end - 1)
            result.append(start, ids[their_key | self.ids[first]])
            assert isinstance(result.ids, array)
            result.ids.extend(map(ids.__getitem__, map(their_key.__or__, self.ids[first + 1 : last + 1])))
            for column, ours in zip(result.columns, self.columns, strict=True):
                assert isinstance(column, array)
                column.extend(ours[first + 1 : last + 1])
            first = last + 1 if self.start(last + 1) == end else last
        return result.merged()

    def _leave(self, around: list[tuple[int, int]], until: int, outside: int) -> None:
        while around and around[-1][0] <= until:
            end, _ = around.pop()
            if end < 1 << self.bits:
                self.append(end, around[-1][1] if around else outside)


class _Pairs(dict[int, int]):
    """The id of each pair of ids, by both of them in one number, which is half the size of a tuple."""

    def __init__(self, pair: Callable[[int, int], int]) -> None:
        self._pair = pair

    def __missing__(self, key: int) -> int:
        self[key] = id_ = self._pair(key & 0xFFFFFFFF, key >> 32)
        return id_


def parse_network(text: str) -> Network:
    """A network in CIDR notation.

    A single address is a network of its own. IPv4-mapped IPv6 networks are IPv4. ValueError says what is
    wrong.
    """
    network = ipaddress.ip_network(text)
    first, length = int(network.network_address), network.prefixlen
    if network.version == 6 and length >= 96 and first >> 32 == 0xFFFF:
        return 32, first & 0xFFFFFFFF, length - 96
    return network.max_prefixlen, first, length
