"""Pools: which of their origins can take traffic under the present health.

A pool with fewer healthy origins than `minimum_origins` is down. `enabled = false` removes an origin or a pool,
whatever its health; health only demotes. Without a monitor an origin is healthy, unless somebody has said otherwise.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from steering.balance.policies import NEGLIGIBLE
from steering.records import RECORDS_BY_TYPE
from steering.records.a import A
from steering.records.aaaa import AAAA
from steering.settings import Origin, OriginSteering, Pool, address_records


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """What health says of one origin, as far as answers are concerned."""

    up: bool
    flip_after: float
    """Seconds that must pass before the next result that could change `up`: interval × results still needed."""
    share: float = 1.0
    """How much of its traffic it takes, from 0 to 1."""
    rtt: float | None = None
    """The round trip of its checks, in seconds."""
    addresses: tuple[str, ...] = ()
    """Of an origin whose address is a host name: those that pass."""
    cause: str = ""
    """Why it counts otherwise than by its checks alone, for explanations: "forced", "maintenance", "held" …"""


Health = Mapping[tuple[str, str], Verdict]
"""(pool, origin) -> Verdict; what is not in it has no result yet and counts as up, as nobody starts on a guess."""

_UNKNOWN = Verdict(True, math.inf)


class Draw(NamedTuple):
    """One possible content of an answer and how often it is drawn, relative to the others."""

    weight: float
    rdatas: tuple[bytes, ...]
    origins: tuple[Origin, ...] = ()
    """Whose they are."""


class PoolState(NamedTuple):
    """A pool under the present health."""

    up: bool
    enabled: tuple[Origin, ...]
    healthy: tuple[Origin, ...]
    flip_after: float
    """Seconds before the health of any origin can change; infinite without a monitor."""
    room: float = 1.0
    """The part of its traffic that the pool takes."""
    shares: tuple[float, ...] = ()
    """What each healthy origin takes beside the one that takes most, from 0 to 1; empty: all the same."""
    rtt: float | None = None
    """Seconds: the mean of the healthy origins of which it is known."""
    steering: OriginSteering = OriginSteering()
    shed_by_key: bool = False
    """Whether a client always is on the same side of `room`."""


def judge_pool(pool: Pool, health: Health) -> PoolState:
    """The state of a pool. An origin whose share is 0 counts as down.

    A pool takes as much as the one of its origins that takes most: as one comes back or is drained, its traffic is the
    other origins'; only when all of them do less, so does the pool.
    """
    enabled = tuple(origin for origin in pool.origins if origin.enabled) if pool.enabled else ()
    verdicts = [health.get((pool.name, origin.name), _UNKNOWN) for origin in enabled]
    enabled = tuple(map(give_addresses, enabled, verdicts))
    flip_after = min((verdict.flip_after for verdict in verdicts), default=math.inf)
    passing = [
        (origin, verdict)
        for origin, verdict in zip(enabled, verdicts, strict=True)
        if verdict.up and verdict.share > NEGLIGIBLE
    ]
    healthy = tuple(origin for origin, _ in passing)
    room = max((verdict.share for _, verdict in passing), default=1.0)
    shares = tuple(verdict.share / room for _, verdict in passing)
    rtts = [verdict.rtt for _, verdict in passing if verdict.rtt is not None]
    room_left = room * (1 - pool.load_shedding.default_percent / 100)
    return PoolState(
        len(healthy) >= pool.minimum_origins and room_left > NEGLIGIBLE,
        enabled,
        healthy,
        flip_after,
        room_left,
        () if all(share == 1 for share in shares) else shares,
        sum(rtts) / len(rtts) if rtts else None,
        pool.origin_steering,
        pool.load_shedding.default_policy == "hash",
    )


def give_addresses(origin: Origin, verdict: Verdict) -> Origin:
    """An origin with the A and AAAA records of the addresses that its host name has, unless that type was given."""
    if not (origin.is_host and verdict.addresses):
        return origin
    return msgspec.structs.replace(origin, records=address_records(verdict.addresses) | origin.records)


def carries(pool: Pool, rrtype: int) -> bool:
    """Whether any enabled origin of an enabled pool has records of that type, or a host name that may have."""
    may_have = rrtype in (A.type, AAAA.type)
    return pool.enabled and any(
        origin.enabled and (rrtype in origin.records or (may_have and origin.is_host)) for origin in pool.origins
    )


def draw_origins(state: PoolState, rrtype: int, *, ignore_health: bool = False) -> tuple[Draw, ...]:
    """What a pool answers: all of its healthy origins' records where its policy and weights say so, else one origin's.

    A type of which a name has only one record (CNAME) is always drawn. Weight 0 gets nothing, but where health is
    ignored the answer is never empty if any origin carries the type.
    """
    weights = {origin.weight for origin in state.enabled if rrtype in origin.records}
    origins = state.enabled if ignore_health else state.healthy
    shares = (1.0,) * len(origins) if ignore_health or not state.shares else state.shares
    candidates = [(origin, share) for origin, share in zip(origins, shares, strict=True) if rrtype in origin.records]
    if _draws_all(state.steering, weights, rrtype) and (ignore_health or weights != {0.0}):
        return tuple(
            Draw(weight, _join(chosen, rrtype), chosen)
            for weight, chosen in _draw_together(candidates, state.steering.max_answers)
        )
    draws = tuple(
        Draw(origin.weight * share, origin.records[rrtype], (origin,))
        for origin, share in candidates
        if origin.weight * share > 0
    )
    if not draws and ignore_health:
        return tuple(Draw(1.0, origin.records[rrtype], (origin,)) for origin, _ in candidates)
    return draws


def _draws_all(steering: OriginSteering, weights: Collection[float], rrtype: int) -> bool:
    """Whether an answer has the records of several origins, whose weights are these."""
    return steering.policy == "all" and len(weights) == 1 and not RECORDS_BY_TYPE[rrtype].singular


def _draw_together(
    candidates: Sequence[tuple[Origin, float]], most: int | None
) -> Iterator[tuple[float, tuple[Origin, ...]]]:
    """Origins that are answered together, and how often: each as often as its share says, and at most so many.

    Nested sets do that: with 1, 0.5 and 0.2 three answers of ten have the first alone, three the first two, and two
    all. Where there are too many, each as often as any other begins a row of them.
    """
    levels = sorted({share for _, share in candidates}, reverse=True)
    for level, next_level in zip(levels, (*levels[1:], 0.0), strict=False):
        chosen = tuple(origin for origin, share in candidates if share >= level)
        weight = level - next_level
        if most is None or most >= len(chosen):
            yield weight, chosen
            continue
        for first in range(len(chosen)):
            yield weight / len(chosen), (*chosen, *chosen)[first : first + most]


def _join(origins: Iterable[Origin], rrtype: int) -> tuple[bytes, ...]:
    return tuple(rdata for origin in origins for rdata in origin.records[rrtype])
