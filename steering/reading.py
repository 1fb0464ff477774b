"""Reading: a TOML document into Structs, noting every problem instead of stopping at the first.

The Structs are the rules; nothing here knows which ones they are. What types cannot say, their Meta does:
    extra={"parse": f}       written as text that f turns into a value; f raises ValueError
    extra={"parse_pair": f}  a table of texts; f(name, text) turns each into a pair; f raises ValueError
    extra={"path": True}     a path; a relative one starts at the directory of the file
    extra={"read": f}        f(value, key, document) reads the value whatever it is, and notes problems itself
    extra={"secret": True}   no problem shows the value, or one beside it whose key is unknown; besides the others
    description="..."        what is allowed, in words
A value that cannot be read becomes BAD, and so does every table around it; the rest of the file is read all
the same.
"""

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar, cast

import msgspec
from msgspec.inspect import (
    BoolType,
    DictType,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from steering.problems import Key, did_you_mean, show

BAD: Final = object()
"""Stands for a value that could not be read; its problem has been noted."""

DURATIONS = frozenset(
    {"burst_window", "damping_window", "drain", "duration", "give_up_after", "group_for", "interval", "max_age"}
    | {"maximum_age", "ramp_up", "repeat_every", "timeout", "ttl"}
)
"""Keys whose numbers are seconds and may be written with a unit: "500ms", "60s", "2m", "1h"."""

_PATTERNS = {
    r"^[ -~]{0,255}\Z": "at most 255 printable ASCII characters",
    r"^[A-Za-z0-9_-]+\Z": "a name of letters, digits, _ and -",
    r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\Z": "a host name",
    r"^[A-Za-z0-9][A-Za-z0-9.-]*\Z": "a host name",
    r"^[A-Za-z0-9-]+\Z": "a header name of letters, digits and -",
    r"^[!-~]([ -~]*[!-~])?\Z": "printable ASCII characters, the first and last no space",
    r"^/[!-\"$-~]*\Z": 'a path that begins with "/", of printable ASCII characters without spaces and "#"',
    r"^[!-;=?-~]*\Z": "a mail address, without < and >",
}

StructKind = TypeVar("StructKind", bound=msgspec.Struct)


class Document:
    """A TOML document while it is read: its content, the Structs made of it, and what is wrong with it."""

    def __init__(self, file: Path, content: dict[str, object]) -> None:
        self.directory = file.absolute().parent
        self.content = content
        self.structs: dict[Key, msgspec.Struct] = {}
        self.problems: list[tuple[Key, str]] = []
        self.secrets: set[Key] = set()
        """What stands at these keys, and below them, is nobody's to see."""

    def note(self, key: Key, message: str) -> None:
        """Note a problem with what stands at `key`."""
        self.problems.append((key, message))

    def all(self, kind: type[StructKind]) -> Iterator[tuple[Key, StructKind]]:
        """Every Struct of this kind that could be made, with its key, in the order of the file."""
        return ((key, struct) for key, struct in self.structs.items() if isinstance(struct, kind))

    def tables(self, name: str) -> list[object]:
        """What the document has under [[name]], readable or not."""
        tables = self.content.get(name, [])
        return tables if isinstance(tables, list) else [tables]


Parser = Callable[[str], object]
PairParser = Callable[[str, str], object]
Reader = Callable[[object, Key, Document], object]


def read_document(kind: type[StructKind], document: Document) -> StructKind | None:
    """The whole document as a Struct, or None; `document` has the problems, and the parts that are good."""
    made = _read(_describe(kind), document.content, (), document)
    return made if isinstance(made, kind) else None


_describe = functools.cache(type_info)


def parse_duration(text: str) -> float:
    """Seconds from "500ms", "60s", "2m" or "1h"; raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)", text)
    if match is None:
        raise ValueError('expected a duration: a number of seconds, or text like "500ms", "60s", "2m", "1h"')
    return float(match[1]) * {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}[match[2]] / 1_000


def expected(node: Type) -> str:
    """What a value of this type looks like, in words."""
    match node:
        case Metadata(extra_json_schema={"description": str(words)}):
            return words
        case Metadata(type=inner):
            return expected(inner)
        case UnionType(types=types):
            return expected(next(inner for inner in types if not isinstance(inner, NoneType)))
        case BoolType():
            return "true or false"
        case IntType():
            return "a whole number" + _range_in_words(node)
        case FloatType():
            return "a number" + _range_in_words(node)
        case StrType(pattern=pattern):
            return _PATTERNS.get(pattern, f"text matching {pattern}") if pattern else "text"
        case LiteralType(values=values):
            return "one of " + ", ".join(show(value) for value in values if value != "")
        case VarTupleType(item_type=StructType() | UnionType()):
            return "tables under double brackets, [[...]]"
        case VarTupleType(min_length=least):
            return "a list, not empty" if least else "a list"
        case _:
            return "a table"


def _is_secret(node: Type) -> bool:
    match node:
        case Metadata(extra={"secret": True}):
            return True
        case UnionType(types=types):
            return any(map(_is_secret, types))
        case _:
            return False


def _read(node: Type, value: object, key: Key, document: Document) -> object:
    if _is_secret(node):
        document.secrets.add(key)
    match node:
        case Metadata(extra={"read": reader}):
            return cast(Reader, reader)(value, key, document)
        case Metadata(extra={"parse": parse}):
            return _parse(cast(Parser, parse), expected(node), value, key, document)
        case Metadata(extra={"parse_pair": parse}):
            return _parse_pairs(cast(PairParser, parse), expected(node), value, key, document)
        case Metadata(extra={"path": True}):
            return _read_path(expected(node), value, key, document)
        case Metadata(type=IntType() | FloatType() | StrType() as inner):
            return _read_plain(inner, expected(node), value, key, document)
        case Metadata(type=inner):
            return _read(inner, value, key, document)
        case UnionType(types=types):
            kinds: dict[object, StructType] = {inner.tag: inner for inner in types if isinstance(inner, StructType)}
            if kinds:
                return _read_tagged(kinds, value, key, document)
            return next(_read(inner, value, key, document) for inner in types if not isinstance(inner, NoneType))
        case StructType():
            return _read_struct(node, value, key, document)
        case VarTupleType() if isinstance(value, list) and len(value) >= (node.min_length or 0):
            items = tuple(
                _read(node.item_type, item, (*key, position), document) for position, item in enumerate(value)
            )
            return BAD if any(item is BAD for item in items) else items
        case DictType() if isinstance(value, dict):
            return _read_mapping(node, value, key, document)
        case _:
            return _read_plain(node, expected(node), value, key, document)


def _read_struct(node: StructType, value: object, key: Key, document: Document) -> object:
    has_secrets = any(_is_secret(field.type) for field in node.fields)
    if not isinstance(value, dict):
        document.note(key, f"expected {expected(node)}")
        if has_secrets:
            document.secrets.add(key)
        return BAD
    allowed = [field.encode_name for field in node.fields]
    bad = False
    for name in value:
        if name not in allowed and name != node.tag_field:
            document.note((*key, name), "unknown key" + did_you_mean(name, allowed))
            if has_secrets:
                document.secrets.add((*key, name))  # it can be a secret with its key misspelt
            bad = True
    values: dict[str, object] = {}
    for field in node.fields:
        if field.encode_name in value:
            values[field.name] = _read(field.type, value[field.encode_name], (*key, field.encode_name), document)
        elif field.required:
            document.note((*key, field.encode_name), f"missing; expected {expected(field.type)}")
            bad = True
    if bad or any(item is BAD for item in values.values()):
        return BAD
    document.structs[key] = struct = node.cls(**values)
    return struct


def _read_tagged(kinds: dict[object, StructType], value: object, key: Key, document: Document) -> object:
    """One of several Structs, told apart by a key of the table such as `type`."""
    tag_field = str(next(iter(kinds.values())).tag_field)
    tag = value.get(tag_field) if isinstance(value, dict) else None
    for known, node in kinds.items():
        if tag == known:
            return _read_struct(node, value, key, document)
    allowed = ", ".join(show(known) for known in kinds)
    if not isinstance(value, dict):
        document.note(key, "expected a table")
    elif tag_field not in value:
        document.note((*key, tag_field), f"missing; expected one of {allowed}")
    else:
        document.note((*key, tag_field), f"expected one of {allowed}")
    return BAD


def _read_mapping(node: DictType, value: dict[str, object], key: Key, document: Document) -> object:
    made: dict[object, object] = {}
    bad = False
    for name, item in value.items():
        here = (*key, name)
        made_name = _read(node.key_type, name, here, document)
        made_item = _read(node.value_type, item, here, document)
        if made_name is BAD or made_item is BAD:
            bad = True
        elif made_name in made:
            document.note(here, f"is the same as an earlier key, {show(made_name)}")
            bad = True
        made[made_name] = made_item
    return BAD if bad else made


def _parse(parse: Parser, words: str, value: object, key: Key, document: Document) -> object:
    if not isinstance(value, str):
        document.note(key, f"expected {words}")
        return BAD
    try:
        return parse(value)
    except ValueError as error:
        document.note(key, str(error))
        return BAD


def _parse_pairs(parse: PairParser, words: str, value: object, key: Key, document: Document) -> object:
    """A table of texts as a tuple of pairs, in the order of the file."""
    if not isinstance(value, dict):
        document.note(key, f"expected {words}")
        return BAD
    pairs = [
        _parse(functools.partial(parse, name), "text", item, (*key, name), document) for name, item in value.items()
    ]
    return BAD if any(pair is BAD for pair in pairs) else tuple(pairs)


def _read_path(words: str, value: object, key: Key, document: Document) -> object:
    if not isinstance(value, str) or not value or "\0" in value:
        document.note(key, f"expected {words}")
        return BAD
    return str(document.directory / value)


def _read_plain(node: Type, words: str, value: object, key: Key, document: Document) -> object:
    """A value as TOML has it: nothing to turn it into, only to check."""
    is_duration = key[-1:] and key[-1] in DURATIONS
    if is_duration and isinstance(value, str):
        try:
            seconds = parse_duration(value)
            value = int(seconds) if seconds.is_integer() else seconds
        except ValueError as error:
            document.note(key, str(error))
            return BAD
    match node, value:
        case (BoolType(), bool()):
            return value
        case (IntType(), int()) if _in_range(node, value):
            return value
        case (FloatType(), int() | float()) if _in_range(node, value):
            return float(value)
        case (StrType(), str()) if _matches(node, value):
            return value
        case (LiteralType(values=values), str()) if value in values:
            return value
    unit = ', in seconds or with a unit like "60s"' if is_duration else ""
    document.note(key, f"expected {words}{unit}")
    return BAD


def _in_range(node: IntType | FloatType, value: float) -> bool:
    """Also false for a bool, which Python counts as an integer, and for nan, inf and what exceeds 64 bits."""
    if isinstance(value, bool) or not abs(value) < 2**63:
        return False
    return (node.ge is None or value >= node.ge) and (node.le is None or value <= node.le)


def _range_in_words(node: IntType | FloatType) -> str:
    if node.ge is None:
        return "" if node.le is None else f" of at most {node.le}"
    return f" of at least {node.ge}" if node.le is None else f" from {node.ge} to {node.le}"


def _matches(node: StrType, value: str) -> bool:
    fits = node.max_length is None or len(value) <= node.max_length
    return fits and (node.pattern is None or re.search(node.pattern, value) is not None)
