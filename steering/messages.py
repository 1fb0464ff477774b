"""What processes say to each other: control and the workers over the feed (serve/feed.py), and what control tells of
itself over the control socket."""

import msgspec

from monitors.notify.courier import Statistics as NotifierStatistics
from monitors.scheduler import Statistics
from steering.balance.pools import Verdict
from steering.balance.rules import Rules
from steering.settings import Settings


class MapFile(msgspec.Struct, frozen=True, array_like=True):
    """The compiled map of one set of Rules."""

    rules: Rules
    path: str


class OriginHealth(msgspec.Struct, frozen=True, array_like=True):
    """The health of one origin."""

    pool: str
    origin: str
    verdict: Verdict


class Configured(msgspec.Struct, frozen=True, tag=True):
    """Control to a worker: everything, on connecting and after each reload. The zones are in the store."""

    settings: Settings
    maps: tuple[MapFile, ...]
    health: tuple[OriginHealth, ...]
    cookie_secrets: tuple[bytes, ...]
    """The first signs, all verify."""


class HealthChanged(msgspec.Struct, frozen=True, tag=True):
    """Control to a worker: origins whose health matters to answers in another way than before."""

    health: tuple[OriginHealth, ...]


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


ToWorker = Configured | HealthChanged
ToControl = Hello | Counted


class MonitorStatus(msgspec.Struct, frozen=True):
    """What one monitor of a group sees of an origin."""

    name: str
    up: bool | None = None
    role: str = ""
    reason: str = ""
    evidence: str = ""
    rtt: float | None = None
    checked: float | None = None


class OverrideStatus(msgspec.Struct, frozen=True):
    """An operator's word on an origin. `since` and `until` in Unix seconds."""

    state: str
    reason: str
    by: str
    since: float
    until: float | None


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
    checked: float | None = None
    """Unix seconds of the last result."""
    flips: int = 0
    """Since control started."""
    warning: str = ""
    certificate_expires: float | None = None
    """Unix seconds."""
    cause: str = ""
    """Why `up` is not what the results say: forced, maintenance, damped, held or stale."""
    share: float = 1.0
    """Of its weight, how much it takes."""
    override: OverrideStatus | None = None
    monitors: tuple[MonitorStatus, ...] = ()
    """The members, if the pool's monitor is a group."""


class PoolStatus(msgspec.Struct, frozen=True):
    """A pool as control sees it."""

    name: str
    enabled: bool
    up: bool
    monitor: str | None
    minimum_origins: int
    healthy: int
    origins: tuple[OriginStatus, ...]
    share: float = 1.0
    cause: str = ""


class ZoneStatus(msgspec.Struct, frozen=True):
    """A zone that is served."""

    name: str
    serial: int


class WorkerStatus(msgspec.Struct, frozen=True):
    """A worker that is fed, and its counters (`Counted`)."""

    number: int
    pid: int
    udp: int = 0
    tcp: int = 0
    slipped: int = 0
    dropped: int = 0


class ExportStatus(msgspec.Struct, frozen=True):
    """A file for another DNS server, or a directory of them."""

    path: str
    written: float | None = None
    """When it was last seen to it that the files are as they should be, in Unix seconds."""
    problem: str = ""
    """Why they are not."""


class UpdateStatus(msgspec.Struct, frozen=True):
    """A zone at another server, into which answers are written."""

    zone: str
    where: str
    conflicts: int = 0
    """How often somebody else had written there, since control started."""
    problem: str = ""
    """Why what should be there is not written."""


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
    held: str = ""
    """Why all states are held; "" when they are not."""
    notifiers: dict[str, NotifierStatistics] = {}
    """By name."""
    exports: tuple[ExportStatus, ...] = ()
    updates: tuple[UpdateStatus, ...] = ()
