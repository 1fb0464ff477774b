"""A flood of random names from forged networks, and what clients with and without a good DNS cookie still get.

    python -m tests.bench.flood [--seconds 5]

waypost has one worker, on processor 0; the flood comes from processor 1, from SOURCES addresses of 127.0.0.0/8, each in
a /24 of its own, as fast as it can be sent. Meanwhile a client asks every 10 ms, and again after half a second without
an answer, three times at most. Loopback only, and bounded in time.
"""

import argparse
import itertools
import multiprocessing
import os
import secrets
import socket
import struct
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.queries import ADDRESS, configure_waypost, cpu_time, family, question, running

SOURCES = 200
TRIES = 3
LIMIT = "[server.rate_limit]\nexempt = []\n"
"""The default, for loopback too."""
PATIENCE = 0.5


def flood(port: int, until: float, sent: "multiprocessing.sharedctypes.Synchronized[int]", processor: int = 1) -> None:
    """Send random names until then, as fast as possible, and read nothing."""
    os.sched_setaffinity(0, {processor})
    sockets = []
    for number in range(SOURCES):
        each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        each.bind((f"127.1.{number}.1", 0))
        each.connect((ADDRESS, port))
        each.setblocking(False)
        sockets.append(each)
    packets = [question(secrets.token_hex(8) + ".example.com") for _ in range(5000)]
    count = 0
    for sender, packet in zip(itertools.cycle(sockets), itertools.cycle(packets)):
        try:
            sender.send(packet)
        except OSError:
            pass
        count += 1
        if not count % 1000 and time.time() > until:
            break
    sent.value = count


def ask(client: socket.socket, cookie: bytes) -> tuple[float, bytes]:
    """Ask with a cookie option; seconds until the answer (infinite: none) and the cookie to ask with next."""
    packet = bytearray(question("h001.example.com"))
    packet[-2:] = struct.pack("!HHH", len(cookie) + 4, 10, len(cookie)) if cookie else b"\0\0"
    start = time.perf_counter()
    for _ in range(TRIES):
        client.send(bytes(packet) + cookie)
        try:
            reply = client.recv(4096)
        except TimeoutError:
            continue
        if cookie:
            cookie = reply[-24:]
        return time.perf_counter() - start, cookie
    return float("inf"), cookie


def measure(port: int, seconds: float, with_cookie: bool) -> list[float]:
    """The times of a client's questions."""
    times = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect((ADDRESS, port))
        cookie = secrets.token_bytes(8) if with_cookie else b""
        _, cookie = ask(client, cookie)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            taken, cookie = ask(client, cookie)
            times.append(taken)
            time.sleep(0.01)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    seconds = parser.parse_args().seconds
    os.sched_setaffinity(0, {1})
    table = Table(box=None)
    for heading in ("client", "flood/s", "CPU of waypost", "asked", "answered", "at the first try", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="left" if heading == "client" else "right")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((ADDRESS, 0))
        port = probe.getsockname()[1]
    with (
        tempfile.TemporaryDirectory(prefix="waypost-bench-") as directory,
        running("waypost", configure_waypost(Path(directory), port, LIMIT), port) as pid,
    ):
        for flooded, with_cookie in itertools.product((False, True), (True, False)):
            sent = multiprocessing.Value("q", 0)
            attack = multiprocessing.Process(target=flood, args=(port, time.time() + seconds + 1, sent))
            if flooded:
                attack.start()
                time.sleep(0.5)
            pids = family(pid)
            cpu = cpu_time(pids)
            times = sorted(measure(port, seconds, with_cookie))
            busy = (cpu_time(pids) - cpu) / seconds
            if flooded:
                attack.join()
            answered = [each for each in times if each != float("inf")]
            first = sum(each < PATIENCE for each in answered)
            table.add_row(
                ("good cookie" if with_cookie else "no cookie") + (", flood" if flooded else ""),
                f"{sent.value / (seconds + 1):,.0f}",
                f"{busy:.0%}",
                f"{len(times)}",
                f"{len(answered) / len(times):.1%}",
                f"{first / len(times):.1%}",
                f"{times[len(times) // 2] * 1000:.2f}",
                f"{times[int(len(times) * 0.99)] * 1000:.2f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
