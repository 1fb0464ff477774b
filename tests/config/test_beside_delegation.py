"""config/beside/delegation with the real BIND as the server that delegates; the resolver is this test."""

import shutil
import socket
from pathlib import Path

import dns.flags
import dns.rdatatype

from tests.config.neighbours import BESIDE, Neighbour, answer, ask, replace, two_sites, waypost_of
from tests.steering.running import eventually, free_port

ZONE = "$TTL 300\n@ SOA ns1 host 1 1h 15m 2w 1m\n@ NS ns1\nns1 A 127.0.0.1\n"


def resolve(parent: int, child: int, name: str) -> str:
    """What a resolver finds that begins at the parent; a delegation has no port, so that of the child is given."""
    reply = ask(parent, name)
    if reply is None:
        return ""
    target = name
    for rrset in reply.answer:
        assert rrset.rdtype == dns.rdatatype.CNAME
        target = rrset[0].to_text()
    (referral,) = (rrset for rrset in reply.authority if rrset.rdtype == dns.rdatatype.NS)
    assert (referral.name.to_text(), referral[0].to_text()) == ("gslb.example.com.", "ns-gslb.example.com.")
    assert answer(parent, "ns-gslb.example.com") == "127.0.0.1"
    followed = ask(child, target)
    assert followed is None or followed.flags & dns.flags.AA
    return answer(child, target)


def test_an_origin_that_goes_down_changes_what_is_found(tmp_path: Path) -> None:
    shutil.copytree(BESIDE / "delegation", tmp_path, dirs_exist_ok=True)
    (tmp_path / "zone").write_text(ZONE + (tmp_path / "example.com.zone").read_text())
    bind = Neighbour.configured("named", tmp_path, 'zone "example.com" { type primary; file "zone"; };\n')
    with two_sites() as (one, port), bind.running("example.com"):
        config, child = tmp_path / "waypost.toml", free_port()
        replace(config, ("port = 8080", f"port = {port}"), ("127.0.0.1:53", f"127.0.0.1:{child}"))

        def finds(expected: str) -> None:
            eventually(lambda: resolve(bind.port, child, "www.example.com") == expected, bind.log)

        with waypost_of(config) as waypost:
            waypost.start()
            finds("127.0.0.1")
            one.close()
            finds("127.0.0.2")
            with socket.create_server(("127.0.0.1", port)):
                finds("127.0.0.1")
                waypost.destroy()
                finds("")
                waypost.start()
                finds("127.0.0.1")
