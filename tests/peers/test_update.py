"""Dynamic updates (RFC 2136) as their clients send them: nsupdate against the whole program, dig and a secondary."""

import fcntl
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from steering.zones.store import LOCK_NAME
from tests.peers.transfers import KEY_TEXT, transferred
from tests.steering.running import TAKEN, Waypost, eventually, free_port
from tests.steering.test_secondaries import zone_file
from tests.steering.zones.test_load import POOLS, balancer

pytestmark = pytest.mark.skipif(shutil.which("nsupdate") is None, reason="nsupdate is not installed")

KEYS = {
    "acme": "c2VjcmV0LW9mLWFjbWU=",
    "dyn": "c2VjcmV0LW9mLWR5bg==",
    "transfer": KEY_TEXT,
}
SETTINGS = (
    """
[[zone]]
name = "example.com"
file = "com.zone"
allow_transfer = ["key:transfer"]
notify = ["127.0.0.1:{port} key:transfer"]
allow_update = [
  { key = "acme", names = ["_acme-challenge.**"], types = ["TXT"] },
  { key = "dyn", names = ["*.dyn.example.com", "lb.example.com", "example.com"], network = "127.0.0.0/8" },
  { key = "transfer", names = ["none.example.com"], network = "192.0.2.0/24" },
]
"""
    + "".join(f'[[key]]\nname = "{name}"\nsecret = "{secret}"\n' for name, secret in KEYS.items())
    + POOLS
    + balancer("lb.example.com")
)
NAME = "_acme-challenge.www.example.com"


