"""Judgement: from the rows of an origin's monitors and what people have ordered to how the origin counts.

Pure. Times are Unix seconds.

An origin is watched by one monitor, or by a group. In a group each member but those that only watch has a vote: the
origin is down when more than half of the votes say so, or one that must be healthy. A member without a result has none.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from monitors.health import Key, Row, seconds_to_flip
from monitors.monitor import Monitor, Target
from steering.balance.pools import Verdict
from steering.health.orders import Cause, Order

Role = Literal["must be healthy", "votes", "only watches"]

RTT_CHANGE, RTT_MINIMUM = 0.2, 0.001
"""A round trip is told again when it has changed by this part of it, and by so many seconds."""


class Watch(NamedTuple):
    """One monitor's look at an origin."""

    target: Target
    role: Role

    @property
    def monitor(self) -> Monitor:
        """The monitor that looks."""
        return self.target.monitor

    @property
    def key(self) -> Key:
        """That of its row."""
        return self.target.key


class OriginState(msgspec.Struct, frozen=True):
    """How an origin counts, and why."""

    up: bool
    since: float
    cause: Cause = ""
    flip_after: float = math.inf
    """Seconds that must pass before `up` can change."""
    share: float = 1.0
    """How much of its traffic it takes, from 0 to 1."""
    checks: bool | None = None
    """What the checks say, whatever is ordered; None: nothing yet."""
    reason: str = ""
    evidence: str = ""
    rtt: float | None = None
    """Seconds; the last one, or the mean of the votes of a group."""
    average_rtt: float | None = None
    addresses: tuple[str, ...] = ()
    """Of an origin whose address is a host name: those that traffic may be sent to."""
    order: Order | None = None


def judge_watches(watches: Sequence[Watch], table: Mapping[Key, Row], now: float) -> OriginState | None:
    """What the checks of an origin say; None before the first result."""
    if len(watches) == 1:
        watch = watches[0]
        row = table.get(watch.key)
        if row is None:
            return None
        since = row.since if row.damped is None else row.damped
        cause: Cause = "damped" if row.damped is not None else "held" if row.held else "stale" if row.stale else ""
        return OriginState(
            row.healthy,
            since,
            cause,
            seconds_to_flip(row, watch.monitor, now),
            1.0,
            row.healthy,
            row.reason,
            row.evidence,
            row.rtt,
            row.average_rtt,
            tuple(row.addresses),
        )
    return _judge_group(watches, table, now)


def judge_origin(checked: OriginState | None, order: Order | None) -> OriginState | None:
    """How an origin counts for which something may be ordered; None: nothing is known of it."""
    if order is None:
        return checked
    base = OriginState(True, order.since) if checked is None else checked
    if order.up is None:
        return msgspec.structs.replace(
            base,
            cause=order.cause or base.cause,
            share=order.share,
            flip_after=min(base.flip_after, order.flip_after),
            order=order,
        )
    return msgspec.structs.replace(
        base, up=order.up, since=order.since, cause=order.cause, flip_after=order.flip_after, order=order
    )


def make_verdict(state: OriginState, before: Verdict | None) -> Verdict:
    """What answers need to know; a round trip that has hardly changed is that of `before`."""
    rtt = state.average_rtt
    if before is not None and before.rtt is not None and rtt is not None:
        tolerance = max(before.rtt * RTT_CHANGE, RTT_MINIMUM)
        rtt = before.rtt if abs(rtt - before.rtt) <= tolerance else rtt
    return Verdict(state.up, state.flip_after, state.share, rtt, state.addresses, state.cause)


def _judge_group(watches: Sequence[Watch], table: Mapping[Key, Row], now: float) -> OriginState | None:
    all_votes = [(watch, table.get(watch.key)) for watch in watches if watch.role != "only watches"]
    votes = [(watch, row) for watch, row in all_votes if row is not None]
    if not votes:
        return None
    good = [(watch, row) for watch, row in votes if row.healthy]
    bad = [(watch, row) for watch, row in votes if not row.healthy]
    objections = [(watch, row) for watch, row in bad if watch.role == "must be healthy"]
    tolerated = len(votes) // 2
    up = not objections and len(bad) <= tolerated

    def seconds(those: Sequence[tuple[Watch, Row]]) -> list[float]:
        return sorted(seconds_to_flip(row, watch.monitor, now) for watch, row in those)

    if len(votes) < len(all_votes):
        flip_after = 0.0  # a first result may come at any moment
    elif up:
        # One that must be healthy is enough; of the others, so many that more than half say down.
        alone = seconds([vote for vote in good if vote[0].role == "must be healthy"])
        flip_after = min([*alone[:1], seconds(good)[tolerated - len(bad)]])
    else:
        # Everyone who objects must have changed their mind, and so many others that no more than half say down.
        missing = len(bad) - tolerated
        flip_after = max([*seconds(objections)[-1:], *(seconds(bad)[missing - 1 : missing] if missing > 0 else ())])
    watch, row = (objections or (good if up else bad))[0]
    rows = [row for _, row in votes]
    agreeing = [row for row in rows if row.healthy == up]
    cause: Cause = ""
    if not up and any(row.damped is not None for row in agreeing):
        cause = "damped"
    elif any(row.held for row in rows):
        cause = "held"
    elif any(row.stale for row in rows):
        cause = "stale"
    return OriginState(
        up,
        max(row.since if row.damped is None else row.damped for row in agreeing),
        cause,
        flip_after,
        1.0,
        up,
        row.reason,
        f"{watch.monitor.name}: {row.evidence}" if row.evidence else watch.monitor.name,
        _mean([row.rtt for row in rows]),
        _mean([row.average_rtt for row in rows]),
        _share_addresses(rows),
    )


def _share_addresses(rows: Sequence[Row]) -> tuple[str, ...]:
    """Those that are good in every vote, or if there are none, in any."""
    each = [row.addresses.keys() for row in rows]
    return tuple(sorted(set.intersection(*map(set, each)) or set().union(*each)))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
