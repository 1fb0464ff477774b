"""TRIO: the zones in force, as far as other servers have to do with them: which there are, how fresh those from
primaries are, who is told of changes (zones/notify.py), and the process that transfers and updates them
(secondaries.py)."""

from collections.abc import Callable, Sequence

import msgspec
import trio

from steering.messages import (
    FromSecondaries,
    Notified,
    Secondaries,
    SecondaryStatus,
    UpdateAsked,
    UpdateDone,
    ZoneStatus,
)
from steering.secondaries import SecondaryZones
from steering.settings import Settings, Zone
from steering.wire import name_to_text
from steering.zones.journal import is_newer
from steering.zones.load import LoadReport
from steering.zones.notify import NotifySender
from steering.zones.tsig import Key


class ServedZones:
    """Control's view of them."""

    def __init__(
        self, nursery: trio.Nursery, on_members: Callable[[], None], on_update: Callable[[UpdateDone], None]
    ) -> None:
        """`on_members` hears that catalogs list other zones than before, `on_update` what became of each update."""
        self._on_members = on_members
        self._on_update = on_update
        self._sender = NotifySender(nursery)
        self._process = SecondaryZones(nursery, self._take_news)
        self._configured: tuple[Zone, ...] = ()
        self._members: tuple[Zone, ...] = ()
        """What catalogs add."""
        self._keys: tuple[Key, ...] = ()
        self._reports: tuple[LoadReport, ...] = ()
        self._statuses: dict[bytes, SecondaryStatus | None] = {}
        """Of those from primaries; None: not known yet."""
        self._updated: dict[bytes, int] = {}
        """The serials of those that were updated since they were loaded."""

    def replace(self, settings: Settings, reports: Sequence[LoadReport], keys: tuple[Key, ...]) -> None:
        """The configuration from now on, and what was loaded for it."""
        self._configured, self._keys = settings.zones, keys
        names = {zone.name for zone in settings.zones}
        self._reports = tuple(report for report in reports if report.apex in names)
        self._updated = {}
        self._take_zones()
        self._process.replace(Secondaries(msgspec.structs.replace(settings, keys=(), notifiers=()), keys))

    def serve(self) -> None:
        """All workers answer for them from now on."""
        self._sender.serve()

    @property
    def all(self) -> tuple[Zone, ...]:
        """The zones of the configuration, and those that catalogs add."""
        return (*self._members, *self._configured)

    def tell(self, apex: bytes) -> None:
        """Let the servers that hear of a zone know that it has changed."""
        self._sender.tell(apex)

    def notify(self, notified: Notified) -> None:
        """A primary says that a zone has changed."""
        self._process.notify(notified)

    def update(self, asked: UpdateAsked) -> None:
        """Somebody who may asks for an update."""
        self._process.update(asked)

    def statuses(self) -> tuple[ZoneStatus, ...]:
        """Of all of them, as of now."""
        configured = {report.apex for report in self._reports}
        members = [LoadReport(zone.name, 0, 0, 0) for zone in self._members if zone.name not in configured]
        return tuple(map(self._status, (*self._reports, *members)))

    def _status(self, report: LoadReport) -> ZoneStatus:
        name, unheard = name_to_text(report.apex), self._sender.unheard(report.apex)
        status = self._statuses.get(report.apex)
        if status is None:
            updated = self._updated.get(report.apex, report.serial)
            serial = updated if is_newer(updated, report.serial) else report.serial
            return ZoneStatus(name, serial or None, unheard=unheard)
        return ZoneStatus(
            name,
            status.serial,
            status.expired,
            status.last_check,
            status.last_change,
            status.next_try,
            status.error,
            unheard,
            status.expires,
        )

    def _take_zones(self) -> None:
        self._sender.replace(self.all, self._keys)
        self._statuses = {zone.name: self._statuses.get(zone.name) for zone in self.all if zone.primaries}

    def _take_news(self, news: FromSecondaries) -> None:
        if isinstance(news, SecondaryStatus):
            if news.apex not in self._statuses:
                return  # it came from primaries until just now
            before, self._statuses[news.apex] = self._statuses[news.apex], news
            if before is not None and before.serial != news.serial:
                self.tell(news.apex)
        elif isinstance(news, UpdateDone):
            if news.serial is not None:
                self._updated[news.apex] = news.serial
                self.tell(news.apex)
            self._on_update(news)
        elif news.zones != self._members:
            self._members = news.zones
            self._take_zones()
            self._on_members()
