"""A waypost that runs: started in a folder of its own on a free port, asked over UDP and TCP, watched, and ended.

Everything is waited for by looking again until DEADLINE. Every process that the program starts is in its session: so
what it leaves behind is seen.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import dns.edns
import dns.exception
import dns.message
import dns.query
import dns.rcode
import msgspec

from steering.messages import Status
from steering.serve.control_socket import ControlError, ask_control

DEADLINE = 20.0
"""Seconds for which a test looks for what must happen; never reached when all is well."""
INTERVAL = 0.02
"""Seconds between two looks."""
PATIENCE = 0.5
"""Seconds that one question waits for its answer."""

Run = Callable[..., tuple[int, str, str]]
"""Runs a command line in this process: exit status, output, error output."""
PROGRAM = (sys.executable, "-P", "-c", "import sys; from steering.cli import main; sys.exit(main())")

Value = TypeVar("Value")


class Waypost:
    """A folder with a configuration, and the program that runs with it."""

    def __init__(self, folder: Path, settings: str, *, state: str = "state", workers: int = 1) -> None:
        """`settings` is the configuration without [server]; the folder may have the files that it names already."""
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "waypost.toml"
        self.state = folder / state
        self.port = free_port()
        self.workers = workers
        self.program: tuple[str, ...] = PROGRAM
        self.command = "run"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(settings)

    def configure(self, settings: str, **server: object) -> None:
        """Write the configuration; `server` replaces keys of [server]."""
        table = {"listen": [f"127.0.0.1:{self.port}"], "state": str(self.state), "workers": self.workers, **server}
        lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in table.items()]
        self.config.write_text("\n".join(["[server]", *lines, settings]))

    def launch(self, *options: str) -> "Waypost":
        """Start the program; wait for nothing."""
        with self._log.open("wb") as log:
            return self.launch_with(log.fileno(), *options)

    def launch_with(self, output: int, *options: str) -> "Waypost":
        """Start the program with `output`, a file descriptor, for what it says."""
        self._process = subprocess.Popen(
            [*self.program, self.command, str(self.config), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(),
            start_new_session=True,
        )
        return self

    def start(self, *options: str) -> "Waypost":
        """Start the program, and wait until every worker is fed. A port that was taken just now is replaced."""
        for _ in range(5):
            self.launch(*options)
            eventually(lambda: self.is_fed() or self.process.poll() is not None, self.log)
            if self.process.poll() is None:
                return self
            if "another program has it" not in self.log():
                break
            taken, self.port = self.port, free_port()
            self.config.write_text(self.config.read_text().replace(f":{taken}", f":{self.port}"))
        raise AssertionError(f"it ended with status {self.process.returncode}:\n{self.log()}")

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The supervisor."""
        assert self._process is not None, "not started"
        return self._process

    def log(self) -> str:
        """What has been logged since the last start."""
        return self._log.read_text() if self._log.exists() else ""

    def logged(self, text: str) -> None:
        """Wait until the log has `text`."""
        eventually(lambda: text in self.log(), lambda: f"{text!r} is not in the log:\n{self.log()}")

    def status(self) -> Status | None:
        """What control says of itself; None while it does not answer."""
        try:
            return msgspec.convert(ask_control(self.state, {"command": "status"}, timeout=1), Status)
        except ControlError:
            return None

    def is_fed(self) -> bool:
        """Whether control feeds as many workers as there should be."""
        status = self.status()
        return status is not None and len(status.workers) == self.workers

    def worker(self) -> int:
        """The process of the first worker that control feeds."""

        def first() -> int | None:
            status = self.status()
            return status.workers[0].pid if status is not None and status.workers else None

        return eventually(first, self.log)

    def control(self) -> int:
        """The process of control: the one that listens on the control socket."""

        def listener() -> int | None:
            directory = os.open(self.state, os.O_RDONLY)
            try:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(f"/proc/self/fd/{directory}/control.sock")
                    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            except OSError:
                return None
            finally:
                os.close(directory)
            return int(struct.unpack("3i", credentials)[0])

        return eventually(listener, self.log)

    def processes(self) -> list[int]:
        """Every process of the program's session that has not ended."""
        return list_living(self.process.pid)

    def ask(
        self, name: str = "www.example.com", rrtype: str = "A", *, tcp: bool = False, subnet: str = ""
    ) -> dns.message.Message | None:
        """The reply; None if there was none in PATIENCE, or nobody who listens."""
        options: list[dns.edns.Option] = [dns.edns.ECSOption.from_text(subnet)] if subnet else []
        question = dns.message.make_query(name, rrtype, use_edns=0, options=options)
        send = dns.query.tcp if tcp else dns.query.udp
        try:
            return send(question, "127.0.0.1", PATIENCE, self.port)
        except (dns.exception.Timeout, OSError, EOFError):
            return None

    def answer(self, name: str = "www.example.com", rrtype: str = "A", *, tcp: bool = False, subnet: str = "") -> str:
        """The data of the answer section in order, or the RCODE where it is none; "" without a reply."""
        reply = self.ask(name, rrtype, tcp=tcp, subnet=subnet)
        if reply is None:
            return ""
        data = sorted(rdata.to_text() for rrset in reply.answer for rdata in rrset)
        return " ".join(data) or dns.rcode.to_text(reply.rcode())

    def answers(
        self, expected: str, name: str = "www.example.com", rrtype: str = "A", *, deadline: float = DEADLINE
    ) -> None:
        """Wait until the answer is what is expected."""
        seen: list[str] = []

        def look() -> bool:
            seen.append(self.answer(name, rrtype))
            return seen[-1] == expected

        eventually(look, lambda: f"{name} {rrtype} is {seen[-1]!r} and not {expected!r}:\n{self.log()}", deadline)

    def signal(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    def reload(self, outcome: str) -> str:
        """SIGHUP; what is logged from then on, up to `outcome` and with it."""
        before = len(self.log())
        self.signal(signal.SIGHUP)
        eventually(lambda: outcome in self.log()[before:], lambda: f"not {outcome!r}:\n{self.log()[before:]}")
        return self.log()[before:]

    def end(self) -> int:
        """Wait until the program and every process of its has ended; the exit status."""
        status = self.process.wait(DEADLINE)
        eventually(lambda: not self.processes(), "it left processes behind")
        return status

    def stop(self) -> int:
        """SIGTERM, and wait for the end; the exit status."""
        self.signal(signal.SIGTERM)
        return self.end()

    def destroy(self) -> None:
        """End all that still runs, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            for process in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self._process.wait(DEADLINE)


TAKEN = "the configuration is in force"
REFUSED = "the configuration was not taken"


@contextmanager
def running(folder: Path, settings: str, *, state: str = "state", workers: int = 1) -> Iterator[Waypost]:
    """A Waypost that has started, and is gone afterwards."""
    waypost = Waypost(folder, settings, state=state, workers=workers)
    try:
        yield waypost.start()
    finally:
        waypost.destroy()


def run_command(*arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command of waypost to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environment(),
        check=False,
    )


def environment() -> dict[str, str]:
    """With the tree that is tested first in the path."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def list_processes() -> list[tuple[int, int, str]]:
    """Process, session and state of each process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            found.append((int(path.parent.name), int(fields[3]), fields[0]))
    return found


def parent_of(process: int) -> int | None:
    """The process that it is a child of; None if it is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def list_living(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    return [process for process, of, state in list_processes() if of == session and state != "Z"]


def eventually(
    look: Callable[[], Value | None], otherwise: str | Callable[[], str], deadline: float = DEADLINE
) -> Value:
    """The first true value of `look`; after `deadline` seconds an AssertionError that says `otherwise`."""
    end = time.monotonic() + deadline
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(otherwise if isinstance(otherwise, str) else otherwise())
        time.sleep(INTERVAL)


def free_port(address: str = "127.0.0.1") -> int:
    """A port that is free for UDP and TCP."""
    while True:
        with socket.socket(type=socket.SOCK_STREAM) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind((address, 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind((address, port))
            except OSError:
                continue
            return port


def zone_text(serial: int = 1, records: str = "") -> str:
    """A zone file: SOA, NS, and further records."""
    soa = f"@ SOA ns1.example.net. hostmaster.example.net. {serial} 1h 15m 2w 1m"
    return f"$TTL 300\n{soa}\n@ NS ns1.example.net.\n{records}\n"


def web_settings(port: int, *, address: str = "192.0.2.1", zones: str = "", balancers: str = "") -> str:
    """A site at 127.0.0.1 that is up while TCP `port` is open, a last resort, and www.example.com of both."""
    zones = zones or '[[zone]]\nname = "example.com"\nnameservers = ["ns1.example.net"]'
    return f"""
[[monitor]]
name = "web"
type = "tcp"
port = {port}
interval = "1s"
timeout = "1s"

[[pool]]
name = "site"
monitor = "web"
[[pool.origin]]
name = "site-1"
address = "127.0.0.1"
records = {{ A = "{address}" }}

[[pool]]
name = "sorry"
[[pool.origin]]
name = "sorry-1"
address = "192.0.2.99"

{zones}

[[load_balancer]]
name = "www.example.com"
types = ["A"]
default_pools = ["site"]
fallback_pool = "sorry"
{balancers}
"""
