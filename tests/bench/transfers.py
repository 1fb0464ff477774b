"""Zone transfers: what they cost, waypost beside NSD, Knot DNS and BIND, where those are installed.

    python -m tests.bench.transfers [--names 333333] [--at-once 50] [--changes 50]

Every server is configured as in config/beside, with TSIG, and has the same zone with three records at each name. Out:
one client takes the zone and throws it away. In: from the start of a secondary with nothing to the serial of its
primary. Changes: dynamic updates to waypost, from the packet to its reply, and to the serial at a secondary (NOTIFY,
then IXFR).
Loopback and a temporary folder only.
"""

import argparse
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

import dns.message
import dns.update
import msgspec

from tests.bench.queries import cpu_time, family
from tests.bench.zones import Latencies, Printer, memory_of, write_zone
from tests.peers.programs import find_program
from tests.peers.transfers import KEY, PROGRAMS, running_server, serial_at, waypost_settings
from tests.steering.running import Waypost, free_port

PRIMARIES = ("nsd", "knot", "named")
SECONDARIES = ("nsd", "knot")
PATIENCE = 300.0
"""Seconds after which something is given up."""
ALL_QUIET = 2.0
"""Seconds in which answers are timed before a transfer begins."""


class Taken(msgspec.Struct):
    """What came over a connection that asked for a zone."""

    records: int = 0
    octets: int = 0
    rcode: int = 0
    seconds: float = 0.0


def take_zone(port: int, records: int) -> Taken:
    """Ask for example.com by AXFR; read until so many records have come, or an error, and keep none of it."""
    taken = Taken()
    query = dns.message.make_query("example.com", "AXFR")
    query.use_tsig(KEY)
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client, client.makefile("rb", 1 << 20) as stream:
        client.sendall(query.to_wire(prepend_length=True))
        while taken.records < records and (length := stream.read(2)):
            message = stream.read(int.from_bytes(length, "big"))
            taken.records += int.from_bytes(message[6:8], "big")
            taken.octets += len(message)
            taken.rcode = message[3] & 15
            if taken.rcode:
                break
    taken.seconds = time.perf_counter() - began
    return taken


def wait_for_serial(port: int, least: int = 0, interval: float = 0.02) -> float:
    """Seconds until the zone is served there, with that serial or a newer one."""
    return until(lambda: (serial_at(port) or -1) >= least, interval)


def until(happened: Callable[[], bool], interval: float = 0.02) -> float:
    """Seconds until it has."""
    began = time.perf_counter()
    while not happened():
        if time.perf_counter() - began > PATIENCE:
            raise SystemExit("given up")
        time.sleep(interval)
    return time.perf_counter() - began


