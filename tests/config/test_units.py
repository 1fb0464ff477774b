"""The systemd units: systemd finds nothing wrong with them, and they name what there is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from steering.cli import make_parser
from steering.supervisor import DRAIN_TIMEOUT, END_TIMEOUT, SILENCE_LIMIT

CONFIG = Path(__file__).parents[2] / "config"
UNITS = sorted(CONFIG.glob("*.service"))


def settings_of(unit: Path) -> dict[str, str]:
    """Key -> value; no key of these files is there twice but those of sections that may repeat it."""
    pairs = [line.split("=", 1) for line in unit.read_text().splitlines() if re.match(r"[A-Z]\w+=", line)]
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_they_are_there() -> None:
    assert [unit.name for unit in UNITS] == ["waypost-probe.service", "waypost.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("ExecStart=/usr/bin/waypost ", "ExecStart=/bin/true "))
    told = subprocess.run(
        [program, "verify", "--man=no", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert (told.returncode, [line for line in told.stderr.splitlines() if unit.name in line]) == (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_it_fits_the_program(unit: Path) -> None:
    settings = settings_of(unit)
    program, *arguments = settings["ExecStart"].split()
    assert program == "/usr/bin/waypost"
    make_parser().parse_args(arguments)
    assert settings["Type"] == "notify"
    assert float(settings["WatchdogSec"]) > SILENCE_LIMIT  # or systemd kills all where one should be replaced
    assert float(settings["TimeoutStopSec"]) > DRAIN_TIMEOUT + END_TIMEOUT
    assert f'state = "/var/lib/{settings["StateDirectory"]}"' in unit.read_text()
