"""From results to health: Row, HealthTable, step().

Rules for this file: pure. Time comes in as an argument, every function returns a new value, nothing is
changed in place.
"""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from monitors.monitor import Monitor, Reason, Result

Key = tuple[str, str]
"""(monitor name, endpoint): `Target.key`."""


class Row(msgspec.Struct, frozen=True):
    """The health of one address as one monitor sees it.

    `up` is the state and `since` (Unix seconds) the moment it last changed. `streak` counts the last results
    in a row that disagree with `up`: 0 as long as they agree, and never as many as a flip needs. `reason`,
    `evidence` and `rtt` (seconds) are those of the last result, which may disagree with `up`. `forced` is an
    operator's word; it wins over `up`, and results go on being counted beneath it.

    Of a host name, `addresses` are those that traffic may be sent to, each with how many results in a row it has
    failed in; they may be others when `addresses_ttl` seconds have passed.
    """

    up: bool
    streak: int
    since: float
    rtt: float | None
    reason: Reason
    evidence: str
    forced: bool | None = None
    addresses: dict[str, int] = {}
    addresses_ttl: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether traffic may be sent there: the forced state if there is one, else the state."""
        return self.up if self.forced is None else self.forced


def step(row: Row | None, result: Result, monitor: Monitor, now: float) -> Row:
    """The row after `result`, which came in at `now` (Unix seconds). The first result decides the state at
    once."""
    addresses = step_addresses(row.addresses if row else {}, result, monitor)
    if row is None:
        return Row(
            result.up,
            0,
            now,
            result.rtt,
            result.reason,
            result.evidence,
            addresses=addresses,
            addresses_ttl=result.addresses_ttl,
        )
    if result.up == row.up:
        up, streak, since = row.up, 0, row.since
    elif results_needed(row, monitor) == 1:
        up, streak, since = result.up, 0, now
    else:
        up, streak, since = row.up, row.streak + 1, row.since
    return Row(
        up, streak, since, result.rtt, result.reason, result.evidence, row.forced, addresses, result.addresses_ttl
    )


def step_addresses(before: dict[str, int], result: Result, monitor: Monitor) -> dict[str, int]:
    """The addresses of a row after `result`.

    One that passes is in at once; one that fails is out when it has failed `consecutive_down` times in a row, and one
    that the name no longer has, at once. Without any that remains, the last ones stay: who ignores health needs some.
    """
    failures = {address: before[address] + 1 for address in result.failed if address in before}
    spared = {address: count for address, count in failures.items() if count < monitor.consecutive_down}
    return dict(sorted((dict.fromkeys(result.addresses, 0) | spared).items())) or before


def results_needed(row: Row, monitor: Monitor) -> int:
    """How many more results, at least 1, could flip the state: no TTL may outlive interval × this."""
    in_a_row = monitor.consecutive_down if row.up else monitor.consecutive_up
    return max(1, in_a_row - row.streak)


def flip_after(row: Row, monitor: Monitor) -> float:
    """Seconds that must pass before the next result that could take something from an answer: the state, or one of
    the addresses of a host name. That one more is there can be known sooner, and does not make an answer wrong."""
    needed = results_needed(row, monitor)
    if row.up and row.addresses:
        needed = max(1, min(needed, monitor.consecutive_down - max(row.addresses.values())))
    seconds = monitor.interval * needed
    return seconds if row.addresses_ttl is None else min(seconds, row.addresses_ttl)


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
