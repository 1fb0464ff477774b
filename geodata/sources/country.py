"""The country data that waypost ships with, used when no source is configured.

"IP Geolocation by DB-IP" (https://db-ip.com), CC BY 4.0; see NOTICE beside the data. `geodata.data.build`
makes the file: the columns of a Source in a block (geodata.mapfile), compressed with LZMA.
"""

import lzma
from array import array
from functools import lru_cache
from pathlib import Path

import msgspec

from geodata.edition import Edition, look_at
from geodata.errors import GeoError
from geodata.mapfile import pack, unpack
from geodata.place import Place
from geodata.ranges import Ranges
from geodata.source import Source

COUNTRY_FILE = Path(__file__).parents[1] / "data" / "country.xz"
_KIND = "country"
# Most of the content are 4-byte numbers: contexts by position in the word instead of by the byte before.
_FILTERS = ({"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 2, "pb": 2},)


class _About(msgspec.Struct, frozen=True):
    name: str
    built: int | None
    countries: tuple[str | None, ...]


def read_country(path: Path = COUNTRY_FILE) -> Source:
    """What the file says. It is kept for the next time: unpacking it takes longer than most of what it is asked for."""
    try:
        return _read(look_at(str(path)))
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise GeoError(f"{path}: cannot be read: {error}") from error


@lru_cache(maxsize=1)
def _read(edition: Edition) -> Source:
    path = edition.path
    packed = lzma.decompress(Path(path).read_bytes())
    columns = unpack(_KIND, packed, path)
    about = msgspec.json.decode(bytes(columns["about"]), type=_About)
    return Source(
        name=about.name,
        places=tuple(Place(country=country) for country in about.countries),
        ipv4=Ranges(32, (columns["start4"],), columns["country4"]),
        ipv6=Ranges(128, (columns["high6"], columns["low6"]), columns["country6"]),
        built=about.built,
    )


def pack_country(source: Source) -> bytes:
    """The countries of a source as the content of the file: equal sources give equal bytes."""
    about = _About(source.name, source.built, tuple(place.country for place in source.places))
    high, low = source.ipv6.columns
    packed = pack(
        _KIND,
        {
            "about": array("B", msgspec.json.encode(about)),
            "start4": source.ipv4.columns[0],
            "country4": array("H", source.ipv4.ids),
            "high6": high,
            "low6": low,
            "country6": array("H", source.ipv6.ids),
        },
    )
    return lzma.compress(packed, check=lzma.CHECK_NONE, filters=_FILTERS)
