"""The spool: a directory in which messages and the memory of one notifier survive a restart.

One file for each message, `000000000001.json`, and `grouping.json`. Every file appears whole or not at all, and is
on the disk when `put` or `keep` returns. What cannot be read is set aside as `NAME.damaged` and logged, and nothing
ends because of it. The functions block, so they are called in a thread; one notifier uses a directory at a time.
"""

import contextlib
import logging
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from monitors.notify.event import Message
from monitors.notify.grouping import Grouping

DAMAGED_FILES = 20
"""As many are kept for people to look at, the newest."""
LARGEST_FILE = 64 * 1024 * 1024
"""Bytes; what is larger is damaged."""

GROUPING_FILE = "grouping.json"

T = TypeVar("T")

logger = logging.getLogger("waypost.notify")


class Spool:
    """Nothing is read or written before the first method is called. Every method may raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._last = 0

    def load(self) -> tuple[Grouping, list[tuple[Path, Message]]]:
        """What was kept: the grouping, and the messages, the oldest first. Makes the directory if there is none."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._directory.glob("*.new"):
            path.unlink()
        messages = []
        for path in sorted(self._directory.glob("*.json")):
            if path.name == GROUPING_FILE:
                continue
            if path.stem.isascii() and path.stem.isdigit():
                self._last = max(self._last, int(path.stem))
            message = self._read(path, Message)
            if message is not None:
                messages.append((path, message))
        grouping = self._read(self._directory / GROUPING_FILE, Grouping)
        return grouping or Grouping(), messages

    def put(self, message: Message) -> Path:
        """Keep a message until its file is removed."""
        self._last += 1
        path = self._directory / f"{self._last:012}.json"
        self._write(path, msgspec.json.encode(message))
        return path

    def remove(self, path: Path) -> None:
        """Forget a message; it may be gone already."""
        path.unlink(missing_ok=True)

    def keep(self, grouping: Grouping) -> None:
        """Keep the grouping instead of the one before."""
        self._write(self._directory / GROUPING_FILE, msgspec.json.encode(grouping))

    def _read(self, path: Path, kind: type[T]) -> T | None:
        """None, if there is none or it is damaged."""
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST_FILE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._set_aside(path, error.strerror or "")
            return None
        if len(content) > LARGEST_FILE:
            self._set_aside(path, "it is too large")
            return None
        try:
            return _decode_untrusted(content, kind)
        except msgspec.DecodeError as error:
            self._set_aside(path, str(error))
            return None

    def _set_aside(self, path: Path, why: str) -> None:
        logger.error("%s cannot be read and is set aside: %s", path, why)
        path.replace(path.with_name(f"{path.name}.damaged"))
        damaged = sorted(self._directory.glob("*.damaged"), key=lambda old: old.lstat().st_mtime)
        for old in damaged[:-DAMAGED_FILES]:
            with contextlib.suppress(IsADirectoryError):
                old.unlink()

    def _write(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f"{path.name}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _decode_untrusted(content: bytes, kind: type[T]) -> T:
    """msgspec.DecodeError for whatever is not such a value."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
