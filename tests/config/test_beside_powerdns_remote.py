"""config/beside/powerdns_remote with the real PowerDNS; each trap of its caches and of its protocol."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.edns
import dns.message
import dns.rcode
import pytest

from tests.config.neighbours import BESIDE, Neighbour, ask, replace, two_sites, waypost_of
from tests.peers.programs import need_program
from tests.steering.running import Waypost, eventually, free_port

NAME = "www.gslb.example.com"
ONE, TWO = "127.0.0.1", "127.0.0.2"
MORE = """
[[load_balancer]]
name = "geo.gslb.example.com"
types = ["A"]
default_pools = ["one"]
fallback_pool = "one"
country_pools = { FR = ["two"] }

[[load_balancer]]
name = "*.wild.gslb.example.com"
types = ["A"]
default_pools = ["two"]
fallback_pool = "one"

[[load_balancer]]
name = "a.b.c.gslb.example.com"
types = ["A"]
default_pools = ["two"]
fallback_pool = "one"

[[geo]]
type = "networks"
path = "own.csv"

[[zone]]
name = "example.net"
file = "net.zone"
"""
NETWORKS = "network,country\n192.0.2.0/24,FR\n198.51.100.0/24,DE\n"
ZONE = """$TTL 300
@ SOA ns1.example.com. host.example.com. 7 1h 15m 2w 1m
@ NS ns1.example.com.
@ MX 10 mail
mail A 192.0.2.5
mail TXT "a b" "c\\"d"
_sip._tcp SRV 1 2 5060 mail
svc HTTPS 1 . alpn=h2
alias CNAME mail
sub NS ns.sub
ns.sub A 192.0.2.6
*.any A 192.0.2.7
"""


@contextmanager
def both(
    folder: Path, *, http: bool = False, more: str = "", workers: int = 1
) -> Iterator[tuple[Waypost, Neighbour, socket.socket]]:
    """waypost and PowerDNS with the example, and the site that can fall."""
    need_program("pdns_server")
    if not any(Path("/usr/lib").rglob("libremotebackend.so")):
        pytest.skip("pdns-backend-remote is not installed: apt-get install pdns-backend-remote")
    shutil.copytree(BESIDE / "powerdns_remote", folder, dirs_exist_ok=True)
    config, other = folder / "waypost.toml", folder / "pdns.conf"
    (folder / "own.csv").write_text(NETWORKS)
    (folder / "net.zone").write_text(ZONE)
    with two_sites() as (one, port):
        path = folder / "powerdns.sock"
        replace(config, ("port = 8080", f"port = {port}"), ("/run/waypost/powerdns.sock", str(path)))
        replace(config, ('state = "', f'workers = {workers}\nstate = "'))
        replace(other, ("/run/waypost/powerdns.sock", str(path)))
        if http:
            listen = f"127.0.0.1:{free_port()}"
            replace(config, ("# listen = ", "listen = "), ("127.0.0.1:8054", listen))
            replace(
                other, ("127.0.0.1:8054", listen), ("# remote-connection-string=http", "remote-connection-string=http")
            )
            replace(other, ("remote-connection-string=unix:", "# "))
        config.write_text(config.read_text() + more)
        with waypost_of(config, workers=workers) as waypost:
            waypost.start()
            powerdns = Neighbour.configured("pdns_server", folder, other.read_text())
            with powerdns.running("gslb.example.com"):
                yield waypost, powerdns, one


@pytest.mark.parametrize("http", [False, True], ids=["unix", "http"])
def test_an_origin_that_goes_down_changes_what_powerdns_answers(tmp_path: Path, http: bool) -> None:
    with both(tmp_path, http=http) as (waypost, powerdns, one):
        powerdns.answers(ONE, NAME)
        port = one.getsockname()[1]
        one.close()
        powerdns.answers(TWO, NAME)
        with socket.create_server(("127.0.0.1", port)):
            powerdns.answers(ONE, NAME)
            waypost.signal(signal.SIGTERM)
            waypost.end()
            waypost.start()
            powerdns.answers(ONE, NAME)


def test_a_worker_that_dies_costs_no_answer(tmp_path: Path) -> None:
    """The socket stays; PowerDNS asks again over a new connection."""
    with both(tmp_path) as (waypost, powerdns, _):
        powerdns.answers(ONE, NAME)
        before = waypost.worker()
        os.kill(before, signal.SIGKILL)
        eventually(
            lambda: (status := waypost.status()) and status.workers and status.workers[0].pid != before, waypost.log
        )
        powerdns.answers(ONE, NAME)


def test_the_client_counts_and_so_does_its_subnet(tmp_path: Path) -> None:
    with both(tmp_path, more=MORE) as (_, powerdns, _):
        name = "geo.gslb.example.com"
        for subnet, expected, scope in (
            ("192.0.2.0/24", TWO, 24),
            ("198.51.100.0/24", ONE, None),
            ("192.0.2.128/25", TWO, 24),
            ("0.0.0.0/0", ONE, None),
        ):
            for _ in range(2):  # whatever was asked before
                reply = ask(powerdns.port, name, subnet=subnet)
                assert reply is not None
                assert [rdata.to_text() for rrset in reply.answer for rdata in rrset] == [expected], powerdns.log()
                (option,) = (each for each in reply.options if isinstance(each, dns.edns.ECSOption))
                assert scope is None or option.scopelen == scope
        powerdns.answers(ONE, name)


def test_powerdns_finds_wildcards_names_without_records_and_plain_records_and_no_more(tmp_path: Path) -> None:
    with both(tmp_path, more=MORE) as (_, powerdns, _):
        powerdns.answers(TWO, "x.wild.gslb.example.com")
        powerdns.answers(TWO, "a.b.c.gslb.example.com")
        powerdns.answers("NOERROR", "b.c.gslb.example.com")
        powerdns.answers("NOERROR", NAME, "AAAA")
        powerdns.answers("NXDOMAIN", "no.gslb.example.com")
        powerdns.answers("REFUSED", "www.example.org")
        for name, rrtype, expected in (
            ("example.net", "MX", "10 mail.example.net."),
            ("mail.example.net", "TXT", '"a b" "c\\"d"'),
            ("_sip._tcp.example.net", "SRV", "1 2 5060 mail.example.net."),
            ("svc.example.net", "HTTPS", '1 . alpn="h2"'),
            ("alias.example.net", "A", "192.0.2.5 mail.example.net."),
            ("x.any.example.net", "A", "192.0.2.7"),
            ("example.net", "SOA", "ns1.example.com. host.example.com. 7 3600 900 1209600 60"),
        ):
            powerdns.answers(expected, name, rrtype)
        reply = ask(powerdns.port, "www.sub.example.net")
        assert reply is not None
        assert [rrset.to_text() for rrset in reply.authority] == ["sub.example.net. 300 IN NS ns.sub.example.net."]


def test_several_workers_share_the_socket(tmp_path: Path) -> None:
    with both(tmp_path, workers=2) as (_, powerdns, one):
        for _ in range(20):
            powerdns.answers(ONE, NAME)
        one.close()
        powerdns.answers(TWO, NAME)
