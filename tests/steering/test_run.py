"""`waypost run` as people have it: real processes, real sockets, signals, and files that change under it."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dns.edns
import dns.message
import pytest

from monitors.ping import PingNotPermitted, check_ping_permission
from tests.monitors.name_server import serving_names_beside
from tests.steering.running import (
    DEADLINE,
    PROGRAM,
    REFUSED,
    TAKEN,
    Waypost,
    eventually,
    free_port,
    list_processes,
    run_command,
    running,
    web_settings,
    zone_text,
)

UP, SORRY = "192.0.2.1", "192.0.2.99"

TWO_ZONES = """
[[zone]]
name = "example.com"
file = "com.zone"
[[zone]]
name = "example.net"
file = "net.zone"
"""

NETWORKS = """
steering_policy = "geo"
country_pools = { FR = ["sorry"] }

[[geo]]
type = "networks"
path = "own.csv"
"""


@pytest.fixture
def site() -> Iterator[socket.socket]:
    """What the origin site-1 runs."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        yield service


@pytest.fixture
def waypost(site: socket.socket, tmp_path: Path) -> Iterator[Waypost]:
    with running(tmp_path, web_settings(port_of(site))) as started:
        yield started


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waypost]:
    """The one that `shared` lends."""
    folder = tmp_path_factory.mktemp("lasting")
    with socket.create_server(("127.0.0.1", 0)) as service, running(folder, web_settings(port_of(service))) as started:
        yield started


@pytest.fixture
def shared(lasting: Waypost) -> Iterator[Waypost]:
    """A waypost for tests that only reload it: what they put in force is undone, and no process has ended."""
    good, processes = lasting.config.read_text(), (lasting.worker(), lasting.control())
    yield lasting
    lasting.config.write_text(good)
    lasting.reload(TAKEN)
    lasting.answers(UP)
    assert (lasting.worker(), lasting.control()) == processes


@pytest.fixture
def unstarted(site: socket.socket, tmp_path: Path) -> Iterator[Waypost]:
    made = Waypost(tmp_path, web_settings(port_of(site)))
    yield made
    made.destroy()


def port_of(service: socket.socket) -> int:
    port: int = service.getsockname()[1]
    return port


def reopen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


