"""TRIO: zones from primaries: when they are compared, transferred and given up (RFC 1034 section 4.3.5, RFC 1996).

    wait for the timer or a NOTIFY ──> for each primary in order: SOA over TCP
         ^                                 not newer than ours: good      newer: IXFR, then AXFR on the same connection
         │                                 no answer, an older serial, an error: the next primary
         └── good: refresh, a bit less by dice         none was good: retry, twice as long each time, by dice

The timers are those of the SOA that we have; they are kept in the store with the zone, in Unix seconds, so that a
restart goes on where it was. Without any good answer for `expire` seconds the zone has expired: it is not answered from
until a primary answers again, and then without a transfer if its serial is still ours.

Rules
- A transfer is used whole or not at all, and in one transaction. What the network sent waits in a file or in memory,
  both bounded, so that no snapshot of the store is held while somebody is slow.
- Every wait for a primary is bounded: ANSWER_TIME, IDLE_TIME between two messages, TRANSFER_TIME in all.
- At most PER_PRIMARY zones talk to a primary at a time, so that one that is silent or slow keeps nobody from another;
  AT_ONCE in all bound sockets and memory. Who has several primaries asks those last that have just not answered.
  One transfer is applied at a time, in a thread.
- However many NOTIFYs come, a zone is compared once at a time, and NOTIFY_PAUSE after the last time.
- Times are kept in Unix seconds. When the clock is set, what this process has noted is set with it (`move_clock`).
- A catalog (catalog.py) is transferred as a whole, and one that is broken counts as a failed transfer. What it adds,
  removes and lets begin anew is in the same transaction; the tasks of its members follow while nothing else is applied.
- What goes wrong is told with the zone (`SecondaryStatus`) and logged when it is another thing than before.
"""

import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec
import trio

from steering.messages import FromSecondaries, Members, SecondaryStatus
from steering.settings import Settings, Zone
from steering.values import Peer
from steering.wire import AXFR, IXFR, NOERROR, QUERY, SOA, name_to_text, rcode_to_text
from steering.zones.catalog import CatalogError, Member, add_members, find_members, goes_on, read_catalog_untrusted
from steering.zones.content import Defaults
from steering.zones.exchange import ExchangeError, Reply, make_identifier, open_stream
from steering.zones.inbound import Inbound, Kind, TransferError, apply_changes
from steering.zones.journal import is_newer, read_serial
from steering.zones.load import (
    assign_defaults,
    is_made_from,
    owner_records,
    read_catalogs,
    read_owner,
    stage_changes,
    stage_nothing,
    stage_secondary,
)
from steering.zones.message import render_request
from steering.zones.node import key_labels
from steering.zones.store import DIFFERENCE_LIMIT, Store, StoreError, ZoneWriter, failing
from steering.zones.store import Zone as ServedZone
from steering.zones.timers import Timers, decode_timers, read_soa_timers
from steering.zones.tsig import Key
from steering.zones.zonefile import Record, ZoneFileError

ANSWER_TIME = 5.0
IDLE_TIME = 30.0
TRANSFER_TIME = 3600.0
"""Seconds."""
AT_ONCE = 100
PER_PRIMARY = 20
SILENT_TIME = 60.0
"""Seconds for which a primary that did not answer is asked after others."""
FIRST_RETRY = 5.0
"""Seconds, for a zone of which we have no SOA yet."""
LONGEST_RETRY = 3600.0
"""Seconds to which the retries of a zone without a SOA grow; others grow to its refresh."""
NOTIFY_PAUSE = 1.0
"""Seconds between a comparison and the next one that a NOTIFY asks for."""
CLOCK_INTERVAL = 1.0
"""Seconds between two looks whether the clock was set."""
CLOCK_STEP = 2.0
"""Seconds by which it must have been set to count."""
BEING_CHANGED = "the configuration of the zone is just being changed"

logger = logging.getLogger("waypost.refresh")


