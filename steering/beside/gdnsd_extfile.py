"""gdnsd_extfile: the file that gdnsd's plugin extfile reads: what is up or down, and for how long that holds."""

from collections.abc import Mapping, Sequence

from steering.beside.export import Export, OriginState, items_of

LONGEST_TTL = 86400
"""Seconds; what holds for longer is not worth telling."""


class GdnsdExtfile(Export, frozen=True, kw_only=True, tag="gdnsd_extfile"):
    """One line for each address and CNAME target of the pools, for a service type with `direct => true`."""


def render(export: GdnsdExtfile, origins: Sequence[OriginState]) -> Mapping[str, bytes]:
    """Path → content: `192.0.2.1 => UP/30`, the TTL being the seconds in which the state cannot change."""
    lines = []
    for item, state in items_of(origins):
        ttl = "" if state.flip_after is None else f"/{max(1, int(min(state.flip_after, LONGEST_TTL)))}"
        lines.append(f"{item} => {'UP' if state.up else 'DOWN'}{ttl}\n")
    return {export.path: "".join(lines).encode()}
