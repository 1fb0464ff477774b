"""waypost import: what is written, told, and the exit status."""

import json
from pathlib import Path

import pytest

from tests.steering.running import Run

SAMPLES = Path(__file__).parents[1] / "imports" / "samples"
API = [SAMPLES / name for name in ("load_balancers.json", "pools.json", "monitor.json")]


def test_what_is_written_passes_check(waypost: Run, tmp_path: Path) -> None:
    output = tmp_path / "waypost.toml"
    status, out, err = waypost("import", "cloudflare", *API, "-o", output)
    assert (status, out) == (0, f"{output}: monitor 1, pool 2, zone 1, load_balancer 1; 0 fields not carried over\n")
    assert err.startswith("to be set: server: listen, state")
    assert waypost("check", output)[0] == 0
    status, out, _ = waypost("answer", output, "www.example.com", "A", "--country", "US")
    assert status == 0
    assert "198.51.100.1" in out


def test_octodns_to_a_pipe(waypost: Run, tmp_path: Path) -> None:
    status, out, err = waypost("import", "octodns", SAMPLES / "example.com.yaml")
    assert status == 1
    assert 'example.com.yaml: ""[0] = "MX": neither dynamic nor geo' in err
    (tmp_path / "waypost.toml").write_text(out)
    assert waypost("check", tmp_path / "waypost.toml")[0] == 0


def test_json(waypost: Run) -> None:
    status, out, err = waypost("import", "octodns", SAMPLES / "example.com.yaml", "--json")
    report = json.loads(out)
    assert (status, err) == (1, "")
    assert {"path": '""[0]', "value": '"MX"'}.items() <= report["left_out"][0].items()
    assert report["counts"]["load_balancer"] == 4
    assert "[[load_balancer]]" in report["configuration"]


def test_nothing_is_written_over(waypost: Run, tmp_path: Path) -> None:
    output = tmp_path / "waypost.toml"
    output.write_text("mine")
    status, out, err = waypost("import", "cloudflare", *API, "-o", output)
    assert (status, out, err) == (2, "", f"{output}: cannot be written: File exists\n")
    assert output.read_text() == "mine"


@pytest.mark.parametrize("name", ["gone.json", "samples"])
def test_a_file_that_cannot_be_read(waypost: Run, name: str) -> None:
    path = SAMPLES.parent / name
    status, _, err = waypost("import", "cloudflare", path)
    assert status == 2
    assert err.startswith(f"{path}: cannot be read: ")


def test_a_file_that_is_too_long(waypost: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steering.commands.import_.MOST_BYTES", 3)
    (tmp_path / "x.json").write_text("[{}]")
    assert waypost("import", "cloudflare", tmp_path / "x.json") == (
        2,
        "",
        f"{tmp_path}/x.json: has more than 3 bytes\n",
    )


def test_a_source_that_is_none(waypost: Run) -> None:
    assert waypost("import", "route53", "x")[0] == 2
    assert waypost("import", "cloudflare", SAMPLES / "example.com.yaml")[0] == 2
