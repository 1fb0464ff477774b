"""The corpus, what fuzzing started from and found, through every target; and that the targets notice."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file())


def test_the_corpus_is_small_and_complete() -> None:
    assert {path.parent.name for path in INPUTS} == set(TARGETS)
    assert sum(path.stat().st_size for path in INPUTS) < 100_000


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_input_through_every_target(target: Callable[[bytes], None]) -> None:
    for path in INPUTS:
        data = path.read_bytes()
        try:
            target(data)
            target(data[: len(data) // 2])
        except Exception as error:
            raise AssertionError(path.name) from error
