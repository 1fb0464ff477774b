"""config/beside/dns_update and powerdns_api with the real BIND, Knot DNS and PowerDNS."""

import json
import re
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import dns.query
import dns.tsig
import dns.update
import pytest

from steering.beside.updater import STATE_FILE
from steering.messages import UpdateStatus
from tests.config.neighbours import BESIDE, Neighbour, answer, replace, two_sites, waypost_of
from tests.peers.programs import need_program, run_pdnsutil
from tests.steering.running import TAKEN, Waypost, eventually, free_port, run_command

NAME = "www.example.com"
ONE, TWO, OTHER = "127.0.0.1", "127.0.0.2", "192.0.2.77"
KEY = dns.tsig.Key("waypost", "c2VjcmV0IG9mIHRoZSBleGFtcGxlLCBub3QgeW91cnM=", "hmac-sha256")


def bind(folder: Path) -> Neighbour:
    path = folder / "named.conf"
    replace(
        path,
        ('    directory "/var/cache/bind";\n', ""),
        ("    listen-on port 5353 { 127.0.0.1; };\n", ""),
        ("    recursion no;\n", ""),
    )
    return Neighbour.configured("named", folder, path.read_text())


def knot(folder: Path) -> Neighbour:
    path = folder / "knot.conf"
    replace(path, ("server:\n    listen: 127.0.0.1@5353\n", ""), ("/var/lib/knot", str(folder)))
    return Neighbour.configured("knotd", folder, path.read_text())


def powerdns(folder: Path) -> Neighbour:
    need_program("pdns_server")
    schema = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
    if not schema.exists():
        pytest.skip("the backend for SQLite is not installed: apt-get install pdns-backend-sqlite3")
    database = folder / "pdns.sqlite3"
    subprocess.run([need_program("sqlite3"), database], input=schema.read_bytes(), check=True)
    path = folder / "pdns.conf"
    replace(path, ("/var/lib/powerdns/pdns.sqlite3", str(database)))
    (folder / "zone").write_text((BESIDE / "dns_update" / "example.com.zone").read_text())
    run_pdnsutil(folder, "load-zone", "example.com", "zone")
    run_pdnsutil(folder, "import-tsig-key", "waypost", "hmac-sha256", "c2VjcmV0IG9mIHRoZSBleGFtcGxlLCBub3QgeW91cnM=")
    run_pdnsutil(folder, "set-meta", "example.com", "TSIG-ALLOW-DNSUPDATE", "waypost")
    return Neighbour.configured("pdns_server", folder, path.read_text())


SERVERS: dict[str, Callable[[Path], Neighbour]] = {"bind": bind, "knot": knot, "powerdns": powerdns}


@contextmanager
def both(
    folder: Path, example: str, start: Callable[[Path], Neighbour]
) -> Iterator[tuple[Waypost, Neighbour, socket.socket]]:
    """The other server, which runs, and waypost, which does not yet."""
    shutil.copytree(BESIDE / example, folder, dirs_exist_ok=True)
    config = folder / "waypost.toml"
    if example == "powerdns_api":
        port = free_port()
        replace(config, ("127.0.0.1:8081", f"127.0.0.1:{port}"))
        replace(folder / "pdns.conf", ("webserver-port=8081", f"webserver-port={port}"))
    server = start(folder)
    with two_sites() as (one, port), server.running(NAME):
        replace(config, ("port = 8080", f"port = {port}"))
        if example == "dns_update":
            replace(config, ("127.0.0.1:5353", f"127.0.0.1:{server.port}"))
        with waypost_of(config, command="probe", workers=0) as waypost:
            yield waypost, server, one


WAYS = [*(("dns_update", name) for name in SERVERS), ("powerdns_api", "powerdns")]


