"""The table of kinds."""

from pathlib import Path

import geodata.sources
from geodata.sources import SOURCES


def test_every_file_is_in_the_table() -> None:
    files = {path.stem for path in Path(geodata.sources.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(SOURCES)
    assert all(read.__module__ == f"geodata.sources.{name}" for name, read in SOURCES.items())
