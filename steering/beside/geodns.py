"""geodns: the health directory of geodns (github.com/abh/geodns): one file of JSON for each pool.

geodns reads `NAME.json` for the labels with `"health": {"name": "NAME"}`: from the address of each A and AAAA record,
and the target of each MX record, to a number.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from steering.beside.export import Export, OriginState

UNKNOWN, UNHEALTHY, HEALTHY = 0, 1, 2
WORST_FIRST = (UNHEALTHY, UNKNOWN, HEALTHY)


class Geodns(Export, frozen=True, kw_only=True, tag="geodns"):
    """`path` is the directory; waypost writes the files of its pools there, and leaves every other alone."""


def render(export: Geodns, origins: Sequence[OriginState]) -> Mapping[str, bytes]:
    """Path → content, for each pool: `{"192.0.2.1":2,"mx1.example.com.":1}`. Of equal items the worst counts."""
    pools: dict[str, dict[str, int]] = {}
    for origin in origins:
        items = pools.setdefault(origin.pool, {})
        if not origin.enabled:
            number = UNHEALTHY
        else:
            number = UNKNOWN if origin.up is None else HEALTHY if origin.up else UNHEALTHY
        for item in (*origin.addresses, *origin.exchangers):
            items[item] = min(items.get(item, HEALTHY), number, key=WORST_FIRST.index)
    return {
        str(Path(export.path) / f"{pool}.json"): msgspec.json.encode(items) + b"\n" for pool, items in pools.items()
    }
