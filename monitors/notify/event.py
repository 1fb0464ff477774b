"""What happened to an origin, a pool or the checker, as people are told: Event; and Message, what one delivery says.

Rules for this file: values only. No clock, no socket, no logging. Text in an Event may come from the network; it
becomes one printable line of bounded length when the Event is made, also when it is read back from a disk.
"""

from typing import Annotated, Literal

import msgspec

from monitors.monitor import one_line

News = Literal["down", "up", "held", "resumed", "flapping", "steady", "forced", "freed", "warning", "cleared"]
"""What can be told. It goes in pairs: the first begins a condition, the second ends it."""

Kind = Literal[News, "removed"]
"""`removed`: no longer watched. It ends every condition, and is not told itself."""

ENDS: dict[str, str] = {
    "up": "down",
    "resumed": "held",
    "steady": "flapping",
    "freed": "forced",
    "cleared": "warning",
}
"""What ends a condition → what began it."""

UnixTime = Annotated[float, msgspec.Meta(ge=0, le=253_000_000_000)]
"""Unix seconds, up to the year 9987."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One change. Without an `origin` it is about the whole pool, without a `pool` about the checker itself.

    `held`: results no longer change states, as the checker itself seems broken; `flapping`: kept down until it is
    steady; `forced`: an operator's word counts; `warning`: up, but `evidence` says what will go wrong.
    """

    kind: Kind
    since: UnixTime
    """When it became so."""
    pool: str = ""
    origin: str = ""
    address: str = ""
    monitor: str = ""
    up: bool = False
    """Whether traffic may be sent there now."""
    reason: str = ""
    """In a few words; of `forced` the operator's, with who and until when in `evidence`."""
    evidence: str = ""
    """What was seen."""
    lasted: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Seconds that the condition had lasted which this ends; filled in by `group`."""
    reminder: bool = False
    """Told before, and still so; filled in by `group`."""

    def __post_init__(self) -> None:
        for name in ("pool", "origin", "address", "monitor"):
            msgspec.structs.force_setattr(self, name, one_line(getattr(self, name), 255))
        for name in ("reason", "evidence"):
            msgspec.structs.force_setattr(self, name, one_line(getattr(self, name)))


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What one delivery says, whatever the kind of notifier."""

    identifier: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z-]{1,64}\Z")]
    """The same at every attempt: a receiver that is told twice can know."""
    notifier: str
    made: UnixTime
    events: Annotated[tuple[Event, ...], msgspec.Meta(min_length=1)]
    """In the order in which they happened, reminders last."""
    omitted: dict[str, int] = {}
    """How many events found no room in `events`, by their label."""
    dropped: int = 0
    """Events lost since the last message because too many came at once."""
    given_up: int = 0
    """Messages lost since the last one because they could not be delivered."""


def label(event: Event) -> str:
    """What kind of news it is, in a word or two: "down", "still down"."""
    return f"still {event.kind}" if event.reminder else event.kind


def subject(event: Event) -> str:
    """What it is about: "mail-paris/mx1", "pool mail-paris", "the checker"."""
    if event.origin:
        return f"{event.pool}/{event.origin}"
    return f"pool {event.pool}" if event.pool else "the checker"
