"""The peers as primary or secondary of a waypost: with the configurations of config/beside, on free ports.

In those, waypost is at 192.0.2.1 and the other server at 192.0.2.2; here each becomes loopback and a port, spelt as the
program spells it. What they write stays in one temporary folder, and whoever runs the tests runs them.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import dns.tsig
import dns.xfr
import dns.zone
import msgspec

from tests.peers.servers import PATIENCE
from tests.steering.running import eventually

BESIDE = Path(__file__).parents[2] / "config" / "beside"
FOLDERS = {
    "primary": "transfers_out",
    "secondary": "transfers_in",
    "producer": "catalog_out",
    "consumer": "catalog_in",
}
"""By what waypost is."""
OF_PEERS = {
    "secondary": "transfers_out",
    "primary": "transfers_in",
    "consumer": "catalog_out",
    "producer": "catalog_in",
}
"""By what the peer is."""
KEY_TEXT = "c2VjcmV0IG9mIHRoZSBleGFtcGxlLCBub3QgeW91cnM="
KEY = dns.tsig.Key("transfer", KEY_TEXT, "hmac-sha256")
PROGRAMS = {"nsd": "nsd", "knot": "knotd", "named": "named", "pdns": "pdns_server"}
"""Configuration → program."""
START_DEADLINE = 30.0


class Server(msgspec.Struct):
    """A server that runs in a folder."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path

    def log(self) -> str:
        """What it has said."""
        return (self.folder / "log").read_text(errors="replace")

    def reload(self) -> None:
        """Read the zone file again; PowerDNS looks by itself, and SIGHUP is its end."""
        if Path(str(self.process.args[0])).name != "pdns_server":  # type: ignore[index] # it is a list
            self.process.send_signal(signal.SIGHUP)


def find_program(name: str) -> str | None:
    """Where the program of a server is."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    return shutil.which(PROGRAMS[name], path=path)


def waypost_settings(role: str, other: int) -> str:
    """The configuration of waypost in a role; the other server is at this port."""
    return (BESIDE / FOLDERS[role] / "waypost.toml").read_text().replace("192.0.2.2", f"127.0.0.1:{other}")


@contextmanager
def running_server(name: str, role: str, folder: Path, port: int, waypost: int) -> Iterator[Server]:
    """A server in a role, with its zone file there if it is primary."""
    folder.mkdir(exist_ok=True)
    program = find_program(name)
    assert program is not None, "skipped without it"
    text = (BESIDE / OF_PEERS[role] / f"{name}.conf").read_text()
    arguments = _CONFIGURE[name](folder, text, port, waypost, role)
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            [program, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = Server(process, port, folder)
    try:
        yield server
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(PATIENCE)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass


def serial_at(port: int, zone: str = "example.com") -> int | None:
    """The serial of a zone there; None without an answer."""
    try:
        reply = dns.query.udp(dns.message.make_query(zone, "SOA"), "127.0.0.1", 1, port)
    except (dns.exception.Timeout, OSError):
        return None
    return reply.answer[0][0].serial if reply.answer else None


def has_serial(port: int, serial: int | None, log: Callable[[], str], zone: str = "example.com") -> None:
    """Wait for a serial; None: until there is no answer."""
    eventually(
        lambda: serial_at(port, zone) == serial,
        lambda: f"{zone} {serial_at(port, zone)}, not {serial}\n{log()}",
        START_DEADLINE,
    )


def transferred(port: int) -> dns.zone.Zone:
    """The zone as a server sends it, to whoever has the key."""
    zone = dns.zone.Zone("example.com")
    query, _ = dns.xfr.make_query(zone, keyring=KEY)
    dns.query.inbound_xfr("127.0.0.1", zone, query, port=port, timeout=10)
    return zone


def _nsd(folder: Path, text: str, port: int, waypost: int, role: str) -> list[str]:
    text = re.sub(r"^( *(?:request-xfr|notify): )192\.0\.2\.1", rf"\g<1>127.0.0.1@{waypost}", text, flags=re.MULTILINE)
    text = text.replace("192.0.2.1", "127.0.0.1")
    if role == "secondary":  # to be looked at by the tests
        text += "  provide-xfr: 127.0.0.1 transfer\n"
    (folder / "nsd.conf").write_text(f"""
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
remote-control:
  control-enable: no
{text}""")
    return ["-d", "-c", str(folder / "nsd.conf")]


def _knot(folder: Path, text: str, port: int, waypost: int, role: str) -> list[str]:
    text = text.replace("address: 192.0.2.1", f"address: 127.0.0.1@{waypost}")
    if role == "secondary":
        text = text.replace("action: notify", "action: [notify, transfer]")
    text = text.replace("  - id: member", f'  - id: member\n    storage: "{folder}"')
    (folder / "knot.conf").write_text(f"""
