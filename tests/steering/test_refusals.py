"""The log of refusals: each thing once in a while, and never too many."""

from hypothesis import given
from hypothesis import strategies as st

from steering.refusals import LINES, WINDOW, RefusalLog


def test_the_same_is_told_once_in_a_while_and_what_was_left_out_is_counted() -> None:
    log = RefusalLog()
    assert log.take("a", 100.0) == ["a"]
    assert log.take("a", 101.0) == []
    assert log.take("b", 102.0) == ["b"]
    assert log.take("a", 100.0 + WINDOW - 1) == []
    assert log.take("a", 100.0 + WINDOW) == ["2 more, of these or others", "a"]
    assert log.take("b", 100.0 + 2 * WINDOW) == ["b"]


@given(st.lists(st.tuples(st.text(max_size=2), st.floats(0, 20)), max_size=200))
def test_there_are_never_more_lines_than_that(asked: list[tuple[str, float]]) -> None:
    log, now, told = RefusalLog(), 0.0, 0
    for text, pause in asked:
        now += pause
        told += len(log.take(text, now))
    assert told <= (LINES + 1) * (now // WINDOW + 1)
