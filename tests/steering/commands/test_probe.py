"""`waypost probe`: once, for scripts; and the daemon, as people have it."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.rdatatype
import dns.rrset
import msgspec
import pytest

from monitors.monitor import Reason
from monitors.ping import PingNotPermitted
from steering.cli import main
from steering.commands import probe
from steering.commands.probe import OnceReport, choose_origins
from steering.settings_file import parse_settings
from steering.zones.store import Store, StoreReader
from tests.steering.running import TAKEN, Waypost, eventually, web_settings

SETTINGS = """
[server]
state = "/nowhere/at/all"
[[monitor]]
name = "web"
type = "tcp"
port = PORT
timeout = "1s"
[[pool]]
name = "paris"
monitor = "web"
origin = [{ name = "one", address = "127.0.0.1" }, { name = "two", address = "127.0.0.2" }]
[[pool]]
name = "rome"
monitor = "web"
minimum_origins = 1
origin = [{ name = "one", address = "127.0.0.3" }, { name = "off", address = "127.0.0.4", enabled = false }]
[[pool]]
name = "sorry"
origin = [{ name = "page", address = "192.0.2.9" }]
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def site() -> Iterator[socket.socket]:
    """What runs at 127.0.0.1; nothing does at the other addresses."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        yield service


@pytest.fixture
def config(site: socket.socket, tmp_path: Path) -> Path:
    path = tmp_path / "waypost.toml"
    path.write_text(SETTINGS.replace("PORT", str(site.getsockname()[1])))
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line: exit status, output, error output."""

    def run_line(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_line


@contextmanager
def name_server(addresses: dict[str, list[str]]) -> Iterator[int]:
    """A name server in a thread that knows these A records; its port."""

    def serve() -> None:
        while (packet := sock.recvfrom(4096))[0]:
            query = dns.message.from_wire(packet[0])
            reply = dns.message.make_response(query)
            name, kind = query.question[0].name, query.question[0].rdtype
            found = addresses.get(name.to_text(omit_final_dot=True), []) if kind == dns.rdatatype.A else []
            if found:
                reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", *found))
            sock.sendto(reply.to_wire(), packet[1])

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            sock.sendto(b"", sock.getsockname())
            thread.join()


class TestOnce:
    def test_all(self, config: Path, run: Run) -> None:
        status, out, error = run("probe", "--once", config)
        assert (status, error) == (1, "")
        one, two, rome = out.splitlines()
        assert one.startswith("paris/one 127.0.0.1 up ")
        assert one.endswith(" ms ok")
        assert two == "paris/two 127.0.0.2 down refused (Connection refused)"
        assert rome == "rome/one 127.0.0.3 down refused (Connection refused)"

    @pytest.mark.parametrize(
        ("words", "chosen", "status"),
        [
            (["127.0.0.1"], ["paris/one"], 0),
            (["one"], ["paris/one", "rome/one"], 1),
            (["paris/one"], ["paris/one"], 0),
            (["paris/*"], ["paris/one", "paris/two"], 1),
            (["127.0.0.[23]"], ["paris/two", "rome/one"], 1),
            (["rome/one", "127.0.0.1", "paris/one"], ["paris/one", "rome/one"], 1),
        ],
    )
    def test_targets(self, config: Path, run: Run, words: list[str], chosen: list[str], status: int) -> None:
        ended, out, error = run("probe", "--once", config, *words, "--json")
        report = msgspec.json.decode(out, type=OnceReport)
        assert [f"{each.pool}/{each.origin}" for each in report.results] == chosen
        assert (ended, error, report.good) == (status, "", status == 0)
        assert {(each.up, each.reason) for each in report.results} <= {(True, Reason.OK), (False, Reason.REFUSED)}

    @pytest.mark.parametrize(
        ("word", "hint"),
        [
            ("paris/onne", '; did you mean "paris/one"?'),
            ("127.0.0.11", '; did you mean "127.0.0.1"?'),
            ("off", "; known: "),  # what is disabled is not probed
            ("192.0.2.9", ";"),  # nor what has no monitor
            ("", "; known: "),
        ],
    )
    def test_an_unknown_target_is_2(self, config: Path, run: Run, word: str, hint: str) -> None:
        status, out, error = run("probe", "--once", config, "paris/one", word)
        assert (status, out) == (2, "")
        assert error.startswith(f"{word}: no origin that is probed has this name or address;")
        assert hint in error

    def test_targets_are_for_once(self, config: Path, run: Run) -> None:
        for words in (["one"], ["--json"]):
            assert run("probe", config, *words)[0] == 2

    def test_a_configuration_that_is_wrong_is_not_good(self, config: Path, run: Run) -> None:
        config.write_text("[server]\n")
        status, out, error = run("probe", "--once", config)
        assert (status, out) == (1, "")
        assert "server.state: missing" in error

    def test_a_monitor_tries_again(self, config: Path, run: Run) -> None:
        with socket.socket() as silent:  # its queue is full: connecting to it times out
            silent.bind(("127.0.0.1", 0))
            silent.listen(0)
            with socket.create_connection(silent.getsockname()):
                text = SETTINGS.replace("PORT", str(silent.getsockname()[1])).replace('"1s"', '"100ms"\nretries = 1')
                config.write_text(text)
                status, out, _ = run("probe", "--once", config, "127.0.0.1")
        assert status == 1
        assert "127.0.0.1 down timeout" in out

    def test_pings_that_are_not_permitted_are_no_verdict(
        self, config: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(families: object) -> None:
            if families:
                raise PingNotPermitted("no pings here")

        monkeypatch.setattr(probe, "check_ping_permission", refuse)
        config.write_text(config.read_text().replace('type = "tcp"', 'type = "icmp"').replace("port =", "size ="))
        assert "size" in config.read_text()
        config.write_text("\n".join(line for line in config.read_text().splitlines() if not line.startswith("size")))
        assert run("probe", "--once", config) == (2, "", "no pings here\n")

    def test_a_group_decides_together(self, config: Path, run: Run) -> None:
        text = config.read_text().replace('monitor = "web"', 'monitor = "both"')
        config.write_text(
            text
            + """
[[monitor]]
name = "good"
type = "exec"
command = ["/bin/true"]
[[monitor]]
name = "elsewhere"
type = "external"
[[monitor_group]]
name = "both"
members = [{ monitor = "elsewhere" }, { monitor = "good" }, { monitor = "web", must_be_healthy = true }]
[[pool]]
name = "reported"
monitor = "elsewhere"
origin = [{ name = "far", address = "192.0.2.7" }]
"""
        )
        status, out, error = run("probe", "--once", config)
        assert (status, error) == (1, "")
        one, two, rome = out.splitlines()
        assert one.startswith("paris/one 127.0.0.1 up ")
        assert two == "paris/two 127.0.0.2 down refused (web: Connection refused)"
        assert rome == "rome/one 127.0.0.3 down refused (web: Connection refused)"
        assert run("probe", "--once", config, "far")[0] == 2, "nobody here can know"
        config.write_text(config.read_text().replace("must_be_healthy", "monitoring_only"))
        assert run("probe", "--once", config)[0] == 0

    def test_host_names_are_looked_up_where_the_configuration_says(self, config: Path, run: Run) -> None:
        with name_server({"www.example.test": ["127.0.0.1"]}) as port:
            text = config.read_text().replace('address = "127.0.0.2"', 'address = "www.example.test"')
            config.write_text(text.replace("[server]", f'[server]\nresolvers = ["127.0.0.1:{port}"]'))
            status, out, _ = run("probe", "--once", config, "two")
        assert (status, out.split()[:3]) == (0, ["paris/two", "www.example.test", "up"])

    def test_nothing_to_probe_is_good(self, config: Path, run: Run) -> None:
        config.write_text('[server]\nstate = "state"\n')
        assert run("probe", "--once", config) == (0, "", "")

    def test_an_address_that_two_monitors_check_is_checked_by_both(self) -> None:
        text = SETTINGS.replace("PORT", "80").replace("127.0.0.3", "127.0.0.1")
        settings = parse_settings(text, Path("/etc/waypost.toml"))
        assert [each[:2] for each in choose_origins(settings, ["127.0.0.1"])] == [("paris", "one"), ("rome", "one")]


class TestDaemon:
    @pytest.fixture
    def daemon(self, site: socket.socket, tmp_path: Path) -> Iterator[Waypost]:
        """A probe daemon whose file is one for `run`, too."""
        made = Waypost(tmp_path, web_settings(site.getsockname()[1]), workers=0)
        made.command = "probe"
        made.configure(web_settings(site.getsockname()[1]), workers=1)
        yield made
        made.destroy()

    def test_it_probes_and_answers_nobody(self, daemon: Waypost, site: socket.socket) -> None:
        daemon.start()
        assert daemon.ask() is None
        assert "zones and load balancers are for `waypost run`" in daemon.log()
        status = eventually(daemon.status, daemon.log)
        assert (status.listen, status.workers, status.zones) == ((), (), ())
        assert [pool.up for pool in status.pools] == [True, True]
        site.close()
        eventually(lambda: (told := daemon.status()) and not told.pools[0].up, daemon.log)
        assert daemon.stop() == 0

    def test_a_killed_control_comes_back(self, daemon: Waypost) -> None:
        daemon.start()
        control = daemon.control()
        os.kill(control, signal.SIGKILL)
        eventually(lambda: daemon.is_fed() and daemon.control() != control, daemon.log)
        assert daemon.stop() == 0

    def test_it_reloads(self, daemon: Waypost) -> None:
        daemon.start()
        daemon.configure(daemon.config.read_text().partition("[[monitor]]")[2].join(["[[monitor]]", ""]), workers=2)
        text = daemon.config.read_text().replace('name = "site-1"', 'name = "other"')
        daemon.config.write_text("\n".join(line for line in text.splitlines() if not line.startswith("listen")))
        assert "missing; expected a list" in daemon.reload("the configuration was not taken")
        daemon.config.write_text(text)
        daemon.reload(TAKEN)
        status = eventually(daemon.status, daemon.log)
        assert status.pools[0].origins[0].name == "other"

    def test_zones_of_the_state_directory_are_left_alone(self, daemon: Waypost) -> None:
        daemon.command = "run"
        daemon.workers = 1
        daemon.start()
        daemon.answers("192.0.2.1")
        assert daemon.stop() == 0
        daemon.command, daemon.workers = "probe", 0
        daemon.start()
        assert daemon.stop() == 0
        store = StoreReader(Store(daemon.state / "zones"))
        store.begin()
        try:
            assert store.find_zone(b"\7example\3com\0") is not None
        finally:
            store.end()

    def test_without_listen_only_run_is_refused(self, tmp_path: Path, run: Run) -> None:
        config = tmp_path / "waypost.toml"
        config.write_text('[server]\nstate = "state"\n')
        assert run("check", config)[0] == 0
        status, _, error = run("run", config)
        assert status == 2
        assert error == f"{config}: server.listen: missing; `waypost probe` does without\n"
