"""What systemd is told, at a socket as it has one."""

import os
import socket
import uuid
from pathlib import Path

import pytest

from steering.systemd import ServiceManager, parse_watchdog, render


def test_a_message_is_a_line_for_each_variable() -> None:
    assert render(READY=1, STATUS="answering\non\r\nport 53") == b"READY=1\nSTATUS=answering on port 53\n"


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_hears(tmp_path: Path, kind: str) -> None:
    name = str(tmp_path / "notify") if kind == "path" else f"@waypost-test-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0", 1))
        systemd.settimeout(10)
        ServiceManager({"NOTIFY_SOCKET": name}, os.getpid()).tell(WATCHDOG=1)
        assert systemd.recv(100) == b"WATCHDOG=1\n"


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/nowhere/notify", "@nobody-listens-here"])
def test_nobody_who_hears_is_no_error(address: str) -> None:
    ServiceManager({"NOTIFY_SOCKET": address}, os.getpid()).tell(READY=1)


def test_children_are_not_the_service() -> None:
    environment = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7", "PATH": "/bin"}
    assert ServiceManager(environment, 7).watchdog == 60
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("microseconds", "owner", "seconds"),
    [
        ("30000000", "7", 30.0),
        ("500000", "", 0.5),
        ("30000000", "8", None),
        ("", "7", None),
        ("0", "7", None),
        ("-1", "7", None),
        ("soon", "7", None),
    ],
)
def test_the_watchdog_is_for_the_process_that_it_names(microseconds: str, owner: str, seconds: float | None) -> None:
    assert parse_watchdog(microseconds, owner, 7) == seconds
