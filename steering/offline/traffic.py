"""Traffic: who gets what everywhere, how much of the world that is, and what changes. Pure.

The traffic of a country is taken as its part of the IPv4 addresses that the geo data knows, as all countries alike, or
as the operator says.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from geodata.classes import PlaceMap

Shares = Mapping[str, float]
"""Label to a part of 1."""


NO_ANSWER = "no answer"
"""Instead of a pool, which cannot be called so."""


class PlaceTraffic(msgspec.Struct, frozen=True):
    """What the clients of a place get for one name and type."""

    place: str
    pools: dict[str, float]
    """The parts of the answers that the pools give."""
    rule: str
    when_down: str
    """What is done as all pools of the rule are down: fallback, fail_open or fail_closed; "" while any is up."""
    answers: dict[str, float] = {}
    """The parts of the answers with these records."""


class Change(msgspec.Struct, frozen=True):
    """Places that get something else than before, all of them the same."""

    question: str
    places: tuple[str, ...]
    before: dict[str, float]
    after: dict[str, float]
    share: float
    """Of the traffic of the world."""


def weigh_countries(places: PlaceMap) -> dict[str, float]:
    """The part of the known IPv4 addresses that each country has."""
    addresses: Counter[int] = Counter()
    ipv4, _ = places.ranges()
    for start, end, number in ipv4:
        addresses[number] += end - start
    countries: Counter[str] = Counter()
    for number, count in addresses.items():
        country = places.places[number].country
        if country is not None:
            countries[country] += count
    return scale(countries)


def scale(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights as parts of 1; nothing if all are 0."""
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()} if total else {}


def sum_shares(traffic: Iterable[PlaceTraffic], weights: Shares) -> dict[str, float]:
    """How much of the world each pool takes, or NO_ANSWER, the largest first."""
    pools: dict[str, float] = {}
    for each in traffic:
        for name, share in (each.pools or {NO_ANSWER: 1.0}).items():
            pools[name] = pools.get(name, 0.0) + share * weights.get(each.place, 0.0)
    taken = {name: share for name, share in pools.items() if share}
    return dict(sorted(scale(taken).items(), key=lambda item: (-item[1], item[0])))


def find_changes(
    question: str,
    before: Sequence[PlaceTraffic],
    after: Sequence[PlaceTraffic],
    weights: Shares,
    *,
    by_records: bool = False,
) -> tuple[Change, ...]:
    """Where pools (or, with `by_records`, records) have other shares than before, the largest share of traffic first.

    Both sequences have the same places in the same order.
    """
    places: dict[tuple[tuple[str, float], ...], list[str]] = {}
    shares: dict[tuple[tuple[str, float], ...], tuple[dict[str, float], dict[str, float]]] = {}
    for old, new in zip(before, after, strict=True):
        one, two = (each.answers if by_records else each.pools for each in (old, new))
        if _rounded(one) == _rounded(two):
            continue
        key = (*_rounded(one), ("", 0.0), *_rounded(two))
        places.setdefault(key, []).append(old.place)
        shares[key] = one, two
    changes = (
        Change(question, tuple(members), *shares[key], sum(weights.get(place, 0.0) for place in members))
        for key, members in places.items()
    )
    return tuple(sorted(changes, key=lambda change: (-change.share, change.places)))


def _rounded(shares: Shares) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((label, round(share, 6)) for label, share in shares.items() if share))


def show_shares(shares: Shares) -> str:
    """Shares in words: "paris", or "paris 75.0%, tokyo 25.0%"."""
    by_size = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(label if share == 1 else f"{label} {share:.1%}" for label, share in by_size) or NO_ANSWER
