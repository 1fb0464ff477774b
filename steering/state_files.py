"""What control keeps in the state directory for the one that comes after it, and how it is read again.

None of it is needed for a start: what cannot be read does not count, and the log says why.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from geodata.edition import Edition
from steering.files import replace_file
from steering.health.keeper import KeptHealth
from steering.health.overrides import Override
from steering.messages import MapFile
from steering.settings import Settings
from steering.zones.load import LoadReport
from steering.zones.tsig import Key

RUNNING_FILE = "running.msgpack"
OVERRIDES_FILE = "overrides.json"
HEALTH_FILE = "health.msgpack"
NOTIFY_FOLDER = "notify"
"""What notifiers remember, and what they have still to deliver (monitors/notify/spool.py)."""

Kept = TypeVar("Kept")

logger = logging.getLogger("waypost.control")


class Running(msgspec.Struct, frozen=True):
    """The configuration that is in force."""

    settings: Settings
    maps: tuple[MapFile, ...]
    zones: tuple[LoadReport, ...]
    cookie_secrets: tuple[bytes, ...]
    since: float
    """Unix seconds."""
    editions: tuple[Edition, ...] = ()
    """Of the files that the maps are made from."""
    keys: tuple[Key, ...] = ()
    """Of TSIG."""


def write_running(running: Running) -> None:
    """Keep what is in force; a disk that is full costs a restarted control its memory, and nobody an answer."""
    try:
        replace_file(Path(running.settings.server.state) / RUNNING_FILE, msgspec.msgpack.encode(running))
    except OSError as error:
        trouble = "the configuration in force could not be kept for a restart of control: %s"
        logger.error(trouble, error)  # noqa: TRY400 - a full disk is no fault of ours


def read_running(state: Path) -> Running | None:
    """What was in force; None if nothing was, or, with the reason in the log, if that cannot be read."""
    decode = msgspec.msgpack.Decoder(Running).decode
    return _read_kept(state / RUNNING_FILE, decode, "what was in force before cannot be read; it does not count")


def write_overrides(state: Path, overrides: tuple[Override, ...]) -> None:
    """Keep what people have ordered; raises OSError."""
    replace_file(state / OVERRIDES_FILE, msgspec.json.format(msgspec.json.encode(overrides)), durable=True)


def read_overrides(state: Path) -> tuple[Override, ...]:
    """What people have ordered; nothing, with the reason in the log, if that cannot be read."""
    decode = msgspec.json.Decoder(tuple[Override, ...]).decode
    return _read_kept(state / OVERRIDES_FILE, decode, "the overrides cannot be read; none is in force") or ()


def write_rows(state: Path, kept: KeptHealth) -> None:
    """Keep the rows; a disk that is full costs a restart its memory, and nobody a state."""
    try:
        replace_file(state / HEALTH_FILE, msgspec.msgpack.encode(kept))
    except OSError as error:
        logger.error("the states could not be kept for a restart: %s", error)  # noqa: TRY400 - again each few seconds


def read_rows(state: Path) -> KeptHealth | None:
    """The rows of before a restart; None if there are none, or, with the reason in the log, if they cannot be read."""
    decode = msgspec.msgpack.Decoder(KeptHealth).decode
    trouble = "the states of before the restart cannot be read; they do not count"
    return _read_kept(state / HEALTH_FILE, decode, trouble)


def _read_kept(path: Path, decode: Callable[[bytes], Kept], trouble: str) -> Kept | None:
    """What a file of the state directory has; None if there is none, or, with `trouble` in the log, if it is no use."""
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        logger.exception("%s", trouble)
        return None
