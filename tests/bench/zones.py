"""Large zones: what loading, restarting, changing and answering them costs, beside the goals.

    python -m tests.bench.zones [--names 1000000] [--small-zones 100000]
    python -m tests.bench.zones --kills 50

The large zone has three records at each name, A, AAAA and MX. Times are of the whole program as its user sees it, from
exec or SIGHUP to the answer on the wire; what says "in process" is measured in here. With --kills nothing is measured:
loads are killed at random moments under the eyes of a reader. Loopback and a temporary folder only.
"""

import argparse
import os
import random
import re
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple, Self
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from steering.respond import respond
from steering.settings_file import load_settings
from steering.world import make_world
from steering.zones import load
from steering.zones.store import Store, StoreReader
from steering.zones.zonefile import Record, ZoneReader, read_zone
from tests.bench.queries import cpu_time, family, question
from tests.steering.running import TAKEN, Waypost, eventually
from tests.steering.zones.versions import kill_loads

FEW_NAMES = 1000
QUESTIONS = 1_000_000
IN_PROCESS = 200_000
BURST = 64
RESTARTS = 3
PACE = 0.002
"""Seconds between two questions whose latency is measured."""
MEBIBYTE = 1 << 20
KILLED_NAMES = 3000
PATIENCE = 600.0
"""Seconds after which a load is given up."""

APEX = b"\7example\3com\0"
HEAD = "$TTL 3600\n@ SOA ns1 host 1 7200 900 1209600 300\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.1\nns2 A 192.0.2.2\n"


class Printer:
    """The table, a line at a time."""

    def __init__(self) -> None:
        self._table = Table("measured", "figure", "goal", box=None, header_style="bold", pad_edge=False)

    def add(self, what: str, figure: float, unit: str, goal: float | None = None) -> None:
        """A figure; with a goal, whether it is under that."""
        shown = f"{figure:,.0f} {unit}" if figure >= 100 else f"{figure:.3g} {unit}"
        verdict = "" if goal is None else f"< {goal:g}: {'reached' if figure < goal else 'MISSED'}"
        self._table.add_row(what, shown, verdict)

    def add_section(self, title: str) -> None:
        self._table.add_section()
        self._table.add_row(f"[bold]{title}")

    def print(self) -> None:
        Console(width=120).print(self._table)


class Memory(NamedTuple):
    """Of a process, in MiB."""

    anonymous: float
    mapped: float
    most: float
    """Of both, at any time so far."""


