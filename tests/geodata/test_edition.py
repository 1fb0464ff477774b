"""When a file that was replaced is read, and which one is older."""

from pathlib import Path

import pytest

from geodata.edition import Edition, EditionWatch, describe_older, look_at

FIRST = Edition("a.mmdb", 100, 1, 1)
SECOND = Edition("a.mmdb", 100, 2, 2)
OWN = Edition("own.csv", 10, 1, 3)


def built(edition: Edition, when: int) -> Edition:
    return Edition(edition.path, edition.size, edition.modified, edition.inode, when)


def test_a_file_is_another_edition_when_it_was_written_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.mmdb"
    path.write_bytes(b"x")
    first = look_at(str(path))
    assert first == look_at(str(path))
    path.write_bytes(b"xy")
    second = look_at(str(path))
    (tmp_path / "b").write_bytes(b"xy")
    (tmp_path / "b").replace(path)
    assert len({first, second, look_at(str(path))}) == 3
    with pytest.raises(FileNotFoundError):
        look_at(str(tmp_path / "absent"))


def test_it_is_read_when_it_has_stopped_changing_and_once() -> None:
    watch, in_use = EditionWatch(), (built(FIRST, 5), OWN)
    looks = [(FIRST, OWN), (FIRST, OWN), (SECOND, OWN), (built(SECOND, 0), OWN), (SECOND, OWN), (SECOND, OWN)]
    assert [watch.is_due(look, in_use) for look in looks] == [False, False, False, False, False, True]
    assert not watch.is_due((SECOND, OWN), in_use), "it was refused"
    assert not watch.is_due((SECOND, OWN), (built(SECOND, 6), OWN)), "or taken"


def test_one_that_has_gone_and_come_back() -> None:
    watch, in_use = EditionWatch(), (built(FIRST, 5),)
    looks = [(None,), (None,), (None,), (FIRST,), (FIRST,), (SECOND,), (SECOND,)]
    assert [watch.is_due(look, in_use) for look in looks] == [False, True, False, False, False, False, True]


def test_nothing_to_look_at() -> None:
    watch = EditionWatch()
    assert not any(watch.is_due((), ()) for _ in range(3))


def test_older_is_what_was_built_before_the_one_in_use() -> None:
    in_use = [built(FIRST, 1_750_000_000), OWN]
    for edition in (built(SECOND, 1_750_000_000), SECOND, OWN, built(OWN, 1), Edition("b.mmdb", 1, 1, 1, 1)):
        assert list(describe_older([edition], in_use)) == []
    assert list(describe_older([OWN, built(SECOND, 1_700_000_000)], in_use)) == [
        "a.mmdb: built 2023-11-14 22:13 UTC, older than the one in use, built 2025-06-15 15:06 UTC"
    ]
