"""What a steering policy is: pools in order, some of them up, in; shares of the traffic out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Candidate(NamedTuple):
    """A pool that a policy may choose."""

    name: str
    up: bool
    weight: float
    room: float = 1.0
    """The part of its traffic that it takes, from 0 to 1."""
    rtt: float | None = None
    """Seconds."""


class Share(NamedTuple):
    """A chosen pool and its part of the traffic, relative to the other shares."""

    name: str
    weight: float


class Policy(NamedTuple):
    """One way to choose among pools; `choose` gives no shares when no pool can take traffic."""

    name: str
    by_place: bool
    """Whether the maps of pools (region_pools and the like) count."""
    in_order: bool
    """Whether the candidates after the last one chosen do not matter."""
    choose: Callable[[Sequence[Candidate]], tuple[Share, ...]]
    weighted: bool = False
    """Whether random_steering counts."""
    by_distance: bool = False
    """Whether the pools come in the order of their distance from the client."""
    by_key: bool = False
    """Whether a client always gets the same pool, as long as that is up."""


def choose_first_up(candidates: Sequence[Candidate]) -> tuple[Share, ...]:
    """Failover order: to the first pool that is up what it takes, of what is left to the next, and so on."""
    shares = []
    left = 1.0
    for candidate in candidates:
        if candidate.up and left > NEGLIGIBLE and left * candidate.room > 0:
            shares.append(Share(candidate.name, left * candidate.room))
            left *= 1 - candidate.room
    return tuple(shares)


def choose_by_weight(candidates: Sequence[Candidate]) -> tuple[Share, ...]:
    """By weight and by what each takes; pools that are down leave their share to the others; weight 0 gets nothing."""
    return tuple(
        Share(candidate.name, candidate.weight * candidate.room)
        for candidate in candidates
        if candidate.up and candidate.weight * candidate.room > 0
    )


NEGLIGIBLE = 1e-9
"""A share of the traffic that counts as none."""
