"""Fixtures of the tests of commands that order something."""

import pytest

from steering.commands import command
from tests.steering.commands.ordering import FakeRunning


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> FakeRunning:
    """What the commands ask instead of a running waypost."""
    made = FakeRunning()
    monkeypatch.setattr(command, "ask_control", made.ask)
    return made
