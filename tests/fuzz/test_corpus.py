"""The corpus, what fuzzing started from and found, through every target; and that the targets notice."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import targets
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file())


def test_the_corpus_is_small_and_complete() -> None:
    assert {path.parent.name for path in INPUTS} == set(TARGETS)
    assert sum(path.stat().st_size for path in INPUTS) < 100_000


def test_every_function_that_the_network_feeds_is_reached() -> None:
    """Each function whose name ends in _untrusted is called by some target with an input of its corpus."""
    sources = (path for room in ("steering", "monitors", "geodata") for path in (ROOT / room).rglob("*.py"))
    fed = {(str(path), name) for path in sources for name in re.findall(r"def (\w+_untrusted)\(", path.read_text())}
    reached: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name.endswith("_untrusted"):
            reached.add((frame.f_code.co_filename, frame.f_code.co_name))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for path in INPUTS:
            TARGETS[path.parent.name](path.read_bytes())
    finally:
        sys.setprofile(before)
    assert fed
    assert fed - reached == set()


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_input_through_every_target(target: Callable[[bytes], None]) -> None:
    for path in INPUTS:
        data = path.read_bytes()
        try:
            target(data)
            target(data[: len(data) // 2])
        except Exception as error:
            raise AssertionError(path.name) from error


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@given(data=st.binary(max_size=200))
@settings(max_examples=30)
def test_any_bytes_through_every_target(target: Callable[[bytes], None], data: bytes) -> None:
    target(data)


def test_a_broken_promise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    packet = (CORPUS / "respond" / "www-a").read_bytes()
    for reply in (b"\xff" + packet[1:], packet, packet[:2] + b"\x80" + bytes(2000)):
        monkeypatch.setattr(targets, "respond", lambda *_, reply=reply: reply)
        with pytest.raises(AssertionError):
            TARGETS["respond"](packet)
