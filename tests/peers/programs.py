"""The other servers as programs: found, configured to run here, started in the foreground, and ended.

Whoever runs the tests runs them: none needs root or a user of its own, each is on a port of loopback, and all that they
write stays in one temporary folder.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from tests.steering.running import eventually, list_living

PACKAGES = {
    "dnsdist": "dnsdist",
    "gdnsd": "gdnsd",
    "knotd": "knot",
    "named": "bind9",
    "nsd": "nsd",
    "pdns_server": "pdns-server",
    "pdnsutil": "pdns-server",
    "sqlite3": "sqlite3",
}
"""Program → the package of Debian that has it."""
PATIENCE = 5.0
"""Seconds that a server has to end."""


class Server(msgspec.Struct, frozen=True):
    """A server that runs in a folder."""

    process: "subprocess.Popen[bytes]"
    folder: Path

    def log(self) -> str:
        """What it has said."""
        return read_log(self.folder)


def find_program(name: str) -> str | None:
    """The path of a program; None where it is missing."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    return shutil.which(name, path=path)


def need_program(name: str) -> str:
    """The path of a program; skips the test where it is missing."""
    found = find_program(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {PACKAGES[name]}")
    return found


def configure(program: str, folder: Path, port: int, text: str) -> list[str]:
    """The command line of a server on this port, whose configuration of this text is then in the folder."""
    name, arguments, around = _SERVERS[program]
    (folder / name).write_text(around(folder, port, text))
    return [need_program(program), *(argument.format(folder=folder, port=port) for argument in arguments)]


@contextmanager
def started(command: Sequence[str | Path], folder: Path) -> Iterator[Server]:
    """A server in the foreground, which may not answer yet; gone afterwards, with all its processes."""
    with (folder / "server.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Server(process, folder)
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
        # Its children are killed with it, and are gone a moment later.
        eventually(lambda: not list_living(process.pid), f"processes of {command[0]} do not end")


def run_pdnsutil(folder: Path, *words: str) -> None:
    """Run the tool of PowerDNS with the configuration in a folder."""
    command = [need_program("pdnsutil"), f"--config-dir={folder}", *words]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)


def read_log(folder: Path) -> str:
    """What the server in a folder has said since its last start."""
    return (folder / "server.log").read_text(errors="replace")


def _nsd(folder: Path, port: int, text: str) -> str:
    return f"""
server:
  ip-address: 127.0.0.1@{port}
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  database: ""
  verbosity: 2
  xfrd-reload-timeout: 0
  rrl-ratelimit: 0
  hide-version: yes
  hide-identity: yes
remote-control:
  control-enable: no
{text}"""


def _knot(folder: Path, port: int, text: str) -> str:
    return f"""
server:
  rundir: "{folder}"
  listen: 127.0.0.1@{port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  version: ""
  identity: ""
log:
  - target: stderr
    any: info
database:
  storage: "{folder}"
template:
  - id: default
    storage: "{folder}"
{text}"""


def _named(folder: Path, port: int, text: str) -> str:
    """Options of the text are added to those that say where it runs."""
    found = re.search(r"^options {\n(.*?)^};\n", text, re.MULTILINE | re.DOTALL)
    options, rest = (found[1], text.replace(found[0], "")) if found else ("  notify no;\n", text)
    return f"""
options {{
  directory "{folder}";
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  pid-file none;
  session-keyfile none;
  recursion no;
  notify-delay 0;
  max-journal-size 10m; // the changes of a test are as large as its zone
  max-ixfr-ratio unlimited;
  dnssec-validation no;
{options}}};
controls {{ }};
{rest}"""


def _as_it_is(_folder: Path, _port: int, text: str) -> str:
    return text


_SERVERS: dict[str, tuple[str, tuple[str, ...], Callable[[Path, int, str], str]]] = {
    "nsd": ("nsd.conf", ("-d", "-c", "{folder}/nsd.conf"), _nsd),
    "knotd": ("knot.conf", ("-c", "{folder}/knot.conf"), _knot),
    "named": ("named.conf", ("-g", "-n", "1", "-c", "{folder}/named.conf"), _named),
    "pdns_server": (
        "pdns.conf",
        ("--config-dir={folder}", "--local-address=127.0.0.1", "--local-port={port}", "--socket-dir={folder}",
         "--daemon=no", "--guardian=no", "--setuid=", "--setgid=", "--disable-syslog"),
        _as_it_is,
    ),
}  # fmt: skip
"""Program → the name of its configuration, its arguments, and the configuration around what a test has to say."""
