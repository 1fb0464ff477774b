"""The writer: what is in the files, when they are written, and what happens when they cannot be."""
# ruff: noqa: ARG001, PTH208 - pytest-trio finds the clock among the arguments of a test; one look at a folder is quick

import itertools
import logging
import os
import stat
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from steering.balance.pools import Verdict
from steering.beside import AnyExport, writer
from steering.beside.gdnsd_extfile import GdnsdExtfile
from steering.beside.geodns import Geodns
from steering.beside.writer import RETRY_INTERVAL, WRITE_INTERVAL, ExportWriter, judge_origin
from steering.settings import Pool
from steering.settings_file import parse_settings

POOLS = """
[server]
state = "state"
[[monitor]]
name = "web"
type = "tcp"
port = 80
[[pool]]
name = "www"
monitor = "web"
[[pool.origin]]
name = "one"
address = "192.0.2.1"
records = { CNAME = "One.example.net.", MX = ["10 mx1.example.net.", "0 ."] }
[[pool.origin]]
name = "two"
address = "2001:db8::2"
records = { A = ["192.0.2.2", "192.0.2.3"] }
[[pool]]
name = "sorry"
origin = [{ name = "page", address = "192.0.2.9" }]
"""


def pools() -> tuple[Pool, ...]:
    return parse_settings(POOLS, Path("/etc/waypost.toml")).pools


