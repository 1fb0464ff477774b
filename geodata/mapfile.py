"""Columns of numbers in one block of bytes that can be used where it lies, in memory or in a mapped file.

Layout, little-endian: the magic with the version (8 bytes), a BLAKE2b-128 of all that follows it (16 bytes),
the length of the header (8 bytes), the header (JSON: kind and columns), then the columns, each starting at a
multiple of 8. The same values always give the same bytes, so the digest names the content.
"""

import contextlib
import mmap
import os
import sys
import tempfile
from array import array
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import msgspec

from geodata.errors import GeoError
from geodata.ranges import Column

_MAGIC = b"waypost\x01"
_DIGEST = slice(8, 24)
_CONTENT = 24


class _Header(msgspec.Struct, frozen=True):
    kind: str
    columns: tuple[tuple[str, str, int], ...]  # name, type code, number of items


def pack(kind: str, columns: Mapping[str, Column]) -> bytes:
    """The columns of a map of this kind as bytes."""
    described = tuple((name, _typecode(column), len(column)) for name, column in columns.items())
    header = msgspec.json.encode(_Header(kind, described))
    parts: list[Column | bytes] = [len(header).to_bytes(8, "little"), _padded(header)]
    for column in columns.values():
        items = column
        if sys.byteorder == "big":
            items = array(_typecode(column), column)
            items.byteswap()
        size = len(items) * items.itemsize
        parts += (items, bytes(_rounded(size) - size))
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return b"".join((_MAGIC, digest.digest(), *parts))  # the only copy: columns may be large


def unpack(kind: str, packed: bytes | mmap.mmap, name: str) -> dict[str, Column]:
    """The columns of a map as views of the bytes, which are copied on big-endian machines alone.

    Raises GeoError with `name` in it if a byte is not as it was written, or if the map is of another kind or
    version.
    """
    view = memoryview(packed)
    if view[:8] != _MAGIC:
        raise GeoError(f"{name}: not a map of this version")
    if blake2b(view[_CONTENT:], digest_size=16).digest() != view[_DIGEST]:
        raise GeoError(f"{name}: damaged: the checksum does not match")
    position = _CONTENT + 8
    length = int.from_bytes(view[_CONTENT:position], "little")
    header = msgspec.json.decode(view[position : position + length], type=_Header)
    if header.kind != kind:
        raise GeoError(f"{name}: a map of {header.kind}, not of {kind}")
    position += _rounded(length)
    columns: dict[str, Column] = {}
    for column, typecode, count in header.columns:
        size = count * array(typecode).itemsize
        items = view[position : position + size]
        if sys.byteorder == "big":
            copy = array(typecode, items.tobytes())
            copy.byteswap()
            columns[column] = copy
        else:
            # The type code is known at run time only.
            columns[column] = items.cast(typecode)  # type: ignore[call-overload]
        position += _rounded(size)
    return columns


def digest_of(packed: bytes | mmap.mmap) -> str:
    """The digest of a map as hexadecimal text: equal for equal content, usable in a file name."""
    return packed[_DIGEST].hex()


def write_atomically(path: Path, packed: bytes | mmap.mmap) -> None:
    """Put the bytes at `path`: whoever opens it finds the old file or the whole new one, always."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def map_file(path: Path) -> mmap.mmap:
    """The file, mapped for reading. GeoError if it cannot be."""
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise GeoError(f"{path}: cannot be mapped: {error}") from error


def _typecode(column: Column) -> str:
    return column.typecode if isinstance(column, array) else column.format


def _rounded(size: int) -> int:
    return -(-size // 8) * 8


def _padded(data: bytes) -> bytes:
    return data.ljust(_rounded(len(data)), b"\0")
