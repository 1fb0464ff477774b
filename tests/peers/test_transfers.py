"""Zone transfers with NSD, Knot, BIND and PowerDNS in both roles: signed, notified, and equal after many changes."""

import random
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dns.zone
import pytest

from steering.wire import RRSIG
from tests.peers.programs import Server, need_program
from tests.peers.transfers import (
    KEY_TEXT,
    PROGRAMS,
    has_serial,
    reload,
    running_server,
    serial_at,
    transferred,
    transferred_by_peer,
    waypost_settings,
)
from tests.steering.running import DEADLINE, Waypost, free_port
from tests.steering.zones.test_load import POOLS, balancer

STEPS, CHANGES = 5, 200
"""A thousand changes."""
TIMERS = "3600 1 86400 60"

ANY = pytest.mark.parametrize("name", PROGRAMS)


class ZoneFile:
    """A zone file that changes at random, the same way each time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.serial = 0
        self._dice = random.Random(1)
        self._records: dict[str, str] = {}
        path.parent.mkdir(parents=True, exist_ok=True)

    def change(self, count: int) -> None:
        """So many records come, go or change."""
        for _ in range(count):
            owner = f"h{self._dice.randrange(300)}"
            if self._dice.random() < 0.3:
                self._records.pop(owner, None)
            else:
                kind = self._dice.choice(["A 192.0.2.{}", 'TXT "{}"', "MX {} mx.example.com.", "AAAA 2001:db8::{}"])
                self._records[owner] = kind.format(self._dice.randrange(1, 250))
        self.serial += 1
        head = f"$ORIGIN example.com.\n$TTL 300\n@ SOA ns.example.net. host.example.net. {self.serial} {TIMERS}\n"
        lines = [f"{owner} {data}\n" for owner, data in sorted(self._records.items())]
        temporary = self.path.with_suffix(".new")
        temporary.write_text(head + "@ NS ns.example.net.\n@ NS ns2.example.net.\n" + "".join(lines))
        temporary.replace(self.path)


@pytest.fixture
def waypost(tmp_path: Path) -> Iterator[Waypost]:
    made = Waypost(tmp_path / "waypost", "")
    yield made
    made.destroy()


def both_logs(waypost: Waypost, server: Server) -> str:
    return f"waypost:\n{waypost.log()}\nthe other:\n{server.log()}"


@ANY
def test_waypost_is_primary(tmp_path: Path, waypost: Waypost, name: str) -> None:
    need_program(PROGRAMS[name])
    file = ZoneFile(tmp_path / "waypost" / "example.com.zone")
    file.change(100)
    port = free_port()
    waypost.configure(waypost_settings("primary", port))
    waypost.start()
    with running_server(name, "secondary", tmp_path / name, port, waypost.port) as server:
        has_serial(port, 1, lambda: both_logs(waypost, server))
        for _ in range(STEPS):
            file.change(CHANGES)
            waypost.reload("the configuration is in force")
            has_serial(port, file.serial, lambda: both_logs(waypost, server))
        assert transferred_by_peer(port) == transferred(waypost.port), both_logs(waypost, server)
        if name == "knot":
            assert len(re.findall(r"IXFR, incoming.*finished", server.log())) >= STEPS, server.log()
        waypost.signal(signal.SIGKILL)
        waypost.end()
        assert len(transferred_by_peer(port).nodes) > 10, "the other server goes on without waypost"
        file.change(CHANGES)
        waypost.start()
        has_serial(port, file.serial, lambda: both_logs(waypost, server))
        assert transferred_by_peer(port) == transferred(waypost.port), both_logs(waypost, server)


@ANY
def test_waypost_is_secondary(tmp_path: Path, waypost: Waypost, name: str) -> None:
    need_program(PROGRAMS[name])
    file = ZoneFile(tmp_path / name / "example.com.zone")
    file.change(100)
    port = free_port()
    text = waypost_settings("secondary", port).replace("[[zone]]", '[[zone]]\nallow_transfer = ["key:transfer"]')
    waypost.configure(text)
    with running_server(name, "primary", tmp_path / name, port, waypost.port) as server:
        has_serial(port, 1, server.log)
        waypost.start()
        has_serial(waypost.port, 1, lambda: both_logs(waypost, server))
        for _ in range(STEPS):
            file.change(CHANGES)
            reload(server)
            has_serial(port, file.serial, server.log)
            has_serial(waypost.port, file.serial, lambda: both_logs(waypost, server))
        assert transferred_by_peer(port) == transferred(waypost.port)
        changes, whole = (len(re.findall(rf"serial \d+, {kind}", waypost.log())) for kind in ("changes", "whole"))
        assert whole + changes == STEPS + 1
        if name != "pdns":
            assert changes == STEPS, both_logs(waypost, server)
    assert waypost.answer("example.com", "SOA"), "waypost goes on without the other server"


@pytest.mark.parametrize(("name", "signer"), [("nsd", "ldns-signzone"), ("named", "dnssec-signzone")])
def test_a_zone_signed_elsewhere_is_passed_on_exactly(tmp_path: Path, waypost: Waypost, name: str, signer: str) -> None:
    """Record by record, with TTLs, of which one owner has several."""
    need_program(PROGRAMS[name])
    if shutil.which(signer) is None:
        pytest.skip(f"{signer} is not installed")
    folder = tmp_path / name
    folder.mkdir()
    plain = folder / "example.com.zone"
    plain.write_text(
        f"$ORIGIN example.com.\n@ 3600 SOA ns.example.net. host.example.net. 1 {TIMERS}\n@ 86400 NS ns.example.net.\n"
        '@ 300 TXT "short"\nwww 5 A 192.0.2.1\nwww 700 AAAA 2001:db8::1\nsub 900 NS ns.sub\nns.sub 30 A 192.0.2.2\n'
    )
    make = {
        "ldns-signzone": [["ldns-keygen", "-a", "ED25519", "-k", "example.com"], [signer, str(plain), "{key}"]],
        "dnssec-signzone": [
            ["dnssec-keygen", "-q", "-a", "ED25519", "-f", "KSK", "example.com"],
            [signer, "-q", "-S", "-z", "-o", "example.com", str(plain)],
        ],
    }[signer]
    key = subprocess.run(make[0], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([word.format(key=key) for word in make[1]], cwd=folder, check=True, capture_output=True)
    plain.with_suffix(".zone.signed").replace(plain)
    port = free_port()
    text = waypost_settings("secondary", port).replace("[[zone]]", '[[zone]]\nallow_transfer = ["key:transfer"]')
    waypost.configure(text)
    with running_server(name, "primary", folder, port, waypost.port) as server:
        has_serial(port, int(str(dns.zone.from_file(str(plain), "example.com").get_soa().serial)), server.log)
        waypost.start()
        has_serial(waypost.port, serial_at(port), lambda: both_logs(waypost, server))
        theirs, ours = (set(zone.iterate_rdatas()) for zone in (transferred_by_peer(port), transferred(waypost.port)))
        assert ours == theirs
        assert len({ttl for owner, ttl, rdata in ours if str(owner) == "www" and rdata.rdtype == RRSIG}) == 3


def test_steered_names_behind_a_primary(tmp_path: Path, waypost: Waypost) -> None:
    """What the load balancer answers is in neither server's zone; what secondaries of waypost get is its default."""
    need_program("knotd")
    file = ZoneFile(tmp_path / "knot" / "example.com.zone")
    file.change(50)
    port = free_port()
    text = waypost_settings("secondary", port).replace("[[zone]]", '[[zone]]\nallow_transfer = ["key:transfer"]')
    waypost.configure(POOLS + text + balancer("h1.example.com"))
    with running_server("knot", "primary", tmp_path / "knot", port, waypost.port) as server:
        has_serial(port, 1, server.log)
        waypost.start()
        has_serial(waypost.port, 1, lambda: both_logs(waypost, server))
        file.change(200)
        reload(server)
        has_serial(waypost.port, 2, lambda: both_logs(waypost, server))
        waypost.answers("192.0.2.1 192.0.2.2", "h1.example.com")
        theirs, ours = transferred_by_peer(port), transferred(waypost.port)
        steered = ours.get_rdataset("h1", "A")
        assert steered is not None
        assert sorted(map(str, steered)) == ["192.0.2.1", "192.0.2.2"]
        for zone in (theirs, ours):
            if zone.get_node("h1") is not None:
                zone.delete_rdataset("h1", "A")
        assert theirs == ours


