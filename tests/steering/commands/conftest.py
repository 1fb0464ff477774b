"""Commands are run in this process."""

from pathlib import Path

import pytest

from steering.cli import main
from steering.commands import command
from tests.steering.commands.ordering import FakeRunning
from tests.steering.running import Run

CONFIG = Path(__file__).parents[3] / "config"


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


STEERED = """
[server]
listen = ["127.0.0.1:5300"]
state = "state"

[[maintenance]]
name = "disks"
pools = ["paris"]
start = 2026-12-01T22:00:00+01:00
duration = "2h"
drain = "10m"

[[zone]]
name = "example.com"
file = "example.com.zone"

[[load_balancer]]
name = "www.example.com"
types = ["A"]
default_pools = ["newyork"]
fallback_pool = "sorry"
network_pools = { "198.18.0.0/15" = ["oslo"], "198.18.0.0/18" = ["paris"] }
[[load_balancer.pool_set]]
name = "carrier"
asns = [64500]
countries = ["FR"]
pools = ["oslo"]
[[load_balancer.pool_set]]
name = "quebec"
subdivisions = ["CA-QC"]
pools = ["paris"]
[[load_balancer.pool_set]]
name = "labs"
networks = ["203.0.113.0/25"]
pools = ["paris"]
[[load_balancer.pool_set]]
name = "switzerland"
countries = ["CH"]
pools = ["zurich"]
when_down = "fail_closed"
[[load_balancer.pool_set]]
name = "norway"
countries = ["NO"]
pools = ["oslo"]
when_down = "fail_open"
[[load_balancer.pool_set]]
name = "europe"
continents = ["EU"]
pools = ["paris"]

[[load_balancer]]
name = "example.com"
types = ["A"]
flatten = true
default_pools = ["newyork"]
fallback_pool = "newyork"
country_pools = { FR = ["paris"] }
"""


@pytest.fixture
def steered(tmp_path: Path) -> Path:
    """A configuration of pool sets, and of names that lead to names."""
    folder = tmp_path / "steered"
    folder.mkdir()
    lines = [STEERED]
    for number, pool in enumerate(("newyork", "paris", "zurich", "oslo", "sorry"), 1):
        lines.append(f'[[pool]]\nname = "{pool}"\n[[pool.origin]]\nname = "{pool}-1"\naddress = "192.0.2.{number}"')
        lines.append(f'records = {{ CNAME = "{pool}.example.com." }}')
    records = ["@ 60 SOA ns hostmaster 1 1h 15m 2w 1m", "@ 60 NS ns", "ns 60 A 192.0.2.53", "paris 60 A 198.51.100.2"]
    (folder / "example.com.zone").write_text("\n".join(["$ORIGIN example.com.", *records, ""]))
    config = folder / "waypost.toml"
    config.write_text("\n".join(lines))
    return config


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> FakeRunning:
    """What the commands that order something ask instead of a running waypost."""
    made = FakeRunning()
    monkeypatch.setattr(command, "ask_control", made.ask)
    return made
