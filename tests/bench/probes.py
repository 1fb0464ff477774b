"""Probing thousands of targets: what it costs, and how late it is.

    python -m tests.bench.probes [--kinds icmp,udp,tcp,http] [--targets 10000,20000] [--peers up,dead]
                                 [--seconds 20] [--interval 10] [--timeout 5] [--retries 0]

For each kind of check, number of targets, and peers that all answer or are all silent: the real scheduler, the real
probes and the real keeper of health in one process, in a network of its own. What answers is not counted: the kernel
for pings (all of 127.0.0.0/8 is ours), a process of its own for UDP and TCP. What is silent is 10.0.0.0/8, behind a
link whose other end takes no packet. When every target has had its first result, and an interval more has passed,
SECONDS are measured. CPU is that of one core, lag is start - due, RSS is the most of the whole run.

udp is the kind udp_icmp: its ping comes first, so with silent peers the ping is all that happens. Needs root, or what
lets a process make a network namespace, and `ip`.
"""

import argparse
import ctypes
import itertools
import json
import resource
import select
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from multiprocessing import Process
from statistics import quantiles

import trio
from rich.console import Console
from rich.table import Table

from monitors import probes
from monitors.monitor import Result, Target
from monitors.probes.http import HttpMonitor
from monitors.probes.icmp import IcmpMonitor
from monitors.probes.tcp import TcpMonitor
from monitors.probes.udp_icmp import UdpIcmpMonitor
from monitors.scheduler import open_scheduler
from steering.health.keeper import HealthKeeper, targets_of
from steering.settings import Origin, Pool, Server, Settings

CLONE_NEWNET = 0x40000000
IP_PKTINFO = 8
PORT = 7777
FILES = 65_536
"""Open files that the process may have, if root can give it that many."""
NETWORK = """
link set lo up
link add near type veth peer name far
link set near arp off up
link set far up
address add 10.255.255.254/32 dev near
route add 10.0.0.0/8 via 10.255.255.253 dev near onlink
"""
HTTP_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
MONITORS = {
    "icmp": (IcmpMonitor, {}),
    "udp": (UdpIcmpMonitor, {"port": PORT}),
    "tcp": (TcpMonitor, {"port": PORT}),
    "http": (HttpMonitor, {"port": PORT}),
}


def enter_network() -> None:
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        raise SystemExit("this process may not make a network namespace")
    subprocess.run(["ip", "-batch", "-"], input=NETWORK, text=True, check=True)


def answer() -> None:
    """Answer on PORT of every address, for ever: to UDP with what came, to TCP with HTTP_REPLY."""
    with ExitStack() as stack:
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        poll = select.epoll()
        for each in (udp, tcp):
            each.bind(("0.0.0.0", PORT))
            poll.register(each, select.EPOLLIN)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        udp.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        tcp.listen(4096)
        clients: dict[int, socket.socket] = {}
        while True:
            for number, _ in poll.poll():
                if number == udp.fileno():
                    datagram, ((_, _, asked), *_), _, sender = udp.recvmsg(100, 100)
                    # Without an interface, it is the address to answer from.
                    udp.sendmsg([datagram], [(socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + asked[4:])], 0, sender)
                elif number == tcp.fileno():
                    client, _ = tcp.accept()
                    clients[client.fileno()] = client
                    poll.register(client, select.EPOLLIN)
                else:
                    with clients.pop(number) as client, suppress(OSError):
                        if client.recv(4096):
                            client.send(HTTP_REPLY)


def make_settings(kind: str, peers: str, targets: int, arguments: argparse.Namespace) -> Settings:
    monitor, fields = MONITORS[kind]
    timing = {"interval": arguments.interval, "timeout": arguments.timeout, "retries": arguments.retries}
    network = {"up": 127, "dead": 10}[peers]
    origins = tuple(
        Origin(f"o{number}", f"{network}.{1 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}")
        for number in range(targets)
    )
    return Settings(
        Server("state"),
        monitors=(monitor(name="m", **timing, **fields),),
        pools=(Pool("p", origins, monitor="m"),),
    )


async def measure(settings: Settings, seconds: float) -> dict[str, float]:
    lags: list[float] = []
    reported: list[bool] = []
    health = HealthKeeper()

    def take(target: Target, result: Result) -> None:
        reported.append(result.up)
        health.take(target, result)

    started, lag_seconds = 0, 0.0

    async def probe(target: Target) -> Result:
        # Nothing else has started since this probe was counted.
        nonlocal started, lag_seconds
        now = scheduler.statistics()
        if now.started > started:
            lags.append(now.lag_seconds - lag_seconds)
            started, lag_seconds = now.started, now.lag_seconds
        return await probes.probe(target, scheduler.tools)

    targets = targets_of(settings)
    monitor = targets[0].monitor
    async with open_scheduler(take, probe) as scheduler:
        health.expect(settings)
        health.commit(settings)
        scheduler.replace(targets)
        await scheduler.wait_first_results(targets, 120)
        await trio.sleep(monitor.interval)
        lags.clear()
        reported.clear()
        cpu, began = time.process_time(), time.perf_counter()
        await trio.sleep(seconds)
        cpu, elapsed = time.process_time() - cpu, time.perf_counter() - began
        cuts = quantiles(lags, n=100)
        return {
            "starts": len(lags) / elapsed,
            "results": len(reported) / elapsed,
            "up": sum(reported) / len(reported),
            "cpu": cpu / elapsed,
            "p50": cuts[49],
            "p99": cuts[98],
            "max": max(lags),
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }


def run_one(kind: str, peers: str, targets: int, arguments: argparse.Namespace) -> None:
    """One measurement, in this process; prints it as JSON."""
    enter_network()
    with suppress(ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    server = Process(target=answer, daemon=True)
    server.start()
    try:
        print(json.dumps(trio.run(measure, make_settings(kind, peers, targets, arguments), arguments.seconds)))
    finally:
        server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default="icmp,udp,tcp,http")
    parser.add_argument("--targets", default="10000,20000")
    parser.add_argument("--peers", default="up,dead")
    for name, default in (("seconds", 20.0), ("interval", 10.0), ("timeout", 5.0)):
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("--retries", type=int, default=0)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    choices = [getattr(arguments, name).split(",") for name in ("kinds", "targets", "peers")]
    table = Table(box=None)
    for heading in ("kind", "peers", "targets", "starts/s", "results/s", "up", "CPU", "µs each", "RSS MB"):
        table.add_column(heading, justify="left" if heading in ("kind", "peers") else "right")
    for heading in ("lag p50 ms", "p99 ms", "max ms"):
        table.add_column(heading, justify="right")
    for kind, targets, peers in itertools.product(*choices):
        if arguments.one:
            run_one(kind, peers, int(targets), arguments)
            return
        chosen = ["--one", "--kinds", kind, "--targets", targets, "--peers", peers]
        command = [sys.executable, "-m", "tests.bench.probes", *sys.argv[1:], *chosen]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        table.add_row(
            kind,
            peers,
            targets,
            f"{found['starts']:,.0f}",
            f"{found['results']:,.0f}",
            f"{found['up']:.1%}",
            f"{found['cpu']:.0%}",
            f"{found['cpu'] / found['starts'] * 1e6:.0f}",
            f"{found['memory'] / 1e6:.0f}",
            *(f"{found[each] * 1000:.1f}" for each in ("p50", "p99", "max")),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