class Refresher:
    """All zones that come from primaries, in tasks of a nursery."""

    def __init__(
        self, store: Store, nursery: trio.Nursery, dice: Callable[[], float], tell: Callable[[FromSecondaries], None]
    ) -> None:
        """`tell` hears of every zone whenever something has happened to it, and of all that catalogs add."""
        self.store = store
        self.dice = dice
        self.tell = tell
        self.limiter = trio.CapacityLimiter(AT_ONCE)
        self.applying = trio.Lock()
        self._slots: dict[tuple[str, int], trio.CapacityLimiter] = {}
        self._silent: dict[tuple[str, int], float] = {}
        """Primary → until when it counts as silent, by Trio's clock."""
        self._clock = _read_clock()
        self._nursery = nursery
        self._zones: dict[bytes, Secondary] = {}
        self._refused: list[str] = []
        nursery.start_soon(self._watch_clock)

    def replace(self, settings: Settings, keys: Iterable[Key]) -> None:
        """The configuration from now on. What has failed is tried again, as if for the first time: whoever reloads may
        have mended it, here or at a primary."""
        self.settings = settings
        self._keys = {key.name: key for key in keys}
        for secondary in self._zones.values():
            secondary.try_again()
        self.run_zones()

    def run_zones(self) -> None:
        """Run the zones of the configuration, and those that its catalogs add as they are in the store."""
        members: dict[bytes, Member] = {}
        if any(zone.catalog == "consumer" for zone in self.settings.zones):
            writer = ZoneWriter(self.store)
            catalogs = read_catalogs(self.settings, writer)
            members, refused = find_members(self.settings, catalogs, partial(read_owner, writer))
            for each in refused:
                if each not in self._refused:
                    logger.warning("refused: %s", each)
            self._refused = refused
        self.tell(Members(tuple(member.zone for member in members.values())))
        wanted = {
            zone.name: Secondary(self, zone, defaults, self._keys, members.get(zone.name))
            for zone, defaults in assign_defaults(add_members(self.settings, members))
            if zone.primaries
        }
        for apex, running in list(self._zones.items()):
            if apex in wanted and running.is_like(wanted[apex]):
                wanted[apex] = running
                if (served := self.store.find_zone(apex)) is not None and served.expired:
                    running.notify()
            else:
                running.scope.cancel()
                if running.is_member and apex not in wanted:
                    logger.info("zone %s is gone: no catalog lists it any more", name_to_text(apex))
        for apex, secondary in wanted.items():
            if self._zones.get(apex) is not secondary:
                if apex in self._zones:
                    secondary.notify()  # what failed, or was about to come, may do so now
                self._nursery.start_soon(secondary.run)
        self._zones = wanted

    def notify(self, apex: bytes) -> None:
        """A primary says that the zone has changed."""
        if secondary := self._zones.get(apex):
            secondary.notify()

    def slots(self, peer: Peer) -> trio.CapacityLimiter:
        """Those of a primary."""
        return self._slots.setdefault((peer.address, peer.port), trio.CapacityLimiter(PER_PRIMARY))

    def note_answer(self, peer: Peer, *, silent: bool) -> None:
        """A primary has answered, or not."""
        place = peer.address, peer.port
        if silent:
            self._silent[place] = trio.current_time() + SILENT_TIME
        else:
            self._silent.pop(place, None)

    def choose(self, peers: Iterable[Peer]) -> Peer:
        """The first of some primaries, but rather one that is not silent."""
        now = trio.current_time()
        return min(peers, key=lambda peer: self._silent.get((peer.address, peer.port), now) > now)

    async def _watch_clock(self) -> None:
        while True:
            await trio.sleep(CLOCK_INTERVAL)
            before, self._clock = self._clock, _read_clock()
            if abs(self._clock - before) >= CLOCK_STEP:
                logger.warning("the clock was set, by %d s", round(self._clock - before))
                for secondary in self._zones.values():
                    secondary.move_clock(self._clock - before)