class Primary:
    """A waypost whose zone takes updates."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.file = folder / "com.zone"
        self.secondary_port = free_port()
        self.waypost = Waypost(folder, SETTINGS.replace("{port}", str(self.secondary_port)), workers=2)
        self.write(1, "www A 192.0.2.1")

    def write(self, serial: int, records: str) -> None:
        self.file.write_text(zone_file(serial, records))

    def update(self, *lines: str, key: str = "acme", secret: str = "", options: tuple[str, ...] = ()) -> str:
        """What nsupdate says; nothing when all is well."""
        text = "\n".join([f"server 127.0.0.1 {self.waypost.port}", "zone example.com", *lines, "send", ""])
        arguments = ["nsupdate", "-t", "8", *options]
        arguments += ["-y", f"hmac-sha256:{key}:{secret or KEYS[key]}"] if key else []
        ended = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False, timeout=30)
        return (ended.stdout + ended.stderr).strip()

    def serial(self) -> int:
        return int(self.waypost.answer("example.com", "SOA").split()[2])


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    made = Primary(tmp_path / "primary")
    yield made
    made.waypost.destroy()


def test_what_was_answered_is_there_at_once_and_after_a_crash(primary: Primary) -> None:
    waypost = primary.waypost.start()
    assert primary.update(f"update add {NAME} 60 TXT token") == ""
    assert waypost.answer(NAME, "TXT") == '"token"'
    assert primary.serial() == 2
    waypost.signal(signal.SIGKILL)
    waypost.end()
    waypost.start()
    assert waypost.answer(NAME, "TXT") == '"token"'
    assert primary.update(f"update add {NAME} 60 TXT second", options=("-v",)) == ""
    assert waypost.answer(NAME, "TXT") == '"second" "token"'
    assert primary.update(f"update delete {NAME} 60 TXT token") == ""
    assert waypost.answer(NAME, "TXT") == '"second"'
    assert primary.update(f"update delete {NAME} TXT") == ""
    assert waypost.answer(NAME, "TXT") == "NXDOMAIN"
    status = waypost.status()
    assert status is not None
    assert status.zones[0].serial == primary.serial() == 5


def test_another_edition_of_the_file_keeps_updates(primary: Primary) -> None:
    waypost = primary.waypost.start()
    assert primary.update("update add a.dyn.example.com 60 A 192.0.2.9", key="dyn") == ""
    primary.write(1, "www A 192.0.2.2")
    waypost.reload(TAKEN)
    assert waypost.answer() == "192.0.2.2"
    assert waypost.answer("a.dyn.example.com") == "192.0.2.9"
    assert primary.serial() == 3
    primary.write(100, "www A 192.0.2.2\na.dyn A 192.0.2.3")
    waypost.reload(TAKEN)
    assert waypost.answer("a.dyn.example.com") == "192.0.2.9"
    assert primary.serial() == 100
    assert primary.update("update delete a.dyn.example.com A", key="dyn") == ""
    assert waypost.answer("a.dyn.example.com") == "NXDOMAIN"
    waypost.stop()
    primary.write(101, "www A 192.0.2.4\na.dyn A 192.0.2.3")
    waypost.start()
    assert waypost.answer() == "192.0.2.4"
    assert waypost.answer("a.dyn.example.com") == "NXDOMAIN"


def test_who_may_not_changes_nothing(primary: Primary) -> None:
    waypost = primary.waypost.start()
    add = f"update add {NAME} 60 TXT token"
    assert "REFUSED" in primary.update(add, key="")
    assert "BADSIG" in primary.update(add, secret="b3RoZXI=")
    assert "REFUSED" in primary.update(add, key="dyn")
    assert "REFUSED" in primary.update("update add none.example.com 60 A 192.0.2.9", key="transfer")
    assert "REFUSED" in primary.update("update add www.example.com 60 TXT token")
    assert "REFUSED" in primary.update(f"update add {NAME} 60 CNAME www.example.com.")
    assert "REFUSED" in primary.update("update add lb.example.com 60 TXT steered", key="dyn")
    assert "REFUSED" in primary.update("update add example.com 60 SOA a. b. 9 9 9 9 9", key="dyn")
    assert "NOTZONE" in primary.update("update add www.example.net 60 TXT token")
    assert primary.serial() == 1
    assert waypost.answer(NAME, "TXT") == "NXDOMAIN"


def test_prerequisites_and_the_apex(primary: Primary) -> None:
    waypost = primary.waypost.start()
    name = "a.dyn.example.com"
    add = f"update add {name} 60 A 192.0.2.9"
    assert "NXDOMAIN" in primary.update(f"prereq yxdomain {name}", add, key="dyn")
    assert "NXRRSET" in primary.update(f"prereq yxrrset {name} A", add, key="dyn")
    assert primary.update(f"prereq nxdomain {name}", add, key="dyn") == ""
    assert "YXDOMAIN" in primary.update(f"prereq nxdomain {name}", add, key="dyn")
    assert "YXRRSET" in primary.update(f"prereq nxrrset {name} A", add, key="dyn")
    assert "NXRRSET" in primary.update(f"prereq yxrrset {name} A 192.0.2.8", add, key="dyn")
    assert primary.update(f"prereq yxrrset {name} A 192.0.2.9", f"update delete {name}", key="dyn") == ""
    assert primary.serial() == 3
    assert primary.update("update delete example.com", key="dyn") == ""
    assert primary.serial() == 3
    assert waypost.answer("example.com", "NS") == "ns1.example.net."


def test_a_secondary_sees_it(primary: Primary, tmp_path: Path) -> None:
    secondary = Waypost(tmp_path / "secondary", "")
    secondary.port = primary.secondary_port
    key = f'[[key]]\nname = "transfer"\nsecret = "{KEYS["transfer"]}"\n'
    peer = f"127.0.0.1:{primary.waypost.port} key:transfer"
    secondary.configure(f'[[zone]]\nname = "example.com"\nprimaries = ["{peer}"]\n{key}')
    try:
        primary.waypost.start()
        secondary.start()
        secondary.answers("192.0.2.1")
        assert primary.update(f"update add {NAME} 60 TXT token") == ""
        secondary.answers('"token"', NAME, "TXT")
        assert "serial 2, changes" in secondary.log()
        assert NAME.removesuffix(".example.com") in transferred(primary.waypost.port)
    finally:
        secondary.destroy()


def test_the_process_that_applies_them_comes_back(primary: Primary) -> None:
    waypost = primary.waypost.start()
    assert primary.update(f"update add {NAME} 60 TXT token") == ""
    child = next(each for each in waypost.processes() if b"steering.secondaries" in cmdline(each))
    os.kill(child, signal.SIGKILL)
    waypost.logged("starting it again")
    eventually(lambda: primary.update(f"update add {NAME} 60 TXT next") == "", waypost.log)
    assert waypost.answer(NAME, "TXT") == '"next" "token"'


def test_a_full_disk_and_a_lock_that_is_held_change_nothing(primary: Primary) -> None:
    waypost = primary.waypost.start()
    assert primary.update(f"update add {NAME} 60 TXT token") == ""
    waypost.logged(f"zone example.com.: serial 2, updated by acme. from 127.0.0.1: {NAME}. TXT")
    child = next(each for each in waypost.processes() if b"steering.secondaries" in cmdline(each))
    store = waypost.state / "zones"
    _, hard = resource.prlimit(child, resource.RLIMIT_FSIZE)
    resource.prlimit(child, resource.RLIMIT_FSIZE, ((store / "data.mdb").stat().st_size, hard))
    large = f'"{"x" * 250}" ' * 200
    lines = [f"update add _acme-challenge.a{number}.example.com 60 TXT {large}" for number in range(4)]
    assert "SERVFAIL" in [primary.update(line, options=("-v",)) for line in lines][-1]
    resource.prlimit(child, resource.RLIMIT_FSIZE, (hard, hard))
    assert "MiB free)" in waypost.log()
    assert waypost.answer("_acme-challenge.a3.example.com", "TXT") == "NXDOMAIN"
    assert primary.update(lines[-1], options=("-v",)) == ""
    assert waypost.answer(NAME, "TXT") == '"token"'
    with (store / LOCK_NAME).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "SERVFAIL" in primary.update(f"update add {NAME} 60 TXT late")
        waypost.stop()
    assert "Traceback" not in waypost.log()
    assert "killing" not in waypost.log()
    waypost.start()
    assert waypost.answer(NAME, "TXT") == '"token"'


def cmdline(process: int) -> bytes:
    try:
        return Path("/proc", str(process), "cmdline").read_bytes()
    except OSError:
        return b""
