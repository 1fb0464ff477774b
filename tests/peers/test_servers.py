"""The peers start, and nothing of them stays."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests.peers.programs import need_program
from tests.peers.servers import expand, running_peer
from tests.steering.running import list_living, list_processes, parent_of


@pytest.mark.parametrize("name", ["nsd", "knotd", "named"])
def test_every_process_ends(name: str, tmp_path: Path) -> None:
    program = Path(need_program(name)).name
    before = {process for process, _, _ in list_processes()}
    with suppress(KeyboardInterrupt), running_peer(name, tmp_path):
        started = {(process, session) for process, session, _ in list_processes() if process not in before}
        ours = {(process, session) for process, session in started if parent_of(session) == os.getpid()}
        sessions = {session for process, session in ours if _program_of(process) == program}
        assert sessions
        raise KeyboardInterrupt
    assert not [process for session in sessions for process in list_living(session)]


def test_a_server_that_does_not_start_shows_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nsd"
    program.write_text("#!/bin/sh\necho this is why\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(AssertionError, match="nsd did not start:\nthis is why"), running_peer("nsd", tmp_path):
        pass


def test_generate() -> None:
    assert expand("$GENERATE 9-10 a$ CNAME a${1}\nb A 192.0.2.1 ; $\n") == (
        "a9 CNAME a10\na10 CNAME a11\nb A 192.0.2.1 ; $\n"
    )


def _program_of(process: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process}/exe").readlink().name
    return ""
