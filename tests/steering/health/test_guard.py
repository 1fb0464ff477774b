"""Tests of the guard: when states are held, and until when."""

from hypothesis import given
from hypothesis import strategies as st

from monitors.health import Key, Row, step
from monitors.monitor import Monitor, Reason, Result
from steering.health.guard import Episode, Guard

MONITOR = Monitor(name="web", interval=10, consecutive_down=2)
UP = Result(True, Reason.OK)
DOWN = Result(False, Reason.TIMEOUT)
WINDOW = 25.0


class Site:
    """Targets with their rows, and the guard that watches them."""

    def __init__(self, guard: Guard, targets: int, rows: dict[Key, Row] | None = None) -> None:
        self.keys = [("web", str(number)) for number in range(targets)]
        self.rows = {key: step(None, UP, MONITOR, 0.0) for key in self.keys} if rows is None else rows
        self.episode = Episode(guard, WINDOW, self.rows)

    def take(self, number: int, result: Result, now: float) -> bool:
        """A result of a target; whether a hold began or ended. What it puts back is put back."""
        key = self.keys[number]
        before = self.rows.get(key)
        self.rows[key] = row = step(before, result, MONITOR, now, hold=bool(self.episode.why))
        changed = self.episode.note(key, before, row, not result.up, now)
        if changed and self.episode.why:
            for fallen, (_, earlier) in self.episode.suspects.items():
                self.rows[fallen] = earlier
                self.episode.put_back(fallen)
        elif changed:
            self.episode.end()
        return changed

    def fail(self, *numbers: int, now: float) -> list[int]:
        """Let these fail; those with which a hold began or ended."""
        return [number for number in numbers if self.take(number, DOWN, now)]


def test_when_nearly_all_fail_at_once_states_are_held_and_what_fell_is_put_back() -> None:
    site = Site(Guard(), 10)
    assert site.fail(*range(5), now=100.0) == []
    assert site.fail(*range(5), now=110.0) == [], "five have fallen"
    assert sum(row.up for row in site.rows.values()) == 5
    assert site.fail(*range(5, 9), now=112.0) == [8]
    assert site.episode.why == "9 of 10 targets fail at once"
    assert all(row.up for row in site.rows.values())
    for now in (120.0, 130.0, 1000.0):
        assert site.fail(*range(9), now=now) == []
        assert all(row.up for row in site.rows.values())


def test_it_ends_when_enough_succeed_and_failures_count_anew() -> None:
    site = Site(Guard(), 10)
    site.fail(*range(10), now=100.0)
    assert site.episode.why
    assert not site.take(0, UP, 110.0), "9 of 10 is too many still"
    assert site.take(1, UP, 110.0)
    assert not site.episode.why
    assert site.fail(*range(2, 10), now=120.0) == []
    assert all(row.up for row in site.rows.values())
    site.fail(*range(2, 10), now=130.0)
    assert sum(row.up for row in site.rows.values()) == 2, "those are down indeed"


def test_what_fails_one_after_the_other_is_no_episode() -> None:
    site = Site(Guard(), 10)
    for number in range(10):
        for retry in range(5):
            assert not site.take(number, DOWN, 100.0 * (number + 1) + 10.0 * retry)
    assert not any(row.up for row in site.rows.values())


def test_what_was_down_before_does_not_count() -> None:
    rows = {("web", str(number)): step(None, DOWN if number < 90 else UP, MONITOR, 0.0) for number in range(100)}
    site = Site(Guard(), 100, rows)
    assert site.fail(*range(100), now=100.0) == [98]
    assert site.episode.why == "10 of 10 targets fail at once"


def test_few_targets_mean_nothing_and_0_switches_it_off() -> None:
    assert Site(Guard(), 9).fail(*range(9), now=100.0) == []
    assert Site(Guard(minimum_targets=0), 20).fail(*range(20), now=100.0) == []


def test_new_targets_are_not_held() -> None:
    site = Site(Guard(minimum_targets=2), 20, {})
    assert site.fail(*range(20), now=100.0) == []
    assert not any(row.up for row in site.rows.values())


REFERENCES = Guard(references=("192.0.2.1", "192.0.2.2"), reference_monitor="ping")


def test_with_references_only_their_silence_counts() -> None:
    site = Site(REFERENCES, 20)
    assert site.fail(*range(20), now=100.0) == []
    one, two = ("ping", "192.0.2.1"), ("ping", "192.0.2.2")
    assert not site.episode.note_reference(one, True)
    assert site.episode.note_reference(two, True)
    assert site.episode.why == "none of 2 references answers"
    assert site.episode.note_reference(one, False)
    assert not site.episode.why


def test_a_reload_goes_on_with_the_episode() -> None:
    site = Site(Guard(), 10)
    site.fail(*range(10), now=100.0)
    smaller = {key: row for key, row in site.rows.items() if key[1] != "3"}
    episode = Episode(Guard(), WINDOW, smaller)
    episode.inherit(site.episode, smaller)
    assert episode.why
    assert set(episode.suspects) == set(smaller)
    off = Episode(Guard(minimum_targets=0), WINDOW, smaller)
    off.inherit(site.episode, smaller)
    key = next(iter(smaller))
    assert off.note(key, smaller[key], smaller[key], False, 101.0)
    assert not off.why


def test_references_and_their_monitor_go_together() -> None:
    assert [key for key, _ in Guard(references=("192.0.2.1",)).problems()] == ["reference_monitor"]
    assert [key for key, _ in Guard(reference_monitor="ping").problems()] == ["references"]
    assert not list(REFERENCES.problems())
    assert not list(Guard().problems())


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.sampled_from([0.0, 1.0, 30.0])), max_size=60),
    st.sampled_from([0.5, 0.7, 1.0]),
)
def test_the_counters_are_what_a_count_would_find(events: list[tuple[int, bool, float]], failing: float) -> None:
    site = Site(Guard(failing=failing, minimum_targets=3), 6)
    now = 100.0
    for number, up, pause in events:
        now += pause
        held = bool(site.episode.why)
        before = {key for key, row in site.rows.items() if row.up}
        site.take(number, UP if up else DOWN, now)
        if held and site.episode.why:
            assert before <= {key for key, row in site.rows.items() if row.up}, "a held row never falls"
        ups = {key for key, row in site.rows.items() if row.up}
        fallen = set(site.episode.suspects) - ups
        share = len(site.episode.suspects) / max(1, len(ups | fallen))
        if not site.episode.why and len(ups | fallen) >= 3:
            assert share < failing
        if site.episode.why:
            assert share >= failing * 0.9 - 1e-9
            assert not fallen
