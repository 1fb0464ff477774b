"""What processes say to each other: control and the workers over the feed (serve/feed.py), and what control tells of
itself over the control socket."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitors.notify.courier import Statistics as NotifierStatistics
from monitors.scheduler import Statistics
from steering.balance.pools import Verdict
from steering.balance.rules import Rules
from steering.health.overrides import LONGEST
from steering.settings import Settings, Zone
from steering.zones.tsig import Key


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
    """Control to a worker: everything, on connecting and whenever anything but health is another.

    The zones are in the store; the settings have only those that other servers have to do with.
    """

    settings: Settings
    maps: tuple[MapFile, ...]
    health: tuple[OriginHealth, ...]
    cookie_secrets: tuple[bytes, ...]
    """The first signs, all verify."""
    keys: tuple[Key, ...] = ()
    """Of TSIG."""


class HealthChanged(msgspec.Struct, frozen=True, tag=True):
    """Control to a worker: origins whose health matters to answers in another way than before."""

    health: tuple[OriginHealth, ...]


class Hello(msgspec.Struct, frozen=True, tag=True):
    """A worker to control: who it is, on connecting."""

    number: int
    pid: int


class Taken(msgspec.Struct, frozen=True, tag=True):
    """A worker to control: it answers by the configuration that was told last, if that is usable."""


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


class UpdateAsked(msgspec.Struct, frozen=True, tag=True):
    """A worker to control, and control to the process that applies it: an update (RFC 2136) from who may."""

    worker: int
    number: int
    """By which the worker knows it again."""
    deadline: float
    """Of the system's monotonic clock, in seconds: the client is told then that it failed, so it must not be applied
    any more."""
    client: str
    packet: bytes


class UpdateDone(msgspec.Struct, frozen=True, tag=True):
    """The way back: what became of an update."""

    worker: int
    number: int
    rcode: int
    apex: bytes = b""
    serial: int | None = None
    """The new one; None: nothing has changed."""
    told: str = ""
    """For the log: who asked, and what has changed or why it was not made."""


class Secondaries(msgspec.Struct, frozen=True, tag=True):
    """Control to the process that writes to zones: everything, at the start and after each reload."""

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
    expires: float | None = None
    """When it is to be answered from no more, unless a primary answers well before."""


class Members(msgspec.Struct, frozen=True, tag=True):
    """That process to control: the zones that catalogs add to the configuration, all of them."""

    zones: tuple[Zone, ...]


ToSecondaries = Secondaries | Notified | UpdateAsked
FromSecondaries = SecondaryStatus | Members | UpdateDone

ToWorker = Configured | HealthChanged | UpdateDone
ToControl = Hello | Taken | Counted | Notified | UpdateAsked


class LoadReported(msgspec.Struct, frozen=True):
    """The request `load`: how much a pool has to do now, in the figures of its watermarks."""

    pool: str
    figure: Annotated[float, Meta(ge=0)]


class ForceRequest(msgspec.Struct, frozen=True):
    """The request `force`: an override, or the end of some. The reply has all `overrides`, and in words what was
    `done`."""

    origin: str
    """A name or a pattern, of "origin" or of "pool/origin"."""
    state: Literal["up", "down", "drain", "clear"]
    lasts: Annotated[float, Meta(gt=0, le=LONGEST)] | None = None
    """Seconds; None: until it is cleared."""
    over: Annotated[float, Meta(ge=0, le=LONGEST)] = 0.0
    """Seconds that a drain takes."""
    reason: Annotated[str, Meta(max_length=200)] = ""
    by: str = ""
    """Who asks; who serves the request fills it in."""


class OverrideStatus(msgspec.Struct, frozen=True):
    """What is ordered: by somebody, or by a window of maintenance."""

    state: str
    """up, down, draining; planned before a window begins."""
    reason: str
    by: str
    """The user, or "maintenance" and the name of the window."""
    since: float
    """Unix seconds."""
    until: float | None
    """Unix seconds; None: until it is cleared."""
    origin: str = ""
    """The name or pattern that was given."""
    matches: int = 0
    """How many origins of the configuration in force that means; with none it is dormant."""


class MonitorStatus(msgspec.Struct, frozen=True):
    """A member of the group of monitors of an origin; `up` is None before its first result."""

    name: str
    role: str
    """must be healthy, votes, or only watches."""
    up: bool | None = None
    reason: str = ""
    evidence: str = ""
    rtt: float | None = None
    """Seconds."""
    checked: float | None = None
    """Unix seconds."""


class OriginStatus(msgspec.Struct, frozen=True):
    """An origin as control sees it; `up` is None without a monitor or before the first result, unless it is ordered."""

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
    """Seconds that must pass before the next result that could change `up`; None: nothing is about to change it."""
    checked: float | None = None
    """When the last result came in, in Unix seconds."""
    flips: int = 0
    """Since waypost started; of a group, of all its monitors."""
    warning: str = ""
    certificate_expires: float | None = None
    """Unix seconds; of a group, the first that ends."""
    cause: str = ""
    """Why it counts otherwise than by its checks alone: forced, maintenance, damped, held or stale."""
    share: float = 1.0
    """How much of its traffic it takes, from 0 to 1; less while it is drained, ramps up, or has too much to do."""
    override: OverrideStatus | None = None
    monitors: tuple[MonitorStatus, ...] = ()
    """The members, where its monitor is a group."""
    addresses: tuple[str, ...] = ()
    """Where its address is a host name: those that traffic may be sent to."""


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
    """How much of the traffic of its healthy origins they take together, from 0 to 1; less as of each."""
    cause: str = ""
    """The cause that all of its enabled origins have in common."""


class Unheard(msgspec.Struct, frozen=True):
    """A server that has not answered NOTIFY as it should."""

    server: str
    since: float
    """In Unix seconds."""
    reason: str


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
    unheard: tuple[Unheard, ...] = ()
    """Of the servers in `notify`."""
    expires: float | None = None


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
    """Why results do not take origins down at present; "" if they do."""
    overrides: tuple[OverrideStatus, ...] = ()
    """All that are in force, also those that mean no origin."""
    notifiers: dict[str, NotifierStatistics] = {}
    """By name."""
    exports: tuple[ExportStatus, ...] = ()
    updates: tuple[UpdateStatus, ...] = ()