server:
  rundir: "{folder}"
  listen: 127.0.0.1@{port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
  - target: stderr
    any: info
database:
  storage: "{folder}"
template:
  - id: default
    storage: "{folder}"
{text}""")
    return ["-c", str(folder / "knot.conf")]


def _named(folder: Path, text: str, port: int, waypost: int, role: str) -> list[str]:
    text = text.replace("192.0.2.1 ", f"127.0.0.1 port {waypost} ")
    if role == "secondary":
        text = text.replace("  type secondary;", "  type secondary;\n  allow-transfer { key transfer; };")
    options = re.search(r"^options {\n(.*?)^};\n", text, re.MULTILINE | re.DOTALL)
    if options:
        text = text.replace(options[0], "")
    more = options[1].replace("transfer; };\n  };", "transfer; } min-update-interval 1;\n  };") if options else ""
    (folder / "named.conf").write_text(f"""
options {{
  directory "{folder}";
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  pid-file none;
  session-keyfile none;
  recursion no;
  notify-delay 0;
  max-journal-size 10m; // the changes of this test are as large as its zone
  max-ixfr-ratio unlimited;
  dnssec-validation no;
{more or "  notify no;"}
}};
controls {{ }};
{text}""")
    return ["-g", "-n", "1", "-c", str(folder / "named.conf")]


def _pdns(folder: Path, text: str, port: int, waypost: int, role: str) -> list[str]:
    hint = re.search(r"^#   (zone .*;)$", text, re.MULTILINE)
    assert hint, text
    (folder / "bind.conf").write_text(
        hint[1].replace("192.0.2.1", f"127.0.0.1:{waypost}").replace('file "', f'file "{folder}/')
    )
    settings = re.sub(r"=192\.0\.2\.1$", f"=127.0.0.1:{waypost}", text, flags=re.MULTILINE)
    settings = re.sub(r"=(bind\.conf|keys\.db)$", rf"={folder}/\1", settings, flags=re.MULTILINE)
    (folder / "pdns.conf").write_text(f"""
daemon=no
guardian=no
setuid=
setgid=
local-address=127.0.0.1
local-port={port}
socket-dir={folder}
xfr-cycle-interval=1
version-string=anonymous
{settings}""")
    for line in re.findall(r"^#   pdnsutil (.*)$", text, re.MULTILINE):
        words = line.replace("keys.db", str(folder / "keys.db")).split()
        subprocess.run(["pdnsutil", f"--config-dir={folder}", *words], check=True, capture_output=True)
        if role == "secondary" and words[0].startswith("activate"):
            words[-1] = "primary"  # to be looked at by the tests
            subprocess.run(["pdnsutil", f"--config-dir={folder}", *words], check=True, capture_output=True)
    return [f"--config-dir={folder}"]


_CONFIGURE: dict[str, Callable[[Path, str, int, int, str], list[str]]] = {
    "nsd": _nsd,
    "knot": _knot,
    "named": _named,
    "pdns": _pdns,
}
