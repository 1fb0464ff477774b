"""`steering/supervisor.py` with real processes: this file, run as a program, is a small waypost.

Its worker answers each datagram with its number, its process and its parent; both write what happens to them
into the file `events` of the state directory. Everything is waited for by looking again until a deadline.
"""

import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from steering import supervisor
from steering.process import ControlEnd, WorkerEnd
from steering.serve.control_socket import AlreadyRunningError, lock_state
from steering.supervisor import ListenError, supervise

DEADLINE = 20.0  # seconds: how long a test looks for what must happen; never reached when all is well

Value = TypeVar("Value")


class Waypost:
    """A running program of this file."""

    def __init__(self, state: Path, *words: str, workers: int = 1) -> None:
        self.state = state
        self.address = free_address()
        host, port = self.address
        command = [sys.executable, "-m", __name__, str(state), host, str(port), str(workers), *words]
        root = Path(__file__).parents[2]
        environment = {**os.environ, "NOTIFY_SOCKET": str(state.parent / "notify"), "WATCHDOG_USEC": "1000000"}
        self.program = subprocess.Popen(
            command, cwd=root, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )

    def ask(self) -> list[int] | None:
        """The number, the process and the parent of the worker that answers now; None if none does."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            client.connect(self.address)
            try:
                client.send(b"?")
                return [int(word) for word in client.recv(100).split()]
            except (TimeoutError, ConnectionRefusedError):
                return None

    def other_worker(self, process: int) -> int | None:
        """The process that answers now, if it is another one."""
        answer = self.ask()
        return answer[1] if answer and answer[1] != process else None

    def events(self) -> list[str]:
        """What control and workers have noted so far."""
        try:
            return (self.state / "events").read_text().splitlines()
        except FileNotFoundError:
            return []

    def control(self) -> int:
        """The process that control is, or was last."""
        return [int(line.split()[1]) for line in self.events() if line.startswith("control ")][-1]

    def end(self) -> tuple[int, str]:
        """Wait for the end: the exit status and the log."""
        log = self.program.communicate(timeout=DEADLINE)[1]
        return self.program.returncode, log


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Waypost]]:
    """Starts programs that are gone, with their children, after the test."""
    started: list[Waypost] = []

    def start_one(*words: str, workers: int = 1) -> Waypost:
        started.append(Waypost(tmp_path / "state", *words, workers=workers))
        return started[-1]

    yield start_one
    for waypost in started:
        with suppress(ProcessLookupError):
            os.killpg(waypost.program.pid, signal.SIGKILL)  # also who is stopped
        waypost.program.communicate()


def test_a_killed_worker_is_replaced_and_its_port_is_kept(start: Callable[..., Waypost]) -> None:
    waypost = start()
    _, worker, parent = eventually(waypost.ask)
    assert parent == waypost.program.pid
    for _ in range(3):
        os.kill(worker, signal.SIGKILL)
        worker = eventually(partial(waypost.other_worker, worker))


def test_a_question_that_comes_while_there_is_no_worker_is_answered_by_the_next(
    start: Callable[..., Waypost],
) -> None:
    waypost = start()
    _, worker, parent = eventually(waypost.ask)
    os.kill(parent, signal.SIGSTOP)  # so that nobody restarts it before the question is there
    os.kill(worker, signal.SIGKILL)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(DEADLINE)
        client.connect(waypost.address)
        client.send(b"?")
        os.kill(parent, signal.SIGCONT)
        assert int(client.recv(100).split()[1]) != worker


def test_every_worker_has_sockets_of_its_own(start: Callable[..., Waypost]) -> None:
    waypost = start(workers=3)
    numbers: set[int] = set()

    def all_seen() -> bool:
        numbers.update((waypost.ask() or [])[:1])
        return numbers == {1, 2, 3}

    eventually(all_seen)


def test_a_killed_control_resumes_and_the_worker_stays(start: Callable[..., Waypost]) -> None:
    waypost = start()
    _, worker, _ = eventually(waypost.ask)
    control = waypost.control()
    os.kill(control, signal.SIGKILL)
    eventually(lambda: waypost.control() != control)
    assert waypost.events()[-1] == f"control {waypost.control()} resume=True"
    waypost.program.send_signal(signal.SIGHUP)
    eventually(lambda: "reload" in waypost.events())  # so the new control is ready
    assert eventually(waypost.ask)[1] == worker
    children = Path(f"/proc/{waypost.program.pid}/task/{waypost.program.pid}/children")
    assert {int(child) for child in children.read_text().split()} == {waypost.control(), worker}


def test_a_worker_that_always_dies_is_restarted_later_and_later(start: Callable[..., Waypost]) -> None:
    waypost = start("worker-fails")
    eventually(lambda: waypost.events().count("worker fails") >= 4)
    waypost.program.terminate()
    status, log = waypost.end()
    assert status == 0
    pauses = [line.rpartition(" in ")[2] for line in log.splitlines() if "starting it again in" in line]
    assert pauses[:3] == ["0.1 s", "0.2 s", "0.4 s"]
    assert "worker 1" in log
    assert "RuntimeError: on purpose" in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_ends_workers_then_control(start: Callable[..., Waypost], number: signal.Signals) -> None:
    waypost = start("graceful")
    _, worker, _ = eventually(waypost.ask)
    control = waypost.control()
    waypost.program.send_signal(number)
    status, log = waypost.end()
    assert status == 0
    assert waypost.events()[-2:] == ["worker drained", "control ended"]
    assert not is_running(worker)
    assert not is_running(control)
    assert "killing" not in log
    assert not (waypost.state / "feed.sock").exists()


def test_further_signals_hurry(start: Callable[..., Waypost]) -> None:
    waypost = start("stubborn")
    eventually(waypost.ask)
    waypost.program.terminate()
    eventually(lambda: "worker refuses" in waypost.events())
    waypost.program.terminate()
    eventually(lambda: "control refuses" in waypost.events())
    waypost.program.terminate()
    status, log = waypost.end()
    assert status == 0
    assert re.findall(r"(\w+ ?1?) \(process \d+\) does not end: killing it", log) == ["worker 1", "control"]


def test_deadlines_end_the_stubborn(start: Callable[..., Waypost]) -> None:
    waypost = start("stubborn", "impatient")
    eventually(waypost.ask)
    waypost.program.terminate()
    status, _ = waypost.end()
    assert status == 0
    assert waypost.events()[-2:] == ["worker refuses", "control refuses"]


def test_signals_of_the_terminal_leave_children_alone(start: Callable[..., Waypost]) -> None:
    waypost = start()
    _, worker, _ = eventually(waypost.ask)
    os.kill(worker, signal.SIGINT)
    os.kill(worker, signal.SIGHUP)
    os.kill(waypost.control(), signal.SIGINT)
    assert eventually(waypost.ask)[1] == worker
    assert len(waypost.events()) == 1


def test_hangup_goes_to_control_when_that_is_ready(start: Callable[..., Waypost]) -> None:
    waypost = start("slow")
    eventually(lambda: waypost.events())
    waypost.program.send_signal(signal.SIGHUP)
    assert waypost.ask() is None  # no sockets before control is ready
    (waypost.state / "go").touch()
    _, worker, _ = eventually(waypost.ask)
    eventually(lambda: waypost.events().count("reload") == 1)
    waypost.program.send_signal(signal.SIGHUP)
    eventually(lambda: waypost.events().count("reload") == 2)
    assert eventually(waypost.ask)[1] == worker


def test_stopping_before_control_is_ready(start: Callable[..., Waypost]) -> None:
    waypost = start("slow")
    eventually(lambda: waypost.events())
    waypost.program.terminate()
    status, log = waypost.end()
    assert status == 0
    assert "giving up" not in log


@pytest.mark.parametrize(("word", "status"), [("control-fails", 3), ("control-killed", 128 + signal.SIGKILL)])
def test_control_that_dies_before_it_is_ready_is_final(start: Callable[..., Waypost], word: str, status: int) -> None:
    ended, log = start(word).end()
    assert ended == status
    assert "before it was ready: giving up" in log


def test_children_end_when_the_supervisor_is_killed(start: Callable[..., Waypost]) -> None:
    waypost = start()
    _, worker, parent = eventually(waypost.ask)
    control = waypost.control()
    os.kill(parent, signal.SIGKILL)
    waypost.end()
    eventually(lambda: not is_running(worker) and not is_running(control))
    os.close(lock_state(waypost.state))  # its successor can start


def test_one_state_directory_has_one_waypost(start: Callable[..., Waypost]) -> None:
    waypost = start()
    eventually(waypost.ask)
    with pytest.raises(AlreadyRunningError, match=f"process {waypost.program.pid}"):
        lock_state(waypost.state)


def test_a_port_in_use_is_named_with_a_remedy(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as another waypost has it
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        listen = [("127.0.0.1", port), ("192.0.2.1", 53), ("example.com", 53)]
        with pytest.raises(ListenError) as caught:
            supervise(listen, 1, tmp_path, must_not_run, must_not_run)
    in_use, no_address, no_ip = str(caught.value).splitlines()
    assert f"127.0.0.1:{port} (UDP): another program has it" in in_use
    assert f"'sport = {port}'" in in_use
    assert "192.0.2.1:53 (UDP): this machine has no such address" in no_address
    assert "example.com:53" in no_ip


def test_a_tcp_port_in_use_is_found_too(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as other:
        other.bind(("::1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=rf"\[::1\]:{port} \(TCP\)"):
            supervise([("::1", port)], 1, tmp_path, must_not_run, must_not_run)


def test_a_port_that_is_lost_while_control_starts_ends_it_all(start: Callable[..., Waypost]) -> None:
    waypost = start("slow", "graceful")
    eventually(lambda: waypost.events())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(waypost.address)
        (waypost.state / "go").touch()
        status, log = waypost.end()
    assert status == 1
    assert "ListenError: cannot listen on" in log
    assert waypost.events()[-1] == "control ended"


def test_a_control_that_is_stuck_is_replaced_and_the_worker_stays(start: Callable[..., Waypost]) -> None:
    waypost = start("watched")
    _, worker, _ = eventually(waypost.ask)
    control = waypost.control()
    os.kill(control, signal.SIGSTOP)
    eventually(lambda: waypost.control() != control)
    assert eventually(waypost.ask)[1] == worker
    waypost.program.terminate()
    status, log = waypost.end()
    assert status == 0
    assert f"control (process {control}) is stuck: no beat for" in log
    assert f"control (process {control}) was killed by SIGKILL: starting it again now" in log
    assert "worker 1 (process" not in log


def test_a_worker_that_is_stuck_is_replaced(start: Callable[..., Waypost]) -> None:
    waypost = start("watched")
    _, worker, _ = eventually(waypost.ask)
    os.kill(worker, signal.SIGSTOP)
    eventually(partial(waypost.other_worker, worker))
    assert len([line for line in waypost.events() if line.startswith("control ")]) == 1


def test_who_was_stopped_together_with_us_is_not_stuck(start: Callable[..., Waypost]) -> None:
    """As a machine that sleeps, or a container that is paused; this is the one test that must wait."""
    waypost = start("watched", "short-memory")
    _, worker, parent = eventually(waypost.ask)
    for process in (parent, worker, waypost.control()):
        os.kill(process, signal.SIGSTOP)
    time.sleep(1.5)  # longer than the silence that is allowed
    for process in (parent, worker, waypost.control()):
        os.kill(process, signal.SIGCONT)
    assert eventually(waypost.ask)[1] == worker
    waypost.program.terminate()
    assert "is stuck" not in waypost.end()[1]


def test_systemd_is_told_how_it_goes(start: Callable[..., Waypost], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(DEADLINE)

        def told() -> str:
            """The next message but signs of life."""
            while (message := systemd.recv(1000).decode()) == "WATCHDOG=1\n":
                pass
            return message

        waypost = start("watched", "slow")
        assert systemd.recv(1000) == b"WATCHDOG=1\n"  # it is waiting for control
        (waypost.state / "go").touch()
        host, port = waypost.address
        ready = f"READY=1\nSTATUS=answering on {host}:{port}\n"
        assert told() == ready
        waypost.program.send_signal(signal.SIGHUP)
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+\n", told())
        assert told() == ready
        control = waypost.control()
        os.kill(control, signal.SIGKILL)
        assert told() == ready
        assert systemd.recv(1000) == b"WATCHDOG=1\n"
        waypost.program.terminate()
        assert told() == "STOPPING=1\n"
        waypost.end()


def eventually(look: Callable[[], Value | None]) -> Value:
    """Look until something is there; the test fails at the deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        value = look()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def is_running(process: int) -> bool:
    """Whether a process exists and is not a zombie (an orphan may wait for a lazy init)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def free_address() -> tuple[str, int]:
    """An address that nobody else uses: a random one of 2^24 loopback addresses, and a port free there."""
    host = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        return host, sock.getsockname()[1]


def must_not_run(_end: ControlEnd | WorkerEnd) -> None:
    """What runs when nothing must."""
    raise AssertionError("nothing may start")


def main() -> None:
    """The program: `STATE HOST PORT WORKERS [how to behave]`."""
    state, host, port, workers, *words = sys.argv[1:]
    supervisor.DRAIN_TIMEOUT = supervisor.END_TIMEOUT = 0.1 if "impatient" in words else 10 * DEADLINE
    directory = Path(state)
    if "watched" in words:
        supervisor.SILENCE_LIMIT = 1.0
    if "short-memory" in words:
        supervisor.OWN_SILENCE = 1.2

    def beat(send: Callable[[], None]) -> None:
        """Beat whatever the process waits for."""
        signal.signal(signal.SIGALRM, lambda _number, _frame: send())
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)

    def note(line: str) -> None:
        with (directory / "events").open("a") as events:
            events.write(line + "\n")

    def catch(number: signal.Signals, line: str, end: bool = False) -> None:
        def handle(_number: int, _frame: object) -> None:
            note(line)
            if end:
                sys.exit()

        signal.signal(number, handle)

    def run_control(end: ControlEnd) -> None:
        if "control-fails" in words:
            raise SystemExit(3)
        if "control-killed" in words:
            os.kill(os.getpid(), signal.SIGKILL)

        def reload(_number: int, _frame: object) -> None:
            note("reload")
            end.ready()

        signal.signal(signal.SIGHUP, reload)
        beat(end.beat)
        if "graceful" in words:
            catch(signal.SIGTERM, "control ended", end=True)
        if "stubborn" in words:
            catch(signal.SIGTERM, "control refuses")
        note(f"control {os.getpid()} resume={end.resume}")
        while "slow" in words and not (directory / "go").exists():
            select.select([end.lifeline], [], [], 0.01)
        end.ready()
        select.select([end.lifeline], [], [])

    def run_worker(end: WorkerEnd) -> None:
        if "worker-fails" in words:
            note("worker fails")
            raise RuntimeError("on purpose")
        beat(end.beat)
        if "graceful" in words:
            catch(signal.SIGTERM, "worker drained", end=True)
        if "stubborn" in words:
            catch(signal.SIGTERM, "worker refuses")
        (udp,) = end.udp
        while end.lifeline not in select.select([udp.fileno(), end.lifeline], [], [])[0]:
            _, client = udp.recvfrom(100)
            udp.sendto(f"{end.number} {os.getpid()} {os.getppid()}".encode(), client)

    sys.exit(supervise([(host, int(port))], int(workers), directory, run_control, run_worker))


if __name__ == "__main__":
    import logging

    logging.basicConfig(level=logging.INFO)
    main()
