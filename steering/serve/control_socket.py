"""The control socket: how `waypost status` and its sisters reach the running one, and the lock of its state.

A UNIX stream socket `control.sock` (0600) in the state directory (0700). Each request is one line of JSON, an
object; each reply is one line of JSON, an object. A connection may ask several times, one after the other.
What goes wrong comes back as `{"error": "..."}`. The user at the other end, whom the kernel tells, is added to each
request as `by`.

A UNIX socket address holds 107 bytes and a state directory may be deeper: sockets are bound and reached as
`/proc/self/fd/N/name`, where N is the open directory.
"""

import fcntl
import logging
import os
import pwd
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import trio

Message = dict[str, object]

NAME = "control.sock"
LOCK_NAME = "lock"
REQUEST_LIMIT = 1 << 20  # bytes in one request line
REQUEST_TIMEOUT = 60.0  # seconds that a client may take to send its next request, and to take a reply
TAKEOVER_TIMEOUT = 10.0  # seconds that the processes of a killed supervisor may take to end
POLL_INTERVAL = 0.05  # seconds

logger = logging.getLogger("waypost.control")


class ControlError(Exception):
    """The running waypost could not be asked; the message is for people."""


class NotRunningError(ControlError):
    """Nothing runs with this state directory."""


class AlreadyRunningError(ControlError):
    """Another waypost runs with this state directory."""


async def serve_control(
    state: Path,
    handle: Callable[[Message], Awaitable[Message]],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests on the control socket of the state directory until cancelled.

    A socket file that is there already is of a dead process (`lock_state` sees to that) and is replaced. An
    exception of `handle` is logged and becomes an error reply; the server goes on.
    """

    async def serve_client(stream: trio.SocketStream) -> None:
        try:
            await _serve_client(stream, handle)
        except trio.BrokenResourceError:
            pass  # the client left before its reply

    with _reachable(state) as address:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        (state / NAME).unlink(missing_ok=True)
        listener.bind(address)
        (state / NAME).chmod(0o600)
        listener.listen()
    try:
        async with trio.open_nursery() as nursery:
            listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
            await nursery.start(trio.serve_listeners, serve_client, listeners)
            task_status.started()
    finally:
        (state / NAME).unlink(missing_ok=True)


def ask_control(state: Path, request: Message, timeout: float = 5.0) -> Message:
    """Ask the waypost that runs with this state directory, and return its reply.

    While it starts, or its control process is being restarted, this waits for it. `timeout` is in seconds,
    for all of it. Raises NotRunningError when nothing runs, and ControlError for everything else that
    prevents a reply.
    """
    deadline = time.monotonic() + timeout
    with _connect(state, deadline) as client:
        try:
            client.sendall(msgspec.json.encode(request) + b"\n")
            line = bytearray()
            while not line.endswith(b"\n"):
                client.settimeout(max(deadline - time.monotonic(), 0.001))
                data = client.recv(65536)
                if not data:
                    raise ControlError(f"the waypost in {state} ended before it replied")
                line += data
        except TimeoutError:
            raise ControlError(f"the waypost in {state} did not reply within {timeout:g} s") from None
        except OSError as error:
            raise ControlError(f"the waypost in {state} ended before it replied: {error.strerror}") from error
    try:
        return msgspec.json.decode(line, type=Message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ControlError(f"the waypost in {state} sent a reply that is not a JSON object: {error}") from error


def lock_state(directory: Path) -> int:
    """Make the state directory (0700) if it is missing, and lock it; returns the descriptor of the lock.

    The lock lasts until that is closed in this process and in each child that has inherited it: so
    a supervisor that was killed keeps its successor waiting until its children have ended too (they do at
    once). Raises AlreadyRunningError, which names the process, when a living process has it, and OSError when
    the directory cannot be made or opened.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + TAKEOVER_TIMEOUT
    while not _try_lock(lock, fcntl.LOCK_EX):
        owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        if not owner.isdecimal() or _is_alive(int(owner)) or time.monotonic() > deadline:
            os.close(lock)
            raise AlreadyRunningError(
                f"another waypost (process {owner or 'unknown'}) runs with the state directory {directory}; "
                "stop it, or give this one another [server] state"
            )
        time.sleep(POLL_INTERVAL)
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    return lock


async def _serve_client(stream: trio.SocketStream, handle: Callable[[Message], Awaitable[Message]]) -> None:
    """Answer the requests of one connection until it ends, is silent too long or sends a line without end."""
    buffer = bytearray()
    # Who knows the names of users may be far away.
    by = await trio.to_thread.run_sync(_name_user, _user_of(stream))

    def handle_user(request: Message) -> Awaitable[Message]:
        return handle({**request, "by": by})

    while True:
        with trio.move_on_after(REQUEST_TIMEOUT) as patience:
            while b"\n" not in buffer and len(buffer) <= REQUEST_LIMIT:
                data = await stream.receive_some(65536)
                if not data:
                    return
                buffer += data
        if patience.cancelled_caught:
            return
        line, newline, buffer = buffer.partition(b"\n")
        if newline:
            reply = await _reply_untrusted(line, handle_user)
        else:
            reply = _error(f"a request is one line of at most {REQUEST_LIMIT} bytes")
        with trio.move_on_after(REQUEST_TIMEOUT) as patience:
            await stream.send_all(reply)
        if patience.cancelled_caught or not newline:
            return


async def _reply_untrusted(line: bytearray, handle: Callable[[Message], Awaitable[Message]]) -> bytes:
    """The reply line to one request line; never raises an Exception."""
    try:
        request = msgspec.json.decode(line, type=Message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _error(f"a request is one JSON object: {error}")
    try:
        return msgspec.json.encode(await handle(request)) + b"\n"
    except Exception as error:
        logger.exception("request failed: %s", bytes(line[:500]))
        return _error(f"internal error, see the log: {error!r}")


def _user_of(stream: trio.SocketStream) -> int:
    """The user at the other end of a connection, when that was made (SO_PEERCRED, unix(7))."""
    credentials = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def _name_user(user: int) -> str:
    """The login name of a user, or the number of one who has none."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _error(message: str) -> bytes:
    """The reply line that says what went wrong."""
    return msgspec.json.encode({"error": message}) + b"\n"


def _connect(state: Path, deadline: float) -> socket.socket:
    """A connection to the control socket; while the lock is held and nobody listens yet, wait."""
    while True:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            with _reachable(state) as address:
                client.connect(address)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            client.close()
            if not _is_locked(state):
                raise NotRunningError(f"no waypost runs with the state directory {state}") from None
        except TimeoutError:
            client.close()
        except OSError as error:
            client.close()
            raise ControlError(f"cannot reach the waypost in {state}: {error.strerror}") from error
        else:
            return client
        if time.monotonic() >= deadline:
            raise ControlError(f"the waypost in {state} is starting, or too busy to listen; try again")
        time.sleep(POLL_INTERVAL)


@contextmanager
def _reachable(state: Path) -> Iterator[str]:
    """An address of the control socket that is short enough, valid inside the block."""
    directory = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{NAME}"
    finally:
        os.close(directory)


def _is_locked(state: Path) -> bool:
    """Whether a living waypost has locked the state directory."""
    try:
        lock = os.open(state / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_lock(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def _try_lock(lock: int, kind: int) -> bool:
    """Take the lock if that is possible at once."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(process: int) -> bool:
    """Whether there is a process with this id, ours or another user's."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
