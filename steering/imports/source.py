"""What the sources share: files, the report of what is not carried over, and the reading of foreign tables. Pure.

Nothing may be lost in silence: a source takes the fields of a foreign table out of its Fields one by one, and `close`
reports those that nobody took. What was made goes into Tables, which know where they come from.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec

from monitors.monitor import one_line
from steering.problems import SECRET, Key, show_key

SHOWN = 80
"""The longest value that is shown, in characters."""


class SourceError(Exception):
    """A file that cannot be read as what it should be, or has nothing to carry over; the text names it and says why."""


class File(NamedTuple):
    """A file of the source: its path as it was given, and what is in it."""

    path: str
    content: bytes


class Source(NamedTuple):
    """A way to come from elsewhere; its name is that of its file."""

    summary: str
    carry: "Callable[[Sequence[File], Report], Table]"
    """The configuration, before it is fitted to what the settings allow; raises SourceError."""


class Place(NamedTuple):
    """Where something stands in the source."""

    file: str
    key: Key = ()

    def at(self, *steps: str | int) -> "Place":
        """A place below this one."""
        return Place(self.file, (*self.key, *steps))


class LeftOut(msgspec.Struct, frozen=True):
    """One field that is not carried over, or not as it was."""

    file: str
    path: str
    """Where in the file: `result[0].origins[1].weight`."""
    value: str
    """What stands there, shortened; empty for a whole table."""
    reason: str

    def __str__(self) -> str:
        subject = " = ".join(filter(None, (self.path, self.value)))
        return ": ".join(filter(None, (self.file, subject, self.reason)))


class Report:
    """What became of the source while it is carried over: what is left out, and what a person has to set."""

    def __init__(self) -> None:
        self.left_out: list[LeftOut] = []
        self.to_set: dict[str, None] = {}

    def leave(self, place: Place, value: object, reason: str) -> None:
        """Note what is not carried over."""
        shown = SECRET if value is SECRET else "" if value is None else show_foreign(value)
        self.left_out.append(LeftOut(place.file, one_line(show_key(place.key), 200), shown, one_line(reason, 300)))

    def ask(self, text: str) -> None:
        """Note what no source can know, once."""
        self.to_set[one_line(text, 300)] = None


class Table(dict[str, object]):
    """A table of the configuration: where it comes from, and what is said above it."""

    def __init__(self, place: Place, comment: str = "") -> None:
        super().__init__()
        self.place = place
        self.comment = comment

    def put(self, name: str, value: object, default: object = None) -> None:
        """Set a key, but for a value that is there without saying so."""
        if value is not None and value != default:
            self[name] = value

    def tables(self, name: str) -> "list[Table]":
        """The tables under [[name]], as a list that can be added to."""
        listed = self.setdefault(name, [])
        assert isinstance(listed, list)
        return listed


class Fields:
    """A table of the source while it is read. What is not of the expected type is reported, and counts as not there."""

    def __init__(self, value: object, place: Place, report: Report) -> None:
        self.place = place
        self.report = report
        self._left: dict[str, object] = {}
        if isinstance(value, dict):
            self._left = {str(name): item for name, item in value.items()}
        elif value is not None:
            report.leave(place, value, "expected a table")

    def take(self, name: str) -> object:
        """Whatever stands there; None if nothing does."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str:
        """A text; "" if there is none."""
        value = self.take(name)
        if isinstance(value, str):
            return value
        if value is not None:
            self.report.leave(self.place.at(name), value, "expected text")
        return ""

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.take(name)
        if isinstance(value, bool):
            return value
        if value is not None:
            self.report.leave(self.place.at(name), value, "expected true or false")
        return default

    def number(self, name: str) -> int | float | None:
        """A number; a whole one is an int."""
        value = self.take(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value) if isinstance(value, float) and value.is_integer() else value
        if value is not None:
            self.report.leave(self.place.at(name), value, "expected a number")
        return None

    def texts(self, name: str) -> list[str]:
        """A list of texts, or one alone; each once."""
        value = self.take(name)
        listed = value if isinstance(value, list) else [] if value is None else [value]
        for position, item in enumerate(listed):
            if not isinstance(item, str):
                self.report.leave(self.place.at(name, position), item, "expected text")
        return list(dict.fromkeys(item for item in listed if isinstance(item, str)))

    def table(self, name: str) -> "Fields":
        """A table; an empty one if there is none."""
        return Fields(self.take(name), self.place.at(name), self.report)

    def tables(self, name: str) -> "list[Fields]":
        """A list of tables."""
        value = self.take(name)
        if isinstance(value, list):
            return [Fields(item, self.place.at(name, position), self.report) for position, item in enumerate(value)]
        if value is not None:
            self.report.leave(self.place.at(name), value, "expected a list of tables")
        return []

    def places(self) -> Iterator[tuple[str, Place]]:
        """Every name that nobody has taken, with its place; to be taken by the caller."""
        yield from [(name, self.place.at(name)) for name in self._left]

    def ignore(self, *names: str) -> None:
        """Fields that say nothing about how to answer: identifiers, times."""
        for name in names:
            self.take(name)

    def leave(self, name: str, reason: str, unless: Collection[object] = ()) -> None:
        """A field that cannot be carried over, unless it is empty or asks for what happens anyway."""
        value = self.take(name)
        if not is_empty(value) and value not in list(unless):
            self.report.leave(self.place.at(name), value, reason)

    def close(self) -> None:
        """Report what nobody took."""
        for name in list(self._left):
            self.leave(name, "not known")


class Names:
    """Names that the settings allow, no two of them alike."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def make(self, wanted: str, otherwise: str) -> str:
        """A name as near as can be to what is wanted; `otherwise` if nothing of it can stand in a name."""
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted[:200]).strip("-")[:80] or otherwise
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}-{number}"
        self._taken.add(name)
        return name


def is_empty(value: object) -> bool:
    """Whether a field says nothing: it is not set, or it is an empty text, list or table."""
    return value is None or (isinstance(value, str | list | dict) and not value)


def show_foreign(value: object) -> str:
    """A value of the source on one line, shortened."""
    return one_line(msgspec.json.encode(value).decode(), SHOWN)
