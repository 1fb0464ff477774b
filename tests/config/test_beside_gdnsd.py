"""config/beside/gdnsd with the real gdnsd: what is in the folder, on free ports and in a folder of the test's own."""

import shlex
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query

from tests.config.neighbours import replace
from tests.peers.programs import need_program, read_log, started
from tests.steering.running import PROGRAM, Waypost, environment, eventually, free_port

EXAMPLE = Path(__file__).parents[2] / "config" / "beside" / "gdnsd"
BOTH = "127.0.0.1 127.0.0.2"


class Gdnsd:
    """One that runs with the example."""

    def __init__(self, folder: Path, site_port: int) -> None:
        shutil.copytree(EXAMPLE, folder / "etc")
        self.state, self.port = folder / "gdnsd", free_port()
        (folder / "run").mkdir()
        (self.state / "extfile").mkdir(parents=True)
        self.config = folder / "etc" / "waypost.toml"
        self._folder = folder
        replace(
            self.config,
            ("/var/lib/waypost", str(folder / "state")),
            ("/var/lib/gdnsd", str(self.state)),
            ("port = 8080", f"port = {site_port}"),
        )
        script = folder / "waypost"
        root = environment()["PYTHONPATH"]
        script.write_text(f"#!/bin/sh\nPYTHONPATH='{root}' exec {shlex.join(PROGRAM)} \"$@\"\n")
        script.chmod(0o755)
        replace(
            folder / "etc" / "config",
            ("dns_port => 5353", f"dns_port => {self.port}, run_dir => {folder}/run, state_dir => {self.state}"),
            ('"/usr/bin/waypost"', f'"{script}"'),
            ("/etc/waypost/waypost.toml", str(self.config)),
            ("interval => 10", "interval => 8, up_thresh => 1, down_thresh => 1, ok_thresh => 1"),
            ("timeout => 8", "timeout => 7"),
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        with started([need_program("gdnsd"), "-c", self._folder / "etc", "start"], self._folder):
            yield

    def answer(self, name: str) -> str:
        """The addresses that it answers; "" without an answer."""
        try:
            reply = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", 0.5, self.port)
        except (dns.exception.Timeout, OSError):
            return ""
        return " ".join(sorted(rdata.to_text() for rrset in reply.answer for rdata in rrset))

    def answers(self, name: str, expected: str) -> None:
        """Wait until that is what it answers."""
        eventually(
            lambda: self.answer(name) == expected,
            lambda: f"{name} is {self.answer(name)} and not {expected}:\n{read_log(self._folder)}",
        )


def open_site(host: str, port: int = 0) -> socket.socket:
    return socket.create_server((host, port))


@contextmanager
def daemon_of(gdnsd: Gdnsd) -> Iterator[Waypost]:
    """`waypost probe` with the configuration of the example."""
    settings = gdnsd.config.read_text()
    daemon = Waypost(gdnsd.config.parent, "")
    daemon.config.write_text(settings)
    daemon.state = gdnsd.state.parent / "state"
    daemon.command, daemon.workers = "probe", 0
    try:
        yield daemon.start()
    finally:
        daemon.destroy()


def test_an_origin_that_goes_down_changes_what_gdnsd_answers(tmp_path: Path) -> None:
    with open_site("127.0.0.1") as one, open_site("127.0.0.2", one.getsockname()[1]):
        port = one.getsockname()[1]
        gdnsd = Gdnsd(tmp_path, port)
        with daemon_of(gdnsd) as daemon:
            eventually(lambda: (gdnsd.state / "extfile" / "waypost").exists(), daemon.log)
            with gdnsd.running():
                gdnsd.answers("www.example.com", BOTH)
                one.close()
                gdnsd.answers("www.example.com", "127.0.0.2")
                daemon.destroy()
                with open_site("127.0.0.1", port):
                    assert gdnsd.answer("www.example.com") == "127.0.0.2"  # as it was when waypost was last there
                    daemon.start()
                    gdnsd.answers("www.example.com", BOTH)


def test_admin_state_overrules_gdnsds_own_monitors(tmp_path: Path) -> None:
    """The service type that is overruled never looks by itself: its file says that both are up."""
    with open_site("127.0.0.1") as one, open_site("127.0.0.2", one.getsockname()[1]):
        gdnsd = Gdnsd(tmp_path, one.getsockname()[1])
        (gdnsd.state / "extfile" / "waypost").write_text("127.0.0.1 => UP\n127.0.0.2 => UP\n")
        replace(gdnsd.config, ("gdnsd_extfile", "gdnsd_admin_state"), ("extfile/waypost", "admin_state"))
        with daemon_of(gdnsd), gdnsd.running():
            gdnsd.answers("www.example.com", BOTH)
            one.close()
            gdnsd.answers("www.example.com", "127.0.0.2")
            assert (gdnsd.state / "admin_state").read_text() == "127.0.0.1/* => DOWN\n"


def test_gdnsd_has_waypost_probe(tmp_path: Path) -> None:
    """By extmon, without a daemon."""
    with open_site("127.0.0.1") as one, open_site("127.0.0.2", one.getsockname()[1]):
        gdnsd = Gdnsd(tmp_path, one.getsockname()[1])
        (gdnsd.state / "extfile" / "waypost").write_text("127.0.0.1 => UP\n127.0.0.2 => UP\n")
        with gdnsd.running():
            gdnsd.answers("www-once.example.com", BOTH)
            one.close()
            gdnsd.answers("www-once.example.com", "127.0.0.2")
