"""Fixtures of the tests of zones."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    if (
        shutil.which("mount") is None
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)], check=False, stderr=subprocess.DEVNULL
        ).returncode
    ):
        pytest.skip("mounting a file system takes privileges")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
