"""waypost drain CONFIG POOL --over 10m: take the traffic off a pool bit by bit."""

import argparse

from steering.commands.command import Command, UsageError, add_config, add_order, duration, order_origins
from steering.settings_file import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    parser.add_argument("pool", metavar="POOL", help="a pool, or POOL/ORIGIN; * and ? stand for anything")
    parser.add_argument(
        "--over", type=duration, metavar="DURATION", help="how long it takes from all traffic to none, like 10m"
    )
    add_order(parser)


def run(arguments: argparse.Namespace) -> int:
    """waypost drain CONFIG POOL"""
    settings = load_settings(arguments.config)
    if arguments.over is None and not arguments.clear:
        raise UsageError("expected --over, or --clear")
    pattern = arguments.pool if "/" in arguments.pool else f"{arguments.pool}/*"
    return order_origins(settings, arguments, pattern, "drain", arguments.over or 0.0)


COMMAND = Command(
    "Take the traffic off a pool bit by bit; then its origins count as down until a time or until it is cleared.",
    add_arguments,
    run,
)
