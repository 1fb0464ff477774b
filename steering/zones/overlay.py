"""What updates (RFC 2136) have made of a zone, RRset by RRset, laid over the records of its source.

So neither a restart nor another edition of the zone file loses an update, and an edit of the file counts for all that
no update has touched. An RRset of an update goes from here when the file says the same: then it is the file's again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from steering.wire import SOA
from steering.zones.update import RRsets
from steering.zones.zonefile import Record, merge_records


class UpdatedRRset(msgspec.Struct, frozen=True, array_like=True):
    """What is served instead of what the source has."""

    ttl: int
    rdatas: tuple[bytes, ...]
    """Empty: the RRset is gone."""
    in_source: bool
    """Whether the source has an RRset there; otherwise nothing has to be kept when it is gone."""


_decode = msgspec.msgpack.Decoder(UpdatedRRset).decode


class Overlay:
    """The RRsets of a zone that are kept."""

    def __init__(self, kept: Mapping[bytes, bytes]) -> None:
        """`kept` is as the store has it: owner and type → UpdatedRRset."""
        self._kept = {_read_key(key): _decode(value) for key, value in kept.items()}
        self._source: dict[tuple[bytes, int], list[Record]] = {}

    def lay_over(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records of the source, but with the RRsets of updates instead of its own."""
        for record in records:
            if self._kept and record[:2] in self._kept:
                self._source.setdefault(record[:2], []).append(record)
            else:
                yield record
        for (owner, rrtype), rrset in self._kept.items():
            for rdata in rrset.rdatas:
                yield owner, rrtype, rrset.ttl, rdata

    def settle(self) -> dict[bytes, bytes | None]:
        """What is to be kept otherwise (None: no more) now that all of the source has gone by."""
        changes: dict[bytes, bytes | None] = {}
        for (owner, rrtype), rrset in self._kept.items():
            ttl, rdatas = merge_records(self._source.get((owner, rrtype), ())).get(rrtype, (0, []))
            if set(rdatas) == set(rrset.rdatas) and (ttl == rrset.ttl or not rdatas):
                changes[_make_key(owner, rrtype)] = None
            elif rrset.in_source != bool(rdatas):
                settled = msgspec.structs.replace(rrset, in_source=bool(rdatas))
                changes[_make_key(owner, rrtype)] = msgspec.msgpack.encode(settled)
        return changes


def note_update(
    owner: bytes, before: RRsets, after: RRsets, read: Callable[[bytes], bytes | None]
) -> dict[bytes, bytes | None]:
    """What is to be kept (None: no more) when an owner changes; `read` has what is kept so far."""
    changes: dict[bytes, bytes | None] = {}
    for rrtype in (before.keys() | after.keys()) - {SOA}:
        if before.get(rrtype) == after.get(rrtype):
            continue
        key = _make_key(owner, rrtype)
        kept = read(key)
        in_source = rrtype in before if kept is None else _decode(kept).in_source
        ttl, rdatas = after.get(rrtype, (0, []))
        rrset = UpdatedRRset(ttl, tuple(rdatas), in_source)
        changes[key] = msgspec.msgpack.encode(rrset) if rdatas or in_source else None
    return changes


def _make_key(owner: bytes, rrtype: int) -> bytes:
    return owner + rrtype.to_bytes(2, "big")


def _read_key(key: bytes) -> tuple[bytes, int]:
    return key[:-2], int.from_bytes(key[-2:], "big")
