"""The peers start, and nothing of them stays."""

import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.peers.servers import expand, find_peers, running_peer
from tests.steering.running import list_processes

PEERS = find_peers()


@pytest.mark.parametrize("name", ["nsd", "knotd", "named"])
def test_every_process_ends(name: str, tmp_path: Path) -> None:
    if name not in PEERS:
        pytest.skip(f"not installed: {name}")
    before = {process for process, _, _ in list_processes()}
    with suppress(KeyboardInterrupt), running_peer(name, PEERS[name], tmp_path):
        started = {(process, session) for process, session, _ in list_processes() if process not in before}
        sessions = {session for process, session in started if _program_of(process) == PEERS[name].name}
        assert sessions
        raise KeyboardInterrupt
    assert not [state for _, session, state in list_processes() if session in sessions and state != "Z"]


def test_a_server_that_does_not_start_shows_why(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"(?s)nsd did not start:.*SyntaxError"),
        running_peer("nsd", Path(sys.executable), tmp_path),
    ):
        pass


def test_generate() -> None:
    assert expand("$GENERATE 9-10 a$ CNAME a${1}\nb A 192.0.2.1 ; $\n") == (
        "a9 CNAME a10\na10 CNAME a11\nb A 192.0.2.1 ; $\n"
    )


def _program_of(process: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process}/exe").readlink().name
    return ""
