"""What every way of telling people has in common: Notifier, DeliveryError, and the back-off between attempts.

Rules for this file: values and pure functions. A kind is a subclass of Notifier beside its delivery; nothing here
knows the kinds.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, get_args

import msgspec
from msgspec import Meta

from monitors.monitor import one_line
from monitors.notify.event import Event, News

Glob = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_*?!\[\]-]+\Z", max_length=255, description='a name or a pattern like "mail-*"')
]
FileName = Annotated[str, Meta(min_length=1, extra={"path": True}, description="the path of a file")]
"""A path; a relative one is made absolute by whoever reads the settings."""

ALL_NEWS: tuple[News, ...] = get_args(News)

FIRST_DELAY, LONGEST_DELAY = 5.0, 300.0
"""Seconds between attempts, before jitter: doubled from the first to the longest."""
LONGEST_WISH = 3600.0
"""The longest wait in seconds that a receiver can ask for."""


class Notifier(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """Whom to tell, and of what: the part that all kinds share. A kind subclasses it with `tag=` its type name.

    `pools` and `origins` choose: an event must match one of each, where it has them. News of `events` is gathered
    for `group_for` seconds from the first on, and told in one message. What is down or held is told again each
    `repeat_every` seconds, if that is set. An attempt may take `timeout` seconds; a message that could not be
    delivered for `give_up_after` seconds is given up.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+\Z", max_length=100)]
    pools: Annotated[tuple[Glob, ...], Meta(min_length=1)] = ("*",)
    origins: Annotated[tuple[Glob, ...], Meta(min_length=1)] = ("*",)
    events: Annotated[tuple[News, ...], Meta(min_length=1)] = ALL_NEWS
    group_for: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    repeat_every: Annotated[float, Meta(ge=60, le=2_592_000)] | None = None
    timeout: Annotated[float, Meta(ge=1, le=300)] = 30.0
    give_up_after: Annotated[float, Meta(ge=60, le=2_592_000)] = 86_400.0

    def problems(self) -> Iterator[tuple[str, str]]:
        """Keys that contradict each other, as (key, what is wrong): what a kind asks of its keys together."""
        yield from ()


def concerns(notifier: Notifier, event: Event) -> bool:
    """Whether the event is about a pool and an origin that the notifier is for."""
    return (not event.pool or any(fnmatchcase(event.pool, glob) for glob in notifier.pools)) and (
        not event.origin or any(fnmatchcase(event.origin, glob) for glob in notifier.origins)
    )


class DeliveryError(Exception):
    """A message was not delivered; the text says why in one printable line.

    `refused`: the receiver is well and will not have this message, whatever may become of others. `retry_after`:
    the seconds that it asks to be left alone.
    """

    def __init__(self, text: str, *, refused: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(one_line(text))
        self.refused = refused
        self.retry_after = min(retry_after, LONGEST_WISH)


def backoff(failures: int, dice: float, retry_after: float = 0.0) -> float:
    """Seconds to wait after so many attempts (1 and more) that failed in a row, `dice` from 0 to 1 being the
    jitter; never less than the receiver asked for."""
    delay = min(FIRST_DELAY * 2.0 ** min(failures - 1, 16), LONGEST_DELAY)
    return max(delay * (0.5 + dice / 2), retry_after)
