import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.health import HealthTable, Key, Row, recall, results_needed, seconds_to_flip, step
from monitors.monitor import Monitor, Reason, Result

UP = Result(True, Reason.OK, "fine", 0.02)
DOWN = Result(False, Reason.REFUSED, "Connection refused")


def run(results: str, up: int, down: int) -> Row:
    """The row after `results` ("+" up, "-" down), one a second from 1,000 on."""
    monitor = Monitor(name="m", consecutive_up=up, consecutive_down=down)
    row = None
    for second, result in enumerate(results):
        row = step(row, UP if result == "+" else DOWN, monitor, 1000.0 + second)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("results", "up", "down", "state", "streak", "since"),
    [
        ("+", 3, 3, True, 0, 1000),
        ("-", 3, 3, False, 0, 1000),
        ("+-", 0, 0, False, 0, 1001),
        ("+-", 0, 1, False, 0, 1001),
        ("-+", 1, 0, True, 0, 1001),
        ("+-", 0, 2, True, 1, 1000),
        ("+--", 0, 2, False, 0, 1002),
        ("+-+-", 0, 2, True, 1, 1000),
        ("+-+--", 0, 2, False, 0, 1004),
        ("-++", 3, 0, False, 2, 1000),
        ("-+++", 3, 0, True, 0, 1003),
        ("-+++++", 3, 0, True, 0, 1003),
        ("+----", 2, 10, True, 4, 1000),
    ],
)
def test_step(results: str, up: int, down: int, state: bool, streak: int, since: float) -> None:
    row = run(results, up, down)
    assert (row.up, row.streak, row.since) == (state, streak, since)


def test_the_row_tells_the_last_result() -> None:
    row = run("+-", 0, 3)
    assert (row.up, row.reason, row.evidence, row.rtt) == (True, Reason.REFUSED, "Connection refused", None)
    assert run("-+", 3, 0).rtt == 0.02


@pytest.mark.parametrize(
    ("results", "up", "down", "needed"),
    [
        ("+", 5, 0, 1),
        ("+", 5, 1, 1),
        ("+", 5, 3, 3),
        ("+-", 5, 3, 2),
        ("+--", 5, 3, 1),
        ("+---", 5, 3, 5),
        ("-+", 5, 3, 4),
    ],
)
def test_results_needed(results: str, up: int, down: int, needed: int) -> None:
    assert results_needed(run(results, up, down), Monitor(name="m", consecutive_up=up, consecutive_down=down)) == needed


@given(
    st.lists(st.sampled_from([UP, DOWN]), min_size=1, max_size=30),
    st.integers(0, 4),
    st.integers(0, 4),
    st.data(),
)
def test_no_flip_comes_before_the_results_needed_for_it(
    results: list[Result], up: int, down: int, data: st.DataObject
) -> None:
    monitor = Monitor(name="m", consecutive_up=up, consecutive_down=down)
    row = step(None, results[0], monitor, 0.0)
    for result in results[1:]:
        row = step(row, result, monitor, 1.0)
    needed = results_needed(row, monitor)
    flipped = row
    for _ in range(needed - 1):
        flipped = step(flipped, data.draw(st.sampled_from([UP, DOWN])), monitor, 2.0)
        assert flipped.up == row.up
    for _ in range(needed):
        row = step(row, DOWN if flipped.up else UP, monitor, 2.0)
    assert row.up != flipped.up


def test_a_shorter_streak_in_new_settings_counts_at_once() -> None:
    row = run("+--", 0, 5)
    sooner = Monitor(name="m", consecutive_down=2)
    assert results_needed(row, sooner) == 1
    assert not step(row, DOWN, sooner, 0.0).up


def row_of(number: int) -> Row:
    return Row(True, 0, float(number), None, Reason.OK, "")


@given(st.lists(st.dictionaries(st.tuples(st.just("m"), st.sampled_from("abcdefghij")), st.integers(), max_size=4)))
def test_a_table_is_what_was_put_into_it(changes: list[dict[Key, int]]) -> None:
    table, model = HealthTable(), dict[Key, Row]()
    for change in changes:
        before = dict(table)
        rows = {key: row_of(number) for key, number in change.items()}
        newer = table.replace(rows)
        assert dict(table) == before
        table, model = newer, model | rows
        assert table == model
        assert len(table) == len(list(table)) == len(model)


def test_a_large_table_is_folded_and_complete() -> None:
    table = HealthTable({("m", str(number)): row_of(0) for number in range(1000)})
    for number in range(2000):
        table = table.replace({("m", str(number)): row_of(number)})
    assert len(table) == 2000
    assert all(table["m", str(number)].since == number for number in range(2000))
    assert ("m", "2000") not in table


def test_keep_drops_the_other_rows() -> None:
    table = HealthTable({("m", "a"): row_of(1)}).replace({("m", "b"): row_of(2)})
    assert table.keep({("m", "b"), ("m", "c")}) == {("m", "b"): row_of(2)}
    assert len(table) == 2


HOST = Monitor(name="m", interval=10, consecutive_down=3)


