"""waypost map CONFIG NAME TYPE -o FILE: a map of the world in the colours of the pools that answer."""

import argparse
from pathlib import Path

from geodata.centres import CENTRES
from geodata.outlines import read_outlines
from steering.commands.command import (
    GOOD,
    Command,
    UsageError,
    add_config,
    add_question,
    add_weight_by,
    add_what_if,
    describe_weights,
    weigh,
    write_file,
)
from steering.offline import answers as offline
from steering.offline.answers import Offline
from steering.offline.traffic import NO_ANSWER, sum_shares
from steering.offline.worldmap import Country, Legend, draw_map
from steering.settings_file import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its grammar."""
    add_config(parser)
    add_question(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the SVG file to write")
    add_what_if(parser.add_argument_group("what is otherwise (default: everything is up)"))
    add_weight_by(parser)


def run(arguments: argparse.Namespace) -> int:
    """waypost map CONFIG NAME TYPE -o FILE"""
    settings = offline.override_weights(load_settings(arguments.config), dict(arguments.weight))
    health = offline.override_health(settings, arguments.down, {}, arguments.up)
    clients = offline.list_places("country", offline.load_regions(settings))
    with offline.open_zones(settings) as zones:
        world = Offline(settings, zones, health)
        traffic = world.traffic(arguments.name, arguments.type, clients)
        weights = weigh(arguments.weight_by, world, clients)
    if not any(each.pools for each in traffic):
        raise UsageError(f"{arguments.name} {arguments.type}: no pool answers that anywhere")
    countries = {each.place: Country(each.pools, each.when_down) for each in traffic}
    legend = [Legend(pool, share) for pool, share in sum_shares(traffic, weights).items() if pool != NO_ANSWER]
    note = f"Shares by {describe_weights(arguments.weight_by)}. Outlines: Natural Earth."
    if all(source.type == "networks" for source in settings.geo):
        note += " Countries: IP Geolocation by DB-IP, db-ip.com."
    drawn = draw_map(f"{arguments.name} {arguments.type}", countries, legend, read_outlines(), CENTRES, note)
    write_file(arguments.output, drawn)
    print(arguments.output)
    return GOOD


COMMAND = Command(
    "Draw a map of the world, coloured by the pool that each country gets: SVG that opens without a network.",
    add_arguments,
    run,
)
