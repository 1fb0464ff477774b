"""config/beside/powerdns_remote with the real PowerDNS; each trap of its caches and of its protocol."""

import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.edns
import dns.message
import dns.rdatatype
import dns.zone
import pytest

from tests.config.neighbours import BESIDE, Neighbour, answer, ask, replace, two_sites, waypost_of
from tests.peers.programs import need_program
from tests.peers.servers import ZONES, expand
from tests.steering.running import REFUSED, TAKEN, Waypost, eventually, free_port

NAME = "www.gslb.example.com"
ONE, TWO = "127.0.0.1", "127.0.0.2"
CACHED = 20.0
"""Seconds for which PowerDNS keeps answers by default."""
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

[[load_balancer]]
name = "*.geo.gslb.example.com"
types = ["A"]
default_pools = ["one"]
fallback_pool = "one"
country_pools = { FR = ["two"] }

[[pool]]
name = "alias"
origin = [{ name = "alias", address = "192.0.2.3", records = { CNAME = "mail.example.net." } }]

[[load_balancer]]
name = "gslb.example.com"
types = ["A"]
flatten = true
default_pools = ["alias"]
fallback_pool = "alias"

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
SERVICES = """
s1 HTTPS 1 . mandatory=port,alpn port=8443 alpn="h2,h3" no-default-alpn ipv6hint=2001:db8::1,2001:db8::2
s2 HTTPS 1 . ech="AAT+DQAA" key667="a b\\"c"
s3 SVCB 2 mail ipv4hint=192.0.2.1,192.0.2.2 port=53
s4 CERT 253 1 RSASHA256 aGk=
s5 X25 "311061700956"
s5 A 192.0.2.1
s6 DS 1 8 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
s7 SPF "v=spf1"
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
            waypost.destroy()
            powerdns.answers("SERVFAIL", NAME)
            waypost.start()
            powerdns.answers(ONE, NAME)


def test_nothing_that_powerdns_has_seen_stays_in_its_caches(tmp_path: Path) -> None:
    """By default it keeps answers for 20 seconds, and that there is none for 60."""
    new = "new.gslb.example.com"
    with both(tmp_path) as (waypost, powerdns, one):
        for _ in range(3):
            powerdns.answers(ONE, NAME)
            powerdns.answers("NXDOMAIN", new)
        one.close()
        waypost.logged("one/one (127.0.0.1) is DOWN")
        eventually(lambda: answer(powerdns.port, NAME) == TWO, powerdns.log, CACHED / 2)
        added = waypost.config.read_text().partition("[[load_balancer]]")[2].replace(NAME, new)
        waypost.config.write_text(f"{waypost.config.read_text()}\n[[load_balancer]]{added}")
        waypost.reload(TAKEN)
        eventually(lambda: answer(powerdns.port, new) == TWO, powerdns.log, CACHED / 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('mode = "0666"', 'mode = "0600"'),
        ("[powerdns]\n", "[powerdns]\nlisten = '127.0.0.1:1'\n"),
        ("[powerdns]", "[nothing]"),
    ],
    ids=["mode", "listen", "none"],
)
def test_where_powerdns_asks_does_not_change_by_a_reload(tmp_path: Path, old: str, new: str) -> None:
    with both(tmp_path) as (waypost, powerdns, one):
        text = waypost.config.read_text()
        if "nothing" in new:
            table = text[text.index("[powerdns]") : text.index("[[zone]]")]
            waypost.config.write_text(text.replace(table, "").replace("[server]", "[server]\nlisten = ['127.0.0.1:1']"))
        else:
            replace(waypost.config, (old, new))
        said = waypost.reload(REFUSED)
        assert "powerdns cannot change while waypost runs; restart it for that" in said
        one.close()
        powerdns.answers(TWO, NAME)
        waypost.config.write_text(text)
        waypost.reload(TAKEN)


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


def test_a_steered_wildcard_and_an_apex_whose_addresses_are_another_names(tmp_path: Path) -> None:
    with both(tmp_path, more=MORE) as (_, powerdns, _):
        for label, subnet, expected in (("x", "192.0.2.0/24", TWO), ("y", "198.51.100.0/24", ONE), ("x", "", ONE)):
            powerdns.answers(expected, f"{label}.geo.gslb.example.com", subnet=subnet)
        powerdns.answers("192.0.2.5", "gslb.example.com")
        powerdns.answers("ns1.example.com.", "gslb.example.com", "NS")
        # In the case in which it was asked, whatever that is: resolvers compare it (0x20).
        reply = ask(powerdns.port, "wWW.gSLB.exAmple.cOm")
        assert reply is not None
        assert {rrset.name.to_text() for rrset in reply.answer} == {"wWW.gSLB.exAmple.cOm."}


def test_records_of_every_type_arrive_as_they_are_in_the_zone_file(tmp_path: Path) -> None:
    file = ZONES["types.test"]
    shutil.copy(file, tmp_path / "types.zone")
    with (tmp_path / "types.zone").open("a") as zone_file:
        zone_file.write(SERVICES)
    more = '[[zone]]\nname = "types.test"\nfile = "types.zone"\n'
    with both(tmp_path, more=more) as (_, powerdns, _):
        zone = dns.zone.from_text(expand(file.read_text()) + SERVICES, "types.test", relativize=False)
        different = []
        for owner, rdataset in zone.iterate_rdatasets():
            if not re.fullmatch(r"[a-z0-9.-]*", owner.to_text()) or rdataset.rdtype == dns.rdatatype.DNAME:
                continue  # PowerDNS refuses strange names by itself, and looks for DNAME only with dname-processing
            name, rrtype = owner.to_text(), dns.rdatatype.to_text(rdataset.rdtype)
            reply = ask(powerdns.port, name, rrtype, tcp=True)
            found = reply.get_rrset(reply.answer, owner, rdataset.rdclass, rdataset.rdtype) if reply else None
            if found is None or set(found) != set(rdataset) or found.ttl != rdataset.ttl:
                different.append(f"{name} {rdataset}\n  is {found}")
        Path("/tmp/beside2.diff").write_text("\n".join(different) + powerdns.log())
        assert not different, "\n".join(different) + powerdns.log()


def test_a_zone_that_has_expired_is_no_longer_answered_and_all_others_are(tmp_path: Path) -> None:
    """Until its primary is back."""
    zone = '[[zone]]\nname = "late.test"\nfile = "late.zone"\nallow_transfer = ["127.0.0.1"]\n'
    primary = Waypost(tmp_path / "primary", zone)
    (tmp_path / "primary" / "late.zone").write_text(
        "$TTL 300\n@ SOA ns1.example.com. host.example.com. 1 1 1 4 1\n@ NS ns1.example.com.\nwww A 192.0.2.9\n"
    )
    more = f'[[zone]]\nname = "late.test"\nprimaries = ["127.0.0.1:{primary.port}"]\n'
    try:
        primary.start()
        with both(tmp_path, more=more) as (_, powerdns, _):
            powerdns.answers("192.0.2.9", "www.late.test")
            primary.destroy()
            powerdns.answers("SERVFAIL", "www.late.test")
            powerdns.answers("SERVFAIL", "none.late.test")
            powerdns.answers(ONE, NAME)
            primary.start()
            powerdns.answers("192.0.2.9", "www.late.test")
    finally:
        primary.destroy()


def test_several_workers_share_the_socket(tmp_path: Path) -> None:
    with both(tmp_path, workers=2) as (_, powerdns, one):
        for _ in range(20):
            powerdns.answers(ONE, NAME)
        one.close()
        powerdns.answers(TWO, NAME)
