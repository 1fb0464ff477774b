"""The supervisor: the first process. It owns the sockets, starts control and the workers, restarts what dies.

    supervisor ── fork ──> control      the feed's listener; says when it is ready
         │
         └─────── fork ──> worker 1…N   its own UDP and TCP socket for each address (SO_REUSEPORT), and those
                                        for PowerDNS, which all workers share

The rules:
- It stays synchronous and single-threaded, so that fork is safe and a restart takes milliseconds.
- It keeps every socket open that it hands out: what arrives while a worker is restarted waits in the kernel.
- Control's death before it was ready for the first time is final, and its status is ours. After that every
  death is followed by a restart: at once, with growing pauses for a process that dies young again and again.
- Whoever runs beats: a byte in its pipe now and then. Whose beats have stopped for SILENCE_LIMIT is stuck, is killed
  and so restarted. Time in which we did not run ourselves (a machine that slept, a group of processes that was
  stopped) does not count. systemd hears of us, if it asks, while nobody is stuck.
- Stopping has three stages: workers drain, control ends, whatever is left is killed. A stage ends when its
  processes have ended, at its deadline, or at a further SIGTERM or SIGINT.
- A child learns of the supervisor's own death by end-of-file on its lifeline, and ends by itself.
- No signal is lost: handlers do nothing, the interpreter writes each signal's number into a pipe that is
  polled. Around fork signals are blocked, so that a child never writes into its parent's pipe.
"""

import errno
import gc
import logging
import math
import os
import resource
import select
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

from steering.process import BEAT_INTERVAL, ControlEnd, UnixAddress, WorkerEnd
from steering.serve.control_socket import lock_state
from steering.systemd import ServiceManager

FEED_NAME = "feed.sock"
RECEIVE_BUFFER = 4 << 20  # bytes asked for each UDP socket; the kernel gives at most net.core.rmem_max
BACKLOG = 1024  # connections that may wait in each TCP socket
FEED_BACKLOG = 128  # workers that may wait for control
DRAIN_TIMEOUT = 5.0  # seconds that workers get to end
END_TIMEOUT = 5.0  # seconds that control then gets to end
SILENCE_LIMIT = 30.0  # seconds without a beat after which a process counts as stuck
OWN_SILENCE = 4.0  # seconds between two looks at the beats after which it is us who did not run
QUICK_DEATH = 1.0  # seconds: who lives shorter is restarted later and later
FIRST_PAUSE = 0.1  # seconds, doubled with each quick death
LONGEST_PAUSE = 5.0  # seconds

