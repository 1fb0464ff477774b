"""waypost force CONFIG [ORIGIN up|down | ORIGIN --clear]: overrule the checks of origins, and see who has."""

import argparse

from steering.commands.command import (
    GOOD,
    Command,
    UsageError,
    add_config,
    add_order,
    ask_status,
    list_overrides,
    open_console,
    order_origins,
    print_json,
)
from steering.settings_file import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    parser.add_argument(
        "origin", nargs="?", metavar="ORIGIN", help='"origin" or "pool/origin"; * and ? stand for anything'
    )
    parser.add_argument("state", nargs="?", choices=("up", "down"), help="what it is to be")
    add_order(parser)


def run(arguments: argparse.Namespace) -> int:
    """waypost force CONFIG"""
    settings = load_settings(arguments.config)
    if arguments.origin is not None:
        if arguments.state is None and not arguments.clear:
            raise UsageError("expected up or down, or --clear")
        return order_origins(settings, arguments, arguments.origin, arguments.state or "")
    if arguments.clear:
        raise UsageError("--clear what? '*' means all")
    overrides = ask_status(settings).overrides
    if arguments.json:
        print_json(overrides)
    else:
        console = open_console()
        for line in list_overrides(overrides):
            console.print(line)
        if not overrides:
            console.print("nothing is ordered")
    return GOOD


COMMAND = Command(
    "Overrule the checks: origins that match ORIGIN count as up or down, until a time or until it is cleared."
    " Without ORIGIN, list what is ordered at present.",
    add_arguments,
    run,
)
