"""What processes say to each other: control and the workers over the feed (serve/feed.py), and what control tells of
itself over the control socket."""

import msgspec

from monitors.scheduler import Statistics
from steering.balance.pools import Verdict
from steering.balance.rules import Rules
from steering.settings import Settings
from steering.zones.tsig import Key


class MapFile(msgspec.Struct, frozen=True, array_like=True):
    """The compiled map of one set of Rules."""

    rules: Rules
    path: str


class TargetHealth(msgspec.Struct, frozen=True, array_like=True):
    """The health of one target."""

    monitor: str
    address: str
    verdict: Verdict


class Configured(msgspec.Struct, frozen=True, tag=True):
    """Control to a worker: everything, on connecting and after each reload.

    The zones are in the store; the settings have only those that other servers have to do with.
    """

    settings: Settings
    maps: tuple[MapFile, ...]
    health: tuple[TargetHealth, ...]
    cookie_secrets: tuple[bytes, ...]
    """The first signs, all verify."""
    keys: tuple[Key, ...] = ()
    """Of TSIG."""


class HealthChanged(msgspec.Struct, frozen=True, tag=True):
    """Control to a worker: targets whose health matters to answers in another way than before."""

    health: tuple[TargetHealth, ...]


class Hello(msgspec.Struct, frozen=True, tag=True):
    """A worker to control: who it is, on connecting."""

    number: int
    pid: int


class Counted(msgspec.Struct, frozen=True, tag=True):
    """A worker to control, now and then: its counters since it started."""

    udp: int = 0
    """Packets that came by UDP."""
    tcp: int = 0
    """Messages that came by TCP."""
    slipped: int = 0
    """Answers over UDP that the rate limit sent truncated."""
    dropped: int = 0
    """Answers over UDP that it did not send."""


class Notified(msgspec.Struct, frozen=True, tag=True):
    """A worker to control: somebody who may says that a zone has changed (RFC 1996)."""

    apex: bytes
    client: str


class Secondaries(msgspec.Struct, frozen=True, tag=True):
    """Control to the process that keeps zones from primaries fresh: everything, at the start and after each reload."""

    settings: Settings
    keys: tuple[Key, ...]


class SecondaryStatus(msgspec.Struct, frozen=True, tag=True):
    """That process to control: how a zone from primaries is. Times are Unix seconds."""

    apex: bytes
    serial: int | None
    """None: never transferred."""
    expired: bool
    """It is not answered from; also when it was never transferred."""
    last_check: float | None
    """When a primary last gave a good answer."""
    last_change: float | None
    next_try: float
    error: str
    """Of the last try; empty if that was good."""


ToSecondaries = Secondaries | Notified

ToWorker = Configured | HealthChanged
ToControl = Hello | Counted | Notified


class OriginStatus(msgspec.Struct, frozen=True):
    """An origin as control sees it; `up` is None without a monitor, or before the first result."""

    name: str
    address: str
    enabled: bool
    weight: float
    up: bool | None = None
    since: float | None = None
    """Unix seconds."""
    rtt: float | None = None
    """Seconds."""
    reason: str = ""
    evidence: str = ""
    flip_after: float | None = None
    """Seconds that must pass before the next result that could change `up`."""


class PoolStatus(msgspec.Struct, frozen=True):
    """A pool as control sees it."""

    name: str
    enabled: bool
    up: bool
    monitor: str | None
    minimum_origins: int
    healthy: int
    origins: tuple[OriginStatus, ...]


class ZoneStatus(msgspec.Struct, frozen=True):
    """A zone that is served."""

    name: str
    serial: int | None
    """None: a zone from a primary that was never transferred."""
    expired: bool = False
    """For zones from primaries, this and what follows: as in SecondaryStatus."""
    last_check: float | None = None
    last_change: float | None = None
    next_try: float | None = None
    error: str = ""


class WorkerStatus(msgspec.Struct, frozen=True):
    """A worker that is fed, and its counters (`Counted`)."""

    number: int
    pid: int
    udp: int = 0
    tcp: int = 0
    slipped: int = 0
    dropped: int = 0


class Status(msgspec.Struct, frozen=True):
    """The reply to the request `status`."""

    configuration: str
    since: float
    """When the configuration was taken, in Unix seconds."""
    pid: int
    listen: tuple[str, ...]
    pools: tuple[PoolStatus, ...]
    zones: tuple[ZoneStatus, ...]
    workers: tuple[WorkerStatus, ...]
    probes: Statistics