def resolved(passed: str, failed: str = "", ttl: float | None = 60) -> Result:
    """A result of a host name with these addresses."""
    reason = Reason.OK if passed else Reason.REFUSED
    return Result(
        bool(passed), reason, addresses=tuple(passed.split()), failed=tuple(failed.split()), addresses_ttl=ttl
    )


UNKNOWN = Result(False, Reason.NAME_UNKNOWN, "no name server could answer")


@pytest.mark.parametrize(
    ("results", "addresses", "seconds"),
    [
        ([resolved("b a")], {"a": 0, "b": 0}, 30),
        ([resolved("a", "b")], {"a": 0}, 30),
        ([resolved("a b"), resolved("a", "b")], {"a": 0, "b": 1}, 20),
        ([resolved("a b"), *[resolved("a", "b")] * 2], {"a": 0, "b": 2}, 10),
        ([resolved("a b"), *[resolved("a", "b")] * 3], {"a": 0}, 30),
        ([resolved("a b"), resolved("a", "b"), resolved("a b")], {"a": 0, "b": 0}, 30),
        ([resolved("a b"), resolved("a")], {"a": 0}, 30),
        ([resolved("a b"), resolved("", "a b")], {"a": 1, "b": 1}, 20),
        ([resolved("a b"), *[resolved("", "a b")] * 3], {"a": 2, "b": 2}, 10),
        ([resolved("a b"), UNKNOWN], {"a": 0, "b": 0}, 20),
        ([resolved("a", ttl=15)], {"a": 0}, 15),
        ([UNKNOWN], {}, 10),
    ],
)
def test_the_addresses_of_a_host(results: list[Result], addresses: dict[str, int], seconds: float) -> None:
    row = None
    for result in results:
        row = step(row, result, HOST, 1000.0)
    assert row is not None
    assert row.addresses == addresses
    assert seconds_to_flip(row, HOST, 1000.0) == seconds


@given(st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc"))), min_size=1))
def test_an_address_that_passes_is_in_and_one_that_the_name_has_lost_is_out(
    given: list[tuple[set[str], set[str]]],
) -> None:
    row = None
    for passed, failed in given:
        row = step(row, resolved(" ".join(passed), " ".join(failed - passed)), HOST, 1000.0)
        assert passed <= row.addresses.keys()
        assert not passed or row.addresses.keys() <= passed | failed
        assert all(0 <= count < 3 for count in row.addresses.values())
        assert seconds_to_flip(row, HOST, 1000.0) > 0


def test_the_row_remembers_the_last_certificate_that_was_seen() -> None:
    monitor = Monitor(name="m")
    row = step(None, Result(True, Reason.OK, warning="3 days", certificate_expires=5e8), monitor, 1.0)
    row = step(row, DOWN, monitor, 2.0)
    assert (row.warning, row.certificate_expires, row.checked) == ("3 days", 5e8, 2.0)
    row = step(row, UP, monitor, 3.0)
    assert (row.warning, row.certificate_expires, row.checked) == ("", None, 3.0)


def test_the_average_round_trip_is_smooth() -> None:
    monitor = Monitor(name="m")
    row = step(None, Result(True, Reason.OK, rtt=0.8), monitor, 1.0)
    row = step(row, Result(True, Reason.OK, rtt=0.0), monitor, 2.0)
    assert row.rtt == 0
    assert row.average_rtt == pytest.approx(0.7)
    assert step(row, DOWN, monitor, 3.0).average_rtt == pytest.approx(0.7)


@given(st.lists(st.sampled_from([UP, DOWN]), min_size=1, max_size=30), st.integers(0, 3), st.integers(0, 3))
def test_a_held_row_never_falls_and_starts_anew_after_it(results: list[Result], up: int, down: int) -> None:
    monitor = Monitor(name="m", consecutive_up=up, consecutive_down=down)
    row = step(None, UP, monitor, 0.0)
    for result in results:
        row = step(row, result, monitor, 1.0, hold=True)
        assert (row.up, row.streak, row.held, row.reason) == (True, 0, not result.up, result.reason)
    assert results_needed(row, monitor) == max(1, down)
    assert step(row, UP, monitor, 2.0).held is False


def test_what_is_down_can_rise_while_states_are_held() -> None:
    monitor = Monitor(name="m", consecutive_up=2)
    row = step(None, DOWN, monitor, 0.0, hold=True)
    assert not row.up
    row = step(step(row, UP, monitor, 1.0, hold=True), UP, monitor, 2.0, hold=True)
    assert row.up


def test_over_a_restart_the_state_is_kept_and_the_streak_is_not() -> None:
    monitor = Monitor(name="m", interval=10, consecutive_down=3)
    row = recall(run("+-", 0, 3))
    assert (row.up, row.streak, row.stale, row.since, row.reason) == (True, 0, True, 1000.0, Reason.REFUSED)
    assert seconds_to_flip(row, monitor, 2000.0) == 20, "the first result comes at once"
    row = step(row, DOWN, monitor, 2000.0)
    assert (row.up, row.streak, row.stale) == (True, 1, False)
    assert seconds_to_flip(row, monitor, 2000.0) == 20
