"""config/beside/coredns: no CoreDNS runs here, but questions come as it sends them: those of its clients as they are,
over UDP or TCP as they came, from its own address; and its health check."""

import re
import shutil
from pathlib import Path

from tests.config.neighbours import BESIDE, answer, replace, two_sites, waypost_of
from tests.steering.running import Waypost, eventually, free_port

NAME, GEO = "www.gslb.example.com", "geo.gslb.example.com"
ONE, TWO = "127.0.0.1", "127.0.0.2"
MORE = """
[[load_balancer]]
name = "geo.gslb.example.com"
types = ["A"]
default_pools = ["one"]
fallback_pool = "one"
network_pools = { "192.0.2.0/24" = ["two"] }
"""


def answers(waypost: Waypost, port: int, expected: str) -> None:
    eventually(lambda: answer(port, NAME) == expected, waypost.log)


def test_what_coredns_passes_on_is_answered_by_health_and_client_subnet(tmp_path: Path) -> None:
    shutil.copytree(BESIDE / "coredns", tmp_path, dirs_exist_ok=True)
    config = tmp_path / "waypost.toml"
    with two_sites() as (one, site_port):
        port = free_port()
        replace(config, ("port = 8080", f"port = {site_port}"), ("127.0.0.1:5300", f"127.0.0.1:{port}"))
        config.write_text(config.read_text() + MORE)
        with waypost_of(config) as waypost:
            waypost.start()
            assert answer(port, "gslb.example.com", "NS") == "ns1.example.com.", "its health check"
            answers(waypost, port, ONE)
            for tcp in (False, True):
                assert answer(port, GEO, tcp=tcp) == ONE
                assert answer(port, GEO, subnet="192.0.2.0/24", tcp=tcp) == TWO
            one.close()
            answers(waypost, port, TWO)


def test_both_sides_are_of_one_address_and_zone() -> None:
    text, settings = ((BESIDE / "coredns" / name).read_text() for name in ("Corefile", "waypost.toml"))
    (forward,) = re.findall(r"forward \. (\S+) {", text)
    assert f'listen = ["{forward}"]' in settings
    (zone,) = re.findall(r"^(\S+):5353 {", text, re.MULTILINE)
    assert f'name = "{zone}"' in settings
    assert f"domain {zone}\n" in text
    assert not re.search(r"^\s*cache", text, re.MULTILINE)
