"""Health checks while a flood of DNS questions takes the machine: no state may flip that would not flip without it.

    python -m tests.bench.probes_under_flood [--targets 400] [--seconds 20] [--floods N] [--timeout 0.5]

`waypost run` checks TARGETS addresses, a quarter each by icmp, udp_icmp, tcp and http, every second with
TIMEOUT for the answer, one failure being enough for a flip. All of them answer. They are left in peace for SECONDS, and
then flooded for as long: one process for each processor (or FLOODS) sends random names as fast as it can, and one
worker of waypost answers. What answers the checks stands for other machines, so it runs before everybody else. In a
network of its own; needs root and `ip`. The exit status is 1 if a state flipped.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from steering.messages import Status
from steering.serve.control_socket import ask_control
from tests.bench.flood import LIMIT, flood
from tests.bench.probes import PORT, answer, enter_network
from tests.bench.queries import cpu_time, family

KINDS = {"icmp": "", "udp_icmp": f"port = {PORT}", "tcp": f"port = {PORT}", "http": f"port = {PORT}"}
DNS_PORT = 5300
PROCESSORS = os.cpu_count() or 1


def answer_first() -> None:
    os.nice(-20)
    answer()


def make_configuration(targets: int, timeout: float) -> str:
    text = f'[server]\nlisten = ["127.0.0.1:{DNS_PORT}"]\nstate = "state"\n{LIMIT}'
    for number, (kind, fields) in enumerate(KINDS.items(), 1):
        origins = "".join(
            f'[[pool.origin]]\nname = "o{each}"\naddress = "127.{number}.{each // 250}.{each % 250 + 1}"\n'
            for each in range(targets // len(KINDS))
        )
        text += (
            f'[[monitor]]\nname = "{kind}"\ntype = "{kind}"\ninterval = "1s"\ntimeout = "{timeout}s"\n'
            f"retries = 0\n{fields}\n"
            f'[[pool]]\nname = "{kind}"\nmonitor = "{kind}"\n{origins}'
        )
    return (
        f'{text}[[zone]]\nname = "example.com"\nnameservers = ["ns1.example.com"]\n'
        '[[load_balancer]]\nname = "www.example.com"\ntypes = ["A"]\nfallback_pool = "icmp"\n'
        f"default_pools = {list(KINDS)}\n"
    )


def ask_status(state: Path) -> Status:
    return msgspec.convert(ask_control(state, {"command": "status"}), Status)


def watch(name: str, log: Path, state: Path, pid: int, seconds: float, floods: int, table: Table) -> int:
    """Watch for so long, under so many floods; adds a row, returns how many states flipped."""
    offset, before, cpu = log.stat().st_size, ask_status(state), cpu_time(family(pid))
    sent = [multiprocessing.Value("q", 0) for _ in range(floods)]
    attacks = [
        multiprocessing.Process(target=flood, args=(DNS_PORT, time.time() + seconds, each, number % PROCESSORS))
        for number, each in enumerate(sent)
    ]
    for attack in attacks:
        attack.start()
    time.sleep(seconds)
    for attack in attacks:
        attack.join()
    status, said = ask_status(state), log.read_text()[offset:].splitlines()
    flips = sum(" is DOWN" in line or " is up" in line for line in said)
    started = status.probes.started - before.probes.started
    table.add_row(
        name,
        f"{sum(each.value for each in sent) / seconds:,.0f}",
        f"{(cpu_time(family(pid)) - cpu) / seconds:.0%}",
        f"{started / seconds:,.0f}",
        f"{(status.probes.lag_seconds - before.probes.lag_seconds) / started * 1000:.1f}",
        f"{status.probes.lag_maximum * 1000:.0f}",
        f"{sum(origin.up is True for pool in status.pools for origin in pool.origins)}",
        f"{flips}",
    )
    for line, count in Counter(line.partition(" saw: ")[2] for line in said if " is DOWN" in line).most_common(5):
        print(f"{count} x {line}")
    return flips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--timeout", type=float, default=0.5)
    parser.add_argument("--floods", type=int, default=PROCESSORS)
    arguments = parser.parse_args()
    enter_network()
    server = multiprocessing.Process(target=answer_first, daemon=True)
    server.start()
    table = Table(box=None)
    for heading in ("", "questions/s", "CPU of waypost", "checks/s", "lag ms, mean", "most so far", "up", "flips"):
        table.add_column(heading, justify="right" if heading else "left")
    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as directory:
        path, log = Path(directory, "waypost.toml"), Path(directory, "log")
        path.write_text(make_configuration(arguments.targets, arguments.timeout))
        command = [sys.executable, "-m", "steering", "run", str(path)]
        with log.open("wb") as output, subprocess.Popen(command, stderr=output, start_new_session=True) as process:
            try:
                while "first results of" not in log.read_text():
                    if process.poll() is not None:
                        raise SystemExit(log.read_text())
                    time.sleep(0.1)
                time.sleep(2)
                for name, floods in (("in peace", 0), ("flooded", arguments.floods)):
                    flips = watch(name, log, path.parent / "state", process.pid, arguments.seconds, floods, table)
            finally:
                process.terminate()
    server.terminate()
    Console().print(table)
    sys.exit(flips > 0)


if __name__ == "__main__":
    main()
