"""Pools: which of their origins can take traffic under the present health.

A pool with fewer healthy origins than `minimum_origins` is down. `enabled = false` removes an origin or a pool,
whatever its health; health only demotes. Without a monitor an origin is healthy, unless somebody has said otherwise.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from steering.records import RECORDS_BY_TYPE
from steering.records.a import A
from steering.records.aaaa import AAAA
from steering.settings import Origin, Pool, address_records


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


class PoolState(NamedTuple):
    """A pool under the present health."""

    up: bool
    enabled: tuple[Origin, ...]
    healthy: tuple[Origin, ...]
    flip_after: float
    """Seconds before the health of any origin can change; infinite without a monitor."""


def judge_pool(pool: Pool, health: Health) -> PoolState:
    """The state of a pool."""
    enabled = tuple(origin for origin in pool.origins if origin.enabled) if pool.enabled else ()
    verdicts = [health.get((pool.name, origin.name), _UNKNOWN) for origin in enabled]
    enabled = tuple(map(give_addresses, enabled, verdicts))
    healthy = tuple(origin for origin, verdict in zip(enabled, verdicts, strict=True) if verdict.up)
    flip_after = min((verdict.flip_after for verdict in verdicts), default=math.inf)
    return PoolState(len(healthy) >= pool.minimum_origins, enabled, healthy, flip_after)


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
    """What a pool answers: all of its healthy origins' records where its weights are equal, else one origin's.

    A type of which a name has only one record (CNAME) is always drawn. Weight 0 gets nothing, but where health is
    ignored the answer is never empty if any origin carries the type.
    """
    weights = {origin.weight for origin in state.enabled if rrtype in origin.records}
    candidates = [origin for origin in (state.enabled if ignore_health else state.healthy) if rrtype in origin.records]
    if len(weights) == 1 and not RECORDS_BY_TYPE[rrtype].singular and (ignore_health or weights != {0.0}):
        rdatas = tuple(rdata for origin in candidates for rdata in origin.records[rrtype])
        return (Draw(1.0, rdatas),) if rdatas else ()
    draws = tuple(Draw(origin.weight, origin.records[rrtype]) for origin in candidates if origin.weight > 0)
    if not draws and ignore_health:
        return tuple(Draw(1.0, origin.records[rrtype]) for origin in candidates)
    return draws
