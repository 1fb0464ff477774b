"""`waypost status --watch`: on a terminal, in a pipe, and while the daemon is away."""

import io
import json
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from steering.cli import main
from steering.commands import command, status
from steering.commands.status import show_status
from steering.messages import ExportStatus, Status, UpdateStatus, ZoneStatus
from steering.serve.control_socket import NotRunningError
from tests.steering.commands.test_commands import STATUS

CONFIG = '[server]\nstate = "state"\n'


class FakeDaemon:
    """Answers, is away, answers again; then the user has seen enough."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.status = STATUS
        self.slept: list[float] = []
        monkeypatch.setattr(command, "ask_control", self.ask)
        monkeypatch.setattr(status.time, "sleep", self.sleep)  # type: ignore[attr-defined] # the module's own time

    def ask(self, state: Path, request: object) -> object:  # noqa: ARG002
        self.asked += 1
        if self.asked == 2:
            raise NotRunningError("no waypost runs with the state directory state")
        return msgspec.to_builtins(self.status)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == 3:
            raise KeyboardInterrupt


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "waypost.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> FakeDaemon:
    return FakeDaemon(monkeypatch)


def test_a_pipe_gets_a_block_each_time(daemon: FakeDaemon, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(config), "--watch", "0.5"]) == 0
    first, away, again, rest = capsys.readouterr().out.split("\n\n")
    assert "paris-1" in first
    assert "no waypost runs with the state directory state; looking again" in away
    assert "paris-1" in again
    assert rest == ""
    assert daemon.slept == [0.5] * 3


def test_json_is_a_line_each_time(daemon: FakeDaemon, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(config), "--json", "--watch"]) == 0
    first, away, again = map(json.loads, capsys.readouterr().out.splitlines())
    assert msgspec.convert(first, Status) == msgspec.convert(again, Status) == STATUS
    assert away == {"error": "no waypost runs with the state directory state"}
    assert daemon.slept == [status.WATCH_INTERVAL] * 3


def test_a_terminal_has_it_in_one_place(
    daemon: FakeDaemon, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, height=40, highlight=False, markup=False)
    monkeypatch.setattr(status, "open_console", lambda: console)
    assert main(["status", str(config), "--watch"]) == 0
    assert daemon.asked == 3
    assert screen.getvalue().count("paris-1") >= 2
    assert "looking again" in screen.getvalue()
    assert "\x1b[1A" in screen.getvalue()  # it goes up, to write over what it has written
    assert screen.getvalue().endswith("\x1b[?25h")  # and gives the cursor back
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon", "1e9"])
def test_an_interval_that_is_none(config: Path, seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["status", str(config), f"--watch={seconds}"])
    assert ended.value.code == 2
    assert "expected a number of seconds" in capsys.readouterr().err


@pytest.mark.parametrize(("pools_are_up", "expired", "code"), [(True, False, 0), (False, False, 1), (True, True, 1)])
def test_the_exit_status_says_whether_all_is_answered(
    daemon: FakeDaemon, config: Path, pools_are_up: bool, expired: bool, code: int
) -> None:
    pools = tuple(msgspec.structs.replace(pool, up=pools_are_up) for pool in STATUS.pools)
    zones = (ZoneStatus("example.com.", 1), ZoneStatus("example.net.", None, expired=expired))
    daemon.status = msgspec.structs.replace(STATUS, pools=pools, zones=zones)
    assert main(["status", str(config)]) == code


def test_files_for_others_are_shown() -> None:
    exports = (ExportStatus("/a", STATUS.since, ""), ExportStatus("/b"), ExportStatus("/c", None, "/c: no [red] room"))
    console = Console(file=io.StringIO(), width=300, markup=False)
    console.print(show_status(msgspec.structs.replace(STATUS, exports=exports)))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "file /a: looked after" in shown
    assert "file /b: not yet written" in shown
    assert "file /c: cannot be written (/c: no [red] room)" in shown


def test_zones_of_others_are_shown() -> None:
    updates = (
        UpdateStatus("a.", "192.0.2.1:53"),
        UpdateStatus("b.", "192.0.2.1:53", conflicts=2),
        UpdateStatus("c.", "192.0.2.1:53", problem="it says [red]"),
    )
    console = Console(file=io.StringIO(), width=300, markup=False)
    console.print(show_status(msgspec.structs.replace(STATUS, updates=updates)))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "update of a. at 192.0.2.1:53: as it should be" in shown
    assert "update of b. at 192.0.2.1:53: somebody else has written there (conflicts: 2; see the log)" in shown
    assert "update of c. at 192.0.2.1:53: it says [red]" in shown
