"""What the commands share: their shape, exit statuses, arguments, and how they print."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.text import Text

from steering.messages import Status
from steering.serve.control_socket import ControlError, Message, ask_control
from steering.settings import Settings

GOOD, BAD, USAGE = 0, 1, 2
PIPE_WIDTH = 500
"""Columns of a table that no terminal shows."""


class Command(NamedTuple):
    """A command of waypost; its name is that of its file."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    """Returns the exit status: 0 good, 1 the thing asked about is not good, 2 usage."""


class UsageError(Exception):
    """A command line that makes no sense; the text says why."""


def add_config(parser: argparse.ArgumentParser) -> None:
    """The argument that nearly every command begins with."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="the configuration, a TOML file")


def add_json(parser: argparse.ArgumentParser) -> None:
    """For who reads the output with a program."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def checked(parse: Callable[[str], str]) -> Callable[[str], str]:
    """A function that raises ValueError, as one that argparse understands."""

    def convert(text: str) -> str:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def print_json(value: object) -> None:
    """A value as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value)).decode())


def open_console() -> Console:
    """For text that came from elsewhere, which is no markup; in a pipe a line stays a line."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


STATE_STYLES = {"up": "green", "down": "bold red"}


def state_text(word: str) -> Text:
    """The state of an origin or a pool, in its colour."""
    return Text(word, STATE_STYLES.get(word, "dim"))


def ask_running(settings: Settings, request: Message) -> Message:
    """Ask the waypost that runs with this configuration; raises ControlError, also for what it refuses."""
    reply = ask_control(Path(settings.server.state), request)
    if "error" in reply:
        raise ControlError(str(reply["error"]))
    return reply


def ask_status(settings: Settings) -> Status:
    """What the running waypost sees; raises ControlError."""
    try:
        return msgspec.convert(ask_running(settings, {"command": "status"}), Status)
    except msgspec.ValidationError as error:
        raise ControlError(f"the running waypost is of another version: {error}") from error
