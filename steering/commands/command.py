"""What the commands share: their shape, exit statuses, arguments, and how they print."""

import argparse
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.text import Text

from geodata.csvtable import read_rows
from monitors.address import parse_address
from monitors.notify.wording import time_in_words
from steering.messages import OverrideStatus, Status
from steering.offline.answers import Offline
from steering.offline.traffic import scale
from steering.reading import parse_duration
from steering.serve.control_socket import ControlError, Message, ask_control
from steering.settings import Settings
from steering.values import parse_country, parse_listen

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


def add_question(parser: argparse.ArgumentParser) -> None:
    """The name and type that somebody asks for."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("type", metavar="TYPE", nargs="?", default="A")


def add_what_if(group: argparse._ArgumentGroup) -> None:
    """Another health, and other weights, than those that are."""
    origin = "an origin, POOL/ORIGIN, or POOL for all of its origins"
    group.add_argument("--down", action="append", default=[], metavar="ORIGIN", help=f"{origin}; may be repeated")
    group.add_argument("--up", action="append", default=[], metavar="ORIGIN", help="the same")
    group.add_argument(
        "--weight",
        action="append",
        default=[],
        metavar="ORIGIN=WEIGHT",
        type=parse_weight,
        help="another weight, from 0 to 1",
    )


def parse_weight(text: str) -> tuple[str, float]:
    """ "ORIGIN=WEIGHT"; raises argparse's error."""
    name, _, number = text.partition("=")
    try:
        weight = float(number)
    except ValueError:
        weight = -1.0
    if not (name and 0 <= weight <= 1):
        raise argparse.ArgumentTypeError(f"{text!r}: expected ORIGIN=WEIGHT, a weight from 0 to 1")
    return name, weight


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


def moment(text: str) -> float:
    """Unix seconds from "2026-12-01T22:00:00Z" (ISO 8601, with its offset), for argparse."""
    try:
        time: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise argparse.ArgumentTypeError("expected a date and time with its offset, like 2026-12-01T22:00:00Z")
    return time.timestamp()


def as_number(text: str) -> int:
    """An AS number, for argparse."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 32):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1 to 4294967295")
    return int(text)


def checked(parse: Callable[[str], str]) -> Callable[[str], str]:
    """A function that raises ValueError, as one that argparse understands."""

    def convert(text: str) -> str:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def write_file(path: Path, text: str) -> None:
    """A file in place of what was there; raises UsageError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


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


def list_overrides(overrides: Sequence[OverrideStatus]) -> Iterator[Text]:
    """What is ordered, by whom, why and until when, a line each."""
    for each in overrides:
        line = Text(f"{each.origin} ")
        line.append_text(state_text(each.state))
        line.append(f" {describe_order(each)}")
        if not each.matches:
            line.append(", dormant: no origin is called so", "dim")
        yield line


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


def add_weight_by(parser: argparse.ArgumentParser) -> None:
    """How much of the world's traffic a country is."""
    parser.add_argument(
        "--weight-by",
        default="addresses",
        metavar="addresses|equal|FILE",
        help="the traffic of a country: its part of the known IPv4 addresses (default), the same for all, or what a"
        " CSV file country,traffic says",
    )


def weigh(weight_by: str, world: Offline, countries: Collection[str]) -> dict[str, float]:
    """The part of the world's traffic that each country has; raises GeoError or UsageError."""
    if weight_by == "addresses":
        return world.weights
    if weight_by == "equal":
        return dict.fromkeys(countries, 1 / len(countries))
    weights: dict[str, float] = {}
    for line, row in read_rows(Path(weight_by), ("country", "traffic"), ()):
        try:
            country, traffic = parse_country(row["country"]), float(row["traffic"])
        except ValueError as error:
            raise UsageError(f"{weight_by}:{line}: {error}") from error
        if not 0 <= traffic < math.inf:
            raise UsageError(f"{weight_by}:{line}: {traffic} is no amount of traffic")
        weights[country] = weights.get(country, 0.0) + traffic
    return scale(weights)


def describe_weights(weight_by: str) -> str:
    """What shares are parts of, in words."""
    return {"addresses": "known IPv4 addresses", "equal": "number of countries"}.get(weight_by, weight_by)


def parse_server(text: str) -> tuple[str, int]:
    """Address and port (default 53) of a DNS server: 192.0.2.1, 192.0.2.1:5300, 2001:db8::1, [2001:db8::1]:5300."""
    try:
        return parse_address(text), 53
    except ValueError:
        pass
    try:
        host, _, port = parse_listen(text).rpartition(":")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return host.strip("[]"), int(port)
