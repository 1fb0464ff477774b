"""TRIO: preparing, which is everything slow between a configuration and the answers, in a process of its own.

Control runs this as a child, since a minute of parsing must not delay a probe, and since the memory that it takes goes
with it. The compiled maps and the staged zones are files in the state directory; what is staged is published when
control says so.

    control ── Settings ──> child        (frames as in serve/feed.py, over pipes)
    control <── Prepared or Failed ── child
    control ── one byte ──> child        publish; end of file instead: forget it
    control <── Published or Failed ── child

When only a source's file was replaced, maps are all that is prepared:

    control ── MapsWanted ──> child      (started with the word "maps")
    control <── Prepared or Failed ── child
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
import trio

from geodata.classes import ClassMap, PlaceMap, compile_places, compile_rules
from geodata.edition import Edition, describe_older, look_at
from geodata.errors import GeoError
from geodata.place import Place
from geodata.ranges import Network
from geodata.regions import REGIONS_FILE, Regions
from geodata.source import Source
from geodata.sources import BUILT, PARTS, SOURCES
from geodata.sources.country import COUNTRY_FILE, read_country
from steering.balance.rules import Classifier, Rules
from steering.child import run_child
from steering.messages import MapFile
from steering.serve.feed import FrameReader, encode_frame
from steering.settings import Settings
from steering.world import rules_in_use
from steering.zones.load import LoadReport, ZonesError, stage_zones
from steering.zones.store import Store, StoreError
from steering.zones.zonefile import FileRead

MAP_FORMAT = 2
"""Raised when the same input compiles to another map than before."""
NICENESS = 5
"""Of the child: where processors are few, answers come first, and yet it gets on."""


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """All is ready to be published."""

    maps: tuple[MapFile, ...]
    zones: tuple[LoadReport, ...]
    seconds: float
    editions: tuple[Edition, ...] = ()
    """Of the files of [[geo]] that the maps are made from."""


class Published(msgspec.Struct, frozen=True, tag=True):
    """The staged zones are served now."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Nothing was changed, for these reasons."""

    problems: tuple[str, ...]


class MapsWanted(msgspec.Struct, frozen=True):
    """Compile the maps from the files as they are now, unless one is older than the one in use."""

    settings: Settings
    in_use: tuple[Edition, ...]


Reply = Prepared | Published | Failed


class PrepareError(Exception):
    """What was asked for cannot be served; everything is as it was."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Preparation:
    """Control's end of the child."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self.prepared = Prepared((), (), 0.0)

    async def publish(self) -> None:
        """Serve the staged zones; raises PrepareError."""
        await self._send(b"\0")
        await self._read(Published)

    async def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send_all(data)
        except trio.BrokenResourceError:
            pass  # it died: reading its reply says so

    async def _read(self, expected: "type[ReplyType]") -> "ReplyType":
        assert self._process.stdout is not None
        reader = FrameReader()
        while (body := reader.take_frame()) is None:
            data = await self._process.stdout.receive_some()
            if not data:
                status = await self._process.wait()
                raise PrepareError((f"the process that prepares zones and maps ended: status {status}",))
            reader.receive(data)
        reply = msgspec.msgpack.decode(body, type=Reply)
        if isinstance(reply, Failed):
            raise PrepareError(reply.problems)
        assert isinstance(reply, expected)
        return reply


ReplyType = TypeVar("ReplyType", Prepared, Published)


async def prepare(settings: Settings, nursery: trio.Nursery) -> Preparation:
    """Stage the zones and compile the maps of a configuration in a child of `nursery`; raises PrepareError."""
    preparation = Preparation(await _start(nursery))
    await preparation._send(encode_frame(settings))
    preparation.prepared = await preparation._read(Prepared)
    return preparation


async def prepare_maps(settings: Settings, in_use: tuple[Edition, ...], nursery: trio.Nursery) -> Prepared:
    """Compile the maps alone, in a child of `nursery`; raises PrepareError, also for a database older than in use."""
    preparation = Preparation(await _start(nursery, "maps"))
    await preparation._send(encode_frame(MapsWanted(settings, in_use)))
    return await preparation._read(Prepared)


async def _start(nursery: trio.Nursery, *what: str) -> trio.Process:
    pipe = subprocess.PIPE
    run = partial(run_child, "steering.prepare", *what, stdin=pipe, stdout=pipe)
    try:
        process: trio.Process = await nursery.start(run)
    except OSError as error:
        problem = f"the process that prepares zones and maps cannot be started: {error.strerror}"
        raise PrepareError((problem,)) from error
    return process


def main() -> None:
    """The child."""
    os.nice(NICENESS)
    replies, requests = sys.stdout.buffer, sys.stdin.buffer
    request = requests.read(int.from_bytes(requests.read(4), "big"))
    try:
        if sys.argv[1:] == ["maps"]:
            _reply(replies, renew_maps(msgspec.msgpack.decode(request, type=MapsWanted)))
            return
        settings = msgspec.msgpack.decode(request, type=Settings)
        store = Store(Path(settings.server.state) / "zones", write=True)
        with store.writing():
            prepared, publish = prepare_all(settings, store)
            _reply(replies, prepared)
            if requests.read(1):
                publish()
                _reply(replies, Published())
    except PrepareError as error:
        _reply(replies, Failed(error.problems))
    except StoreError as error:
        _reply(replies, Failed((str(error),)))


