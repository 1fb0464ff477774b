"""What the tests of config/beside share: other servers in the foreground, waypost beside them, and sites that fall."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dns.edns
import dns.exception
import dns.message
import dns.query
import dns.rcode

from tests.peers.programs import configure, read_log, started
from tests.steering.running import Waypost, eventually, free_port

BESIDE = Path(__file__).parents[2] / "config" / "beside"


def replace(path: Path, *pairs: tuple[str, str]) -> None:
    """Replace texts that must be there."""
    text = path.read_text()
    for old, new in pairs:
        assert old in text, f"{path}: {old}"
        text = text.replace(old, new)
    path.write_text(text)


def ask(
    port: int, name: str, rrtype: str = "A", *, subnet: str = "", tcp: bool = False, source: str | None = None
) -> dns.message.Message | None:
    """The reply of a server on loopback; None without one."""
    options: list[dns.edns.Option] = [dns.edns.ECSOption.from_text(subnet)] if subnet else []
    question = dns.message.make_query(name, rrtype, use_edns=0, options=options)
    send = dns.query.tcp if tcp else dns.query.udp
    try:
        return send(question, "127.0.0.1", 1.0, port, source=source)
    except (dns.exception.Timeout, OSError, EOFError):
        return None


def answer(port: int, name: str, rrtype: str = "A", *, subnet: str = "", tcp: bool = False) -> str:
    """The data of the answer section in order, or the RCODE where it is none; "" without a reply."""
    reply = ask(port, name, rrtype, subnet=subnet, tcp=tcp)
    if reply is None:
        return ""
    data = sorted(rdata.to_text() for rrset in reply.answer for rdata in rrset)
    return " ".join(data) or dns.rcode.to_text(reply.rcode())


class Neighbour:
    """Another server, in the foreground on a port of loopback."""

    def __init__(self, command: Sequence[str | Path], folder: Path, port: int) -> None:
        self.port = port
        self._command = command
        self.folder = folder

    @classmethod
    def configured(cls, program: str, folder: Path, text: str) -> "Neighbour":
        """One of those that tests.peers.programs can configure."""
        port = free_port()
        return cls(configure(program, folder, port, text), folder, port)

    @contextmanager
    def running(self, name: str, rrtype: str = "SOA") -> Iterator["Neighbour"]:
        """While it runs, once it answers this question."""
        with started(self._command, self.folder) as server:
            eventually(
                lambda: ask(self.port, name, rrtype) is not None or server.process.poll() is not None,
                lambda: f"it does not answer:\n{self.log()}",
            )
            assert server.process.poll() is None, self.log()
            yield self

    def log(self) -> str:
        """What it has said."""
        return read_log(self.folder)

    def answers(self, expected: str, name: str, rrtype: str = "A", *, subnet: str = "") -> None:
        """Wait until that is what it answers."""
        seen: list[str] = []

        def look() -> bool:
            seen.append(answer(self.port, name, rrtype, subnet=subnet))
            return seen[-1] == expected

        eventually(look, lambda: f"{name} is {seen[-1]!r} and not {expected!r}:\n{self.log()}")


@contextmanager
def waypost_of(config: Path, *, command: str = "run", workers: int = 1) -> Iterator[Waypost]:
    """waypost with a configuration as it is, which has its own [server]."""
    settings = config.read_text()
    waypost = Waypost(config.parent, "", state=str(config.parent / "state"))
    waypost.config = config
    settings = settings.replace('interval = "2s"', 'interval = "1s"')  # half as long to wait for
    config.write_text(settings.replace("/var/lib/waypost", str(waypost.state)))
    waypost.command, waypost.workers = command, workers
    try:
        yield waypost
    finally:
        waypost.destroy()


@contextmanager
def two_sites() -> Iterator[tuple[socket.socket, int]]:
    """The sites one and two, up at one port of 127.0.0.1 and of 127.0.0.2: the first socket, and the port."""
    while True:
        one = socket.create_server(("127.0.0.1", 0))
        try:
            two = socket.create_server(("127.0.0.2", one.getsockname()[1]))
        except OSError:
            one.close()
            continue
        with one, two:
            yield one, one.getsockname()[1]
        return
