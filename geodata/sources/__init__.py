"""The kinds of source: one file each, a function path → Source that raises GeoError."""

from collections.abc import Callable
from pathlib import Path

from geodata.source import Source
from geodata.sources.country import read_country
from geodata.sources.maxmind import read_maxmind
from geodata.sources.networks import read_networks

SOURCES: dict[str, Callable[[Path], Source]] = {
    "maxmind": read_maxmind,
    "networks": read_networks,
    "country": read_country,
}