def prepare_all(settings: Settings, store: Store) -> tuple[Prepared, Callable[[], None]]:
    """What is ready, and the function that publishes it; raises PrepareError with every problem, or StoreError."""
    start = time.monotonic()
    problems: list[str] = []
    reports: list[LoadReport] = []
    maps: tuple[MapFile, ...] = ()
    editions: tuple[Edition, ...] = ()
    try:
        editions = read_editions(settings)
        maps = compile_maps(settings)
    except GeoError as error:
        problems += error.problems
    except OSError as error:
        problems.append(f"{error.filename}: {error.strerror}")
    try:
        publish = stage_zones(settings, store, time.time(), reports.append)
    except ZonesError as error:
        problems += map(str, error.problems)
    if problems:
        raise PrepareError(tuple(problems))
    return Prepared(maps, tuple(reports), time.monotonic() - start, editions), publish


def renew_maps(wanted: MapsWanted) -> Prepared:
    """The maps from the files as they are now; raises PrepareError."""
    start = time.monotonic()
    try:
        editions = read_editions(wanted.settings)
        if older := tuple(describe_older(editions, wanted.in_use)):
            raise PrepareError(older)
        maps = compile_maps(wanted.settings)
    except GeoError as error:
        raise PrepareError(error.problems) from error
    except OSError as error:
        raise PrepareError((f"{error.filename}: {error.strerror}",)) from error
    return Prepared(maps, (), time.monotonic() - start, editions)


def read_editions(settings: Settings) -> tuple[Edition, ...]:
    """What is there of each file of [[geo]], if any map is made from them; raises GeoError.

    To be called before they are read: a file that is replaced meanwhile is another edition, and is read again.
    """
    if not rules_in_use(settings):
        return ()
    editions, problems = [], []
    for source in settings.geo:
        try:
            edition = look_at(source.path)
            built = BUILT[source.type](Path(source.path)) if source.type in BUILT else None
            editions.append(msgspec.structs.replace(edition, built=built))
        except OSError as error:
            problems.append(f"{source.path}: {error.strerror}")
        except GeoError as error:
            problems += error.problems
    if problems:
        raise GeoError(*problems)
    return tuple(editions)


def compile_maps(settings: Settings) -> tuple[MapFile, ...]:
    """Compile the map of each set of rules into the state directory, unless it is there.

    Raises GeoError, and OSError when the directory cannot be written.
    """
    needed = sorted(rules_in_use(settings), key=msgspec.msgpack.encode)
    if not needed:
        return ()
    directory = Path(settings.server.state) / "maps"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = _digest_of_files(settings)
    places: PlaceMap | None = None
    maps = []
    for rules in needed:
        name = hashlib.sha256(digest + msgspec.msgpack.encode(rules)).hexdigest()[:32]
        path = directory / f"{name}.map"
        if not _is_usable(path):
            places = places or load_places(settings, _leave_out(needed))
            compile_rules(places, Classifier(rules), rules.networks).write(path)
        path.touch()
        maps.append(MapFile(rules, str(path)))
    _remove_old_maps(directory, {Path(each.path) for each in maps})
    return tuple(maps)


def _is_usable(path: Path) -> bool:
    try:
        ClassMap.open(path)
    except (GeoError, OSError):
        return False
    return True


def load_places(
    settings: Settings, simplify: Callable[[Place], Place] = lambda place: place, part: Network | None = None
) -> PlaceMap:
    """Where every address is, by the configured sources, or by the data that waypost ships; raises GeoError.

    With a `part` nothing is known of other addresses, and large databases are not read as a whole.
    """
    regions = Regions.load(Path(settings.regions) if settings.regions else REGIONS_FILE)
    return compile_places(_read_sources(settings, part), regions, simplify)


def _leave_out(needed: Iterable[Rules]) -> Callable[[Place], Place]:
    """What makes a place one without what no Rules ask for."""
    asns = {asn for rules in needed for match in rules.matches for asn in match.asns}
    by_distance = any(rules.points for rules in needed)

    def simplify(place: Place) -> Place:
        asn = place.asn if place.asn in asns else None
        if by_distance:
            return msgspec.structs.replace(place, asn=asn)
        return msgspec.structs.replace(place, asn=asn, latitude=None, longitude=None)

    return simplify


def _read_sources(settings: Settings, part: Network | None) -> Iterable[Source]:
    problems: list[str] = []
    sources = []
    for each in settings.geo:
        try:
            if part is not None and each.type in PARTS:
                sources.append(PARTS[each.type](Path(each.path), part))
            else:
                sources.append(SOURCES[each.type](Path(each.path)))
        except GeoError as error:
            problems += error.problems
    if problems:
        raise GeoError(*problems)
    # An operator's networks do not replace the country data, and neither does a database of AS numbers.
    if not any(place.country for source in sources if not source.operator for place in source.places):
        sources.append(read_country())
    return sources if part is None else [source.within(part) for source in sources]


def _digest_of_files(settings: Settings) -> bytes:
    """Changes whenever a file that places come from is written or replaced."""
    paths = [Path(source.path) for source in settings.geo]
    paths += [COUNTRY_FILE, Path(settings.regions) if settings.regions else REGIONS_FILE]
    stamps = []
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise GeoError(f"{path}: {error.strerror}") from error
        stamps.append(FileRead(str(path), status.st_size, status.st_mtime_ns, status.st_ino))
    return hashlib.sha256(
        msgspec.msgpack.encode((MAP_FORMAT, [source.type for source in settings.geo], stamps))
    ).digest()


MAP_LIFETIME = 3600
"""Seconds for which a map that is not used any more stays: a worker may just be about to open it."""


def _remove_old_maps(directory: Path, used: set[Path]) -> None:
    for path in set(directory.glob("*.map")) - used:
        if time.time() - path.stat().st_mtime > MAP_LIFETIME:
            path.unlink(missing_ok=True)


def _reply(stream: BinaryIO, message: Reply) -> None:
    stream.write(encode_frame(message))
    stream.flush()


if __name__ == "__main__":
    main()
