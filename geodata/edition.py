"""Which state of a source's file the maps were made from; whether another one is older, and when to take it.

Nothing here looks at a file but `look_at`, and that only at its status.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec


class Edition(msgspec.Struct, frozen=True):
    """A file as it is or was: replaced or written, it is another edition.

    `modified`: nanoseconds. `built`: Unix seconds of the data, if the source says so and it was read.
    """

    path: str
    size: int
    modified: int
    inode: int
    built: int | None = None


def look_at(path: str) -> Edition:
    """The edition that is there now, without the date in it; raises OSError."""
    status = Path(path).stat()
    return Edition(path, status.st_size, status.st_mtime_ns, status.st_ino)


def describe_older(editions: Iterable[Edition], in_use: Iterable[Edition]) -> Iterator[str]:
    """A line for each edition that is older than the one of the same file in use, with both dates."""
    built = {edition.path: edition.built for edition in in_use}
    for edition in editions:
        before = built.get(edition.path)
        if edition.built is not None and before is not None and edition.built < before:
            yield f"{edition.path}: built {_date(edition.built)}, older than the one in use, built {_date(before)}"


class EditionWatch:
    """Says when files that were replaced are to be read: when they have been the same for one look, and once.

    A copy over a file takes its time, and of several files one is replaced after the other.
    """

    def __init__(self) -> None:
        self._last: tuple[Edition | None, ...] = ()
        self._tried: tuple[Edition | None, ...] = ()

    def is_due(self, seen: tuple[Edition | None, ...], in_use: tuple[Edition, ...]) -> bool:
        """Whether to read the files `seen` now (None: not there), if these are in use."""
        settled = seen == self._last
        self._last = seen
        used = tuple(msgspec.structs.replace(edition, built=None) for edition in in_use)
        if not settled or seen in (used, self._tried):
            return False
        self._tried = seen
        return True


def _date(built: int) -> str:
    return f"{datetime.fromtimestamp(built, UTC):%Y-%m-%d %H:%M} UTC"