SIGNALS = (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

REASONS = {
    errno.EADDRINUSE: "another program has it; stop that (`ss -lptun 'sport = {port}'` names it) or choose "
    "another address or port",
    errno.EACCES: "not permitted: a port below 1024 needs root or CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "this machine has no such address; `ip address` lists those that it has",
    errno.EAFNOSUPPORT: "this machine does not speak this version of IP; remove the address",
}

logger = logging.getLogger("waypost.supervisor")


class ListenError(Exception):
    """Addresses that cannot be listened on; the message names each, the reason and the remedy."""


def supervise(
    listen: Sequence[tuple[str, int]],
    workers: int,
    state: Path,
    run_control: Callable[[ControlEnd], None],
    run_worker: Callable[[WorkerEnd], None],
    backend: Sequence[tuple[str, int] | UnixAddress] = (),
) -> int:
    """Run control and the workers until SIGTERM or SIGINT; returns the exit status.

    `listen` are IP addresses and ports, UDP and TCP on each. `state` is the state directory, made if missing
    and locked while this runs. On `backend`, TCP or UNIX, PowerDNS asks. The status is 0 after a signal; if control
    ended before it was ready it is control's own, or 128 + the number of the signal that killed it.

    `run_control` and `run_worker` run in children. There SIGTERM has its default action, SIGINT and SIGHUP are
    ignored; a SIGHUP to us goes on to control once that is ready. Returning is status 0, SystemExit is its
    code, any other exception is logged and 1.

    Raises ListenError, and AlreadyRunningError when the state directory is in use.
    """
    with ExitStack() as stack:
        stack.callback(os.close, lock_state(state))
        _check(listen)
        # Thousands of probes and connections are files too; what the administrator allows is only there if asked for.
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        gc.freeze()  # what there is now stays shared between the processes: no collection writes to it
        systemd = ServiceManager(os.environ, os.getpid())
        return _Supervisor(listen, workers, state, run_control, run_worker, systemd, stack, backend).run()


class _Child:
    """A process that is to run always."""

    def __init__(self, name: str, sockets: Sequence[socket.socket], beats: int, main: Callable[[], None]) -> None:
        self.name = name
        self.sockets = sockets  # those of the supervisor's that it uses
        self.beats = beats  # the reading end of its pipe
        self.main = main
        self.heard = 0.0  # monotonic time of its last beat, or of its start
        self.condemned = False  # it was stuck, and is to be dead any moment
        self.process = 0  # its id; 0 while it does not run
        self.started = 0.0  # monotonic time
        self.due = 0.0  # monotonic time of the next start
        self.pause = 0.0  # seconds before the next start

    def note_death(self) -> None:
        """Set when to start it again."""
        now = time.monotonic()
        if now - self.started < QUICK_DEATH:
            self.pause = min(max(2 * self.pause, FIRST_PAUSE), LONGEST_PAUSE)
        else:
            self.pause = 0.0
        self.due = now + self.pause
        self.process = 0


class _Supervisor:
    """What runs, what is to run, and how far stopping has come."""

    def __init__(
        self,
        listen: Sequence[tuple[str, int]],
        workers: int,
        state: Path,
        run_control: Callable[[ControlEnd], None],
        run_worker: Callable[[WorkerEnd], None],
        systemd: ServiceManager,
        stack: ExitStack,
        backend: Sequence[tuple[str, int] | UnixAddress] = (),
    ) -> None:
        self.listen = listen
        self.number_of_workers = workers
        self.backend = backend
        self.run_control = run_control
        self.run_worker = run_worker
        self.systemd = systemd
        self.stack = stack  # closes what is opened
        self.feed, self.feed_address = stack.enter_context(_open_feed(state))
        self.signal_numbers = stack.enter_context(_signal_numbers())
        self.lifeline, self.held_lifeline = stack.enter_context(_pipe())
        self.ready_pipe, self.tell_ready = stack.enter_context(_pipe())  # one byte from each control

        beats, beat = self.open_beats()
        self.control = _Child("control", [self.feed], beats, partial(self.be_control, beat))
        self.workers: list[_Child] = []  # from the moment that control is ready
        self.sockets = [self.feed]  # everybody's
        self.ready = False  # the present control is
        self.resume = False  # some control was
        self.reload = False  # SIGHUP came while control was not ready
        self.stage = 0  # of stopping
        self.deadline = math.inf  # monotonic time when the stage ends
        self.watched = time.monotonic()  # when the beats were last looked at
        self.sign_of_life = 0.0  # monotonic time when systemd is due to hear of us
        self.status = 0
        self.failure: ListenError | None = None

    def run(self) -> int:
        """Supervise until all processes have ended on purpose."""
        try:
            while not self.stage or any(child.process for child in self.children()):
                self.start_due()
                self.wait()
                self.note_ready()
                self.watch()
                for number in _read(self.signal_numbers):
                    self.obey(number)
                self.reap()
                drained = self.stage == 1 and not any(worker.process for worker in self.workers)
                if drained or (self.stage and time.monotonic() >= self.deadline):
                    self.enter_next_stage()
        finally:
            for child in self.children():
                if child.process:  # only after an exception
                    os.kill(child.process, signal.SIGKILL)
                    os.waitpid(child.process, 0)
        if self.failure:
            raise self.failure
        return self.status

    def children(self) -> list[_Child]:
        """Control and the workers."""
        return [self.control, *self.workers]

    def start_due(self) -> None:
        """Start every child that does not run and whose pause is over."""
        for child in self.children():
            if not self.stage and not child.process and child.due <= time.monotonic():
                self.start(child)

    def start(self, child: _Child) -> None:
        """Fork a child; failing counts as its quick death."""
        child.started = child.heard = time.monotonic()
        child.condemned = False
        _flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            child.process = os.fork()
            if not child.process:
                self.become(child)
        except OSError as error:
            child.note_death()
            logger.critical("cannot start %s: %s; trying again in %.1f s", child.name, error.strerror, child.pause)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def become(self, child: _Child) -> NoReturn:
        """Be the child that was just forked: give up the supervisor's things, run, and end the process."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in SIGNALS:
                ignored = number in (signal.SIGHUP, signal.SIGINT)  # a terminal sends them to all of us
                signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            os.close(self.held_lifeline)
            for sock in self.sockets:
                if sock not in child.sockets:
                    sock.close()
            child.main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            logger.exception("%s ends because of a fault", child.name)
        finally:
            logging.shutdown()
            _flush()
            os._exit(status)

    def open_beats(self) -> tuple[int, Callable[[], None]]:
        """A pipe for the beats of a child: its reading end, and what the child beats with."""
        reading, writing = self.stack.enter_context(_pipe())
        return reading, partial(_write, writing)

    def be_control(self, beat: Callable[[], None]) -> None:
        """Run control, in its process."""
        ready = partial(_write, self.tell_ready)
        self.run_control(ControlEnd(self.feed, ready, self.resume, self.lifeline, beat))

    def open_workers(self) -> None:
        """Open the sockets that workers share, and each worker's own, and let it be started."""
        backend = [self.stack.enter_context(_open_backend(address)) for address in self.backend]
        self.sockets += backend
        for number in range(1, self.number_of_workers + 1):
            udp = [self.stack.enter_context(_open(*each, socket.SOCK_DGRAM)) for each in self.listen]
            tcp = [self.stack.enter_context(_open(*each, socket.SOCK_STREAM)) for each in self.listen]
            self.sockets += udp + tcp
            beats, beat = self.open_beats()
            end = WorkerEnd(number, tuple(udp), tuple(tcp), self.feed_address, self.lifeline, beat, tuple(backend))
            self.workers.append(_Child(f"worker {number}", udp + tcp + backend, beats, partial(self.run_worker, end)))
        logger.info("%s", self.purpose())

    def purpose(self) -> str:
        """What all this is for, in words."""
        where = ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.listen)
        if self.backend:
            backend = ", ".join(
                each[0] if isinstance(each, UnixAddress) else f"{each[0]}:{each[1]}" for each in self.backend
            )
            return f"answering on {where} and PowerDNS on {backend}" if where else f"answering PowerDNS on {backend}"
        return f"answering on {where}" if where else "probing"

    def wait(self) -> None:
        """Wait for a signal, for control to be ready, or for the next moment at which something is due."""
        poll = select.poll()
        poll.register(self.signal_numbers, select.POLLIN)
        poll.register(self.ready_pipe, select.POLLIN)
        moments = [self.deadline] if self.stage else [child.due for child in self.children() if not child.process]
        # At least once in a while: whoever is stuck wakes nobody.
        soonest = min([time.monotonic() + BEAT_INTERVAL, *moments])
        poll.poll(max(0.0, soonest - time.monotonic()) * 1000)

    def watch(self) -> None:
        """Take the beats of all, kill who is stuck, and let systemd know that nobody is."""
        now = time.monotonic()
        we_did_not_run = now - self.watched > OWN_SILENCE
        self.watched = now
        running = [child for child in self.children() if child.process]
        for child in running:
            if _read(child.beats) or we_did_not_run:
                child.heard = now
        stuck = [child for child in running if now - child.heard > SILENCE_LIMIT]
        for child in stuck:
            if not child.condemned and not self.stage:
                silence = now - child.heard
                logger.error("%s (process %d) is stuck: no beat for %.0f s", child.name, child.process, silence)
                child.condemned = True
                os.kill(child.process, signal.SIGKILL)
        if not stuck and self.systemd.watchdog is not None and now >= self.sign_of_life:
            self.systemd.tell(WATCHDOG=1)
            self.sign_of_life = now + self.systemd.watchdog / 4

    def note_ready(self) -> None:
        """Take control's word that it is ready; the first time, this is where answers begin."""
        if not _read(self.ready_pipe):
            return
        self.ready = True
        if not self.resume and not self.stage:
            try:
                self.open_workers()
            except ListenError as error:
                self.failure = error
                self.enter_next_stage()
        self.resume = True
        if not self.stage:
            self.systemd.tell(READY=1, STATUS=self.purpose())
        if self.reload:
            self.obey(signal.SIGHUP)

    def obey(self, number: int) -> None:
        """Do what a signal asks for."""
        if number in (signal.SIGTERM, signal.SIGINT):
            self.enter_next_stage()
        elif number == signal.SIGHUP:
            self.reload = not self.ready
            if self.ready:
                self.systemd.tell(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
                self.send(signal.SIGHUP, [self.control])

    def enter_next_stage(self) -> None:
        """Stop a little more: see the rules at the top."""
        self.stage += 1
        if self.stage == 1:
            logger.info("stopping")
            self.systemd.tell(STOPPING=1)
            self.send(signal.SIGTERM, self.workers)
            self.deadline = time.monotonic() + DRAIN_TIMEOUT
        elif self.stage == 2:
            self.send(signal.SIGKILL, self.workers)
            self.send(signal.SIGTERM, [self.control])
            self.deadline = time.monotonic() + END_TIMEOUT
        else:
            self.send(signal.SIGKILL, self.children())
            self.deadline = math.inf

    def send(self, number: signal.Signals, children: Sequence[_Child]) -> None:
        """Send a signal to those of the children that run."""
        for child in children:
            if child.process:
                if number == signal.SIGKILL:
                    logger.warning("%s (process %d) does not end: killing it", child.name, child.process)
                os.kill(child.process, number)

    def reap(self) -> None:
        """Note which children have died."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not process:
                return
            for child in self.children():
                if child.process == process:
                    self.note_death(child, os.waitstatus_to_exitcode(status))

    def note_death(self, child: _Child, code: int) -> None:
        """Decide what follows from a child's death; a negative code is the signal that killed it."""
        manner = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        if child is self.control:
            self.note_ready()  # it may have said so just before
            self.ready = False
        if child is self.control and not self.resume and not self.stage:
            logger.error("control (process %d) %s before it was ready: giving up", child.process, manner)
            self.status = code if code >= 0 else 128 - code
            self.enter_next_stage()
        process = child.process
        child.note_death()
        if not self.stage:
            when = f"in {child.pause:.1f} s" if child.pause else "now"
            logger.error("%s (process %d) %s: starting it again %s", child.name, process, manner, when)


def _check(listen: Sequence[tuple[str, int]]) -> None:
    """Open and close every address; raises ListenError with all problems."""
    problems = []
    for host, port in listen:
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with _open(host, port, kind, shared=False):
                    pass
        except ListenError as error:
            problems.append(str(error))
    if problems:
        raise ListenError("\n".join(problems))


def _open(host: str, port: int, kind: socket.SocketKind, shared: bool = True) -> socket.socket:
    """A bound socket that does not block, listening if it is TCP; `shared` with the other workers' ones."""
    transport = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
    try:
        [(family, _, _, _, address)] = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
        sock = socket.socket(family, kind)
    except OSError as error:
        raise _listen_error(host, port, transport, error) from error
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # Connections of an earlier run that are still closing must not be in the way.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        if shared and kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _listen_error(host, port, transport, error) from error
    return sock


@contextmanager
def _open_backend(address: tuple[str, int] | UnixAddress) -> Iterator[socket.socket]:
    """A listening socket that does not block. The file of a UNIX socket that nobody listens on any more is replaced."""
    if not isinstance(address, UnixAddress):
        with _open(*address, socket.SOCK_STREAM, shared=False) as sock:
            sock.listen(BACKLOG)
            yield sock
        return
    path = Path(address.path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _is_listened_on(address.path):
                path.unlink()
            sock.bind(address.path)
            path.chmod(address.mode)
        except OSError as error:
            reason = "another program has it" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise ListenError(f"cannot listen on {path}: {reason}") from error
        sock.listen(BACKLOG)
        sock.setblocking(False)
        yield sock
    path.unlink(missing_ok=True)


def _is_listened_on(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(path)
        except ConnectionRefusedError:
            return False
    return True


def _listen_error(host: str, port: int, transport: str, error: OSError) -> ListenError:
    """What is wrong with an address, for people."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    reason = REASONS.get(error.errno or 0, f"{error.strerror}; choose another address").format(port=port)
    return ListenError(f"cannot listen on {where} ({transport}): {reason}")


@contextmanager
def _open_feed(state: Path) -> Iterator[tuple[socket.socket, str]]:
    """The feed's listener (0600), and the address at which our children reach it.

    The address is short however deep the state directory is: it goes through the open directory, which they
    inherit. A socket file of a dead supervisor is replaced.
    """
    directory = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    address = f"/proc/self/fd/{directory}/{FEED_NAME}"
    path = Path(address)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as feed:
            path.unlink(missing_ok=True)
            feed.bind(address)
            path.chmod(0o600)
            feed.listen(FEED_BACKLOG)
            feed.setblocking(False)
            yield feed, address
        path.unlink(missing_ok=True)
    finally:
        os.close(directory)


@contextmanager
def _signal_numbers() -> Iterator[int]:
    """A pipe from which the numbers of the SIGNALS that come can be read, while they do nothing else."""
    with _pipe() as (numbers, written):
        before_pipe = signal.set_wakeup_fd(written)
        before = {number: signal.signal(number, lambda _number, _frame: None) for number in SIGNALS}
        try:
            yield numbers
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before_pipe)


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end of a pipe that does not block."""
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def _read(pipe: int) -> bytes:
    """What is in the pipe now."""
    try:
        return os.read(pipe, 65536)
    except BlockingIOError:
        return b""


def _write(pipe: int) -> None:
    """Put a byte into the pipe; one that is full says it already."""
    try:
        os.write(pipe, b"\n")
    except BlockingIOError:
        pass


def _flush() -> None:
    """Write out what is buffered, so that a fork does not write it twice."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # closed; there is nobody to tell
