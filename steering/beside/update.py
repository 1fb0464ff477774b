"""What every way of writing answers into another DNS server has in common: Update, Change, Target, UpdateError.

Rules for this file: values and types. A kind is a subclass of Update beside its Target; nothing here knows the kinds.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import msgspec

from steering.values import Name, Owner

Rdatas = tuple[bytes, ...]
"""The data of an RRset: each record in canonical form (RFC 4034 section 6.2), sorted. Empty: there is none."""


class Update(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """[[update]]: a zone at another server, into which answers are written.

    A kind subclasses it with `tag=` its name.
    """

    zone: Name
    names: tuple[Owner, ...] = ()
    """The load balancers; without any, all in the zone."""
    on_conflict: Literal["adopt", "stop"] = "adopt"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Keys that contradict each other, as (key, what is wrong)."""
        yield from ()

    @property
    def where(self) -> str:
        """The server, for people; no secret is in it."""
        raise NotImplementedError


class Change(msgspec.Struct, frozen=True):
    """An RRset that is to be another one."""

    owner: bytes
    rrtype: int
    ttl: int
    before: Rdatas
    """What must be there, or else nothing is written."""
    after: Rdatas


class Target(Protocol):
    """A zone at another server. Both methods raise UpdateError."""

    async def read(self, owner: bytes, rrtype: int) -> Rdatas:
        """What is there."""
        ...

    async def write(self, changes: Sequence[Change]) -> bool:
        """Make all changes at once; False, and nothing is written, if something else is there than was before."""
        ...


class UpdateError(Exception):
    """The other server cannot be asked or refuses; the text says why."""