def test_a_wrong_key_and_a_stranger(tmp_path: Path, waypost: Waypost) -> None:
    need_program("named")
    file = ZoneFile(tmp_path / "named" / "example.com.zone")
    file.change(10)
    port = free_port()
    waypost.configure(waypost_settings("secondary", port).replace(KEY_TEXT[:6], "AAAAAA"))
    with running_server("named", "primary", tmp_path / "named", port, waypost.port) as server:
        has_serial(port, 1, server.log)
        waypost.start()
        waypost.logged("BADSIG")
        assert "AAAAAA" not in waypost.log()
        status = waypost.status()
        assert status is not None
        assert status.zones[0].serial is None
        assert waypost.answer("example.com", "SOA") == "SERVFAIL"


@pytest.mark.parametrize("program", ["dig", "kdig"])
def test_clients(tmp_path: Path, waypost: Waypost, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    file = ZoneFile(tmp_path / "waypost" / "example.com.zone")
    file.change(100)
    waypost.configure(waypost_settings("primary", free_port()))
    waypost.start()
    file.change(3)
    waypost.reload("the configuration is in force")

    def ask(*words: str, secret: str = KEY_TEXT) -> str:
        sign = ["-y", f"hmac-sha256:transfer:{secret}"] if secret else []
        command = [program, "@127.0.0.1", "-p", str(waypost.port), *sign, *words]
        told = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
        return told.stdout + told.stderr

    whole = ask("example.com", "AXFR")
    assert len(re.findall(r"\sSOA\s", whole)) == 2
    assert "TSIG" in whole
    changes = ask("example.com", "IXFR=1")
    assert re.findall(r"host\.example\.net\. (\d+) ", changes) == ["2", "1", "2", "2"]
    assert len(re.findall(r"\sSOA\s", ask("example.com", "IXFR=2"))) == 1
    assert "SOA" in ask("example.com", "SOA")
    for words in (("example.com", "AXFR"), ("example.com", "IXFR=1")):
        assert re.search("REFUSED|failed", ask(*words, secret=""))
        assert re.search("NOTAUTH|BADSIG|failed", ask(*words, secret="AAAA"))
    waypost.logged("refused: 127.0.0.1, not signed: a transfer of example.com.: allow_transfer has no such entry")
    waypost.logged("refused: 127.0.0.1, signed by transfer.: BADSIG")
    assert "WARNING" not in whole + changes, "the signatures are good"