@pytest.mark.parametrize(("example", "server"), WAYS)
def test_an_origin_that_goes_down_changes_the_zone_of_the_other_server(
    tmp_path: Path, example: str, server: str
) -> None:
    with both(tmp_path, example, SERVERS[server]) as (waypost, other, one):
        waypost.start()
        other.answers(ONE, NAME)
        port = one.getsockname()[1]
        one.close()
        other.answers(TWO, NAME)
        waypost.destroy()
        assert answer(other.port, NAME) == TWO  # it serves on
        with socket.create_server(("127.0.0.1", port)):
            waypost.start()
            other.answers(ONE, NAME)
        assert "ERROR" not in waypost.log()
        assert answer(other.port, NAME) in (ONE, TWO)
        (update,) = eventually(waypost.status, waypost.log).updates
        assert (update.conflicts, update.problem) == (0, "")
        assert "c2VjcmV0" not in waypost.log()


def write(other: Neighbour, example: str, address: str) -> None:
    """As somebody else."""
    if example == "dns_update":
        message = dns.update.UpdateMessage("example.com", keyring=KEY)
        message.replace("www", 30, "A", address)
        assert dns.query.tcp(message, "127.0.0.1", 5, other.port).rcode() == 0
        return
    rrset = {"name": f"{NAME}.", "type": "A", "ttl": 30, "changetype": "REPLACE", "records": [{"content": address}]}
    (url,) = re.findall(r'url = "(.*)"', (other.folder / "waypost.toml").read_text())
    headers = {"X-API-Key": "your-own-key", "Content-Type": "application/json"}
    content = json.dumps({"rrsets": [rrset]}).encode()
    request = urllib.request.Request(f"{url}/zones/example.com.", content, headers, method="PATCH")
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.status == 204


def told(waypost: Waypost) -> UpdateStatus:
    """What the status says."""
    (update,) = eventually(waypost.status, waypost.log).updates
    return update


@pytest.mark.parametrize("on_conflict", ["adopt", "stop"])
@pytest.mark.parametrize(("example", "server"), WAYS)
def test_what_somebody_else_writes_is_not_fought_over(
    tmp_path: Path, example: str, server: str, on_conflict: str
) -> None:
    with both(tmp_path, example, SERVERS[server]) as (waypost, other, one):
        replace(waypost.config, (f'type = "{example}"', f'type = "{example}"\non_conflict = "{on_conflict}"'))
        waypost.start()
        eventually(lambda: (waypost.state / STATE_FILE).exists(), waypost.log)  # it has looked
        port = one.getsockname()[1]
        write(other, example, OTHER)
        other.answers(OTHER, NAME)
        one.close()
        waypost.logged("somebody else has written www.example.com. A 192.0.2.77")
        assert answer(other.port, NAME) == OTHER
        status = run_command("status", str(waypost.config))
        assert "somebody else has written there (conflicts: 1;" in status.stdout, status.stdout
        with socket.create_server(("127.0.0.1", port)):
            if on_conflict == "stop":
                eventually(lambda: waypost.log().count("one/one (127.0.0.1) is up") == 2, waypost.log)
                assert answer(other.port, NAME) == OTHER
                waypost.reload(TAKEN)
            other.answers(ONE, NAME)
            assert told(waypost).conflicts == 1


@pytest.mark.parametrize(("example", "server"), WAYS)
def test_after_a_kill_it_knows_what_it_had_written(tmp_path: Path, example: str, server: str) -> None:
    with both(tmp_path, example, SERVERS[server]) as (waypost, other, one):
        port = one.getsockname()[1]
        one.close()
        waypost.start()
        other.answers(TWO, NAME)
        waypost.destroy()
        write(other, example, OTHER)
        with socket.create_server(("127.0.0.1", port)):
            waypost.start()
            waypost.logged("somebody else has written www.example.com. A 192.0.2.77, where there was 127.0.0.2 of ours")
            assert answer(other.port, NAME) == OTHER


WRONG_KEY = {
    ("dns_update", "bind"): "another secret for our key",
    ("dns_update", "knot"): "another secret for our key",
    ("dns_update", "powerdns"): "its reply is not signed: it does not know our key, or has another secret for it",
    ("powerdns_api", "powerdns"): "401 Unauthorized",
}


