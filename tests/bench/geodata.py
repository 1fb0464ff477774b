"""What the maps of addresses cost: `python -m tests.bench.geodata [DATABASE.mmdb | NETWORKS]`.

Prints times, sizes and memory; how many distinct scopes the database has, and how many are left for rules of each
kind. Without an argument: the data that ships. With a number: a city database of so many networks (city_database.py),
made first by a process of its own, in a temporary folder. The goal for 4,000,000: everything up to the classes
within 20 s and 250 MiB.

The classes are five groups of regions and a default.
"""

import random
import resource
import subprocess
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
from geodata.source import Source
from geodata.sources.country import COUNTRY_FILE, read_country
from geodata.sources.maxmind import read_maxmind

T = TypeVar("T")

_CLASSES = {"WEU": 1, "EEU": 1, "ENAM": 2, "WNAM": 2, "NEAS": 3, "SEAS": 3, "SSAM": 4, "NSAM": 4, "OC": 5}


def main(arguments: list[str]) -> None:
    """Print one line for each thing measured."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Path(arguments[0]) if arguments else COUNTRY_FILE
        if arguments and arguments[0].isdigit():
            path = folder / "city.mmdb"
            program = (sys.executable, "-m", "tests.bench.city_database", arguments[0], str(path))
            _timed(f"make a database of {arguments[0]} networks", lambda: subprocess.run(program, check=True))
        _measure(path, read_maxmind if arguments else read_country, folder)


def _measure(path: Path, read: Callable[[Path], Source], folder: Path) -> None:
    start, before = time.perf_counter(), time.process_time()
    regions = _timed("read the regions", Regions.load)
    # Nobody but the compiler keeps the source: it is as large as the map.
    places = _timed("compile places", lambda: compile_places([_timed("read the source", lambda: read(path))], regions))
    classes = _timed("compile classes", lambda: compile_classes(places, _classify, unknown=0))
    cpu = time.process_time() - before
    _say("all of that", f"{time.perf_counter() - start:.1f} s, {cpu:.1f} s of a processor")
    _say("most memory so far", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    _timed("renumber classes", classes.renumbered)
    for kind, made in (("places", places), ("classes", classes)):
        _measure_map(kind, made, folder / kind)
    _say("distinct places", str(len(places.places)))
    _say("scopes of the database", _count_scopes(places))
    _say("scopes by five groups of regions", _count_scopes(classes))
    for field in ("continent", "country", "subdivision"):
        values: dict[object, int] = {}
        _say(f"scopes by {field}", _count_scopes(compile_classes(places, partial(_number, values, field), unknown=0)))


def _measure_map(kind: str, made: PlaceMap | ClassMap, file: Path) -> None:
    _timed(f"write {kind}", partial(made.write, file))
    opened = _timed(f"open {kind}", partial(type(made).open, file))
    ipv4, ipv6 = opened.ranges()
    _say(f"size of {kind}", f"{file.stat().st_size / 1e6:.1f} MB, {len(ipv4.ids)} + {len(ipv6.ids)} runs")
    chance = random.Random(1)
    some4 = [chance.getrandbits(32) for _ in range(1000)]
    some6 = [ipv6.start(chance.randrange(len(ipv6.ids))) + chance.getrandbits(72) for _ in range(1000)]
    _per_call(f"{kind}: find4, random", opened.find4, some4)
    _per_call(f"{kind}: find6, near the edges of runs", opened.find6, some6)
    _per_call(f"{kind}: find6, IPv4-mapped", opened.find6, [MAPPED_START + address for address in some4])


def _count_scopes(made: PlaceMap | ClassMap) -> str:
    """How many different scopes a map can answer with: the prefixes that all addresses together need, IPv4 + IPv6."""
    return " + ".join(f"{sum(_prefixes(start, end) for start, end, _ in runs)}" for runs in made.ranges())


def _prefixes(start: int, end: int) -> int:
    """How many prefixes a range takes: the fewest."""
    count = 0
    while start < end:
        size = min(start & -start or 1 << 128, 1 << (end - start).bit_length() - 1)
        start += size
        count += 1
    return count


def _number(values: dict[object, int], field: str, place: Place) -> int:
    return values.setdefault(getattr(place, field), len(values) + 1)


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
