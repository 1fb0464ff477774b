"""Fitting: a configuration that was made of a foreign one, without what the settings refuse. Pure.

The rules are those of the settings alone. What a rule refuses goes, with its message into the report, and the rest is
looked at again: an entry of a list, a key, or the table around it where that would be nothing without the key. So what
comes out is always taken by `waypost check`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steering.imports.source import Place, Report, Table
from steering.problems import SECRET, Key, show_key
from steering.reading import Document
from steering.settings_file import read_settings

WHOLE = {"name", "type", "types", "address"}
"""Keys that make a table what it is: it goes with them."""


def fit(content: Table, report: Report) -> None:
    """Take out of `content` what the settings refuse, and report it."""
    while problems := _find_problems(content):
        targets: dict[Key, None] = {}
        for key, message, is_secret in problems:
            target = _target(content, key)
            targets[target] = None
            place, value = _look(content, key)
            name = "" if target == key else f"{show_key(target)} is left out: "
            report.leave(place, SECRET if is_secret else value, name + message)
        # From the end, so that positions in lists stay true.
        for target in sorted(targets, reverse=True):
            if not any(target[:length] in targets for length in range(1, len(target))):
                _remove(content, target)


def _find_problems(content: Table) -> list[tuple[Key, str, bool]]:
    """Key, message, and whether the value is secret, in the order of the document."""
    document = Document(Path("waypost.toml"), content)
    read_settings(document)
    return [
        (key, message, any(key[:length] in document.secrets for length in range(1, len(key) + 1)))
        for key, message in sorted(document.problems, key=lambda problem: problem[0])
    ]


def _target(content: Table, key: Key) -> Key:
    """What has to go: what stands at the key, or the table around it."""
    holder = _walk(content, key[:-1])[-1]
    is_there = key[-1] in holder if isinstance(holder, dict) else isinstance(holder, list)
    return key if is_there and key[-1] not in WHOLE else key[:-1]


def _look(content: Table, key: Key) -> tuple[Place, object]:
    """Where a key comes from, and its value unless that is a table."""
    values = _walk(content, key)
    depth, table = next(
        (depth, value) for depth, value in reversed(list(enumerate(values))) if isinstance(value, Table)
    )
    value = values[-1] if len(values) > len(key) and not isinstance(values[-1], dict) else None
    return table.place.at(*key[depth:]), value


def _walk(content: Table, key: Sequence[str | int]) -> list[object]:
    """The document and what it has at each step of the key, as far as there is something."""
    values: list[object] = [content]
    for step in key:
        value: Any = values[-1]
        is_there = step in value if isinstance(value, dict) else isinstance(value, list) and int(step) < len(value)
        if not is_there:
            break
        values.append(value[step])
    return values


def _remove(content: Table, key: Key) -> None:
    holder = _walk(content, key[:-1])[-1]
    if isinstance(holder, dict):
        del holder[str(key[-1])]
    elif isinstance(holder, list):
        del holder[int(key[-1])]
