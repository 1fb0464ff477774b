"""waypost import SOURCE FILE…: a configuration made of what others have, and what could not be carried over.

The name of the file ends with an underscore because that of the command is a keyword of Python.
"""

import argparse
import sys
from pathlib import Path

from steering.commands.command import BAD, GOOD, Command, UsageError, add_json, print_json
from steering.imports import SOURCES, import_files
from steering.imports.source import File, SourceError

MOST_BYTES = 64 * 2**20
"""Of a file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    summaries = " ".join(f"{name}: {source.summary}" for name, source in SOURCES.items())
    parser.add_argument("source", choices=list(SOURCES), metavar="SOURCE", help=summaries)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the configuration to write; must not exist")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """waypost import SOURCE FILE…"""
    try:
        imported = import_files(arguments.source, [_read_file(path) for path in arguments.files])
    except SourceError as error:
        raise UsageError(str(error)) from error
    if arguments.output:
        _write_file(arguments.output, imported.configuration)
    if arguments.json:
        print_json(imported)
    else:
        for text in imported.to_set:
            print(f"to be set: {text}", file=sys.stderr)
        for left_out in imported.left_out:
            print(f"not carried over: {left_out}", file=sys.stderr)
        if arguments.output:
            made = ", ".join(f"{name} {count}" for name, count in imported.counts.items())
            print(f"{arguments.output}: {made}; {len(imported.left_out)} fields not carried over")
        else:
            print(imported.configuration, end="")
    return BAD if imported.left_out else GOOD


def _read_file(path: Path) -> File:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"{path}: has more than {MOST_BYTES} bytes")
    return File(str(path), content)


def _write_file(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


COMMAND = Command(
    "Make a configuration of what others have, that `waypost check` takes. What could not be carried over is listed"
    " field by field; exit status 1 if there is any.",
    add_arguments,
    run,
)
