"""One owner name of a zone as the store keeps it: its key and its value.

The key puts names in canonical order (RFC 4034 section 6.1): labels from the apex downwards, each ended by a zero
octet. So the key of a name begins with the key of each of its ancestors, and all that is below a name follows it at
once. Octets 0 and 1 inside a label, which nobody uses, are escaped to keep that order.

The value is a header of two octets, then one entry for each RRset:

    +--------+--------+------------+-------------+-------------+------------------+---
    |   cut  | flags  | type (2)   | records (2) | length (4)  | records          | ...
    +--------+--------+------------+-------------+-------------+------------------+---

`cut` is 0, or 1 + the number of labels below the apex of the topmost delegation or DNAME at or above this owner:
a look-up that lands anywhere near a cut sees it without a walk, unless the zone has late cuts (store.py). Records are
ready to send, the owner of each a pointer to the question (`wire.OWNER`).
"""

import struct
from collections.abc import Container, Iterable, Iterator
from typing import Final

from steering.wire import DNAME, NS, OWNER, RRset, split_records

CUT_IS_DNAME: Final = 1
"""Flag: the cut is a DNAME (RFC 6672), not a delegation."""
STEERED: Final = 2
"""Flag: a load balancer answers some types of this owner."""

EMPTY_NODE: Final = b"\0\0"
"""The value of a name that exists without records."""

_ENTRY = struct.Struct("!HHI")
_HEADER_SIZE: Final = 2


def key_labels(name: bytes, apex: bytes) -> list[bytes]:
    """The parts of the key of `name`, which is at or below `apex`: one for each label below it, the topmost first."""
    below = name[: len(name) - len(apex)]
    labels = []
    position = 0
    while position < len(below):
        end = position + below[position] + 1
        labels.append(below[position + 1 : end] + b"\0")
        position = end
    if b"\1" in below or b"\0" in below:  # in a label, or the length of one
        labels = [label[:-1].replace(b"\1", b"\1\2").replace(b"\0", b"\1\1") + b"\0" for label in labels]
    labels.reverse()
    return labels


def name_of_key(key: bytes, apex: bytes) -> bytes:
    """The owner name that `key` (without the zone's prefix) stands for."""
    name = apex
    for label in key.split(b"\0")[:-1]:
        plain = label.replace(b"\1\1", b"\0").replace(b"\1\2", b"\1") if b"\1" in label else label
        name = bytes((len(plain),)) + plain + name
    return name


def pack_node(cut: int, flags: int, rrsets: Iterable[RRset]) -> bytes:
    """The value that the store keeps; RRsets are sorted by type."""
    parts = [bytes((cut, flags))]
    for rrtype, count, records in sorted(rrsets):
        parts += (_ENTRY.pack(rrtype, count, len(records)), records)
    return b"".join(parts)


def unpack_node(value: bytes) -> Iterator[RRset]:
    """The RRsets of a value of the store, sorted by type."""
    position = _HEADER_SIZE
    while position < len(value):
        rrtype, count, length = _ENTRY.unpack_from(value, position)
        position += _ENTRY.size
        yield rrtype, count, value[position : position + length]
        position += length


def node_types(value: bytes) -> set[int]:
    """The types of the RRsets of a value of the store."""
    return {rrtype for rrtype, _, _ in unpack_node(value)}


def split_node(value: bytes, without: int) -> list[bytes]:
    """The records of a value of the store but those of one type, each without its owner."""
    parts = []  # not by `unpack_node`: most of a transfer's time goes by here
    position = _HEADER_SIZE
    while position < len(value):
        rrtype, count, length = _ENTRY.unpack_from(value, position)
        position += _ENTRY.size
        end = position + length
        if count == 1 and rrtype != without:
            parts.append(value[position + len(OWNER) : end])
        elif rrtype != without:
            parts += [record[len(OWNER) :] for record in split_records(value[position:end])]
        position = end
    return parts


def find_rrset(value: bytes, rrtype: int) -> RRset | None:
    """The RRset of that type at a node."""
    position = _HEADER_SIZE
    while position < len(value):
        found, count, length = _ENTRY.unpack_from(value, position)
        position += _ENTRY.size
        if found >= rrtype:
            return (found, count, value[position : position + length]) if found == rrtype else None
        position += length
    return None


def cut_flags(types: Container[int], depth: int) -> int | None:
    """The flags of an owner with these types as a cut, `depth` labels below the apex; None: it makes none."""
    if depth and NS in types:
        return 0
    return CUT_IS_DNAME if DNAME in types else None


class CutTracker:
    """Finds the cut of each owner while a zone goes by in canonical order."""

    def __init__(self) -> None:
        self._above: bytes | None = None
        self._cut = 0
        self._flags = 0

    def visit(self, key: bytes, depth: int, types: Container[int]) -> tuple[int, int]:
        """The cut and its flags for the owner at `key`, `depth` labels below the apex, that has those types."""
        if self._above is not None and key.startswith(self._above):
            return self._cut, self._flags
        self._above = None
        flags = cut_flags(types, depth)
        if flags is not None:
            self._above, self._cut, self._flags = key, depth + 1, flags
            return self._cut, self._flags
        return 0, 0