class Secondary:
    """One zone."""

    def __init__(
        self, refresher: Refresher, zone: Zone, defaults: Defaults, keys: Mapping[bytes, Key], member: Member | None
    ) -> None:
        self.scope = trio.CancelScope()
        self._refresher = refresher
        self._store = refresher.store
        self._zone = zone
        self._defaults = defaults
        self._member = member
        self._keys = {peer.key: keys[peer.key] for peer in zone.primaries if peer.key is not None}
        self._timers = Timers()
        self._notified = False
        self._woken = trio.Event()
        """Set when what it waits for may have changed."""
        self._compared = -math.inf
        """When, by Trio's clock."""
        self._given_up = False
        """It has expired, whether that could be kept or not."""
        self._future: float | None = None
        """When a primary last answered, as it is kept, if that was not yet by the clock of the start."""

    @property
    def is_member(self) -> bool:
        """Whether a catalog lists it."""
        return self._member is not None

    def is_like(self, other: "Secondary") -> bool:
        """Whether both do the same."""
        mine = self._zone, self._defaults, self._keys, self._member
        return mine == (other._zone, other._defaults, other._keys, other._member)

    async def run(self) -> None:
        """Keep the zone fresh until `scope` is cancelled."""
        with self.scope:
            self._timers = decode_timers(self._store.read_timers(self._zone.name))
            now = time.time()
            if self._timers.last_check is None and self._served() is not None:  # it came from a file so far
                self._timers = msgspec.structs.replace(self._timers, last_check=now)
            elif self._timers.last_check is not None and self._timers.last_check > now:
                self._future = self._timers.last_check
                self._timers = msgspec.structs.replace(self._timers, last_check=now)
            while True:
                await self._wait()
                self._compared = trio.current_time()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._expire_in_time)
                    await self._refresh()
                    nursery.cancel_scope.cancel()

    def notify(self) -> None:
        """A primary says that the zone has changed, or else there is a reason to ask."""
        self._notified = True
        self._woken.set()

    def try_again(self) -> None:
        """At once, if it has failed."""
        if self._timers.error:
            self._timers = msgspec.structs.replace(self._timers, failures=0)
            self.notify()

    def move_clock(self, seconds: float) -> None:
        """The clock was set forward by so much: what was noted by the old one is set with it, and all is due."""
        now = time.time()
        if self._future is not None and self._future <= now:
            # The clock was wrong when this process began: what an earlier one has noted is true after all.
            self._timers = msgspec.structs.replace(self._timers, last_check=self._future)
            self._future = None
        else:
            self._timers = self._timers.shift(seconds)
        self._timers = msgspec.structs.replace(self._timers, next_try=now)
        self._woken.set()

    async def _wait(self) -> None:
        """Until it is time to try, to expire, or a NOTIFY came."""
        self._tell()
        while True:
            self._woken = trio.Event()
            served = self._served()
            refresh = LONGEST_RETRY if served is None else read_soa_timers(served.soa).refresh
            wait = min(self._timers.next_try - time.time(), refresh)  # a clock that was set back is no reason to wait
            if served is not None and not served.expired and not self._given_up:
                wait = min(wait, self._expires_in(served))
            if self._notified:
                wait = min(wait, self._compared + NOTIFY_PAUSE - trio.current_time())
            with trio.move_on_after(max(wait, 0)):
                await self._woken.wait()
                continue
            self._notified = False
            return

    async def _expire_in_time(self) -> None:
        """Expire while it waits for primaries, or for its turn to ask them."""
        while not self._given_up and (served := self._served()) is not None and not served.expired:
            self._woken = trio.Event()
            with trio.move_on_after(max(self._expires_in(served), 0)):
                await self._woken.wait()
                continue
            self._expire()

    def _served(self) -> ServedZone | None:
        """What is in the store, if it was ever transferred."""
        zone = self._store.find_zone(self._zone.name)
        return zone if zone is not None and zone.soa else None

    def _expires_in(self, served: ServedZone) -> float:
        end = self._timers.expires_at(served.soa)
        return math.inf if end is None else end - time.time()

    def _expire(self) -> None:
        text = "zone %s has expired: no primary has answered well in time; it is not answered from"
        logger.error(text, name_to_text(self._zone.name))
        self._given_up = True
        self._note(expired=True)

    async def _refresh(self) -> None:
        """Compare with the primaries, and transfer what is newer."""
        errors: dict[Peer, str] = {}
        primaries = self._zone.primaries
        left = list(primaries)
        while left:
            peer = self._refresher.choose(left)
            async with self._refresher.slots(peer), self._refresher.limiter:
                if self._refresher.choose(left) != peer:
                    continue  # it has not answered others, while this one waited
                left.remove(peer)
                try:
                    with trio.fail_after(TRANSFER_TIME):
                        changed = await self._refresh_from(peer)
                except (ExchangeError, TransferError, ZoneFileError, StoreError, trio.TooSlowError) as error:
                    silent = isinstance(error, ExchangeError | trio.TooSlowError)
                    self._refresher.note_answer(peer, silent=silent)
                    errors[peer] = f"{peer}: {str(error).partition(chr(10))[0] or 'no answer in time'}"
                else:
                    self._refresher.note_answer(peer, silent=False)
                    self._succeed(changed)
                    return
        # In the order of the configuration, so that the same errors are the same text.
        self._fail("; ".join(errors[peer] for peer in primaries))

    async def _refresh_from(self, peer: Peer) -> bool:
        """Whether the zone has changed; raises the errors above."""
        served = self._served()
        ours = None if served is None else served.serial
        key = self._keys[peer.key] if peer.key is not None else None
        async with open_stream(peer) as stream:
            with trio.fail_after(ANSWER_TIME):
                serial = await _ask_serial(stream, key, self._zone.name)
            if ours is not None and not is_newer(serial, ours):
                if serial != ours:
                    raise TransferError(f"its serial {serial} is older than ours, {ours}")
                return False
            if served is not None and not served.expired and not self._zone.catalog:
                try:
                    await self._transfer(stream, key, served)
                except (ExchangeError, TransferError, ZoneFileError, trio.TooSlowError) as error:
                    text = "zone %s: no incremental transfer from %s (%s); trying for all of it"
                    reason = str(error).partition("\n")[0] or "no answer in time"
                    logger.info(text, name_to_text(self._zone.name), peer, reason)
                else:
                    return True
        async with open_stream(peer) as stream:  # another: the first one may be in the middle of something
            await self._transfer(stream, key, None)
        return True

    async def _transfer(self, stream: trio.SocketStream, key: Key | None, served: ServedZone | None) -> None:
        """Transfer the changes since what is served, or all; raises the errors of `_refresh`."""
        apex = self._zone.name
        soa = None if served is None else served.soa
        request = render_request(make_identifier(), QUERY, apex, AXFR if soa is None else IXFR, soa=soa)
        with failing(self._store), tempfile.TemporaryFile(dir=self._store.directory) as spool:
            inbound = Inbound(apex, None if served is None else served.serial, spool)
            reply = Reply(stream, key, request)
            with trio.fail_after(IDLE_TIME) as idle:
                await reply.send()
                while not inbound.done:
                    inbound.take_untrusted(await reply.receive())
                    idle.deadline = trio.current_time() + IDLE_TIME
                reply.finish()
            if inbound.kind is Kind.UP_TO_DATE:
                raise TransferError(f"it has a newer serial, but sends {inbound.serial}")
            ours = self._served()
            if ours is not None and not is_newer(inbound.serial, ours.serial):
                raise TransferError(f"it sent serial {inbound.serial}, which is not newer than ours, {ours.serial}")
            now = time.time()
            assert inbound.soa is not None, "a transfer begins with it"
            timers = Timers(now, now, self._later(now, read_soa_timers(inbound.soa[3]).refresh))
            async with self._refresher.applying:
                await trio.to_thread.run_sync(self._apply, inbound, msgspec.msgpack.encode(timers))
                if self._zone.catalog:
                    self._refresher.run_zones()
            self._timers = timers
            logger.info("zone %s: serial %d, %s", name_to_text(apex), inbound.serial, inbound.kind.name.lower())

    def _apply(self, inbound: Inbound, timers: bytes) -> None:
        """Publish a transfer; in a thread."""
        zone, defaults = self._zone, self._defaults
        with self._store.writing():
            writer = ZoneWriter(self._store)
            if not is_made_from(zone, defaults, writer.read_stamp(zone.name)):
                raise TransferError(BEING_CHANGED)
            removed = self._stage_members(inbound, writer) if zone.catalog else set()
            owner = b"" if self._member is None else self._member.catalog
            if inbound.kind is Kind.WHOLE:
                stage_secondary(zone, defaults, writer, inbound.records(), timers, owner)
            else:
                served = writer.served.get(zone.name)
                if served is None or served.expired or served.serial != inbound.start:
                    raise TransferError("what is served has changed meanwhile")
                stage_changes(zone, defaults, writer, self._changed_owners(inbound, writer), timers, owner)
            writer.publish(removed)
            writer.collect_garbage()

    def _stage_members(self, inbound: Inbound, writer: ZoneWriter) -> set[bytes]:
        """Stage the members that are new, or begin anew; those to be removed. Raises TransferError."""
        settings = self._refresher.settings
        catalogs = read_catalogs(settings, writer)
        owner = partial(read_owner, writer)
        before, _ = find_members(settings, catalogs, owner)
        try:
            catalogs[self._zone.name] = read_catalog_untrusted(self._zone.name, inbound.records())
        except CatalogError as error:
            raise TransferError(f"a broken catalog: {error}") from error
        after, _ = find_members(settings, catalogs, owner, self._zone.name)
        for name, member in (before | after).items():
            if name in writer.served and not is_made_from(member.zone, {}, writer.read_stamp(name)):
                raise TransferError(BEING_CHANGED)
        for name, member in after.items():
            if name not in before or not goes_on(catalogs, name, before[name], member):
                stage_nothing(member.zone, {}, writer, msgspec.msgpack.encode(Timers()), member.catalog)
            elif before[name].catalog != member.catalog:
                stage_secondary(member.zone, {}, writer, owner=member.catalog)
        return (before.keys() - after.keys()) & writer.served.keys()

    def _changed_owners(self, inbound: Inbound, writer: ZoneWriter) -> dict[bytes, list[Record]]:
        """All records of each owner that changes, as they are after it."""
        assert inbound.soa is not None, "a transfer begins with it"
        apex = self._zone.name
        changes: dict[bytes, list[tuple[bool, Record]]] = {apex: []}
        for adding, record in inbound.changes:
            changes.setdefault(record[0], []).append((adding, record))
        if len(changes) > DIFFERENCE_LIMIT:
            raise TransferError("too many changes for one step")
        owners = {}
        with writer.open_served(apex) as served:
            for owner, steps in changes.items():
                before = owner_records(apex, b"".join(key_labels(owner, apex)), served)
                kept = (record for record in before if record[1] != SOA)
                owners[owner] = apply_changes(kept, steps)
        owners[apex].insert(0, inbound.soa)
        return owners

    def _succeed(self, changed: bool) -> None:
        if self._timers.failures or self._timers.error:
            logger.info("zone %s: refreshed again", name_to_text(self._zone.name))
        self._future, self._given_up = None, False
        now, served = time.time(), self._served()
        if served is None:
            return  # the configuration has just changed
        if not changed:
            refresh = read_soa_timers(served.soa).refresh
            self._timers = Timers(now, self._timers.last_change, self._later(now, refresh))
        if not changed or served.expired:  # it may have expired while the transfer was published
            self._note(expired=False)

    def _fail(self, error: str) -> None:
        if error != self._timers.error:
            logger.warning("zone %s is not refreshed: %s", name_to_text(self._zone.name), error)
        served = self._served()
        refresh, retry = (LONGEST_RETRY, FIRST_RETRY) if served is None else read_soa_timers(served.soa)[:2]
        now = time.time()
        wait = min(retry * 2 ** min(self._timers.failures, 20), max(refresh, retry))
        timers = msgspec.structs.replace(
            self._timers, next_try=self._later(now, wait), failures=self._timers.failures + 1, error=error
        )
        self._timers = timers
        self._note(expired=served is None or served.expired or self._given_up)

    def _note(self, *, expired: bool) -> None:
        """Keep the timers in the store, unless the zone is served by another configuration already; a disk that is full
        costs a restart its knowledge of them."""
        timers, is_meant = msgspec.msgpack.encode(self._timers), partial(is_made_from, self._zone, self._defaults)
        try:
            self._store.note_timers(self._zone.name, timers, expired=expired, is_meant=is_meant)
        except StoreError as error:
            logger.error("zone %s: its timers could not be kept: %s", name_to_text(self._zone.name), error)  # noqa: TRY400

    def _later(self, now: float, seconds: float) -> float:
        """Up to a tenth sooner, so that zones that came together do not stay together."""
        return now + seconds * (1 - 0.1 * self._refresher.dice())

    def _tell(self) -> None:
        zone = self._served()
        timers = self._timers
        self._refresher.tell(
            SecondaryStatus(
                apex=self._zone.name,
                serial=None if zone is None else zone.serial,
                expired=zone is None or zone.expired,
                last_check=timers.last_check,
                last_change=timers.last_change,
                next_try=timers.next_try,
                error=timers.error,
                expires=None if zone is None else timers.expires_at(zone.soa),
            )
        )


async def _ask_serial(stream: trio.SocketStream, key: Key | None, apex: bytes) -> int:
    """The serial that the server has; raises ExchangeError or TransferError."""
    reply = Reply(stream, key, render_request(make_identifier(), QUERY, apex, SOA))
    await reply.send()
    message = await reply.receive()
    reply.finish()
    if message.rcode != NOERROR:
        raise TransferError(f"the server answers {rcode_to_text(message.rcode)} to the question for the SOA")
    if not message.flags & 0x0400:
        raise TransferError("the server is not authoritative for the zone")
    for record in message.answers:
        if record.owner == apex and record.rrtype == SOA:
            return read_serial(record.rdata)
    raise TransferError("it has no SOA record for the zone")


def _read_clock() -> float:
    """The clock's time less the time since the machine was started: another value when the clock was set."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
