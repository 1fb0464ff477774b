"""`steering/serve/control_socket.py`: the server in Trio, the synchronous client in a thread, real locks."""

import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steering.serve import control_socket
from steering.serve.control_socket import (
    REQUEST_LIMIT,
    REQUEST_TIMEOUT,
    AlreadyRunningError,
    ControlError,
    Message,
    NotRunningError,
    ask_control,
    lock_state,
    serve_control,
)


async def handle(request: Message) -> Message:
    """Answer with the question; some fail."""
    if request.get("ask") == "fail":
        raise RuntimeError("on purpose")
    if request.get("ask") == "nonsense":
        return {"reply": object()}
    if request.get("ask") == "wait":
        await trio.sleep_forever()
    if request.get("ask") == "who":
        return {"you are": request["by"]}
    return {"you said": {key: value for key, value in request.items() if key != "by"}}


async def test_the_user_is_told_by_the_system_and_nobody_else(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, tmp_path, handle)
        user = pwd.getpwuid(os.getuid()).pw_name
        assert await ask(tmp_path, {"ask": "who", "by": "somebody else"}) == {"you are": user}
        nursery.cancel_scope.cancel()


async def test_a_request_gets_its_reply(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, tmp_path, handle)
        requests: tuple[Message, ...] = ({"ask": "status"}, {"ask": "é\n", "list": [1, None, {}]})
        for request in requests:
            assert await ask(tmp_path, request) == {"you said": request}
        mode = (tmp_path / "control.sock").stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
        nursery.cancel_scope.cancel()
    assert not (tmp_path / "control.sock").exists()


async def test_a_state_directory_deeper_than_a_socket_address(tmp_path: Path) -> None:
    state = tmp_path / ("d" * 100) / ("e" * 100)
    os.close(lock_state(state))
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, state, handle)
        assert await ask(state, {}) == {"you said": {}}
        nursery.cancel_scope.cancel()


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "control.sock"))
    with pytest.raises(NotRunningError, match=str(tmp_path)):
        ask_control(tmp_path, {})
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, tmp_path, handle)
        assert await ask(tmp_path, {}) == {"you said": {}}
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("what", ["fail", "nonsense"])
async def test_a_failing_handler_is_an_error_reply(what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, tmp_path, handle)
        reply = await ask(tmp_path, {"ask": what})
        assert "internal error" in str(reply["error"])
        assert await ask(tmp_path, {}) == {"you said": {}}
        nursery.cancel_scope.cancel()
    assert "request failed" in caplog.text


def test_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError):
        ask_control(tmp_path, {})
    with pytest.raises(NotRunningError):
        ask_control(tmp_path / "missing", {})


def test_a_waypost_that_starts_is_waited_for(tmp_path: Path) -> None:
    lock = lock_state(tmp_path)
    with pytest.raises(ControlError, match="starting") as caught:
        ask_control(tmp_path, {}, timeout=0.01)
    assert not isinstance(caught.value, NotRunningError)
    os.close(lock)


async def test_a_reply_that_does_not_come(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, tmp_path, handle)
        with pytest.raises(ControlError, match=r"did not reply within 0\.01 s"):
            await ask(tmp_path, {"ask": "wait"}, 0.01)
        nursery.cancel_scope.cancel()


async def test_several_requests_on_one_connection_and_a_hasty_client(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, tmp_path, handle)
        async with await trio.open_unix_socket(str(tmp_path / "control.sock")) as client:
            await client.send_all(b'{"a": 1}\n{"b"')
            assert await read_line(client) == {"you said": {"a": 1}}
            await client.send_all(b": 2}\n")
            assert await read_line(client) == {"you said": {"b": 2}}
            await client.send_all(b'{"c": 3}\n')
        assert await ask(tmp_path, {}) == {"you said": {}}
        nursery.cancel_scope.cancel()


async def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, tmp_path, handle)
        async with await trio.open_unix_socket(str(tmp_path / "control.sock")) as client:
            await client.send_all(b"[" * (REQUEST_LIMIT + 1))
            assert "one line of at most" in str((await read_line(client))["error"])
            assert await client.receive_some() == b""
        nursery.cancel_scope.cancel()


async def test_a_silent_client_is_closed(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, tmp_path, handle)
        async with await trio.open_unix_socket(str(tmp_path / "control.sock")) as client:
            await client.send_all(b"{")
            assert await client.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert autojump_clock.current_time() == pytest.approx(REQUEST_TIMEOUT, abs=1)


@given(st.binary() | st.integers(1, 100_000).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_line_has_a_reply(line: bytes) -> None:
    reply = trio.run(control_socket._reply_untrusted, bytearray(line), handle)
    assert reply.endswith(b"\n")
    assert isinstance(json.loads(reply), dict)


def test_a_lock_is_held_once_and_names_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = lock_state(tmp_path)
    monkeypatch.setattr(time, "sleep", None)  # the owner lives: nothing is waited for
    with pytest.raises(AlreadyRunningError, match=rf"process {os.getpid()}\) runs with .*{tmp_path.name}"):
        lock_state(tmp_path)
    os.close(lock)
    os.close(lock_state(tmp_path))


def test_the_lock_of_a_killed_process_waits_for_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child of the killed owner ends when its standard input does: here once we wait for it."""
    program = (
        "import os, sys; from pathlib import Path; from steering.serve.control_socket import lock_state\n"
        "lock_state(Path(sys.argv[1]))\n"
        "if os.fork() == 0: sys.stdin.read(); os._exit(0)\n"
        "print('locked', flush=True); os.kill(os.getpid(), 9)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"locked\n"
    assert owner.wait() == -signal.SIGKILL
    assert control_socket._is_locked(tmp_path)
    waits = 0

    def wait(_seconds: float) -> None:
        nonlocal waits
        waits += 1
        assert owner.stdin is not None
        owner.stdin.close()
        os.sched_yield()

    monkeypatch.setattr(time, "sleep", wait)
    os.close(lock_state(tmp_path))
    assert waits
    owner.stdout.close()


async def ask(state: Path, request: Message, patience: float = 20.0) -> Message:
    """Ask in a thread."""
    return await trio.to_thread.run_sync(ask_control, state, request, patience)


async def read_line(client: trio.SocketStream) -> Message:
    """The next reply, which comes alone."""
    line = b""
    while not line.endswith(b"\n"):
        line += await client.receive_some()
    reply = json.loads(line)
    assert isinstance(reply, dict)
    return reply
