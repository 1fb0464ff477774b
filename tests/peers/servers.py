"""The peers: NSD, Knot DNS and BIND, each in the foreground on a free port of loopback, with the zones of zones/.

Whoever runs the tests runs the servers: none needs root or a user of its own, and all that they write stays in one
temporary folder. What must be alike for a comparison to mean something is configured alike: at most 1232 octets over
UDP, no limit of rates, no version and no name given away, and one thread, so that replies come in the order of the
questions.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from tests.steering.running import free_port

ZONES = {path.stem: path for path in sorted((Path(__file__).parent / "zones").glob("*.zone"))}
"""Zone -> its file, as waypost reads it. The peers read what `expand` makes of it."""
START_DEADLINE = 30.0
"""Seconds in which a server must have loaded its zones."""
PATIENCE = 5.0
"""Seconds that a server may be silent when it must say something."""
WINDOW, TCP_WINDOW = 64, 256
"""Questions under way at a time: few enough for every socket buffer."""


class Address(msgspec.Struct, frozen=True):
    """Where a server answers, over UDP and TCP.

    Silence is told from slowness by a question that is always answered, the sentinel, sent behind the others: when its
    reply is there, a server that answers in order has said what it has to say.
    """

    port: int

    def ask_udp(self, packets: Sequence[bytes]) -> list[bytes | None]:
        """The reply to each packet, or None; packets differ in their identifiers. An unanswered one is sent twice."""
        replies: dict[bytes, bytes] = {}
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", self.port))
            client.settimeout(PATIENCE)
            for start in range(0, len(packets), WINDOW):
                window = packets[start : start + WINDOW]
                for sentinel in _SENTINELS:
                    if missing := [packet for packet in window if packet[:2] not in replies]:
                        for packet in (*missing, sentinel):
                            client.send(packet)
                        while sentinel[:2] not in replies:
                            reply = client.recv(65535)
                            replies[reply[:2]] = reply
                        del replies[sentinel[:2]]
        return [replies.get(packet[:2]) for packet in packets]

    def ask_tcp(self, packets: Sequence[bytes]) -> list[bytes | None]:
        """The reply to each packet, or None, over one connection; whoever closes it has answered what it answers."""
        replies: dict[bytes, bytes] = {}
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
            for start in range(0, len(packets), TCP_WINDOW):
                window = (*packets[start : start + TCP_WINDOW], _SENTINELS[0])
                with suppress(ConnectionError):
                    client.sendall(b"".join(len(packet).to_bytes(2, "big") + packet for packet in window))
                    while _SENTINELS[0][:2] not in replies:
                        reply = _receive(client, int.from_bytes(_receive(client, 2), "big"))
                        replies[reply[:2]] = reply
                replies.pop(_SENTINELS[0][:2], None)
        return [replies.get(packet[:2]) for packet in packets]


def find_peers() -> dict[str, Path]:
    """The peers that are installed: name -> program."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    return {name: Path(found) for name in _CONFIGURE if (found := shutil.which(name, path=path))}


@contextmanager
def running_peer(name: str, program: Path, folder: Path) -> Iterator[Address]:
    """A peer that has loaded every zone and is gone afterwards, with all its processes."""
    for zone, path in ZONES.items():
        (folder / f"{zone}.zone").write_text(expand(path.read_text()))
    log = folder / "log"
    for _ in range(5):
        address = Address(free_port())
        arguments = _CONFIGURE[name](folder, address.port)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            if _wait_until_loaded(process, address):
                yield address
                return
        finally:
            _stop(process)
        if "in use" not in log.read_text():
            break
    raise AssertionError(f"{name} did not start:\n{log.read_text()}")


def expand(text: str) -> str:
    """A zone file without $GENERATE, which not every server knows; of its forms those that our zones use."""
    lines = []
    for line in text.splitlines():
        match = re.fullmatch(r"\$GENERATE (\d+)-(\d+) +(.+)", line)
        if match is None:
            lines.append(line)
        else:
            numbers = range(int(match[1]), int(match[2]) + 1)
            lines += [
                re.sub(r"\$(?:\{(\d+)\})?", lambda found, number=number: str(number + int(found[1] or 0)), match[3])
                for number in numbers
            ]
    return "\n".join(lines) + "\n"


def _wait_until_loaded(process: "subprocess.Popen[bytes]", address: Address) -> bool:
    """Whether it answers for every zone before it ends; after START_DEADLINE it does not."""
    questions = [_ask_soa(number, zone) for number, zone in enumerate(ZONES)]
    end = time.monotonic() + START_DEADLINE
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError):
            if all(reply is not None and reply[2] & 4 and not reply[3] & 15 for reply in address.ask_udp(questions)):
                return True
        time.sleep(0.02)
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server and whatever it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)


def _configure_nsd(folder: Path, port: int) -> list[str]:
    zones = "".join(f'zone:\n  name: "{zone}"\n  zonefile: "{folder}/{zone}.zone"\n' for zone in ZONES)
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
  rrl-ratelimit: 0
  hide-version: yes
  hide-identity: yes
remote-control:
  control-enable: no
{zones}""")
    return ["-d", "-c", str(folder / "nsd.conf")]


def _configure_knot(folder: Path, port: int) -> list[str]:
    zones = "".join(f'  - domain: "{zone}"\n' for zone in ZONES)
    (folder / "knot.conf").write_text(f"""
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
    file: "%s.zone"
    journal-content: none
    zonefile-sync: -1
zone:
{zones}""")
    return ["-c", str(folder / "knot.conf")]


def _configure_bind(folder: Path, port: int) -> list[str]:
    zones = "".join(f'zone "{zone}" {{ type primary; file "{folder}/{zone}.zone"; }};\n' for zone in ZONES)
    (folder / "named.conf").write_text(f"""
options {{
  directory "{folder}";
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  pid-file none;
  session-keyfile none;
  recursion no;
  allow-query {{ any; }};
  allow-transfer {{ none; }};
  notify no;
  dnssec-validation no;
  minimal-responses no;
  check-names primary ignore;
  check-integrity no;
  check-mx ignore;
  check-mx-cname ignore;
  check-srv-cname ignore;
  version none;
  hostname none;
  server-id none;
}};
controls {{ }};
{zones}""")
    return ["-g", "-n", "1", "-c", str(folder / "named.conf")]


_CONFIGURE: dict[str, Callable[[Path, int], list[str]]] = {
    "nsd": _configure_nsd,
    "knotd": _configure_knot,
    "named": _configure_bind,
}


def _receive(client: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        part = client.recv(size - len(received))
        if not part:
            raise ConnectionResetError("closed by the server")
        received += part
    return bytes(received)


def _ask_soa(identifier: int, zone: str) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in zone.split("."))
    return identifier.to_bytes(2, "big") + bytes.fromhex("00000001000000000000") + labels + b"\0\0\6\0\1"


_SENTINELS = (_ask_soa(0xFFFF, "example"), _ask_soa(0xFFFE, "example"))
