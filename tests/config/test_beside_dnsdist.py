"""config/beside/dnsdist with the real dnsdist: the client behind it counts, over UDP and TCP."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.config.neighbours import BESIDE, Neighbour, answer, ask, replace, two_sites, waypost_of
from tests.peers.programs import need_program
from tests.steering.running import Waypost, eventually, free_port, run_command

NAME = "www.gslb.example.com"
ONE, TWO = "127.0.0.1", "127.0.0.2"
MORE = """
[[load_balancer]]
name = "geo.gslb.example.com"
types = ["A"]
default_pools = ["one"]
fallback_pool = "one"
network_pools = { "127.1.0.0/16" = ["two"] }

[[pool]]
name = "long"
origin = [{ name = "long", address = "192.0.2.3" }]

[[load_balancer]]
name = "long.gslb.example.com"
types = ["A"]
ttl = 300
default_pools = ["long", "two"]
fallback_pool = "two"
"""


@contextmanager
def both(folder: Path) -> Iterator[tuple[Waypost, Neighbour, socket.socket]]:
    """waypost and dnsdist with the example, and the site that can fall."""
    program, listening = need_program("dnsdist"), free_port()
    shutil.copytree(BESIDE / "dnsdist", folder, dirs_exist_ok=True)
    config, other = folder / "waypost.toml", folder / "dnsdist.conf"
    dnsdist = Neighbour([program, "--supervised", "--disable-syslog", "-C", other], folder, listening)
    with two_sites() as (one, port):
        listen = f"127.0.0.1:{free_port()}"
        replace(config, ("port = 8080", f"port = {port}"), ("127.0.0.1:5300", listen))
        replace(other, ("127.0.0.1:5300", listen), ("127.0.0.1:5353", f"127.0.0.1:{listening}"))
        replace(other, ('newServer{address="192.0.2.53:53"}', "setSecurityPollSuffix('')"))
        replace(other, ("checkType=", "checkInterval=1, maxCheckFailures=1, checkType="))
        config.write_text(config.read_text() + MORE)
        with waypost_of(config) as waypost:
            waypost.start()
            with dnsdist.running("gslb.example.com"):
                yield waypost, dnsdist, one


def test_an_origin_that_goes_down_changes_what_dnsdist_answers(tmp_path: Path) -> None:
    with both(tmp_path) as (_, dnsdist, one):
        dnsdist.answers(ONE, NAME)
        port = one.getsockname()[1]
        one.close()
        dnsdist.answers(TWO, NAME)
        with socket.create_server(("127.0.0.1", port)):
            dnsdist.answers(ONE, NAME)


def test_the_client_behind_dnsdist_counts(tmp_path: Path) -> None:
    with both(tmp_path) as (_, dnsdist, _):
        dnsdist.answers(ONE, "geo.gslb.example.com")
        for tcp in (False, True):
            for source, expected in (("127.0.0.1", ONE), ("127.1.0.1", TWO), ("127.0.0.9", ONE)):
                reply = ask(dnsdist.port, "geo.gslb.example.com", tcp=tcp, source=source)
                assert reply is not None, dnsdist.log()
                assert [rdata.to_text() for rrset in reply.answer for rdata in rrset] == [expected], (source, tcp)


def test_an_answer_is_not_kept_for_its_ttl(tmp_path: Path) -> None:
    with both(tmp_path) as (waypost, dnsdist, _):
        dnsdist.answers("192.0.2.3", "long.gslb.example.com")
        forced = run_command("force", str(waypost.config), "long", "down", "--until-cleared", "--reason", "test")
        assert forced.returncode == 0, forced.stderr
        dnsdist.answers(TWO, "long.gslb.example.com")


def test_without_waypost_each_client_gets_what_it_got_before(tmp_path: Path) -> None:
    with both(tmp_path) as (waypost, dnsdist, one):
        clients = {"127.0.0.1": ONE, "127.1.0.1": TWO}

        def answers() -> dict[str, str]:
            replies = {each: ask(dnsdist.port, "geo.gslb.example.com", source=each) for each in clients}
            return {
                client: " ".join(rdata.to_text() for rrset in reply.answer for rdata in rrset)
                for client, reply in replies.items()
                if reply is not None
            }

        eventually(lambda: answers() == clients, dnsdist.log)
        dnsdist.answers(ONE, NAME)
        waypost.destroy()
        eventually(lambda: "as 'down'" in dnsdist.log(), dnsdist.log)
        for _ in range(3):
            assert answers() == clients
        assert answer(dnsdist.port, "never-asked.gslb.example.com") in ("", "SERVFAIL")
        waypost.start()
        one.close()
        waypost.logged("one/one (127.0.0.1) is DOWN")
        dnsdist.answers(TWO, NAME)
        for _ in range(3):
            assert answer(dnsdist.port, NAME) == TWO
            assert answers() == clients


def test_who_passes_by_dnsdist_is_not_answered(tmp_path: Path) -> None:
    with both(tmp_path) as (waypost, _, _):
        (port,) = (int(each.rpartition(":")[2]) for each in eventually(waypost.status, waypost.log).listen)
        assert ask(port, NAME) is None
        assert ask(port, NAME, tcp=True) is None
        assert ask(port, NAME, source="127.0.0.9") is not None