@pytest.mark.parametrize(("example", "server"), WAYS)
def test_a_wrong_key_is_told_and_what_is_there_stays(tmp_path: Path, example: str, server: str) -> None:
    right, wrong = ("c2VjcmV0IG9m", "c2VjcmV0IG9n") if example == "dns_update" else ("your-own-key", "no-key-of-it")
    with both(tmp_path, example, SERVERS[server]) as (waypost, other, one):
        replace(waypost.config, (right, wrong))
        one.close()
        waypost.start()
        where = f"127.0.0.1:{other.port}" if example == "dns_update" else "http://127.0.0.1:"
        waypost.logged(f"cannot update example.com. at {where}")
        waypost.logged(WRONG_KEY[example, server])
        assert answer(other.port, NAME) == ONE
        status = run_command("status", str(waypost.config))
        assert WRONG_KEY[example, server] in status.stdout
        replace(waypost.config, (wrong, right))
        waypost.signal(signal.SIGHUP)
        other.answers(TWO, NAME)
        waypost.logged("is up to date again")
        assert told(waypost).problem == ""


@contextmanager
def server_that_hangs_up() -> Iterator[int]:
    """Its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as executor:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        executor.submit(serve)
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("key", "problem"), [("", "does not allow this key"), (" key:other", "it does not know our key")]
)
def test_what_the_other_server_does_not_allow_is_told(tmp_path: Path, server: str, key: str, problem: str) -> None:
    """It knows no key of ours, or none is used."""
    with both(tmp_path, "dns_update", SERVERS[server]) as (waypost, other, one):
        replace(waypost.config, (" key:waypost", key), ('name = "waypost"', 'name = "other"'))
        if not key:
            replace(waypost.config, ("[[key]]\n", "# "), ('name = "other"', ""), ('secret = "', '# "'))
        one.close()
        waypost.start()
        waypost.logged("cannot update example.com.")
        assert problem in told(waypost).problem
        assert answer(other.port, NAME) == ONE


def test_a_server_that_has_no_such_zone_or_is_none_is_told(tmp_path: Path) -> None:
    with both(tmp_path, "dns_update", bind) as (waypost, other, _):
        replace(waypost.config, ('zone = "example.com"', 'zone = "example.org"'), (NAME, "www.example.org"))
        waypost.start()
        waypost.logged("cannot update example.org. at")
        assert "REFUSED" in told(waypost).problem
        with server_that_hangs_up() as away:
            replace(waypost.config, (f"127.0.0.1:{other.port}", f"127.0.0.1:{away}"))
            waypost.reload(TAKEN)
            waypost.logged("it ends the connection")


def test_a_server_that_is_away_is_written_when_it_is_back(tmp_path: Path) -> None:
    shutil.copytree(BESIDE / "dns_update", tmp_path, dirs_exist_ok=True)
    other = bind(tmp_path)
    with two_sites() as (one, port):
        replace(
            tmp_path / "waypost.toml", ("port = 8080", f"port = {port}"), ("127.0.0.1:5353", f"127.0.0.1:{other.port}")
        )
        with waypost_of(tmp_path / "waypost.toml", command="probe", workers=0) as waypost:
            one.close()
            waypost.start()
            waypost.logged("cannot update example.com. at")
            with other.running(NAME):
                other.answers(TWO, NAME)
                waypost.logged("is up to date again")


OWN = """
[[zone]]
name = "own.test"
nameservers = ["ns1.own.test"]

[[load_balancer]]
name = "www.own.test"
types = ["A"]
default_pools = ["one", "two"]
fallback_pool = "one"
"""


def test_waypost_may_answer_for_zones_of_its_own_too(tmp_path: Path) -> None:
    with both(tmp_path, "dns_update", bind) as (waypost, other, one):
        waypost.command, waypost.workers = "run", 1
        replace(waypost.config, ("[server]", f'[server]\nlisten = ["127.0.0.1:{waypost.port}"]'))
        waypost.config.write_text(waypost.config.read_text() + OWN)
        waypost.start()
        assert waypost.answer(NAME) == "REFUSED"  # the other server's
        waypost.answers(ONE, "www.own.test")
        one.close()
        waypost.answers(TWO, "www.own.test")
        other.answers(TWO, NAME)
