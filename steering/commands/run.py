"""waypost run CONFIG: probe and answer."""

import argparse
import functools
import logging
import sys
from pathlib import Path

from steering.commands.command import BAD, Command, UsageError, add_config
from steering.control import run_control
from steering.log import start_log
from steering.process import UnixAddress
from steering.settings import Settings
from steering.settings_file import load_settings
from steering.supervisor import supervise
from steering.worker import run_worker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    parser.add_argument("--verbose", "-v", action="store_true", help="log more")


def run(arguments: argparse.Namespace) -> int:
    """waypost run CONFIG"""
    settings = load_settings(arguments.config)
    backend = backend_of(settings)
    if not settings.server.listen and not backend:
        raise UsageError(f"{arguments.config}: server.listen: missing; `waypost probe` does without")
    start_log(sys.stderr, logging.DEBUG if arguments.verbose else logging.INFO)
    listen = [split_listen(each) for each in settings.server.listen]
    state = Path(settings.server.state)
    try:
        return supervise(
            listen,
            settings.server.workers,
            state,
            functools.partial(run_control, arguments.config, settings, True),
            functools.partial(run_worker, state),
            backend,
        )
    except OSError as error:  # of the state directory
        print(f"{error.filename or state}: {error.strerror}", file=sys.stderr)
        return BAD


def backend_of(settings: Settings) -> list[tuple[str, int] | UnixAddress]:
    """Where PowerDNS asks."""
    if settings.powerdns is None:
        return []
    socket, listen = settings.powerdns.socket, settings.powerdns.listen
    addresses: list[tuple[str, int] | UnixAddress] = [] if listen is None else [split_listen(listen)]
    if socket is not None:
        addresses.append(UnixAddress(socket, int(settings.powerdns.mode, 8)))
    return addresses


def split_listen(text: str) -> tuple[str, int]:
    """Host and port of a Listen."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


COMMAND = Command("Probe and answer, until SIGTERM or Ctrl-C; SIGHUP reloads, all or nothing.", add_arguments, run)
