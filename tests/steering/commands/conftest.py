"""Commands are run in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from steering.cli import main
from steering.commands import command
from tests.steering.commands.ordering import FakeRunning

CONFIG = Path(__file__).parents[3] / "config"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def waypost(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line: exit status, output, error output."""

    def run_line(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            assert isinstance(end.code, int)
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_line


@pytest.fixture
def example() -> Path:
    """The example configuration."""
    return CONFIG / "waypost.toml"


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> FakeRunning:
    """What the commands that order something ask instead of a running waypost."""
    made = FakeRunning()
    monkeypatch.setattr(command, "ask_control", made.ask)
    return made