def measure_out(printer: Printer, waypost: Waypost, records: int, at_once: int) -> None:
    """One client, and then many, take the zone from waypost while another asks questions."""
    worker = waypost.worker()
    before, cpu = memory_of(worker).anonymous, cpu_time([worker])
    with Latencies(waypost, "host1.example.com") as client:
        time.sleep(ALL_QUIET)
        began = time.perf_counter()
        taken = take_zone(waypost.port, records)
        ended = time.perf_counter()
        cpu = cpu_time([worker]) - cpu
        clients = [Taken() for _ in range(at_once)]

        def take(number: int) -> None:
            clients[number] = take_zone(waypost.port, records)

        threads = [threading.Thread(target=take, args=(number,)) for number in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        end_of_all = time.perf_counter()
    assert taken.records == records, taken
    printer.add("waypost: one AXFR", taken.seconds, "s")
    printer.add("waypost: one AXFR, CPU of the worker (with the answers)", cpu, "s")
    printer.add("waypost: one AXFR, octets", taken.octets / (1 << 20), "MiB")
    whole = [each for each in clients if each.records == records]
    refused = [each for each in clients if each.rcode]
    printer.add(f"waypost: {at_once} AXFR at once, whole", len(whole), "")
    printer.add(f"waypost: {at_once} AXFR at once, the slowest of the whole", max(t.seconds for t in whole), "s")
    printer.add(f"waypost: {at_once} AXFR at once, SERVFAIL", len(refused), "")
    printer.add("waypost: SERVFAIL after, at most", max((t.seconds for t in refused), default=0.0), "s")
    for when, start, end in (
        ("before", 0.0, began),
        ("during one AXFR", began, ended),
        (f"during {at_once}", ended, end_of_all),
    ):
        printer.add(f"waypost: answer {when}, 99th percentile", client.percentiles(start, end)[1] * 1e3, "ms")
    printer.add("waypost: RssAnon of the worker before", before, "MiB")
    printer.add("waypost: RssAnon of the worker then", memory_of(worker).anonymous, "MiB")


def measure_peer_out(printer: Printer, name: str, pid: int, port: int, records: int) -> None:
    cpu = cpu_time(family(pid))
    taken = take_zone(port, records)
    assert taken.records >= records, taken
    printer.add(f"{name}: one AXFR", taken.seconds, "s")
    printer.add(f"{name}: one AXFR, CPU", cpu_time(family(pid)) - cpu, "s")


def measure_in(printer: Printer, folder: Path, primary: str, port: int, serial: int) -> None:
    """Secondaries of a primary that serves at this port, each started with nothing."""
    for name in SECONDARIES:
        if name != primary and find_program(PROGRAMS[name]):
            own = free_port()
            with running_server(name, "secondary", folder / f"{name}-of-{primary}", own, port):
                printer.add(f"{name} ← {primary}", wait_for_serial(own, serial), "s")
    if primary != "waypost":
        waypost = Waypost(folder / f"waypost-of-{primary}", waypost_settings("secondary", port))
        try:
            waypost.launch()
            printer.add(f"waypost ← {primary}", wait_for_serial(waypost.port, serial), "s")
            printer.add(f"waypost ← {primary}, control at most", memory_of(waypost.control()).most, "MiB")
        finally:
            waypost.destroy()


def measure_changes(printer: Printer, waypost: Waypost, secondary: int, changes: int) -> None:
    """One update after another, each with the serial of a secondary awaited."""
    replied, carried = [], []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", waypost.port))
        for number in range(changes):
            update = dns.update.Update("example.com", keyring=KEY)
            update.replace("changed", 60, "TXT", str(number))
            serial = serial_at(secondary)
            began = time.perf_counter()
            client.send(update.to_wire())
            reply = dns.message.from_wire(client.recv(65535), keyring=KEY, request_mac=update.mac)
            replied.append(time.perf_counter() - began)
            assert reply.rcode() == 0, reply
            wait_for_serial(secondary, (serial or 0) + 1, 0.002)
            carried.append(time.perf_counter() - began)
    for where, samples in (("its reply", replied), ("the serial at the secondary", carried)):
        printer.add(f"waypost: {changes} updates, each to {where}, median", median(samples) * 1e3, "ms")
        printer.add("waypost: the same, 99th percentile", quantiles(samples, n=100)[98] * 1e3, "ms")
    began = time.perf_counter()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", waypost.port))
        for number in range(changes):
            update = dns.update.Update("example.com", keyring=KEY)
            update.replace("changed", 60, "TXT", f"again {number}")
            client.send(update.to_wire())
            client.recv(65535)
    printer.add("waypost: updates one after another", changes / (time.perf_counter() - began), "/s")


def measure(printer: Printer, folder: Path, names: int, at_once: int, changes: int) -> None:
    records = 3 * names + 6  # SOA at both ends
    zone = folder / "example.com.zone"
    write_zone(zone, names)
    printer.add_section(f"a zone of {records - 1:,} records, out")
    secondary = free_port()
    own = folder / "waypost"
    own.mkdir()
    (own / zone.name).symlink_to(zone)
    update = 'allow_update = [{ key = "transfer", names = ["**"] }]\n'
    waypost = Waypost(own, waypost_settings("primary", secondary) + update)
    try:
        waypost.launch()
        wait_for_serial(waypost.port)
        until(waypost.is_fed)
        measure_out(printer, waypost, records, at_once)
        for name in PRIMARIES:
            if not find_program(PROGRAMS[name]):
                continue
            port = free_port()
            (folder / name).mkdir()
            (folder / name / zone.name).symlink_to(zone)
            with running_server(name, "primary", folder / name, port, free_port()) as server:
                wait_for_serial(port)
                measure_peer_out(printer, name, server.process.pid, port, records)
                if name in SECONDARIES:
                    printer.add_section(f"secondaries of {name}, from their start to its serial")
                    measure_in(printer, folder, name, port, 1)
        printer.add_section("secondaries of waypost, from their start to its serial")
        measure_in(printer, folder, "waypost", waypost.port, serial_at(waypost.port) or 0)
        printer.add_section("changes")
        with running_server("nsd", "secondary", folder / "nsd-of-changes", secondary, waypost.port):
            wait_for_serial(secondary)
            measure_changes(printer, waypost, secondary, changes)
    finally:
        waypost.destroy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=333_333)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--changes", type=int, default=50)
    arguments = parser.parse_args()
    print(f"load of this machine before: {os.getloadavg()[0]:.1f}")
    printer = Printer()
    try:
        with tempfile.TemporaryDirectory(prefix="waypost-bench-") as folder:
            measure(printer, Path(folder), arguments.names, arguments.at_once, arguments.changes)
    finally:
        printer.print()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
