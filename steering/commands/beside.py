"""waypost beside [NAME] [CONFIG]: the configuration of another DNS server and of waypost beside it."""

import argparse
import base64
import secrets
from pathlib import Path

from steering.beside.ways import WAYS, options_of, render
from steering.commands.command import GOOD, Command, UsageError, print_json
from steering.problems import did_you_mean
from steering.settings_file import load_settings
from steering.values import parse_listen, parse_name
from steering.wire import name_to_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    parser.add_argument("way", nargs="?", metavar="NAME", help="one of the ways; without it they are listed")
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="where your zone and address are from")
    parser.add_argument("--zone", metavar="NAME", help="the zone whose names are steered")
    parser.add_argument("--waypost", metavar="ADDRESS:PORT", help="where waypost is")
    parser.add_argument("--server", metavar="ADDRESS:PORT", help="where the other server is")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """waypost beside [NAME] [CONFIG]"""
    if arguments.way is None:
        if arguments.json:
            print_json({name: way.summary for name, way in WAYS.items()})
        else:
            for name, way in WAYS.items():
                print(f"{name:<16} {way.summary}")
        return GOOD
    if arguments.way not in WAYS:
        raise UsageError(f"{arguments.way}: no such way{did_you_mean(arguments.way, WAYS)}")
    way = WAYS[arguments.way]
    values = (values_of(arguments.config) if arguments.config else {}) | given(arguments)
    # What is printed is used: never with the secret that everybody has.
    values["secret"] = base64.b64encode(secrets.token_bytes(32)).decode()
    files = dict(render(way, arguments.way, values))
    if arguments.json:
        print_json(files)
        return GOOD
    missing = [f"--{option}" for option in options_of(way) if option not in values]
    if missing:
        print(f"# Names and addresses of the example; for your own: {', '.join(missing)}")
    for file, content in files.items():
        print(f"\n# ======== {file}\n{content}", end="")
    return GOOD


def values_of(config: Path) -> dict[str, str]:
    """What a configuration says of one's own names and addresses."""
    settings = load_settings(config)
    values = {}
    zones = [*(zone.name for zone in settings.zones), *(update.zone for update in settings.updates)]
    if zones:
        values["zone"] = _spell(zones[0])
    # Nobody can send to all addresses of a machine.
    if own := [each for each in settings.server.listen if not each.startswith(("0.0.0.0:", "[::]:"))]:
        values["waypost"] = own[0]
    return values


def given(arguments: argparse.Namespace) -> dict[str, str]:
    """What the command line says of them; UsageError."""
    values = {}
    for option, parse in (("zone", _canonical), ("waypost", parse_listen), ("server", parse_listen)):
        if (text := getattr(arguments, option)) is not None:
            try:
                values[option] = parse(text)
            except ValueError as error:
                raise UsageError(f"--{option} {text}: {error}") from None
    return values


def _canonical(name: str) -> str:
    return _spell(parse_name(name))


def _spell(name: bytes) -> str:
    return name_to_text(name).removesuffix(".")


COMMAND = Command("Print how to run waypost beside another DNS server: the configuration of both.", add_arguments, run)
