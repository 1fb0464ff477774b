"""Tests of files that are there whole or not at all."""

import stat
from pathlib import Path

import pytest

from steering.files import replace_file


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_and_nobody_else_reads_it(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "kept.json"
    for content in (b"one", b"", b"three"):
        replace_file(path, content, durable=durable)
        assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["kept.json"]


def test_a_full_disk_leaves_what_was_there_and_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    replace_file(path, b"one")
    (tmp_path / ".kept.json.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        replace_file(path, b"two")
    assert [each.name for each in tmp_path.iterdir()] == ["kept.json"]
    assert path.read_bytes() == b"one"


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    replace_file(path, b"one")
    (tmp_path / ".kept.json.new").mkdir()
    with pytest.raises(OSError, match=r"kept\.json\.new"):
        replace_file(path, b"two")
    assert path.read_bytes() == b"one"


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(path, b"")
    assert list(tmp_path.iterdir()) == [path]


def test_who_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    replace_file(path, b"", mode=0o644)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