def memory_of(pid: int) -> Memory:
    """0 if the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return Memory(0, 0, 0)
    found = dict(re.findall(r"(RssAnon|RssFile|VmHWM):\s+(\d+) kB", status))
    return Memory(*(int(found.get(key, 0)) / 1024 for key in ("RssAnon", "RssFile", "VmHWM")))


def size_on_disk(waypost: Waypost) -> float:
    """MiB of the zone store."""
    return (waypost.state / "zones" / "data.mdb").stat().st_blocks * 512 / MEBIBYTE


def write_zone(path: Path, names: int) -> None:
    with path.open("w") as file:
        file.write(HEAD)
        for n in range(names):
            file.write(
                f"host{n} A 198.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}\n"
                f"host{n} AAAA 2001:db8::{n >> 16:x}:{n & 65535:x}\nhost{n} MX 10 mail{n % 100}\n"
            )


def configure(folder: Path, names: int) -> Waypost:
    """A waypost with one zone of so many names."""
    folder.mkdir()
    write_zone(folder / "example.com.zone", names)
    return Waypost(folder, '[[zone]]\nname = "example.com"\nfile = "example.com.zone"')


def ask(client: socket.socket, packet: bytes) -> bytes:
    """The reply; empty if there is none at once."""
    try:
        client.send(packet)
        return client.recv(4096)
    except OSError:
        time.sleep(0.001)
        return b""


def connect(waypost: Waypost, timeout: float) -> socket.socket:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(timeout)
    client.connect(("127.0.0.1", waypost.port))
    return client


def start(waypost: Waypost, name: str) -> tuple[float, float]:
    """Seconds from exec to the first answer, and the most MiB that a process held that is gone by then."""
    most = 0.0
    began = time.perf_counter()
    waypost.launch()
    with connect(waypost, 0.005) as client:
        for turn in range(1 << 30):
            if ask(client, question(name)):
                break
            if turn % 20 == 19:
                most = max([most, *(memory_of(pid).most for pid in family(waypost.process.pid)[2:])])
            if waypost.process.poll() is not None or time.perf_counter() - began > PATIENCE:
                raise SystemExit(f"it does not answer:\n{waypost.log()}")
    seconds = time.perf_counter() - began
    eventually(waypost.is_fed, waypost.log)
    return seconds, most


def add_memory(printer: Printer, waypost: Waypost, when: str, goal: float | None = 100) -> None:
    for name, pid in (
        ("supervisor", waypost.process.pid),
        ("control", waypost.control()),
        ("worker", waypost.worker()),
    ):
        memory = memory_of(pid)
        printer.add(f"RssAnon of {name} {when} (RssFile {memory.mapped:.0f} MiB)", memory.anonymous, "MiB", goal)


def ask_random(waypost: Waypost, names: int, count: int) -> tuple[float, float]:
    """Random questions for names of the zone, in bursts: answers a second, and µs of the worker's CPU for each."""
    dice = random.Random(1)
    worker = [waypost.worker()]
    answered, spent, cpu = 0, 0.0, cpu_time(worker)
    with connect(waypost, 0.2) as client:
        for _ in range(count // BURST):
            packets = [question(f"host{dice.randrange(names)}.example.com") for _ in range(BURST)]
            began = time.perf_counter()
            for packet in packets:
                client.send(packet)
            try:
                for _ in packets:
                    client.recv(4096)
                    answered += 1
            except TimeoutError:
                pass
            spent += time.perf_counter() - began
    return answered / spent, (cpu_time(worker) - cpu) / answered * 1e6


class Latencies:
    """A client that asks for one name at a steady pace; when each question was asked, how long it took, the reply."""

    def __init__(self, waypost: Waypost, name: str) -> None:
        self.samples: list[tuple[float, float, bytes]] = []
        self._waypost = waypost
        self._packet = question(name)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with connect(self._waypost, 2) as client:
            while not self._ended.wait(PACE):
                asked = time.perf_counter()
                reply = ask(client, self._packet)
                self.samples.append((asked, time.perf_counter() - asked, reply))

    def percentiles(self, start: float, end: float) -> tuple[float, float]:
        """Median and 99th percentile of the seconds that answers took."""
        taken = quantiles([seconds for asked, seconds, _ in self.samples if start <= asked < end], n=100)
        return taken[49], taken[98]


def change_record(path: Path, name: str, address: str) -> None:
    """Edit the zone file as people do: by writing another and renaming it."""
    changed, count = re.subn(rf"(?m)^{name} A .*$", f"{name} A {address}", path.read_text())
    assert count == 1
    path.with_suffix(".new").write_text(changed)
    path.with_suffix(".new").replace(path)


def measure_change(printer: Printer, waypost: Waypost, names: int) -> None:
    """One record is changed in the file, then SIGHUP."""
    name = f"host{names // 2}"
    change_record(waypost.config.with_name("example.com.zone"), name, "203.0.113.9")
    with Latencies(waypost, f"{name}.example.com") as client:
        began = time.perf_counter()
        time.sleep(3)
        hangup = time.perf_counter()
        waypost.signal(signal.SIGHUP)
        eventually(lambda: TAKEN in waypost.log(), waypost.log, PATIENCE)
        ended = time.perf_counter()
    for when, start, end in (("before a load", began, hangup), ("during a load", hangup, ended)):
        usual, slow = client.percentiles(start, end)
        printer.add(f"answer {when}, median", usual * 1e6, "µs")
        printer.add(f"answer {when}, 99th percentile", slow * 1e6, "µs")
    first = next(asked + taken for asked, taken, reply in client.samples if bytes((203, 0, 113, 9)) in reply)
    printer.add("one record changed: SIGHUP to the changed answer", first - hangup, "s")


def measure_difference(printer: Printer, waypost: Waypost, names: int) -> None:
    """One record is changed again: what comes after the last record, in process."""
    change_record(waypost.config.with_name("example.com.zone"), f"host{names // 3}", "203.0.113.10")
    ends = []

    def read(path: Path, origin: bytes) -> ZoneReader:
        reader = read_zone(path, origin)
        records = reader._records

        def note_end() -> Iterator[Record]:
            yield from records
            ends.append(time.perf_counter())

        reader._records = note_end()
        return reader

    store = Store(waypost.state / "zones", write=True)
    reader = StoreReader(store)
    with patch.object(load, "read_zone", read):
        began = time.perf_counter()
        load.stage_zones(load_settings(waypost.config), store, 0)()
    assert reader.begin()
    reader.end()
    now = time.perf_counter()
    store.close()
    printer.add("one record changed: reading, comparing on the way (in process)", ends[0] - began, "s")
    printer.add("one record changed: end of reading to seen by a reader (in process)", now - ends[0], "s", 1)


def measure_responses(printer: Printer, waypost: Waypost, names: list[str]) -> None:
    """Random questions, in process: as a worker answers them, and without the answers that it remembers."""
    store = Store(waypost.state / "zones")
    reader = StoreReader(store)
    world = make_world(load_settings(waypost.config), reader, {}, {})
    dice = random.Random(2)
    packets = [question(dice.choice(names)) for _ in range(IN_PROCESS)]
    for title, forget in (("random look-ups (in process)", False), ("the same, nothing remembered", True)):
        spent = time.process_time()
        for start in range(0, len(packets), BURST):
            reader.begin()
            if forget:
                world = world.with_zones_changed()
            for packet in packets[start : start + BURST]:
                respond(packet, "127.0.0.1", False, 0.0, dice.random, world)
            reader.end()
        printer.add(title, (time.process_time() - spent) / len(packets) * 1e6, "µs each")
    store.close()


def measure_large(printer: Printer, folder: Path, names: int) -> None:
    waypost = configure(folder, names)
    path = folder / "example.com.zone"
    printer.add_section(
        f"a zone of {names:,} names and {3 * names + 5:,} records ({path.stat().st_size / MEBIBYTE:.0f} MiB of text)"
    )
    began = time.process_time()
    records = sum(1 for _ in read_zone(path, APEX))
    spent = time.process_time() - began
    printer.add("reading the file alone (in process)", spent, "s")
    printer.add("reading the file alone (in process)", records / spent, "records/s")
    name = f"host{names // 2}.example.com"
    try:
        seconds, most = start(waypost, name)
        printer.add("first load: exec to first answer", seconds, "s", 60)
        printer.add("memory of the process that loads, with what it maps, at most", most, "MiB", 1024)
        printer.add("the store on disk", size_on_disk(waypost), "MiB")
        waypost.stop()
        restarts = []
        for _ in range(RESTARTS):
            restarts.append(start(waypost, name)[0])
            if len(restarts) < RESTARTS:
                waypost.stop()
        printer.add(f"unchanged restart: exec to first answer, median of {RESTARTS}", median(restarts), "s", 1)
        add_memory(printer, waypost, "after start")
        speed, cpu = ask_random(waypost, names, QUESTIONS)
        printer.add("random questions by UDP", speed, "/s")
        printer.add("random questions by UDP, CPU of the worker", cpu, "µs each")
        add_memory(printer, waypost, f"after {QUESTIONS:,} random questions")
        measure_change(printer, waypost, names)
        add_memory(printer, waypost, "after the change")
        waypost.stop()
        measure_difference(printer, waypost, names)
        printer.add("the store on disk after two changes", size_on_disk(waypost), "MiB")
        hosts = [f"host{n}.example.com" for n in range(names)]
        measure_responses(printer, waypost, hosts)
    finally:
        waypost.destroy()


def measure_few(printer: Printer, folder: Path) -> None:
    waypost = configure(folder, FEW_NAMES)
    printer.add_section(f"a zone of {FEW_NAMES:,} names")
    try:
        printer.add("first load: exec to first answer", start(waypost, "host1.example.com")[0], "s")
        speed, cpu = ask_random(waypost, FEW_NAMES, QUESTIONS // 4)
        printer.add("random questions by UDP", speed, "/s")
        printer.add("random questions by UDP, CPU of the worker", cpu, "µs each")
        add_memory(printer, waypost, "then")
        waypost.stop()
        hosts = [f"host{n}.example.com" for n in range(FEW_NAMES)]
        measure_responses(printer, waypost, hosts)
    finally:
        waypost.destroy()


def measure_small_zones(printer: Printer, folder: Path, zones: int) -> None:
    (folder / "zones").mkdir(parents=True)
    text = []
    for number in range(zones):
        (folder / "zones" / f"{number}.zone").write_text(f"{HEAD}www A 192.0.2.1\n@ MX 10 mail\nmail A 192.0.2.3\n")
        text.append(f'[[zone]]\nname = "zone{number}.example"\nfile = "zones/{number}.zone"\n')
    waypost = Waypost(folder, "".join(text))
    printer.add_section(f"{zones:,} zones of 8 records")
    name = f"www.zone{zones // 2}.example"
    try:
        seconds, most = start(waypost, name)
        printer.add("first load: exec to first answer", seconds, "s")
        printer.add("memory of the process that loads, with what it maps, at most", most, "MiB", 1024)
        printer.add("the store on disk", size_on_disk(waypost), "MiB")
        waypost.stop()
        printer.add("unchanged restart: exec to first answer", start(waypost, name)[0], "s")
        add_memory(printer, waypost, "after start", goal=None)
        waypost.stop()
        hosts = [f"www.zone{number}.example" for number in range(zones)]
        measure_responses(printer, waypost, hosts)
    finally:
        waypost.destroy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--small-zones", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as folder:
        if arguments.kills:
            outcome = kill_loads(Path(folder), KILLED_NAMES, arguments.kills, arguments.seed)
            print(
                f"{outcome.kills} loads killed; version {outcome.served} is served; "
                f"{outcome.snapshots:,} snapshots looked at, each of one version"
            )
            return
        print(f"load of this machine before: {os.getloadavg()[0]:.1f}")
        printer = Printer()
        try:
            measure_few(printer, Path(folder, "few"))
            measure_large(printer, Path(folder, "large"), arguments.names)
            measure_small_zones(printer, Path(folder, "small"), arguments.small_zones)
        finally:
            printer.print()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
