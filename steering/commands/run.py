"""waypost run CONFIG: probe and answer."""

import argparse
import functools
import logging
import sys
from pathlib import Path

from steering.commands.command import BAD, Command, UsageError, add_config
from steering.control import run_control
from steering.log import start_log
from steering.settings import load_settings
from steering.supervisor import supervise
from steering.worker import run_worker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    parser.add_argument("--verbose", "-v", action="store_true", help="log more")


def run(arguments: argparse.Namespace) -> int:
    """waypost run CONFIG"""
    settings = load_settings(arguments.config)
    if not settings.server.listen:
        raise UsageError(f"{arguments.config}: server.listen: missing; `waypost probe` does without")
    start_log(sys.stderr, logging.DEBUG if arguments.verbose else logging.INFO)
    listen = [
        (host.strip("[]"), int(port)) for host, _, port in (each.rpartition(":") for each in settings.server.listen)
    ]
    state = Path(settings.server.state)
    try:
        return supervise(
            listen,
            settings.server.workers,
            state,
            functools.partial(run_control, arguments.config, settings, True),
            functools.partial(run_worker, state),
        )
    except OSError as error:  # of the state directory
        print(f"{error.filename or state}: {error.strerror}", file=sys.stderr)
        return BAD


COMMAND = Command("Probe and answer, until SIGTERM or Ctrl-C; SIGHUP reloads, all or nothing.", add_arguments, run)