class TestStart:
    def test_nobody_is_answered_before_the_first_results(self, tmp_path: Path) -> None:
        settings = web_settings(1).replace('type = "tcp"', 'type = "smtp"').replace('"1s"', '"60s"')
        with socket.create_server(("127.0.0.1", 0)) as mail:
            mail.settimeout(DEADLINE)
            waypost = Waypost(tmp_path, settings.replace("port = 1\n", f"port = {port_of(mail)}\n")).launch()
            try:
                with mail.accept()[0] as connection:
                    connection.settimeout(DEADLINE)
                    eventually(lambda: is_idle(waypost), "it never came to wait for the result")
                    assert waypost.ask() is None
                    assert waypost.ask(tcp=True) is None
                    assert "first results" not in waypost.log()
                    with connection.makefile("rwb", buffering=0) as stream:
                        for reply in (b"220 hi\r\n", b"250 hi\r\n", b"221 bye\r\n"):
                            stream.write(reply)
                            stream.readline()
                    waypost.answers(UP)
                    waypost.logged("first results of 1 targets")
            finally:
                waypost.destroy()

    def test_a_target_without_a_result_holds_it_up_no_longer_than_its_timeout(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            settings = web_settings(port_of(silent)).replace('type = "tcp"', 'type = "smtp"\nretries = 0')
            with running(tmp_path, settings) as waypost:
                waypost.answers(SORRY)
                waypost.logged("greeting: nothing within 1 s")

    def test_both_transports_on_every_address(self, site: socket.socket, tmp_path: Path) -> None:
        waypost = Waypost(tmp_path, "")
        other = free_port("127.0.0.2")
        waypost.configure(web_settings(port_of(site)), listen=[f"127.0.0.1:{waypost.port}", f"127.0.0.2:{other}"])
        try:
            waypost.start()
            assert waypost.answer() == waypost.answer(tcp=True) == UP
            with socket.create_connection(("127.0.0.2", other), DEADLINE):
                pass
        finally:
            waypost.destroy()

    @pytest.mark.parametrize("damage", ["syntax", "meaning", "zone"])
    def test_nothing_starts_on_a_bad_configuration(self, unstarted: Waypost, tmp_path: Path, damage: str) -> None:
        text = unstarted.config.read_text()
        unstarted.config.write_text(
            {
                "syntax": text + "[[",
                "meaning": text.replace('monitor = "web"', 'monitor = "wbe"'),
                "zone": text.replace('nameservers = ["ns1.example.net"]', 'file = "bad.zone"'),
            }[damage]
        )
        (tmp_path / "bad.zone").write_text("$TTL 300\n@ A 192.0.2.300\n@ NS\n")
        assert unstarted.launch().end() == 1
        expected = {
            "syntax": ["waypost.toml", "not TOML"],
            "meaning": ["waypost.toml:", "pool[0].monitor", "wbe", 'did you mean "web"?'],
            "zone": ["bad.zone:2:", "bad.zone:3:"],
        }[damage]
        assert all(part in unstarted.log() for part in expected), unstarted.log()
        assert "Traceback" not in unstarted.log()

    def test_a_port_that_is_taken(self, unstarted: Waypost) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            text, port = unstarted.config.read_text(), port_of(taken)
            unstarted.config.write_text(text.replace(f":{unstarted.port}", f":{port}"))
            assert unstarted.launch().end() == 1
        assert f"cannot listen on 127.0.0.1:{port} (UDP): another program has it" in unstarted.log()
        assert "Traceback" not in unstarted.log()

    def test_a_state_directory_that_is_a_file(self, unstarted: Waypost) -> None:
        unstarted.state.write_text("")
        assert unstarted.launch().end() == 1
        assert str(unstarted.state) in unstarted.log()
        assert "Traceback" not in unstarted.log()

    def test_a_state_directory_that_cannot_be_made(self, unstarted: Waypost) -> None:
        unstarted.configure(web_settings(1), state="/proc/waypost")
        assert unstarted.launch().end() == 1
        assert "/proc/waypost" in unstarted.log()
        assert "Traceback" not in unstarted.log()

    @pytest.mark.parametrize("name", ["zones", "maps"])
    def test_a_part_of_the_state_that_is_a_file(self, site: socket.socket, tmp_path: Path, name: str) -> None:
        (tmp_path / "own.csv").write_text("network,country\n127.0.0.0/8,FR\n")
        waypost = Waypost(tmp_path, web_settings(port_of(site), balancers=NETWORKS))
        waypost.state.mkdir()
        (waypost.state / name).write_text("")
        try:
            assert waypost.launch().end() == 1
            assert str(waypost.state / name) in waypost.log()
            assert "Traceback" not in waypost.log()
        finally:
            waypost.destroy()

    @pytest.mark.parametrize("content", [b"", b"garbage" * 10_000], ids=["empty", "garbage"])
    def test_a_zone_store_that_is_none(self, unstarted: Waypost, content: bytes) -> None:
        (unstarted.state / "zones").mkdir(parents=True)
        (unstarted.state / "zones" / "data.mdb").write_bytes(content)
        if not content:
            assert unstarted.start().answer() == UP
            return
        assert unstarted.launch().end() == 1
        assert str(unstarted.state / "zones") in unstarted.log()
        assert "Traceback" not in unstarted.log()

    def test_a_very_long_state_path(self, site: socket.socket, tmp_path: Path) -> None:
        with running(tmp_path, web_settings(port_of(site)), state="/".join(["d" * 60] * 4)) as waypost:
            assert len(str(waypost.state)) > 107
            waypost.answers(UP)
            assert run_command("status", str(waypost.config)).returncode == 0
            assert waypost.stop() == 0

    def test_two_instances_on_one_state_directory(self, shared: Waypost, tmp_path: Path) -> None:
        other = tmp_path / "other.toml"
        other.write_text(shared.config.read_text().replace(f":{shared.port}", f":{free_port()}"))
        second = run_command("run", str(other))
        assert second.returncode == 1
        assert f"another waypost (process {shared.process.pid}) runs with the state directory" in second.stderr
        assert "Traceback" not in second.stderr
        assert shared.answer() == UP

    def test_a_second_start_serves_the_same(self, waypost: Waypost) -> None:
        assert waypost.stop() == 0
        waypost.start().answers(UP)


def is_idle(waypost: Waypost) -> bool:
    """Whether the supervisor, control and its helper are there and sleep, at several looks."""
    for _ in range(5):
        found = [state for _, session, state in list_processes() if session == waypost.process.pid]
        if len(found) < 3 or any(state != "S" for state in found):
            return False
        time.sleep(0.05)
    return True


class TestHealth:
    """Stopping what an origin runs changes the answers, starting it again brings them back."""

    def test_tcp(self, waypost: Waypost, site: socket.socket) -> None:
        port = port_of(site)
        waypost.answers(UP)
        site.close()
        waypost.answers(SORRY)
        waypost.logged("is DOWN: monitor web saw: refused (Connection refused)")
        with reopen(port):
            waypost.answers(UP)
            eventually(lambda: waypost.log().count("is up: monitor web saw: ok") == 2, waypost.log)
        assert "127.0.0.1" in waypost.log()

    def test_smtp(self, tmp_path: Path) -> None:
        port = free_port()
        settings = web_settings(port).replace('type = "tcp"', 'type = "smtp"')
        with mail_server(port) as server, running(tmp_path, settings) as waypost:
            waypost.answers(UP)
            server.kill()
            waypost.answers(SORRY)
            waypost.logged("is DOWN: monitor web saw: ")  # refused, or closed in the middle of a conversation
            with mail_server(port):
                waypost.answers(UP)

    @pytest.mark.usefixtures("needs_ping")
    def test_udp_icmp(self, tmp_path: Path) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as service:
            service.bind(("127.0.0.1", 0))
            port = port_of(service)
            settings = web_settings(port).replace('type = "tcp"', 'type = "udp_icmp"').replace('"1s"', '"0.8s"', 0)
            with running(tmp_path, settings.replace('timeout = "1s"', 'timeout = "0.3s"')) as waypost:
                waypost.answers(UP)
                service.close()
                waypost.answers(SORRY)
                waypost.logged("is DOWN: monitor web saw: port unreachable")
                with socket.socket(type=socket.SOCK_DGRAM) as again:
                    again.bind(("127.0.0.1", port))
                    waypost.answers(UP)

    @pytest.mark.usefixtures("needs_ping")
    def test_icmp(self, tmp_path: Path) -> None:
        settings = web_settings(1).replace('type = "tcp"\nport = 1\n', 'type = "icmp"\n')
        settings = settings.replace('address = "127.0.0.1"', 'address = "127.0.0.77"')
        with running(tmp_path, settings) as waypost:
            waypost.answers(UP)
            # Loopback always answers; its broadcast address may not be pinged.
            waypost.configure(settings.replace("127.0.0.77", "127.255.255.255"))
            waypost.reload(TAKEN)
            waypost.answers(SORRY)
            waypost.logged("is DOWN: monitor web saw: not permitted")

    def test_the_addresses_of_a_host_name(self, site: socket.socket, tmp_path: Path) -> None:
        address = f'address = "127.0.0.1"\nrecords = {{ A = "{UP}" }}'
        settings = web_settings(port_of(site)).replace(address, 'address = "www.example.com"')
        with serving_names_beside(A=["127.0.0.1", "127.0.0.5"]) as names:
            waypost = Waypost(tmp_path, settings)
            waypost.configure(settings, resolvers=[f"127.0.0.1:{names.port}"])
            try:
                waypost.start()
                assert waypost.answer() == "127.0.0.1"
                with socket.create_server(("127.0.0.5", port_of(site))):
                    waypost.answers("127.0.0.1 127.0.0.5")
                waypost.answers("127.0.0.1")
                site.close()
                waypost.answers(SORRY)
                waypost.logged("site/site-1 (www.example.com) is DOWN: monitor web saw: refused (127.0.0.1: refused")
            finally:
                waypost.destroy()

    def test_consecutive_results_are_waited_for_and_logged(self, site: socket.socket, tmp_path: Path) -> None:
        settings = web_settings(port_of(site)).replace('type = "tcp"', 'type = "tcp"\nconsecutive_down = 3')
        with running(tmp_path, settings) as waypost:
            waypost.answers(UP)
            site.close()
            waypost.answers(SORRY)
            before = waypost.log().partition("is DOWN")[0]
            assert before.count("refused (Connection refused)") == 2
            assert before.count("stays up until") == 2


@pytest.fixture
def needs_ping() -> None:
    try:
        check_ping_permission([socket.AF_INET])
    except PingNotPermitted as error:
        pytest.skip(str(error))


@contextmanager
def mail_server(port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """aiosmtpd in a process of its own."""
    command = [sys.executable, "-m", "tests.monitors.probes.smtp_peer", str(port)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert int(process.stdout.readline()) == port
        yield process
        process.kill()


class TestDeaths:
    def test_a_killed_worker_is_back_within_a_second(self, waypost: Waypost) -> None:
        taken: list[float] = []
        killed: list[int] = []
        for _ in range(3):
            killed.append(waypost.worker())
            os.kill(killed[-1], signal.SIGKILL)
            start = time.monotonic()
            waypost.answers(UP)
            taken.append(time.monotonic() - start)
            eventually(lambda: waypost.is_fed() and waypost.worker() not in killed, waypost.log)
        assert min(taken) < 1, "the machine may be busy now and then, but not each time"
        assert waypost.log().count("was killed by SIGKILL: starting it again") == 3

    def test_a_question_that_comes_meanwhile_waits_for_the_next_worker(self, waypost: Waypost) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(DEADLINE)
            client.connect(("127.0.0.1", waypost.port))
            waypost.signal(signal.SIGSTOP)  # so that nobody restarts it before the question is there
            os.kill(waypost.worker(), signal.SIGKILL)
            client.send(bytes.fromhex("123400000001000000000000") + b"\3www\7example\3com\0\0\1\0\1")
            waypost.signal(signal.SIGCONT)
            assert client.recv(512)[:2] == b"\x12\x34"

    def test_a_killed_control_leaves_the_workers_answering(self, waypost: Waypost, site: socket.socket) -> None:
        port, text = port_of(site), waypost.config.read_text()
        worker, control = waypost.worker(), waypost.control()
        waypost.config.write_text("broken [")
        waypost.signal(signal.SIGSTOP)  # so that it stays away for as long as we look
        os.kill(control, signal.SIGKILL)
        for tcp in (False, True, False, True):
            assert waypost.answer(tcp=tcp) == UP
        waypost.signal(signal.SIGCONT)
        eventually(waypost.is_fed, waypost.log)
        assert waypost.control() != control
        assert waypost.worker() == worker, "the workers go on"
        site.close()
        waypost.answers(SORRY)
        assert "not TOML" in waypost.reload(REFUSED)
        assert waypost.answer() == SORRY
        waypost.config.write_text(text)
        waypost.reload(TAKEN)
        with reopen(port):
            waypost.answers(UP)
        assert waypost.stop() == 0

    @pytest.mark.parametrize("damage", ["zone file", "geo source", "what was in force"])
    def test_a_killed_control_comes_back_with_what_was_in_force(
        self, site: socket.socket, tmp_path: Path, damage: str
    ) -> None:
        (tmp_path / "com.zone").write_text(zone_text(1, "static A 192.0.2.7"))
        (tmp_path / "net.zone").write_text(zone_text(1))
        (tmp_path / "own.csv").write_text("network,country\n127.0.0.0/8,DE\n")
        with running(tmp_path, web_settings(port_of(site), zones=TWO_ZONES, balancers=NETWORKS)) as waypost:
            waypost.answers(UP)
            if damage == "zone file":
                (tmp_path / "com.zone").write_text("@ SOA nonsense")
            elif damage == "geo source":
                (tmp_path / "own.csv").write_text("nonsense")
            else:
                (waypost.state / "running.msgpack").write_bytes(b"\xc1")
            control = waypost.control()
            os.kill(control, signal.SIGKILL)
            eventually(lambda: waypost.is_fed() or waypost.log().count("starting it again") > 1, waypost.log)
            assert waypost.log().count("starting it again") == 1, waypost.log()
            assert waypost.control() != control
            assert waypost.answer("static.example.com") == "192.0.2.7"
            site.close()
            waypost.answers(SORRY)

    def test_who_is_stuck_is_replaced_and_answers_go_on(self, unstarted: Waypost, site: socket.socket) -> None:
        impatient = "from steering import supervisor; supervisor.SILENCE_LIMIT = 3.0\n"
        *python, text = PROGRAM
        unstarted.program = (*python, impatient + text)
        unstarted.start()
        worker, control = unstarted.worker(), unstarted.control()
        os.kill(control, signal.SIGSTOP)
        unstarted.logged(f"control (process {control}) is stuck")
        eventually(lambda: unstarted.is_fed() and unstarted.control() != control, unstarted.log)
        assert unstarted.worker() == worker
        site.close()
        unstarted.answers(SORRY)
        os.kill(worker, signal.SIGSTOP)
        eventually(lambda: unstarted.is_fed() and unstarted.worker() != worker, unstarted.log)
        unstarted.answers(SORRY)
        assert unstarted.stop() == 0

    def test_a_control_whose_probes_are_stuck_is_replaced(self, unstarted: Waypost, tmp_path: Path) -> None:
        """Its loop runs, and yet it is of no use: a file says when."""
        stuck = tmp_path / "stuck"
        text = (
            "from steering import supervisor; supervisor.SILENCE_LIMIT = 3.0\n"
            "from monitors.scheduler import Scheduler; from pathlib import Path\n"
            f"Scheduler.stalled = lambda self: 100.0 * Path({str(stuck)!r}).exists()\n"
        )
        unstarted.program = (*PROGRAM[:-1], text + PROGRAM[-1])
        unstarted.start()
        worker, control = unstarted.worker(), unstarted.control()
        stuck.touch()
        unstarted.logged(f"control (process {control}) is stuck")
        stuck.unlink()
        eventually(lambda: unstarted.is_fed() and unstarted.control() != control, unstarted.log)
        assert "no probe has begun or ended for 100 s" in unstarted.log()
        assert unstarted.worker() == worker
        unstarted.answers(UP)

    def test_a_killed_supervisor_takes_all_with_it_and_leaves_room_for_the_next(self, waypost: Waypost) -> None:
        waypost.process.kill()
        assert waypost.end() == -signal.SIGKILL
        waypost.start().answers(UP)
        assert waypost.stop() == 0

    def test_everything_dies_at_once(self, waypost: Waypost) -> None:
        for process in waypost.processes():
            # Who dies may take others along.
            if process != waypost.process.pid:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        eventually(waypost.is_fed, waypost.log)
        waypost.answers(UP)
        assert waypost.stop() == 0


class TestReload:
    def test_a_bad_configuration_changes_nothing_and_every_problem_is_told(self, shared: Waypost) -> None:
        good = shared.config.read_text()
        bad = good.replace('default_pools = ["site"]', 'default_pools = ["sitte"]')
        bad = bad.replace('interval = "1s"', 'interval = "1 parsec"').replace("192.0.2.99", "host.example.com")
        bad = bad.replace('type = "tcp"', 'type = "tcp"\nnonsense = 1')
        shared.config.write_text(bad)
        since = shared.status()
        log = shared.reload(REFUSED)
        lines = dict(enumerate(bad.splitlines(), 1))
        for word in ("sitte", "1 parsec", "host.example.com", "nonsense"):
            [number] = [number for number, line in lines.items() if word in line]
            assert f"{shared.config}:{number}: " in log, f"{word}:\n{log}"
        after = shared.status()
        assert since
        assert after
        assert (after.since, after.workers[0].pid) == (since.since, since.workers[0].pid)
        assert shared.answer() == UP

    def test_a_file_that_is_gone(self, shared: Waypost) -> None:
        shared.config.unlink()
        assert "cannot be read: No such file or directory" in shared.reload(REFUSED)
        assert shared.answer() == UP

    def test_a_changed_pool_is_in_force_for_all_workers(self, site: socket.socket, tmp_path: Path) -> None:
        with running(tmp_path, web_settings(port_of(site)), workers=2) as waypost:
            assert {waypost.answer() for _ in range(40)} == {UP}
            waypost.configure(web_settings(port_of(site), address="192.0.2.2"))
            waypost.reload(TAKEN)
            waypost.answers("192.0.2.2")
            before = waypost.status()
            assert before

            def all_asked() -> bool:
                assert waypost.answer() == "192.0.2.2"
                status = waypost.status()
                return status is not None and all(
                    now.udp > then.udp for now, then in zip(status.workers, before.workers, strict=True)
                )

            eventually(all_asked, "one worker gets no question")
            assert waypost.stop() == 0

    def test_a_changed_zone(self, site: socket.socket, tmp_path: Path) -> None:
        (tmp_path / "com.zone").write_text(zone_text(1, "static A 192.0.2.7"))
        (tmp_path / "net.zone").write_text(zone_text(1, "static A 192.0.2.8"))
        with running(tmp_path, web_settings(port_of(site), zones=TWO_ZONES)) as waypost:
            assert waypost.answer("static.example.com") == "192.0.2.7"
            (tmp_path / "com.zone").write_text(zone_text(2, "static A 192.0.2.77\nnew A 192.0.2.78"))
            assert "zone example.com.: serial 2" in waypost.reload(TAKEN)
            waypost.answers("192.0.2.77", "static.example.com")
            assert waypost.answer("new.example.com") == "192.0.2.78"
            assert waypost.answer("static.example.net") == "192.0.2.8"
            assert waypost.answer() == UP

    def test_one_bad_zone_of_two_keeps_both_as_they_are(self, site: socket.socket, tmp_path: Path) -> None:
        (tmp_path / "com.zone").write_text(zone_text(1, "static A 192.0.2.7"))
        (tmp_path / "net.zone").write_text(zone_text(1, "static A 192.0.2.8"))
        with running(tmp_path, web_settings(port_of(site), zones=TWO_ZONES)) as waypost:
            (tmp_path / "com.zone").write_text(zone_text(2, "static A 192.0.2.77"))
            (tmp_path / "net.zone").write_text(zone_text(2, "static A 192.0.2.8\nbad A nonsense\nworse AAAA 1.2.3.4"))
            log = waypost.reload(REFUSED)
            assert f"{tmp_path}/net.zone:5:" in log
            assert f"{tmp_path}/net.zone:6:" in log
            assert waypost.answer("static.example.com") == "192.0.2.7"
            assert waypost.answer("static.example.net") == "192.0.2.8"
            (tmp_path / "net.zone").write_text(zone_text(2, "static A 192.0.2.88"))
            waypost.reload(TAKEN)
            waypost.answers("192.0.2.77", "static.example.com")
            waypost.answers("192.0.2.88", "static.example.net")

    def test_a_bad_geo_source_changes_nothing(self, site: socket.socket, tmp_path: Path) -> None:
        own = tmp_path / "own.csv"
        own.write_text("network,country\n127.0.0.0/8,DE\n")
        with running(tmp_path, web_settings(port_of(site), balancers=NETWORKS)) as waypost:
            waypost.answers(UP)
            own.write_text("network,country\n127.0.0.0/8,Atlantis\n")
            waypost.configure(web_settings(port_of(site), address="192.0.2.2", balancers=NETWORKS))
            assert str(own) in waypost.reload(REFUSED)
            assert waypost.answer() == UP
            own.unlink()
            assert f"{own}: No such file or directory" in waypost.reload(REFUSED)
            assert waypost.answer() == UP
            own.write_text("network,country\n127.0.0.0/8,FR\n")
            waypost.reload(TAKEN)
            waypost.answers(SORRY)

    def test_what_cannot_change_is_refused_with_the_reason(self, shared: Waypost, site: socket.socket) -> None:
        settings = web_settings(port_of(site), address="192.0.2.2")
        shared.configure(settings, listen=["127.0.0.1:1"], state="elsewhere", workers=2)
        log = shared.reload(REFUSED)
        for key in ("listen", "state", "workers"):
            assert f"server.{key} cannot change while waypost runs" in log
        assert shared.answer() == UP
        assert not (shared.config.parent / "elsewhere").exists()

    def test_origins_that_come_and_go(self, shared: Waypost, site: socket.socket) -> None:
        with closing(socket.socket()) as never:
            never.bind(("127.0.0.1", 0))  # and does not listen
            shared.configure(web_settings(port_of(never)))
            shared.reload(TAKEN)
            shared.answers(SORRY)
        shared.configure(web_settings(port_of(site)))
        shared.reload(TAKEN)
        shared.answers(UP)

    def test_many_hangups_at_once(self, waypost: Waypost, site: socket.socket) -> None:
        waypost.configure(web_settings(port_of(site), address="192.0.2.2"))
        for _ in range(20):
            waypost.signal(signal.SIGHUP)
        waypost.answers("192.0.2.2")
        assert waypost.stop() == 0

    def test_systemd_hears_of_the_start_and_of_each_reload(
        self, unstarted: Waypost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(tmp_path / "notify"))
            systemd.settimeout(DEADLINE)
            monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
            unstarted.start()
            assert systemd.recv(1000) == b"READY=1\nSTATUS=answering on 127.0.0.1:%d\n" % unstarted.port
            for change, outcome in (("", TAKEN), ("[nonsense]", REFUSED)):
                unstarted.config.write_text(unstarted.config.read_text() + change)
                unstarted.reload(outcome)
                assert systemd.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
                assert systemd.recv(1000).startswith(b"READY=1\n")

    def test_a_hangup_before_the_start_is_over_is_not_lost(self, unstarted: Waypost, site: socket.socket) -> None:
        unstarted.launch()
        eventually(lambda: len(unstarted.processes()) > 2, unstarted.log)  # control and its helper are at work
        unstarted.configure(web_settings(port_of(site), address="192.0.2.2"))
        unstarted.signal(signal.SIGHUP)
        unstarted.answers("192.0.2.2")
        assert unstarted.stop() == 0

    def test_the_state_directory_vanishes(self, waypost: Waypost, site: socket.socket) -> None:
        worker, control = waypost.worker(), waypost.control()
        shutil.rmtree(waypost.state)
        waypost.configure(web_settings(port_of(site), address="192.0.2.2"))
        waypost.signal(signal.SIGHUP)
        eventually(lambda: REFUSED in waypost.log() or TAKEN in waypost.log(), waypost.log)
        assert waypost.answer() in (UP, "192.0.2.2")
        assert {worker, control} <= set(waypost.processes()), waypost.log()


class TestStop:
    def test_sigterm(self, waypost: Waypost) -> None:
        assert waypost.stop() == 0
        assert not (waypost.state / "control.sock").exists()
        assert not (waypost.state / "feed.sock").exists()
        assert "Traceback" not in waypost.log()

    def test_ctrl_c_in_a_terminal(self, waypost: Waypost) -> None:
        os.killpg(waypost.process.pid, signal.SIGINT)
        assert waypost.end() == 0
        assert "Traceback" not in waypost.log()
        assert "KeyboardInterrupt" not in waypost.log()

    def test_sigterm_while_the_first_results_are_waited_for(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            settings = web_settings(port_of(silent)).replace('type = "tcp"', 'type = "smtp"').replace('"1s"', '"60s"')
            waypost = Waypost(tmp_path, settings).launch()
            try:
                silent.settimeout(DEADLINE)
                with silent.accept()[0]:
                    assert waypost.stop() == 0
                assert "Traceback" not in waypost.log()
            finally:
                waypost.destroy()

    def test_an_answer_on_its_way_is_still_sent(self, waypost: Waypost) -> None:
        with socket.create_connection(("127.0.0.1", waypost.port), DEADLINE) as client:
            client.settimeout(DEADLINE)
            question = bytes.fromhex("123400000001000000000000") + b"\3www\7example\3com\0\0\1\0\1"
            client.sendall(len(question).to_bytes(2, "big") + question)
            assert client.recv(4)[2:4] == b"\x12\x34"
            assert waypost.stop() == 0

    def test_a_log_that_nobody_reads_does_not_stop_the_answers(self, unstarted: Waypost, site: socket.socket) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            with pytest.raises(BlockingIOError):
                while True:
                    os.write(writer, b"x" * 4096)
            os.set_blocking(writer, True)
            unstarted.launch_with(writer)
            unstarted.answers(UP, deadline=6)
            site.close()
            unstarted.answers(SORRY, deadline=6)
        finally:
            os.close(reader)
            os.close(writer)


@contextmanager
def receiving(told: list[tuple[str, str, str]]) -> Iterator[int]:
    """The port of a webhook that takes every message; kind, pool and origin of each event go to `told`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.extend((event["kind"], event["pool"], event["origin"]) for event in message["events"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class TestNotifiers:
    def test_people_are_told_when_an_origin_dies_and_when_it_returns(self, site: socket.socket, tmp_path: Path) -> None:
        told: list[tuple[str, str, str]] = []
        down = [("down", "site", "site-1"), ("down", "site", "")]
        up = [("up", "site", "site-1"), ("up", "site", "")]
        port = port_of(site)
        with receiving(told) as hook:
            notifier = f'name = "ops"\ntype = "webhook"\nurl = "http://127.0.0.1:{hook}/"\ngroup_for = 0\n'
            with running(tmp_path, web_settings(port) + "[[notifier]]\n" + notifier) as waypost:
                site.close()
                eventually(lambda: len(told) >= 2, waypost.log)
                assert told == down, "and nothing before: that all is well is no news"
                spool = waypost.state / "notify" / "ops"
                eventually(lambda: [path.name for path in spool.iterdir()] == ["grouping.json"], waypost.log)
                control = waypost.control()
                os.kill(control, signal.SIGKILL)
                eventually(lambda: waypost.is_fed() and waypost.control() != control, waypost.log)
                with reopen(port):
                    eventually(lambda: len(told) >= 4, waypost.log)
                    assert told == down + up, "a restarted control remembers what it has told"
                assert waypost.stop() == 0


class TestHttp:
    """With curl, as people ask."""

    def test_it(self, site: socket.socket, tmp_path: Path) -> None:
        if shutil.which("curl") is None:
            pytest.skip("needs curl")
        (tmp_path / "token").write_text("0123456789abcdef\n")
        port = free_port()
        table = f'[http]\nlisten = "127.0.0.1:{port}"\ntoken_file = "token"\n'
        settings = web_settings(port_of(site)).replace('name = "sorry"\n', 'name = "sorry"\nmonitor = "elsewhere"\n')
        monitor = '[[monitor]]\nname = "elsewhere"\ntype = "external"\n'
        with running(tmp_path, table + settings + monitor) as waypost:
            url = f"http://127.0.0.1:{port}"
            assert curl(f"{url}/-/ready") == "ready\n"
            assert 'waypost_origin_up{pool="site",origin="site-1",address="127.0.0.1"} 1' in curl(f"{url}/metrics")
            assert "connected" in curl(f"{url}/probe?monitor=web&address=127.0.0.1&debug=true")
            report = f"{url}/external/elsewhere/192.0.2.99"
            put = ("--request", "PUT", "--data", '{"up": false, "evidence": "behind"}')
            assert "error" in curl(report, *put)
            assert curl(report, *put, "--header", "Authorization: Bearer 0123456789abcdef") == ""
            waypost.logged("is DOWN: monitor elsewhere saw: reported down (behind)")
            [target] = json.loads(curl(f"{url}/history?origin=sorry/sorry-1"))["targets"]
            assert [past["reason"] for past in target["results"][:2]] == ["reported down", "ok"]
            with socket.create_connection(("127.0.0.1", port)):
                # Who says nothing holds up nobody, not even the end.
                assert [pool["up"] for pool in json.loads(curl(f"{url}/health"))["pools"]] == [True, False]
                os.kill(waypost.control(), signal.SIGKILL)
                eventually(lambda: curl(f"{url}/-/ready") == "ready\n", waypost.log)
            assert waypost.stop() == 0
            assert "Traceback" not in waypost.log()


def curl(*arguments: str) -> str:
    """What curl prints."""
    command = ["curl", "--silent", "--noproxy", "*", "--max-time", str(DEADLINE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


class TestOrders:
    def test_an_origin_that_is_forced_down_stays_so_over_kill_9_until_it_is_cleared(self, waypost: Waypost) -> None:
        config = str(waypost.config)
        told = run_command("force", config, "site-1", "down", "--for", "1h", "--reason", "new disks")
        assert (told.returncode, told.stderr) == (0, "")
        waypost.answers(SORRY)
        control = waypost.control()
        os.kill(control, signal.SIGKILL)
        eventually(lambda: waypost.is_fed() and waypost.control() != control, waypost.log)
        assert waypost.answer() == SORRY
        waypost.process.kill()
        waypost.end()
        waypost.start()
        assert waypost.answer() == SORRY
        shown = run_command("status", config)
        assert shown.returncode == 1
        user = pwd.getpwuid(os.getuid()).pw_name
        assert "new disks" in shown.stdout
        assert f"by {user} until" in shown.stdout
        assert "site-1 down" in run_command("force", config).stdout
        reasons = run_command("answer", config, "www.example.com", "A", "--live").stdout
        assert "down (forced)" in reasons
        missing = run_command("force", config, "site-7", "down", "--until-cleared")
        assert (missing.returncode, "did you mean" in missing.stderr) == (1, True)
        assert run_command("force", config, "site-1", "--clear").returncode == 0
        waypost.answers(UP)
        assert waypost.stop() == 0

    def test_a_pool_that_is_drained_is_down_in_the_end_and_back_when_that_expires(self, waypost: Waypost) -> None:
        config = str(waypost.config)
        assert run_command("drain", config, "site", "--over", "1s", "--for", "3s").returncode == 0
        waypost.answers(SORRY)
        waypost.answers(UP)
        assert run_command("force", config).stdout == "nothing is ordered\n"

    def test_after_a_restart_states_are_known_before_the_first_results(self, tmp_path: Path) -> None:
        settings = web_settings(1).replace('type = "tcp"', 'type = "smtp"').replace('"1s"', '"60s"')
        with socket.create_server(("127.0.0.1", 0)) as mail:
            settings = settings.replace("port = 1\n", f"port = {port_of(mail)}\nconsecutive_up = 2\n")
            waypost = Waypost(tmp_path, settings).launch()
            try:
                connection, _ = mail.accept()
                connection.close()
                waypost.answers(SORRY)
                assert waypost.stop() == 0
                waypost.start()  # nobody greets, and nothing is waited for
                status = waypost.status()
                assert status
                [origin] = status.pools[0].origins
                assert (origin.up, origin.cause) == (False, "stale")
                assert waypost.answer() == SORRY
            finally:
                waypost.destroy()


class TestLimits:
    def test_a_network_that_asks_too_much_is_limited_unless_its_cookie_is_good(
        self, site: socket.socket, tmp_path: Path
    ) -> None:
        waypost = Waypost(tmp_path, web_settings(port_of(site)))
        limit = "[server.rate_limit]\nresponses_per_second = 1\nburst_window = 1\nslip = 2\nexempt = []\n"
        waypost.configure(limit + web_settings(port_of(site)))
        cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, bytes(8))
        try:
            waypost.start()
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                client.settimeout(0.3)
                client.connect(("127.0.0.1", waypost.port))
                truncated = unanswered = 0
                for _ in range(8):
                    client.send(dns.message.make_query("www.example.com", "A").to_wire())
                    try:
                        truncated += bool(client.recv(512)[2] & 2)
                    except TimeoutError:
                        unanswered += 1
                assert truncated >= 2, "every second limited answer goes out truncated"
                assert unanswered >= 2, "the others do not go out"
                client.send(dns.message.make_query("org", "A", use_edns=0, options=[cookie]).to_wire())
                reply = dns.message.from_wire(client.recv(512))
                [good] = [option for option in reply.options if option.otype == cookie.otype]
                for _ in range(8):
                    query = dns.message.make_query("www.example.com", "A", use_edns=0, options=[good])
                    client.send(query.to_wire())
                    assert dns.message.from_wire(client.recv(512)).answer
        finally:
            waypost.destroy()


class TestCommands:
    def test_status_and_answer_of_the_running_one(self, waypost: Waypost, site: socket.socket) -> None:
        config = str(waypost.config)
        told = run_command("status", config)
        assert told.returncode == 0, told.stderr
        for part in ("site-1", "127.0.0.1", "up", "ok", "unmonitored", "example.com.", f"pid {waypost.process.pid}"):
            assert part in told.stdout
        site.close()
        waypost.answers(SORRY)
        told = run_command("status", config)
        assert told.returncode == 1
        assert "refused (Connection refused)" in told.stdout
        live = run_command("answer", config, "www.example.com", "A", "--live")
        assert (live.returncode, SORRY in live.stdout, "answers as the fallback" in live.stdout) == (0, True, True)
        assert UP in run_command("answer", config, "www.example.com", "A").stdout

    def test_after_the_end_there_is_nothing_to_ask(self, waypost: Waypost) -> None:
        waypost.stop()
        for command in (["status"], ["answer", "--live"]):
            told = run_command(command[0], str(waypost.config), *["www.example.com"] * (len(command) - 1), *command[1:])
            assert (told.returncode, told.stdout) == (1, "")
            assert told.stderr == f"no waypost runs with the state directory {waypost.state}\n"
