"""TOML of our tables (toml.io, version 1.0): as a person would write a configuration. Pure.

A Table is a table under its header, a list of them an array of tables; any other dict is inline where it fits on a
line, else a table, too. Every table begins with its plain keys, as those that follow a header belong to it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from monitors.monitor import one_line
from steering.imports.source import Table

WIDTH = 120
COMMENT = 1000
"""The longest comment, in characters."""


def write_toml(content: Table) -> str:
    """The text of a document: texts, numbers, truth values, and lists and dicts of these; raises TypeError."""
    return "\n".join(_write_table(content, ())).lstrip("\n") + "\n"


def write_comment(text: str) -> str:
    """Text as one line of comment."""
    return "# " + one_line(text, COMMENT)


def _write_table(table: Mapping[str, object], path: tuple[str, ...]) -> Iterator[str]:
    below: list[tuple[str, Any]] = []
    for name, value in table.items():
        if _is_tables(value) or isinstance(value, Table):
            below.append((name, value))
            continue
        line = f"{_write_key(name)} = {_write_value(value)}"
        if len(line) <= WIDTH:
            yield line
        elif isinstance(value, list):
            yield f"{_write_key(name)} = ["
            yield from (f"    {_write_value(item)}," for item in value)
            yield "]"
        elif isinstance(value, dict):
            below.append((name, value))
        else:
            yield line
    for name, value in below:
        here = (*path, name)
        header = ".".join(map(_write_key, here))
        for each in value if isinstance(value, list) else [value]:
            if not path:
                yield ""
            if isinstance(each, Table) and each.comment:
                yield write_comment(each.comment)
            yield f"[[{header}]]" if isinstance(value, list) else f"[{header}]"
            yield from _write_table(each, here)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Table) for item in value)


def _write_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _write_text(name)


def _write_value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _write_text(value)
        case list():
            return f"[{', '.join(map(_write_value, value))}]"
        case dict():
            return "{ " + ", ".join(f"{_write_key(name)} = {_write_value(item)}" for name, item in value.items()) + " }"
        case _:
            raise TypeError(f"{type(value)} has no place in a configuration")


def _write_text(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, which has one character more to escape."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
