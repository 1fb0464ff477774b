"""What README.md says of the probe daemon and of the tests of GeoIP answers is what happens: its lines are run."""

import os
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.steering.running import PROGRAM, Waypost, environment, eventually, run_command

ROOT = Path(__file__).parent.parent
SECTIONS = re.split(r"^## ", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)


def lines_of(title: str) -> list[str]:
    """The lines of a section that are commands, and what they print."""
    [section] = [part for part in SECTIONS if part.startswith(title)]
    return [line[4:] for line in section.splitlines() if line[:4] == "    " or not line]


LINES = [line for line in lines_of("As a probe") if line]
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


def test_geoip_answers_are_tested_as_it_is_written(tmp_path: Path) -> None:
    """Every command of the section, one after the other, in a folder like a clone of the repository."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for path in (ROOT / "tests" / "steering" / "imports" / "samples").glob("*.json"):
        shutil.copy(path, tmp_path)
    program = tmp_path / "bin" / "waypost"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    program.chmod(0o755)
    surroundings = environment() | {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    asked = re.split(r"^\$ ", "\n".join(lines_of("To test GeoIP answers")), flags=re.MULTILINE)[1:]
    commands = []
    for command, _, expected in (each.partition("\n") for each in asked):
        commands.append(command.split()[1] if command.startswith("waypost ") else "")
        told = subprocess.run(
            ["/bin/sh", "-c", f"{command} 2>&1"],
            cwd=tmp_path,
            env=surroundings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        shown = [line.rstrip() for line in told.stdout.strip().splitlines()]
        assert shown == expected.strip().splitlines(), command
        assert told.returncode == (1 if commands[-1] in ("impact", "diff") else 0)
    assert set(commands) == {"answer", "test", "impact", "diff", "map", "import", ""}
    assert (tmp_path / "map.svg").read_text().startswith("<svg")


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
