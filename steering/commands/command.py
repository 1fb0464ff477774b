"""What the commands share: their shape, exit statuses, arguments, and how they print."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.text import Text

from monitors.notify.wording import time_in_words
from steering.messages import OverrideStatus, Status
from steering.reading import parse_duration
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


def add_order(parser: argparse.ArgumentParser) -> None:
    """How long an order lasts, why, and its end."""
    parser.add_argument("--for", dest="lasts", type=duration, metavar="DURATION", help="how long from now on, like 2h")
    parser.add_argument("--until-cleared", action="store_true", help="instead of --for: without an end")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for everybody who wonders")
    parser.add_argument("--clear", action="store_true", help="end what was ordered")
    add_json(parser)


def duration(text: str) -> float:
    """Seconds from "90s", "10m" or "2h", for argparse."""
    try:
        return parse_duration(text)
    except ValueError:
        raise argparse.ArgumentTypeError('expected a duration like "90s", "10m" or "2h"') from None


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


def order_origins(
    settings: Settings, arguments: argparse.Namespace, pattern: str, state: str, over: float = 0.0
) -> int:
    """Order something for origins, or clear it, by the arguments of `add_order`; raises ControlError, UsageError."""
    ends = (arguments.lasts is not None) + arguments.until_cleared
    if arguments.clear:
        if ends or arguments.reason or over or state in ("up", "down"):
            raise UsageError("--clear goes without anything else")
        state = "clear"
    elif ends != 1:
        raise UsageError("expected either --for DURATION or --until-cleared")
    request: Message = {"command": "force", "origin": pattern, "state": state, "over": over}
    reply = ask_running(settings, {**request, "lasts": arguments.lasts, "reason": arguments.reason})
    if arguments.json:
        print_json(reply)
    else:
        for line in msgspec.convert(reply.get("done", ()), tuple[str, ...]):
            print(line)
    return GOOD


def show_overrides(overrides: Sequence[OverrideStatus], console: Console) -> None:
    """What is ordered, by whom, why and until when."""
    for each in overrides:
        line = Text(f"{each.origin} ")
        line.append_text(state_text(each.state))
        line.append(f" {describe_order(each)}")
        if not each.matches:
            line.append(", dormant: no origin is called so", "dim")
        console.print(line)
    if not overrides:
        console.print("nothing is ordered")


def describe_order(override: OverrideStatus) -> str:
    """Who, until when and why."""
    until = "it is cleared" if override.until is None else time_in_words(override.until)
    return f"by {override.by} until {until}" + (f": {override.reason}" if override.reason else "")


def ask_status(settings: Settings) -> Status:
    """What the running waypost sees; raises ControlError."""
    try:
        return msgspec.convert(ask_running(settings, {"command": "status"}), Status)
    except msgspec.ValidationError as error:
        raise ControlError(f"the running waypost is of another version: {error}") from error
