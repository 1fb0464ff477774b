"""Tests of `waypost drain`: what it asks for."""

from pathlib import Path

import pytest

from steering.cli import main
from tests.steering.commands.ordering import FakeRunning

CONFIG = str(Path(__file__).parents[3] / "config" / "waypost.toml")


@pytest.mark.parametrize(("pool", "origin"), [("paris", "paris/*"), ("mail-*", "mail-*/*"), ("paris/mx1", "paris/mx1")])
def test_what_is_asked_for(running: FakeRunning, pool: str, origin: str) -> None:
    assert main(["drain", CONFIG, pool, "--over", "10m", "--for", "2h", "--reason", "new disks"]) == 0
    [request] = running.asked
    assert request == {
        "command": "force",
        "origin": origin,
        "state": "drain",
        "over": 600.0,
        "lasts": 7200.0,
        "reason": "new disks",
    }


def test_clearing(running: FakeRunning) -> None:
    assert main(["drain", CONFIG, "paris", "--clear"]) == 0
    assert (running.asked[0]["origin"], running.asked[0]["state"]) == ("paris/*", "clear")


@pytest.mark.parametrize(
    "arguments", [[], ["--over", "10m"], ["--for", "2h"], ["--over", "10m", "--clear"], ["--clear", "--reason", "x"]]
)
def test_what_makes_no_sense(running: FakeRunning, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["drain", CONFIG, "paris", *arguments]) == 2
    assert capsys.readouterr().err
    assert not running.asked
