"""The kinds of source: one file each, a function path → Source that raises GeoError.

Those whose files say when their data was built have one more that reads this alone; those whose files may be large, one
that reads what they say about a single network.
"""

from collections.abc import Callable
from pathlib import Path

from geodata.ranges import Network
from geodata.source import Source
from geodata.sources.country import read_country
from geodata.sources.maxmind import read_built, read_maxmind, read_maxmind_part
from geodata.sources.networks import read_networks

SOURCES: dict[str, Callable[[Path], Source]] = {
    "maxmind": read_maxmind,
    "networks": read_networks,
    "country": read_country,
}

BUILT: dict[str, Callable[[Path], int | None]] = {"maxmind": read_built}

PARTS: dict[str, Callable[[Path, Network], Source]] = {"maxmind": read_maxmind_part}
