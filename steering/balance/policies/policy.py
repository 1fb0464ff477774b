"""What a steering policy is: pools in order, some of them up, in; shares of the traffic out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Candidate(NamedTuple):
    """A pool that a policy may choose."""

    name: str
    up: bool
    weight: float


class Share(NamedTuple):
    """A chosen pool and its part of the traffic, relative to the other shares."""

    name: str
    weight: float


class Policy(NamedTuple):
    """One way to choose among pools; `choose` gives no shares when no pool can take traffic."""

    name: str
    by_place: bool
    """Whether the place of the client decides which pools are candidates."""
    in_order: bool
    """Whether the candidates after the chosen one do not matter."""
    choose: Callable[[Sequence[Candidate]], tuple[Share, ...]]


def choose_first_up(candidates: Sequence[Candidate]) -> tuple[Share, ...]:
    """Failover order: all traffic to the first pool that is up."""
    return next(((Share(candidate.name, 1.0),) for candidate in candidates if candidate.up), ())
