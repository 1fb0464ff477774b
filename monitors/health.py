"""From results to health: Row, HealthTable, step().

Rules for this file: pure. Time comes in as an argument, every function returns a new value, nothing is
changed in place.
"""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from monitors.damping import damp, remember_flip
from monitors.monitor import Monitor, Reason, Result

Key = tuple[str, str]
"""(monitor name, endpoint): `Target.key`."""

SMOOTHING = 1 / 8
"""How much of an average round trip the last one makes (as RFC 6298 section 2)."""


class Row(msgspec.Struct, frozen=True):
    """The health of one address as one monitor sees it: what the checks say, whatever anybody has ordered.

    `up` is the state and `since` (Unix seconds) the moment it last changed. `streak` counts the last results
    in a row that disagree with `up`: 0 as long as they agree, and never as many as a flip needs. `reason`,
    `evidence` and `rtt` (seconds) are those of the last result, which may disagree with `up`; it came in at
    `checked`. `warning` and `certificate_expires` are those of the last good one.

    Of a host name, `addresses` are those that traffic may be sent to, each with how many results in a row it has
    failed in; they may be others when `addresses_ttl` seconds have passed.
    """

    up: bool
    streak: int
    since: float
    rtt: float | None
    reason: Reason
    evidence: str
    checked: float = 0.0
    warning: str = ""
    certificate_expires: float | None = None
    average_rtt: float | None = None
    """Seconds, smoothed over some ten results."""
    flips: int = 0
    """Since the start."""
    recent_flips: tuple[float, ...] = ()
    """Those that matter to damping."""
    damped: float | None = None
    """Since when it counts as down because it flips too often."""
    held: bool = False
    """Whether only a hold keeps the last result, a failure, from counting."""
    stale: bool = False
    """Whether it is from before a restart, and there was no result yet."""
    addresses: dict[str, int] = {}
    addresses_ttl: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether traffic may be sent there."""
        return self.up and self.damped is None


def step(row: Row | None, result: Result, monitor: Monitor, now: float, *, hold: bool = False) -> Row:
    """The row after `result`, which came in at `now` (Unix seconds). The first result decides the state at once; under
    a `hold`, no failure counts for what is up."""
    addresses = step_addresses(row.addresses if row else {}, result, monitor, hold=hold)
    if row is None:
        return Row(
            result.up,
            0,
            now,
            result.rtt,
            result.reason,
            result.evidence,
            now,
            result.warning,
            result.certificate_expires,
            result.rtt,
            addresses=addresses,
            addresses_ttl=result.addresses_ttl,
        )
    up, streak, since, flips, recent_flips, held = row.up, 0, row.since, row.flips, row.recent_flips, False
    if result.up != up:
        if hold and up:
            held = True
        elif results_needed(row, monitor) == 1:
            up, since, flips = result.up, now, flips + 1
            recent_flips = remember_flip(recent_flips, monitor, now)
        else:
            streak = row.streak + 1
    average = row.average_rtt
    if result.rtt is not None:
        average = result.rtt if average is None else average + (result.rtt - average) * SMOOTHING
    return Row(
        up,
        streak,
        since,
        result.rtt,
        result.reason,
        result.evidence,
        now,
        result.warning if result.up else row.warning,
        result.certificate_expires if result.up else row.certificate_expires,
        average,
        flips,
        recent_flips,
        damp(row.damped, recent_flips, since, monitor, now),
        held,
        addresses=addresses,
        addresses_ttl=result.addresses_ttl,
    )


def step_addresses(before: dict[str, int], result: Result, monitor: Monitor, *, hold: bool = False) -> dict[str, int]:
    """The addresses of a row after `result`.

    One that passes is in at once; one that fails is out when it has failed `consecutive_down` times in a row, and one
    that the name no longer has, at once. Without any that remains, the last ones stay: who ignores health needs some.
    Under a `hold` nothing that fails goes out.
    """
    failures = {address: before[address] + (not hold) for address in result.failed if address in before}
    spared = {address: count for address, count in failures.items() if hold or count < monitor.consecutive_down}
    return dict(sorted((dict.fromkeys(result.addresses, 0) | spared).items())) or before


def results_needed(row: Row, monitor: Monitor) -> int:
    """How many more results, at least 1, could flip the state: no TTL may outlive interval × this."""
    in_a_row = monitor.consecutive_down if row.up else monitor.consecutive_up
    return max(1, in_a_row - row.streak)


def seconds_to_flip(row: Row, monitor: Monitor, now: float) -> float:
    """The seconds that must pass before the result that could take something from an answer: change `row.healthy`, or
    one of the addresses of a host name. That one more is there can be known sooner, and does not make an answer wrong.
    The first result after a restart may come at any moment."""
    needed = results_needed(row, monitor)
    if row.up and row.addresses:
        needed = max(1, min(needed, monitor.consecutive_down - max(row.addresses.values())))
    seconds = monitor.interval * (needed - row.stale)
    if row.damped is not None:
        seconds = max(monitor.interval if row.up else seconds, row.since + monitor.damping_window - now)
    return seconds if row.addresses_ttl is None else min(seconds, row.addresses_ttl)


def recall(row: Row) -> Row:
    """A row that was kept over a restart: its state, without the results in a row, which are no longer in a row."""
    return msgspec.structs.replace(row, streak=0, flips=0, held=False, stale=True)


class HealthTable(Mapping[Key, Row]):
    """An immutable table of rows that is cheap to replace, as every result makes a new one.

    Recent rows are kept apart in a small dict; only that one is copied for each replacement, and it is folded
    into the large one when it has grown to about the square root of it. So a replacement costs some √n
    instead of n.
    """

    __slots__ = ("_recent", "_settled")

    def __init__(self, rows: Mapping[Key, Row] | None = None) -> None:
        self._settled: dict[Key, Row] = dict(rows or {})
        self._recent: dict[Key, Row] = {}

    def replace(self, rows: Mapping[Key, Row]) -> "HealthTable":
        """The table with `rows` added, or in the place of those that it had under the same keys."""
        table = HealthTable.__new__(HealthTable)
        table._settled, table._recent = self._settled, {**self._recent, **rows}
        if len(table._recent) ** 2 > len(table._settled) + 256:
            table._settled, table._recent = table._settled | table._recent, {}
        return table

    def keep(self, keys: Collection[Key]) -> "HealthTable":
        """The table without the rows whose key is not among `keys` (a set, if they are many)."""
        return HealthTable({key: row for key, row in self.items() if key in keys})

    def __getitem__(self, key: Key) -> Row:
        row = self._recent.get(key)
        return self._settled[key] if row is None else row

    def __iter__(self) -> Iterator[Key]:
        yield from self._settled
        yield from self._recent.keys() - self._settled.keys()

    def __len__(self) -> int:
        return len(self._settled) + len(self._recent.keys() - self._settled.keys())