class Stage:
    """A writer that runs, and the health that it reads."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.health = {("www", "one"): Verdict(True, 60.0), ("www", "two"): Verdict(False, 120.0)}
        self.writer = ExportWriter(lambda: self.health)
        self.nursery = nursery

    async def start(self, *exports: AnyExport) -> None:
        self.writer.replace(exports, pools())
        self.nursery.start_soon(self.writer.run)
        await trio.sleep(WRITE_INTERVAL / 2)

    async def judge(self, origin: str, up: bool) -> None:
        self.health["www", origin] = Verdict(up, 60.0)
        self.writer.mark_changed()
        await trio.sleep(2 * WRITE_INTERVAL)


@pytest.fixture
async def stage(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Stage:
    async def run_sync(function: object, *arguments: object) -> None:
        await trio.lowlevel.checkpoint()
        function(*arguments)  # type: ignore[operator] # as trio.to_thread does, where the clock can see it

    monkeypatch.setattr(writer.trio.to_thread, "run_sync", run_sync)  # type: ignore[attr-defined] # its trio is ours
    return Stage(nursery)


def test_an_origin_goes_by_its_records() -> None:
    www, sorry = pools()
    one = judge_origin(www, www.origins[0], {("www", "one"): Verdict(True, 60.0)})
    assert (one.addresses, one.aliases, one.exchangers) == (
        ("192.0.2.1",),
        ("One.example.net.",),
        ("mx1.example.net.",),
    )
    assert (one.up, one.flip_after, one.enabled) == (True, 60.0, True)
    two = judge_origin(www, www.origins[1], {})
    assert (two.addresses, two.up, two.flip_after) == (("192.0.2.2", "192.0.2.3", "2001:db8::2"), None, None)
    assert judge_origin(sorry, sorry.origins[0], {}).up is True


def test_a_host_name_goes_by_the_addresses_that_pass() -> None:
    text = POOLS.replace('address = "192.0.2.1"', 'address = "www.example.com"')
    [www, _] = parse_settings(text, Path("/etc/waypost.toml")).pools
    verdict = Verdict(True, 60.0, addresses=("192.0.2.7", "2001:db8::7"))
    assert judge_origin(www, www.origins[0], {("www", "one"): verdict}).addresses == ("192.0.2.7", "2001:db8::7")
    assert judge_origin(www, www.origins[0], {}).addresses == ()


def test_who_takes_no_traffic_is_down() -> None:
    www, _ = pools()
    assert judge_origin(www, www.origins[0], {("www", "one"): Verdict(True, 60.0, share=0.0)}).up is False


async def test_a_change_of_health_is_a_change_of_the_file(
    stage: Stage, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "health"
    await stage.start(GdnsdExtfile(path=str(path), pools=("w*",)))
    assert path.read_text().splitlines()[0] == "192.0.2.1 => UP/60"
    assert "192.0.2.2 => DOWN/120\n" in path.read_text()
    assert "192.0.2.9" not in path.read_text()
    await stage.judge("one", up=False)
    assert path.read_text().startswith("192.0.2.1 => DOWN/60\n")
    assert os.listdir(tmp_path) == ["health"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    (told,) = stage.writer.status()
    assert (told.path, told.problem) == (str(path), "")
    assert told.written is not None


async def test_what_did_not_change_is_left_alone(stage: Stage, autojump_clock: MockClock, tmp_path: Path) -> None:
    path = tmp_path / "health"
    await stage.start(GdnsdExtfile(path=str(path)))
    before = path.stat().st_ino
    stage.writer.mark_changed()
    await trio.sleep(5 * WRITE_INTERVAL)
    assert path.stat().st_ino == before


async def test_it_writes_no_more_often_than_it_may(
    stage: Stage, autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []
    monkeypatch.setattr(writer, "replace_file", lambda _path, _content, **_how: times.append(trio.current_time()))
    await stage.start(GdnsdExtfile(path=str(tmp_path / "health")))
    for step in range(100):
        stage.health["www", "one"] = Verdict(step % 2 == 0, float(step))
        stage.writer.mark_changed()
        await trio.sleep(WRITE_INTERVAL / 20)
    assert 4 <= len(times) <= 7
    assert all(later - earlier >= WRITE_INTERVAL for earlier, later in itertools.pairwise(times))


async def test_what_cannot_be_written_is_told_once_and_tried_again(
    stage: Stage, autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder, good = tmp_path / "not-yet", tmp_path / "good"
    await stage.start(GdnsdExtfile(path=str(folder / "health")), GdnsdExtfile(path=str(good)))
    assert good.exists()
    await trio.sleep(5 * RETRY_INTERVAL)
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert error.getMessage().startswith(f"cannot write {folder}/health: No such file or directory")
    bad, fine = stage.writer.status()
    assert (bad.problem, fine.problem) == (f"{folder}/health: No such file or directory", "")
    folder.mkdir()
    await trio.sleep(2 * RETRY_INTERVAL)
    assert (folder / "health").exists()
    assert [each.problem for each in stage.writer.status()] == ["", ""]
    assert "is written again" in caplog.text


async def test_a_full_disk_is_told_and_leaves_the_file_as_it_was(
    stage: Stage, autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "health"
    await stage.start(GdnsdExtfile(path=str(path)))
    before = path.read_text()
    (tmp_path / ".health.new").symlink_to("/dev/full")
    stage.health["www", "one"] = Verdict(False, 60.0)
    stage.writer.mark_changed()
    await trio.sleep(WRITE_INTERVAL)
    assert f"cannot write {path}: No space left on device" in caplog.text
    assert (path.read_text(), os.listdir(tmp_path)) == (before, ["health"])
    assert "No space left" in stage.writer.status()[0].problem
    await trio.sleep(2 * RETRY_INTERVAL)
    assert path.read_text().startswith("192.0.2.1 => DOWN/60\n")
    assert stage.writer.status()[0].problem == ""


async def test_files_of_pools_that_are_gone_are_removed_and_others_stay(
    stage: Stage, autojump_clock: MockClock, tmp_path: Path
) -> None:
    (tmp_path / "other.json").write_text("{}")
    await stage.start(Geodns(path=str(tmp_path)))
    assert set(os.listdir(tmp_path)) == {"www.json", "sorry.json", "other.json"}
    stage.writer.replace((Geodns(path=str(tmp_path)),), pools()[:1])
    await trio.sleep(2 * WRITE_INTERVAL)
    assert set(os.listdir(tmp_path)) == {"www.json", "other.json"}
    assert len(stage.writer.status()) == 1


async def test_a_reload_puts_right_what_others_have_broken(
    stage: Stage, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "health"
    await stage.start(GdnsdExtfile(path=str(path)))
    path.write_text("damaged")
    stage.writer.replace((GdnsdExtfile(path=str(path)),), pools())
    await trio.sleep(2 * WRITE_INTERVAL)
    assert "damaged" not in path.read_text()


async def test_an_export_that_is_gone_is_no_longer_told(
    stage: Stage, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "health"
    await stage.start(GdnsdExtfile(path=str(path)))
    stage.writer.replace((), pools())
    await trio.sleep(2 * WRITE_INTERVAL)
    assert stage.writer.status() == ()
    assert not path.exists()
