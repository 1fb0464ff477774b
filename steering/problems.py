"""Problem and SettingsError: what is wrong with a settings file, and where; ConfigurationError: with this machine.

A key is a path into the TOML document, as a tuple: ("pool", 2, "origin", 0, "weight"). Positions count
from 0.
"""

import difflib
import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

Key = tuple[str | int, ...]

SECRET = "(secret)"
"""Shown in the place of a value that is one."""


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong. Line 0 and an empty `path`, `within` or `value` mean that there is none."""

    file: str
    line: int
    path: str
    """Where in the document: `pool[2].origin[0].weight`."""
    within: str
    """The names of the tables on that path: `pool "mail-paris", origin "mx1"`."""
    value: str
    """What stands there, as TOML, shortened."""
    message: str
    """What is allowed instead."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:" if self.line else f"{self.file}:"
        within = f"({self.within})" if self.within else ""
        setting = f"{self.path} = {self.value}" if self.value else self.path
        subject = " ".join(filter(None, (setting, within)))
        return " ".join(filter(None, (place, subject and f"{subject}:", self.message)))


class SettingsError(Exception):
    """A settings file that cannot be used; `problems` has all that is wrong, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class ConfigurationError(Exception):
    """A configuration that cannot be taken on this machine; every problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def locate_problems(
    file: Path, text: str, content: object, found: Iterable[tuple[Key, str]], secrets: Collection[Key] = ()
) -> tuple[Problem, ...]:
    """Problems from keys and messages: with the line, the value and the names that the document has there.

    What stands at or below one of the `secrets` is not shown.
    """
    lines = _lines_of_keys(text)
    problems = []
    for key, message in found:
        problem = _problem(file, lines, content, key, message)
        if problem.value and any(key[:length] in secrets for length in range(1, len(key) + 1)):
            problem = msgspec.structs.replace(problem, value=SECRET)
        problems.append(problem)
    return tuple(sorted(problems, key=lambda problem: problem.line))


def did_you_mean(word: object, known: Collection[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all where they are few."""
    near = []
    if isinstance(word, str) and len(known) <= 1000:  # among more it would take seconds for each word
        near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"; did you mean {show(near[0])}?"
    return f"; known: {', '.join(show_key((name,)) for name in known)}" if 0 < len(known) <= 20 else ""


def show(value: object) -> str:
    """A TOML value on one line of at most 60 characters."""
    if isinstance(value, int) and abs(value) >= 2**63:  # no integer of TOML, and Python may refuse to print it
        return "a very large number"
    if isinstance(value, dict):
        shown = "{...}"
    elif isinstance(value, list):
        shown = "[" + ", ".join("[...]" if isinstance(item, list) else show(item) for item in value[:10]) + "]"
    elif isinstance(value, str):
        shown = json.dumps(value[:100], ensure_ascii=not value.isprintable())
    elif isinstance(value, bool):
        shown = "true" if value else "false"
    else:
        shown = str(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def show_key(key: Key) -> str:
    """The key as people write it: `pool[2].origin[0].weight`."""
    shown = ""
    for step in key:
        if isinstance(step, int):
            shown += f"[{step}]"
        else:
            quoted = step if re.fullmatch(r"[A-Za-z0-9_-]+", step) else json.dumps(step)
            shown += f".{quoted}" if shown else quoted
    return shown


def _problem(file: Path, lines: dict[Key, int], content: object, key: Key, message: str) -> Problem:
    value, table, names = content, "", []
    for step in key:
        if isinstance(value, dict):
            table, value = str(step), value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            value = None
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            names.append(f"{table} {show(value['name'])}")
    within = ", ".join(names)
    shown = "" if value is None or isinstance(value, dict) else show(value)
    line = next((lines[key[:length]] for length in range(len(key), 0, -1) if key[:length] in lines), 0)
    return Problem(str(file), line, show_key(key), within, shown, message)


_HEADER = re.compile(r"\s*(\[\[?)([^\[\]]+)\]\]?\s*(#.*)?")
_ASSIGNMENT = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'|[\s.])+?)\s*=""")
_WORD = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def _lines_of_keys(text: str) -> dict[Key, int]:
    """The line of each table and key, by how lines look; strings of several lines may mislead it."""
    lines: dict[Key, int] = {}
    last: dict[Key, int] = {}  # position of the latest table of each array of tables
    table: Key = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.fullmatch(line.rstrip("\r")):
            words = [word.strip("\"'") for word in _WORD.findall(header[2])]
            table = ()
            for depth, word in enumerate(words, 1):
                table = (*table, word)
                if header[1] == "[[" and depth == len(words):
                    last[table] = last.get(table, -1) + 1
                if table in last:
                    table = (*table, last[table])
            lines.setdefault(table, number)
            lines.setdefault(tuple(words), number)
        elif assignment := _ASSIGNMENT.match(line):
            words = [word.strip("\"'") for word in _WORD.findall(assignment[1])]
            for length in range(1, len(words) + 1):
                lines.setdefault((*table, *words[:length]), number)
    return lines
