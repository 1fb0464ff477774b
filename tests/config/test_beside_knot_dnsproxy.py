"""config/beside/knot_dnsproxy with the real Knot DNS."""

import shutil
import socket
from pathlib import Path

from tests.config.neighbours import BESIDE, Neighbour, answer, replace, two_sites, waypost_of
from tests.steering.running import eventually, free_port

NAME = "www.gslb.example.com"
ONE, TWO = "127.0.0.1", "127.0.0.2"
MORE = """
[[load_balancer]]
name = "geo.gslb.example.com"
types = ["A"]
default_pools = ["one"]
fallback_pool = "one"
network_pools = { "192.0.2.0/24" = ["two"] }
"""


def test_an_origin_that_goes_down_changes_what_knot_answers(tmp_path: Path) -> None:
    shutil.copytree(BESIDE / "knot_dnsproxy", tmp_path, dirs_exist_ok=True)
    config, other = tmp_path / "waypost.toml", tmp_path / "knot.conf"
    with two_sites() as (one, port):
        listen = f"127.0.0.1:{free_port()}"
        replace(config, ("port = 8080", f"port = {port}"), ("127.0.0.1:5300", listen))
        replace(other, ("127.0.0.1@5300", listen.replace(":", "@")), ("server:\n    listen: 127.0.0.1@5353\n", ""))
        knot = Neighbour.configured("knotd", tmp_path, other.read_text())
        config.write_text(config.read_text() + MORE)
        with waypost_of(config) as waypost:
            waypost.start()
            with knot.running("gslb.example.com"):
                knot.answers(ONE, NAME)
                knot.answers(ONE, "geo.gslb.example.com")
                knot.answers(TWO, "geo.gslb.example.com", subnet="192.0.2.0/24")
                assert answer(knot.port, NAME, tcp=True) == ONE
                one.close()
                knot.answers(TWO, NAME)
                with socket.create_server(("127.0.0.1", port)):
                    knot.answers(ONE, NAME)
                    waypost.destroy()
                    eventually(lambda: answer(knot.port, NAME) in ("", "SERVFAIL"), knot.log)
                    waypost.start()
                    knot.answers(ONE, NAME)
