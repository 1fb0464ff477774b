"""Lotteries: one choice among some, by weight: drawn anew each time, or so that a client always draws the same."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Literal

from steering.balance.rendezvous import Rendezvous, draw_number, seed_of

Dice = Callable[[], float]
"""Gives numbers in [0, 1)."""

Way = Literal["dice", "point", "rendezvous"]
"""By dice; by a point for the key among the weights in their order, so that a first part that shrinks only loses keys;
or by rendezvous of key and names, which depends on no order."""


class Lottery:
    """Names and their weights, of which one at least is above 0."""

    __slots__ = ("_bounds", "_rendezvous", "_seed", "by_key", "size")

    def __init__(self, kind: str, names: Sequence[str], weights: Sequence[float], way: Way) -> None:
        """`kind` keeps pools and origins apart that have the same name."""
        self.size = len(names)
        self.by_key = way != "dice" and self.size > 1
        """Whether the client's key matters."""
        self._bounds = tuple(accumulate(weights))
        self._seed = seed_of(kind) if way == "point" else None
        self._rendezvous = Rendezvous([f"{kind} {name}" for name in names], weights) if way == "rendezvous" else None

    def draw(self, key: int, dice: Dice) -> int:
        """The index of a name."""
        if self.size == 1:
            return 0
        if self._rendezvous is not None:
            return self._rendezvous.choose(key)
        point = dice() if self._seed is None else draw_number(key, self._seed)
        return draw_index(self._bounds, point)


def draw_index(bounds: Sequence[float], point: float) -> int:
    """The index of the part that a point in [0, 1) lies in; `bounds` are the ends of the parts, the last the sum."""
    return min(bisect_right(bounds, point * bounds[-1]), len(bounds) - 1)
