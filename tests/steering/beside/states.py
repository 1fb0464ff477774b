"""Origins for the tests of files for other servers."""

from steering.beside.export import OriginState


def origin(
    name: str = "one",
    *addresses: str,
    pool: str = "www",
    aliases: tuple[str, ...] = (),
    exchangers: tuple[str, ...] = (),
    enabled: bool = True,
    up: bool | None = True,
    flip_after: float | None = 30.0,
) -> OriginState:
    """One that is up, for 30 seconds at least."""
    return OriginState(pool, name, addresses, aliases, exchangers, enabled, up, flip_after)
