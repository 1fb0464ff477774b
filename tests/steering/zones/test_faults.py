"""Tests of the zone store in bad times: loads that are killed, and disks that are full.

The kills are counted small here; `python -m tests.bench.zones --kills 50` does more of them.
"""

import itertools
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

import lmdb
import pytest

from steering.zones import store as store_module
from steering.zones.store import Store, StoreReader
from tests.steering.zones import versions
from tests.steering.zones.versions import check_garbage, check_snapshot, kill_loads, load_versions, open_store, store_of

NAMES = 3000
FEW = 300


@pytest.fixture(autouse=True)
def limits_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """`load_versions` sets them for its process, which here is that of all tests."""
    for name in ("BATCH", "DIFFERENCE_LIMIT"):
        monkeypatch.setattr(store_module, name, getattr(store_module, name))


def test_killed_loads(tmp_path: Path) -> None:
    """The old or the new zone is served, never a mixture; no start needs a repair; no garbage stays."""
    assert kill_loads(tmp_path, NAMES, kills=10, seed=4).served > 2


class DiedError(Exception):
    """The process would have ended here."""


class DyingEnvironment:
    """An LMDB environment whose user dies right after a commit."""

    def __init__(self, environment: lmdb.Environment, commits: int) -> None:
        self._environment = environment
        self._commits = commits

    @contextmanager
    def begin(self, *, write: bool = False) -> Iterator["lmdb.Transaction[bytes]"]:
        with self._environment.begin(write=write) as transaction:
            yield transaction
        self._commits -= write
        if not self._commits:
            raise DiedError


@pytest.mark.parametrize("first", [2, 1], ids=["difference", "whole"])
def test_death_after_each_commit(tmp_path: Path, first: int) -> None:
    """The moments between two transactions, one after the other."""
    store = open_store(tmp_path)
    load_versions(store, FEW, first)
    reader = StoreReader(store)
    dice = random.Random(2)
    for commits in itertools.count(1):
        version = check_snapshot(reader, FEW, dice)
        dying = copy(store)
        dying.environment = DyingEnvironment(store.environment, commits)  # type: ignore[assignment] # as far as used
        try:
            load_versions(dying, FEW, 1)
            break
        except DiedError:
            served = check_snapshot(reader, FEW, dice)
            assert served in (version, version + 1)
            load_versions(store, FEW, version + 2 - served)  # the next one is of the same kind again
            assert check_snapshot(reader, FEW, dice) == version + 2
            check_garbage(store, FEW, version + 2)
    assert (commits > 2) == (first == 1), "a difference is one commit"


def load(directory: Path, names: int, limit: int = resource.RLIM_INFINITY) -> "subprocess.CompletedProcess[str]":
    """Load the next version in a process whose files may have `limit` octets."""
    return subprocess.run(
        [sys.executable, "-m", versions.__name__, "load", str(directory), str(names), "1"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_full_disk(small_disk: Path) -> None:
    load_versions(open_store(small_disk), FEW, 1)
    reader = StoreReader(Store(store_of(small_disk)))
    ballast = small_disk / "ballast"
    write_until_full(ballast)
    failed = load(small_disk, FEW)
    assert failed.returncode == 1
    assert "(the disk has 0 MiB free)" in failed.stderr
    assert check_snapshot(reader, FEW, random.Random(1)) == 1
    ballast.unlink()
    assert load(small_disk, FEW).returncode == 0
    assert check_snapshot(reader, FEW, random.Random(1)) == 2


def write_until_full(path: Path) -> None:
    """What is left is less than a page."""
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("room", [0, 4, 64], ids="{} pages".format)
def test_a_store_that_cannot_grow(tmp_path: Path, room: int) -> None:
    """Wherever the writes begin to fail."""
    load_versions(open_store(tmp_path), FEW, 1)
    store = Store(store_of(tmp_path))
    reader = StoreReader(store)
    limit = (store_of(tmp_path) / "data.mdb").stat().st_size + room * 4096
    for _ in range(2):
        failed = load(tmp_path, 20 * FEW, limit)
        assert failed.returncode == 1
        assert str(store_of(tmp_path)) in failed.stderr
        assert "MiB free" in failed.stderr
        assert check_snapshot(reader, FEW, random.Random(1)) == 1
    assert load(tmp_path, 20 * FEW).returncode == 0
    assert check_snapshot(reader, 20 * FEW, random.Random(1)) == 2
