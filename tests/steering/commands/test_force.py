"""Tests of `waypost force`: what it asks for, and what it prints."""

import json
from pathlib import Path

import pytest

from steering.cli import main
from steering.messages import ForceRequest, OverrideStatus
from tests.steering.commands.ordering import FakeRunning

CONFIG = str(Path(__file__).parents[3] / "config" / "waypost.toml")


def asked(running: FakeRunning, *arguments: str) -> dict[str, object]:
    """The request that comes of a command line."""
    assert main(["force", CONFIG, *arguments]) == 0
    return running.asked[-1]


def test_what_is_asked_for(running: FakeRunning, capsys: pytest.CaptureFixture[str]) -> None:
    request = asked(running, "mx*", "down", "--for", "2h", "--reason", "new disks")
    fields = {field: request[field] for field in ("command", "origin", "state", "lasts", "reason")}
    assert fields == {"command": "force", "origin": "mx*", "state": "down", "lasts": 7200.0, "reason": "new disks"}
    assert set(request) - {"command"} <= set(ForceRequest.__struct_fields__)
    assert capsys.readouterr().out == "it is done\n"
    assert asked(running, "mx1", "up", "--until-cleared")["lasts"] is None
    assert asked(running, "*", "--clear")["state"] == "clear"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mx1"], "expected up or down"),
        (["mx1", "down"], "either --for DURATION or --until-cleared"),
        (["mx1", "down", "--for", "2h", "--until-cleared"], "either --for DURATION or --until-cleared"),
        (["mx1", "down", "--clear"], "--clear goes without anything else"),
        (["mx1", "--clear", "--for", "2h"], "--clear goes without anything else"),
        (["--clear"], "--clear what?"),
    ],
)
def test_what_makes_no_sense(
    running: FakeRunning, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["force", CONFIG, *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not running.asked


@pytest.mark.parametrize("text", ["", "2", "2 h", "-1h", "nan", "1e3s", "2days"])
@pytest.mark.usefixtures("running")
def test_a_duration_has_a_unit(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["force", CONFIG, "mx1", "down", f"--for={text}"])
    assert caught.value.code == 2
    assert 'expected a duration like "90s", "10m" or "2h"' in capsys.readouterr().err


def test_what_is_refused_is_told(running: FakeRunning, capsys: pytest.CaptureFixture[str]) -> None:
    running.error = "no origin is called 'mx3'"
    assert main(["force", CONFIG, "mx3", "down", "--until-cleared"]) == 1
    assert capsys.readouterr().err == "no origin is called 'mx3'\n"


def test_the_list(running: FakeRunning, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["force", CONFIG]) == 0
    assert capsys.readouterr().out == "nothing is ordered\n"
    running.overrides = (
        OverrideStatus("down", "new disks", "ann", 0.0, 1_800_000_000.0, "mx*", 2),
        OverrideStatus("draining", "", "bob", 0.0, None, "web/*", 0),
    )
    assert main(["force", CONFIG]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "mx* down by ann until 2027-01-15 08:00:00 UTC: new disks",
        "web/* draining by bob until it is cleared, dormant: no origin is called so",
    ]
    assert main(["force", CONFIG, "--json"]) == 0
    assert [each["origin"] for each in json.loads(capsys.readouterr().out)] == ["mx*", "web/*"]
