"""The command line: one parser over the table of commands, and the errors that every command may end with."""

import argparse
import sys
from collections.abc import Sequence

from geodata.errors import GeoError
from steering.commands import COMMANDS
from steering.commands.command import BAD, USAGE, Command, UsageError
from steering.offline.answers import OfflineError
from steering.problems import SettingsError
from steering.serve.control_socket import ControlError
from steering.supervisor import ListenError
from steering.zones.load import ZonesError
from steering.zones.store import StoreError

INTERRUPTED = 130
Refusal = (SettingsError, GeoError, ZonesError, StoreError, ListenError, ControlError)
"""What a command cannot go on after; the text of each says what is wrong and where."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line."""
    parsed = make_parser().parse_args(arguments)
    command: Command = parsed.command
    try:
        return command.run(parsed)
    except Refusal as error:
        print(error, file=sys.stderr)
        return BAD
    except (OfflineError, UsageError) as error:
        print(error, file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return BAD


def make_parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    parser = argparse.ArgumentParser(
        prog="waypost", description="DNS answers by the health of your sites and the place of the client."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(name, help=command.summary, description=command.summary)
        subparser.set_defaults(command=command)
        command.add_arguments(subparser)
    return parser
