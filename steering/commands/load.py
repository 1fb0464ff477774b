"""waypost load CONFIG POOL FIGURE: tell how much a pool has to do now."""

import argparse
import math

from steering.commands.command import GOOD, Command, UsageError, add_config, ask_running
from steering.problems import did_you_mean
from steering.settings_file import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("figure", metavar="FIGURE", type=float, help="in the unit of the pool's watermarks")


def run(arguments: argparse.Namespace) -> int:
    """waypost load CONFIG POOL FIGURE"""
    settings = load_settings(arguments.config)
    pools = {pool.name: pool for pool in settings.pools}
    if arguments.pool not in pools:
        raise UsageError(f"no pool is called {arguments.pool!r}" + did_you_mean(arguments.pool, pools))
    if pools[arguments.pool].load_shedding.high_watermark is None:
        raise UsageError(f"pool {arguments.pool} has no watermarks: its load means nothing")
    if not 0 <= arguments.figure < math.inf:
        raise UsageError("expected a figure of at least 0")
    ask_running(settings, {"command": "load", "pool": arguments.pool, "figure": arguments.figure})
    return GOOD


COMMAND = Command(
    "Tell the running waypost how much a pool has to do: it sheds between its watermarks.", add_arguments, run
)
