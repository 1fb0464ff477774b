"""What the maps of addresses cost: `python -m tests.bench.geodata [DATABASE.mmdb]`.

Prints times, sizes and memory. Without a database: the data that ships.
The classes are five groups of regions and a default.
"""

import random
import resource
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from geodata.classes import ClassMap, PlaceMap, compile_classes, compile_places
from geodata.place import Place
from geodata.ranges import MAPPED_START
from geodata.regions import Regions
from geodata.sources.country import COUNTRY_FILE, read_country
from geodata.sources.maxmind import read_maxmind

T = TypeVar("T")

_CLASSES = {"WEU": 1, "EEU": 1, "ENAM": 2, "WNAM": 2, "NEAS": 3, "SEAS": 3, "SSAM": 4, "NSAM": 4, "OC": 5}


def main(arguments: list[str]) -> None:
    """Print one line for each thing measured."""
    path = Path(arguments[0]) if arguments else COUNTRY_FILE
    source = _timed("read the source", lambda: read_maxmind(path) if arguments else read_country(path))
    regions = _timed("read the regions", Regions.load)
    places = _timed("compile places", lambda: compile_places([source], regions))
    classes = _timed("compile classes", lambda: compile_classes(places, _classify, unknown=0))
    _timed("renumber classes", classes.renumbered)
    _say("most memory so far", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    with tempfile.TemporaryDirectory() as folder:
        for name, made, kind in (("places", places, PlaceMap), ("classes", classes, ClassMap)):
            file = Path(folder) / name
            _timed(f"write {name}", partial(made.write, file))
            opened = _timed(f"open {name}", partial(kind.open, file))
            ipv4, ipv6 = opened.ranges()
            _say(
                f"size of {name}",
                f"{file.stat().st_size / 1e6:.1f} MB, {len(ipv4.ids)} + {len(ipv6.ids)} runs",
            )
            chance = random.Random(1)
            some4 = [chance.getrandbits(32) for _ in range(1000)]
            some6 = [ipv6.start(chance.randrange(len(ipv6.ids))) + chance.getrandbits(72) for _ in range(1000)]
            _per_call(f"{name}: find4, random", opened.find4, some4)
            _per_call(f"{name}: find6, near the edges of runs", opened.find6, some6)
            _per_call(f"{name}: find6, IPv4-mapped", opened.find6, [MAPPED_START + address for address in some4])


def _classify(place: Place) -> int:
    return _CLASSES.get(place.region or "", 0)


def _timed(what: str, work: Callable[[], T]) -> T:
    start = time.perf_counter()
    result = work()
    _say(what, f"{(time.perf_counter() - start) * 1000:.0f} ms")
    return result


def _per_call(what: str, find: Callable[[int], tuple[int, int]], addresses: list[int]) -> None:
    def all_addresses() -> None:
        for address in addresses:
            find(address)

    _say(what, f"{min(timeit.repeat(all_addresses, number=20, repeat=5)) / 20 / len(addresses) * 1e6:.2f} µs")


def _say(what: str, value: str) -> None:
    sys.stdout.write(f"{what:42} {value}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
