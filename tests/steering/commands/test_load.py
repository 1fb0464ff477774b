"""Tests of `waypost load`: what it asks for, and what makes no sense."""

from pathlib import Path

import pytest

from steering.cli import main
from tests.steering.commands.ordering import FakeRunning

SETTINGS = """
[server]
listen = ["127.0.0.1:5300"]
state = "state"
[[monitor]]
name = "web"
type = "tcp"
port = 80
[[pool]]
name = "paris"
monitor = "web"
load_shedding = { low_watermark = 50, high_watermark = 100 }
[[pool.origin]]
name = "one"
address = "192.0.2.1"
[[pool]]
name = "plain"
monitor = "web"
[[pool.origin]]
name = "one"
address = "192.0.2.2"
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "waypost.toml").write_text(SETTINGS)
    return str(tmp_path / "waypost.toml")


def test_what_is_asked_for(config: str, running: FakeRunning) -> None:
    assert main(["load", config, "paris", "82.5"]) == 0
    assert running.asked == [{"command": "load", "pool": "paris", "figure": 82.5}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pariss", "1"], 'did you mean "paris"?'),
        (["plain", "1"], "has no watermarks"),
        (["paris", "nan"], "at least 0"),
        (["paris", "inf"], "at least 0"),
    ],
)
def test_what_makes_no_sense(
    config: str, running: FakeRunning, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["load", config, *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not running.asked
