"""What every file for another DNS server has in common: Export, OriginState, and what is said of an item.

Rules for this file: values and pure functions. A kind is a subclass of Export beside its `render`; nothing here knows
the kinds.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from monitors.notify.notifier import Glob
from steering.values import FilePath


class Export(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """A file, or a directory of files, that another server reads. A kind subclasses it with `tag=` its type name."""

    path: FilePath
    pools: Annotated[tuple[Glob, ...], Meta(min_length=1)] = ("*",)
    """The pools of which it tells."""


class OriginState(msgspec.Struct, frozen=True):
    """An origin under the present health, and the names under which other servers know it."""

    pool: str
    origin: str
    addresses: tuple[str, ...]
    """Of its A and AAAA records."""
    aliases: tuple[str, ...]
    """The target of its CNAME record, with the last dot."""
    exchangers: tuple[str, ...]
    """The targets of its MX records, with the last dot."""
    enabled: bool
    """It and its pool are."""
    up: bool | None
    """None: there is no result yet."""
    flip_after: float | None
    """Seconds in which `up` cannot change; None without a monitor or a result."""


class ItemState(msgspec.Struct, frozen=True):
    """What is said of an item (an address or a name): whether it can take traffic, and for how long that holds."""

    up: bool
    flip_after: float | None


def items_of(origins: Iterable[OriginState]) -> Iterator[tuple[str, ItemState]]:
    """Each address and alias once, in the order of the configuration.

    An item is up when every enabled origin that it stands for is up (without a result an origin counts as up), and
    down when none of them is enabled. What it says holds for the shortest time of theirs.
    """
    found: dict[str, list[OriginState]] = {}
    for origin in origins:
        for item in (*origin.addresses, *origin.aliases):
            found.setdefault(item, []).append(origin)
    for item, states in found.items():
        enabled = [state for state in states if state.enabled]
        times = [state.flip_after for state in enabled if state.flip_after is not None]
        yield (
            item,
            ItemState(bool(enabled) and all(state.up is not False for state in enabled), min(times) if times else None),
        )
