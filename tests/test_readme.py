"""What README.md says of the probe daemon is what happens: its lines are run, with a port that is free."""

import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.steering.running import Waypost, eventually, run_command

ROOT = Path(__file__).parent.parent
SECTIONS = re.split(r"^## ", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
LINES = [
    line[4:] for part in SECTIONS if part.startswith("As a probe") for line in part.splitlines() if line[:4] == "    "
]
FILE = "config/probe.toml"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Waypost]:
    """`waypost probe` of the example; not started."""
    made = Waypost(tmp_path, "", state="probe-state")
    text = (ROOT / FILE).read_text(encoding="utf-8")
    assert "port = 8080\n" in text
    made.config.write_text(text.replace("port = 8080\n", f"port = {made.port}\n"))
    made.command, made.workers = "probe", 0
    yield made
    made.destroy()


def test_what_is_printed_is_what_is_written(daemon: Waypost) -> None:
    asked = [place for place, line in enumerate(LINES) if line.startswith("$ ")]
    assert asked
    for place in asked:
        program, *arguments = LINES[place][2:].split()
        assert program == "waypost"
        told = run_command(*(str(daemon.config) if word == FILE else word for word in arguments))
        shown = told.stdout.splitlines()
        assert shown == LINES[place + 1 : place + 1 + len(shown)]
        assert (told.returncode, told.stderr) == (1, "")


def test_the_daemon_sees_a_site_come_up(daemon: Waypost) -> None:
    assert f"waypost probe {FILE}" in LINES
    assert f"waypost status {FILE} --watch" in LINES
    daemon.start()
    with socket.create_server(("127.0.0.1", daemon.port)) as site:
        site.settimeout(10)

        def serve() -> bool:
            with site.accept()[0] as client:
                client.recv(1000)
                client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
            return run_command("status", str(daemon.config)).stdout.count(" up ") == 2  # the pool and the origin

        eventually(serve, daemon.log)
    orders = [shlex.split(line) for line in LINES if line.startswith(("waypost force", "waypost drain"))]
    assert len(orders) == 3
    for _, *arguments in orders:
        told = run_command(*(str(daemon.config) if word == FILE else word for word in arguments))
        assert (told.returncode, told.stderr) == (0, "")
    assert run_command("force", str(daemon.config)).stdout == "nothing is ordered\n"
    assert daemon.stop() == 0
