import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors import history as history_module
from monitors.history import FAILURES, LAST, History, Past
from monitors.monitor import Reason, Result

KEY = ("web", "192.0.2.1")
OTHER = ("web", "192.0.2.2")


def result(up: bool, evidence: str = "", rtt: float | None = None) -> Result:
    return Result(up, Reason.OK if up else Reason.REFUSED, evidence, rtt)


def test_the_newest_first() -> None:
    history = History()
    assert (history.of(KEY), history.last(KEY)) == ((), None)
    history.add(KEY, result(True, "fine", 0.25), 1000.5)
    history.add(KEY, result(False, "refused"), 1010.5)
    history.add(OTHER, result(True), 1011.0)
    newest = Past(1010.5, False, Reason.REFUSED, "refused", None)
    assert history.of(KEY) == (newest, Past(1000.5, True, Reason.OK, "fine", 0.25))
    assert history.last(KEY) == newest


def test_failures_are_kept_longer() -> None:
    history = History()
    for second in range(1000):
        history.add(KEY, result(second % 30 != 0, str(second)), float(second))
    past = history.of(KEY)
    assert [each.time for each in past[:LAST]] == list(range(999, 899, -1))
    assert [each.time for each in past[LAST:]] == list(range(870, 870 - 30 * FAILURES, -30))
    assert all(each.evidence == f"{each.time:.0f}" for each in past)


def test_targets_that_are_gone_are_forgotten_with_what_they_said() -> None:
    history = History()
    for key in (KEY, OTHER):
        for second in range(200):
            history.add(key, result(False, f"{key} {second}"), float(second))
    history.keep({OTHER})
    assert history.of(KEY) == ()
    assert len(history.of(OTHER)) == LAST + FAILURES
    assert len(history._sayings._numbers) == LAST + FAILURES
    history.keep(())
    assert (history._sayings._numbers, history._sayings._bytes) == ({}, 0)


def test_without_room_for_evidence_the_rest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "EVIDENCE_BYTES", 30)
    history = History()
    for second in range(5):
        history.add(KEY, result(False, f"evidence {second}"), float(second))
    assert [each.evidence for each in history.of(KEY)] == ["", "", "evidence 2", "evidence 1", "evidence 0"]
    history.keep(())
    history.add(KEY, result(False, "there is room again"), 9.0)
    assert history.of(KEY)[0].evidence == "there is room again"


def test_the_table_of_sayings_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "SAYINGS", 2 * len(Reason) + 3)
    history = History()
    for number in range(10):
        for up in (True, False):
            history.add((str(number), "a"), result(up, f"{number} {up}"), 1.0)
    assert len(history._sayings._sayings) <= history_module.SAYINGS
    assert [past.up for past in history.of(("9", "a"))] == [False, True]


def test_a_result_takes_some_bytes() -> None:
    """Of 20,000 targets it is 2,400,000."""
    history = History()
    tracemalloc.start()
    for number in range(200):
        for second in range(LAST + FAILURES):
            history.add(("web", str(number)), result(False, "Connection refused"), float(second))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / 200 < 25 * (LAST + FAILURES)


@given(st.lists(st.tuples(st.sampled_from([KEY, OTHER]), st.booleans(), st.sampled_from("abc")), max_size=400))
def test_it_is_what_a_list_would_hold(results: list[tuple[tuple[str, str], bool, str]]) -> None:
    history = History()
    for second, (key, up, evidence) in enumerate(results):
        history.add(key, result(up, evidence), float(second))
    for wanted in (KEY, OTHER):
        seen = [(float(second), up, evidence) for second, (key, up, evidence) in enumerate(results) if key == wanted][
            ::-1
        ]
        expected = seen[:LAST] + [each for each in seen[LAST:] if not each[1]][:FAILURES]
        assert [(past.time, past.up, past.evidence) for past in history.of(wanted)] == expected
    held = sum(history._sayings._holders)
    assert held == len(history.of(KEY)) + len(history.of(OTHER))
