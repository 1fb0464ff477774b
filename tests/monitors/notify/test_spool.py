import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.notify.event import Message
from monitors.notify.grouping import Condition, Grouping
from monitors.notify.spool import DAMAGED_FILES, GROUPING_FILE, Spool, _decode_untrusted
from tests.monitors.notify.sample import MORNING, event, message


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_is_put_is_loaded_in_order_until_it_is_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a" / "ops")
    assert spool.load() == (Grouping(), [])
    paths = [spool.put(message(identifier=str(number))) for number in range(12)]
    spool.remove(paths[3])
    spool.remove(paths[3])
    again = Spool(tmp_path / "a" / "ops")
    _, kept = again.load()
    assert [path for path, _ in kept] == paths[:3] + paths[4:]
    assert [found.identifier for _, found in kept] == ["0", "1", "2", *map(str, range(4, 12))]
    assert again.put(message()) > paths[-1]


def test_the_grouping_is_kept_whole(tmp_path: Path) -> None:
    grouping = Grouping((event(),), {"down": 3}, MORNING, {"down\nmail\nmx1": Condition(event(), MORNING)})
    spool = Spool(tmp_path)
    spool.load()
    spool.keep(Grouping())
    spool.keep(grouping)
    assert Spool(tmp_path).load() == (grouping, [])
    assert names(tmp_path) == [GROUPING_FILE]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "ops")
    spool.load()
    assert (tmp_path / "ops").stat().st_mode & 0o777 == 0o700
    assert spool.put(message()).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\xff",
        b"[]",
        b"[" * 100_000,
        b'{"identifier":"a","notifier":"ops","made":0,"events":[],"waiting":1}',
        b'"\xff"',
    ],
    ids=["empty", "binary", "other", "deep", "no event", "not UTF-8"],
)
def test_what_is_damaged_is_set_aside_and_logged(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path)
    spool.load()
    good = spool.put(message())
    (tmp_path / "000000000007.json").write_bytes(content)
    (tmp_path / GROUPING_FILE).write_bytes(content)
    grouping, kept = Spool(tmp_path).load()
    assert (grouping, [path for path, _ in kept]) == (Grouping(), [good])
    assert names(tmp_path) == [good.name, "000000000007.json.damaged", f"{GROUPING_FILE}.damaged"]
    assert [record.getMessage().count("is set aside") for record in caplog.records] == [1, 1]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    spool.load()
    path = spool.put(message())
    monkeypatch.setattr("monitors.notify.spool.LARGEST_FILE", path.stat().st_size - 1)
    assert spool.load() == (Grouping(), [])
    assert names(tmp_path) == [f"{path.name}.damaged"]


def test_a_folder_in_its_place_is_set_aside_too(tmp_path: Path) -> None:
    (tmp_path / "000000000001.json").mkdir()
    assert Spool(tmp_path).load() == (Grouping(), [])
    assert names(tmp_path) == ["000000000001.json.damaged"]


def test_only_some_damaged_files_are_kept(tmp_path: Path) -> None:
    for number in range(DAMAGED_FILES + 10):
        (tmp_path / f"{number:012}.json").write_text("x")
    Spool(tmp_path).load()
    assert len(names(tmp_path)) == DAMAGED_FILES


def test_what_was_not_finished_is_removed(tmp_path: Path) -> None:
    (tmp_path / "000000000001.json.new").write_text("{")
    assert Spool(tmp_path).load() == (Grouping(), [])
    assert names(tmp_path) == []


@given(st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(msgspec.json.encode))
def test_any_bytes_are_a_value_or_one_error(content: bytes) -> None:
    for kind in (Message, Grouping):
        try:
            assert isinstance(_decode_untrusted(content, kind), kind)
        except msgspec.DecodeError:
            pass


WRITER = """
import sys
from pathlib import Path
from monitors.notify.grouping import Grouping
from monitors.notify.spool import Spool
from tests.monitors.notify.sample import message

spool = Spool(Path(sys.argv[1]))
spool.load()
number = 0
while True:
    spool.put(message(identifier=str(number)))
    spool.keep(Grouping(omitted={"down": number}))
    print(number, flush=True)
    number += 1
"""


def test_kill_9_in_the_middle_of_writing_loses_nothing_that_was_put(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], cwd=root, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        last = [int(writer.stdout.readline()) for _ in range(50)][-1]
        writer.send_signal(signal.SIGKILL)
    grouping, kept = Spool(tmp_path).load()
    assert [found.identifier for _, found in kept][: last + 1] == [str(number) for number in range(last + 1)]
    assert grouping.omitted["down"] >= last
    assert not [name for name in names(tmp_path) if not name.endswith(".json")]
