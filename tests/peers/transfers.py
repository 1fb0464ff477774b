"""The peers as primary or secondary of a waypost: with the configurations of config/beside, on free ports.

In those, waypost is at 192.0.2.1 and the other server at 192.0.2.2; here each becomes loopback and a port, spelt as the
program spells it.
"""

import re
import signal
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

from tests.peers.programs import Server, configure, run_pdnsutil, started
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


def waypost_settings(role: str, other: int) -> str:
    """The configuration of waypost in a role; the other server is at this port."""
    return (BESIDE / FOLDERS[role] / "waypost.toml").read_text().replace("192.0.2.2", f"127.0.0.1:{other}")


@contextmanager
def running_server(name: str, role: str, folder: Path, port: int, waypost: int) -> Iterator[Server]:
    """A server in a role, with its zone file there if it is primary."""
    folder.mkdir(exist_ok=True)
    text = _CONFIGURE[name]((BESIDE / OF_PEERS[role] / f"{name}.conf").read_text(), role, folder, waypost)
    command = configure(PROGRAMS[name], folder, port, text)
    if name == "pdns":
        _make_keys(text, role, folder)
    with started(command, folder) as server:
        yield server


def reload(server: Server) -> None:
    """Have it read the zone file again; PowerDNS looks by itself, and SIGHUP is its end."""
    if not (server.folder / "pdns.conf").exists():
        server.process.send_signal(signal.SIGHUP)


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
    """The zone as waypost sends it, to whoever has the key."""
    zone = dns.zone.Zone("example.com")
    query, _ = dns.xfr.make_query(zone, keyring=KEY)
    dns.query.inbound_xfr("127.0.0.1", zone, query, port=port, timeout=10)
    return zone


def transferred_by_peer(port: int) -> dns.zone.Zone:
    """The same of another server: NSD ends its connections when it reloads, so it is asked again."""

    def ask() -> dns.zone.Zone | None:
        try:
            return transferred(port)
        except (OSError, EOFError, dns.exception.DNSException):
            return None

    return eventually(ask, "it sends no zone", START_DEADLINE)


def _nsd(text: str, role: str, _folder: Path, waypost: int) -> str:
    text = re.sub(r"^( *(?:request-xfr|notify): )192\.0\.2\.1", rf"\g<1>127.0.0.1@{waypost}", text, flags=re.MULTILINE)
    text = text.replace("192.0.2.1", "127.0.0.1")
    return text + "  provide-xfr: 127.0.0.1 transfer\n" if role == "secondary" else text  # to be looked at by the tests


def _knot(text: str, role: str, folder: Path, waypost: int) -> str:
    text = text.replace("address: 192.0.2.1", f"address: 127.0.0.1@{waypost}")
    if role == "secondary":
        text = text.replace("action: notify", "action: [notify, transfer]")
    return text.replace("  - id: member", f'  - id: member\n    storage: "{folder}"')


def _named(text: str, role: str, _folder: Path, waypost: int) -> str:
    text = text.replace("192.0.2.1 ", f"127.0.0.1 port {waypost} ")
    if role == "secondary":
        text = text.replace("  type secondary;", "  type secondary;\n  allow-transfer { key transfer; };")
    return text.replace("transfer; };\n  };\n", "transfer; } min-update-interval 1;\n  };\n")


def _pdns(text: str, _role: str, folder: Path, waypost: int) -> str:
    hint = re.search(r"^#   (zone .*;)$", text, re.MULTILINE)
    assert hint, text
    (folder / "bind.conf").write_text(
        hint[1].replace("192.0.2.1", f"127.0.0.1:{waypost}").replace('file "', f'file "{folder}/')
    )
    text = re.sub(r"=192\.0\.2\.1$", f"=127.0.0.1:{waypost}", text, flags=re.MULTILINE)
    text = re.sub(r"=(bind\.conf|keys\.db)$", rf"={folder}/\1", text, flags=re.MULTILINE)
    return f"xfr-cycle-interval=1\nversion-string=anonymous\n{text}"


def _make_keys(text: str, role: str, folder: Path) -> None:
    """Run the commands that the configuration of PowerDNS has as a comment."""
    for line in re.findall(r"^#   pdnsutil (.*)$", text, re.MULTILINE):
        words = line.replace("keys.db", str(folder / "keys.db")).split()
        run_pdnsutil(folder, *words)
        if role == "secondary" and words[0].startswith("activate"):
            run_pdnsutil(folder, *words[:-1], "primary")  # to be looked at by the tests


_CONFIGURE: dict[str, Callable[[str, str, Path, int], str]] = {
    "nsd": _nsd,
    "knot": _knot,
    "named": _named,
    "pdns": _pdns,
}
