"""Questions a second over loopback, and CPU per question: waypost beside gdnsd and NSD, where those are installed.

    python -m tests.bench.queries [--seconds 3] [--rounds 3]

Each server answers on processor 0 with one thread or worker, the load comes from processor 1: a closed loop of BURST
questions. All serve the same zone of 1,000 names; steered is one name whose answer depends on which of 5,000 networks
the client subnet lies in. Load goes to loopback only and is bounded in time. Figures of one run are to be compared with
each other, not with those of another run.
"""

import argparse
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.peers.programs import configure, find_program

BURST = 64
QUESTIONS = 20_000
ADDRESS = "127.0.0.1"
SITES = {f"site{number}": f"192.0.2.{number}" for number in range(1, 6)}
NETWORKS = [(f"198.{18 + number // 256}.{number % 256}.0/24", f"site{1 + number % 5}") for number in range(512)]


class Figure(NamedTuple):
    """What one set of questions came to."""

    per_second: float
    cpu: float
    """Seconds of the server's CPU time per question."""


def make_zone() -> str:
    hosts = "".join(f"h{number:03d} A 198.51.100.{number % 254 + 1}\n" for number in range(1000))
    head = "$ORIGIN example.com.\n$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n"
    return head + hosts


def question(name: str, subnet: bytes | None = None) -> bytes:
    """A query for A with EDNS, and with a client subnet (the first three octets of a /24) if one is given."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    option = b"" if subnet is None else struct.pack("!HHHBB", 8, 7, 1, 24, 0) + subnet
    opt = struct.pack("!BHHIH", 0, 41, 1232, 0, len(option)) + option
    return struct.pack("!6H", 0, 0, 1, 0, 0, 1) + labels + b"\0" + struct.pack("!HH", 1, 1) + opt


def make_questions() -> dict[str, list[bytes]]:
    dice = random.Random(1)
    subnets = [bytes(map(int, network.split("/")[0].split(".")[:3])) for network, _ in NETWORKS]
    letters = "abcdefghijklmnopqrstuvwxyz"
    return {
        "static": [question(f"h{dice.randrange(1000):03d}.example.com") for _ in range(QUESTIONS)],
        "steered": [question("www.example.com", dice.choice(subnets)) for _ in range(QUESTIONS)],
        "nxdomain": [question("".join(dice.choices(letters, k=16)) + ".example.com") for _ in range(QUESTIONS)],
    }


def configure_waypost(directory: Path, port: int, limit: str = "") -> list[str]:
    """`limit` is a table of the configuration; loopback is not limited by default."""
    (directory / "example.com.zone").write_text(make_zone())
    rules = ", ".join(f'"{network}" = ["{site}"]' for network, site in NETWORKS)
    pools = "".join(
        f'[[pool]]\nname = "{site}"\n[[pool.origin]]\nname = "{site}"\naddress = "{address}"\n'
        for site, address in SITES.items()
    )
    (directory / "waypost.toml").write_text(
        f'[server]\nlisten = ["{ADDRESS}:{port}"]\nstate = "state"\n{limit}{pools}'
        '[[zone]]\nname = "example.com"\nfile = "example.com.zone"\n'
        '[[load_balancer]]\nname = "www.example.com"\ntypes = ["A"]\ndefault_pools = ["site1"]\n'
        f'fallback_pool = "site1"\nnetwork_pools = {{ {rules} }}\n'
    )
    return [sys.executable, "-m", "steering", "run", str(directory / "waypost.toml")]


def configure_gdnsd(directory: Path, port: int) -> list[str]:
    (directory / "zones").mkdir()
    (directory / "run").mkdir()
    (directory / "zones" / "example.com").write_text(make_zone() + "www 30 DYNA geoip!www\n")
    networks = ", ".join(f"{network} => [{site}]" for network, site in NETWORKS)
    sites = ", ".join(f"{site} => {address}" for site, address in SITES.items())
    (directory / "config").write_text(
        f"options => {{ listen => [{ADDRESS}:{port}], udp_threads => 1, tcp_threads => 1, "
        f'run_dir => "{directory}/run", state_dir => "{directory}/run" }}\n'
        f"plugins => {{ geoip => {{ maps => {{ "
        f"m => {{ datacenters => [{', '.join(SITES)}], nets => {{ {networks} }} }} }}, "
        f"resources => {{ www => {{ map => m, dcmap => {{ {sites} }} }} }} }} }}\n"
    )
    return ["gdnsd", "-c", str(directory), "start"]


def configure_nsd(directory: Path, port: int) -> list[str]:
    (directory / "zone").write_text(make_zone())
    return configure("nsd", directory, port, "zone:\n  name: example.com\n  zonefile: zone\n")


SERVERS: dict[str, tuple[Callable[[Path, int], list[str]], tuple[str, ...]]] = {
    "waypost": (configure_waypost, ("static", "steered", "nxdomain")),
    "gdnsd": (configure_gdnsd, ("static", "steered", "nxdomain")),
    "NSD": (configure_nsd, ("static", "nxdomain")),
}


@contextmanager
def running(name: str, command: list[str], port: int) -> Iterator[int]:
    """A server on processor 0; the process that it was started as."""
    path = os.environ["PATH"] + ":/usr/sbin"
    with subprocess.Popen(
        ["taskset", "-c", "0", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PATH": path},
    ) as process:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(0.2)
                client.connect((ADDRESS, port))
                for _ in range(100):
                    try:
                        client.send(question("h000.example.com"))
                        client.recv(4096)
                        break
                    except OSError:
                        time.sleep(0.05)
                else:
                    raise SystemExit(f"{name} does not answer")
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def cpu_time(pids: list[int]) -> float:
    """Seconds that these processes and their threads have run."""
    total = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(path.read_text().split()[0])
    return total / 1e9


def load(questions: list[bytes], port: int, seconds: float) -> int:
    """Ask in bursts for so long; how many were answered. A lost packet costs a timeout, not the run."""
    answered = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        client.settimeout(0.2)
        client.connect((ADDRESS, port))
        send, receive, buffer = client.send, client.recv_into, bytearray(4096)
        end = time.perf_counter() + seconds
        start = 0
        while time.perf_counter() < end:
            for packet in questions[start : start + BURST]:
                send(packet)
            try:
                for _ in range(BURST):
                    receive(buffer)
                    answered += 1
            except TimeoutError:
                pass
            start = (start + BURST) % (len(questions) - BURST)
    return answered


def measure(name: str, rounds: int, seconds: float) -> dict[str, Figure]:
    configure, sets = SERVERS[name]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((ADDRESS, 0))
        port = probe.getsockname()[1]
    questions = make_questions()
    figures: dict[str, list[Figure]] = {each: [] for each in sets}
    with (
        tempfile.TemporaryDirectory(prefix="waypost-bench-") as directory,
        running(name, configure(Path(directory), port), port) as pid,
    ):
        for _ in range(rounds):
            for each in sets:
                pids = family(pid)
                cpu, start = cpu_time(pids), time.perf_counter()
                answered = load(questions[each], port, seconds)
                elapsed = time.perf_counter() - start
                figures[each].append(Figure(answered / elapsed, (cpu_time(pids) - cpu) / max(answered, 1)))
    return {
        each: Figure(median(run.per_second for run in runs), median(run.cpu for run in runs))
        for each, runs in figures.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    table = Table(box=None)
    for heading in ("server", "set", "q/s", "µs of CPU per question", "q/s that a whole core would answer"):
        table.add_column(heading, justify="left" if heading in ("server", "set") else "right")
    for name, (_, sets) in SERVERS.items():
        if name != "waypost" and find_program(name.lower()) is None:
            table.add_row(name, "not installed")
            continue
        figures = measure(name, arguments.rounds, arguments.seconds)
        for each in sets:
            figure = figures[each]
            table.add_row(name, each, f"{figure.per_second:,.0f}", f"{figure.cpu * 1e6:.2f}", f"{1 / figure.cpu:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
