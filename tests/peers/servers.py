"""The peers: NSD, Knot DNS and BIND, each with the zones of zones/.

What must be alike for a comparison to mean something is configured alike: at most 1232 octets over
UDP, no limit of rates, no version and no name given away, and one thread, so that replies come in the order of the
questions.
"""

import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from tests.peers.programs import PATIENCE, configure, started
from tests.steering.running import free_port

ZONES = {path.stem: path for path in sorted((Path(__file__).parent / "zones").glob("*.zone"))}
"""Zone -> its file, as waypost reads it. The peers read what `expand` makes of it."""
START_DEADLINE = 30.0
"""Seconds in which a server must have loaded its zones."""
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


@contextmanager
def running_peer(name: str, folder: Path) -> Iterator[Address]:
    """A peer that has loaded every zone; skips the test where it is not installed."""
    for zone, path in ZONES.items():
        (folder / f"{zone}.zone").write_text(expand(path.read_text()))
    for _ in range(5):
        address = Address(free_port())
        with started(configure(name, folder, address.port, _CONFIGURATION[name]()), folder) as server:
            if _wait_until_loaded(server.process, address):
                yield address
                return
        if "in use" not in server.log():
            break
    raise AssertionError(f"{name} did not start:\n{server.log()}")


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


def _zones_of_nsd() -> str:
    return "".join(f'zone:\n  name: "{zone}"\n  zonefile: "{zone}.zone"\n' for zone in ZONES)


def _zones_of_knot() -> str:
    return "zone:\n" + "".join(f'  - domain: "{zone}"\n' for zone in ZONES)


def _zones_of_bind() -> str:
    zones = "".join(f'zone "{zone}" {{ type primary; file "{zone}.zone"; }};\n' for zone in ZONES)
    return f"""options {{
  allow-query {{ any; }};
  allow-transfer {{ none; }};
  notify no;
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
{zones}"""


_CONFIGURATION = {"nsd": _zones_of_nsd, "knotd": _zones_of_knot, "named": _zones_of_bind}


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
