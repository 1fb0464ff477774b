"""TRIO: NOTIFY (RFC 1996): secondaries are told that a zone has changed, until they have said that they know.

Each target of a zone is asked with growing patience, TIMEOUTS; one that never answers is logged, and hears of the next
change again. Until it has answered well, the status of the zone says so. A change during that begins anew. At the start
everybody is told of every zone, since nobody knows what was published when waypost was last stopped. But whoever hears
of a zone asks for it at once, and if nobody answers then, not again for long (BIND: until `refresh`): so nobody is told
before the workers answer for the zones in force.

Targets do not wait for each other: each has its own queue, in which a zone stands once, and PER_TARGET attempts at a
time, which nobody but a target that is silent holds for long. AT_ONCE attempts to all of them only bound the sockets.
"""

import heapq
import logging
import math
import time
from collections.abc import Iterable, Mapping

import trio

from steering.messages import Unheard
from steering.settings import Zone
from steering.values import Peer
from steering.wire import NOERROR, NOTIFY, SOA, name_to_text, rcode_to_text
from steering.zones.exchange import ExchangeError, ask_udp, make_identifier
from steering.zones.message import render_request
from steering.zones.tsig import Key

TIMEOUTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds for which each attempt waits for its answer."""
PER_TARGET = 20
AT_ONCE = 1000

logger = logging.getLogger("waypost.notify")


class NotifySender:
    """Tells secondaries, in tasks of a nursery."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._zones: Mapping[bytes, Zone] = {}
        self._keys: Mapping[bytes, Key] = {}
        self._targets: dict[Peer, Target] = {}
        self._served = trio.Event()
        self._unheard: dict[bytes, dict[Peer, Unheard]] = {}

    def replace(self, zones: Iterable[Zone], keys: Iterable[Key]) -> None:
        """The zones and keys from now on; whoever is new to a zone is told of it. Nobody is before `serve`."""
        if self._served.is_set():
            self._served = trio.Event()
        before = self._zones
        self._zones = {zone.name: zone for zone in zones if zone.notify}
        self._keys = {key.name: key for key in keys}
        for peer in self._targets.keys() - {peer for zone in self._zones.values() for peer in zone.notify}:
            self._targets.pop(peer).scope.cancel()
        self._unheard = {
            apex: {peer: each for peer, each in peers.items() if peer in self._zones[apex].notify}
            for apex, peers in self._unheard.items()
            if apex in self._zones
        }
        for apex, zone in self._zones.items():
            told = before[apex].notify if apex in before else ()
            for peer in zone.notify:
                if peer not in told:
                    self._tell(apex, peer)

    def serve(self) -> None:
        """These zones are answered for from now on."""
        self._served.set()

    def unheard(self, apex: bytes) -> tuple[Unheard, ...]:
        """The servers whose last answer about a zone was none, or a bad one."""
        return tuple(self._unheard.get(apex, {}).values())

    def tell(self, apex: bytes) -> None:
        """A zone has changed."""
        zone = self._zones.get(apex)
        for peer in zone.notify if zone is not None else ():
            self._tell(apex, peer)

    def _tell(self, apex: bytes, peer: Peer) -> None:
        target = self._targets.get(peer)
        if target is None:
            target = self._targets[peer] = Target(trio.CancelScope())
            self._nursery.start_soon(self._serve, peer, target)
        if apex in target.trying:
            target.trying[apex].cancel()
        target.add(apex, trio.current_time(), 0)

    async def _serve(self, peer: Peer, target: "Target") -> None:
        """Tell a target of what it is to know, until its scope is cancelled."""
        slots = trio.Semaphore(PER_TARGET)
        with target.scope:
            async with trio.open_nursery() as nursery:
                while True:
                    await slots.acquire()
                    apex, attempt = await target.next()
                    nursery.start_soon(self._try, peer, target, slots, apex, attempt)

    async def _try(self, peer: Peer, target: "Target", slots: trio.Semaphore, apex: bytes, attempt: int) -> None:
        scope = target.trying[apex] = trio.CancelScope()
        reason = None
        try:
            with scope:
                await self._served.wait()
                async with self._limiter:
                    next_try = trio.current_time() + TIMEOUTS[attempt]  # as late as if nothing had come
                    reason = await self._ask(apex, peer, attempt)
        finally:
            slots.release()
            if target.trying[apex] is scope:
                del target.trying[apex]
        if scope.cancelled_caught:
            return
        if reason is None or not self._is_told(apex, peer):
            self._unheard.get(apex, {}).pop(peer, None)
            return
        peers = self._unheard.setdefault(apex, {})
        since = peers[peer].since if peer in peers else time.time()
        peers[peer] = Unheard(str(peer), since, reason)
        if apex in target.due:
            return
        if attempt + 1 < len(TIMEOUTS):
            target.add(apex, next_try, attempt + 1)
        else:
            logger.warning("zone %s: %s was not notified: %s", name_to_text(apex), peer, reason)

    def _is_told(self, apex: bytes, peer: Peer) -> bool:
        """Whether a target is one of a zone, by the configuration of now."""
        zone = self._zones.get(apex)
        return zone is not None and peer in zone.notify

    async def _ask(self, apex: bytes, peer: Peer, attempt: int) -> str | None:
        """Why a target does not know; None if it does, or has not to know any more."""
        if not self._is_told(apex, peer):
            return None
        request = render_request(make_identifier(), NOTIFY, apex, SOA, authoritative=True)
        try:
            with trio.fail_after(TIMEOUTS[attempt]):
                reply = await ask_udp(peer, self._keys[peer.key] if peer.key is not None else None, request)
        except trio.TooSlowError:
            return "no answer"
        except ExchangeError as error:
            return str(error)
        return None if reply.rcode == NOERROR else rcode_to_text(reply.rcode)


class Target:
    """What one server is to be told, and when."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self.scope = scope
        self.trying: dict[bytes, trio.CancelScope] = {}
        """Zones of which it is being told."""
        self.due: dict[bytes, tuple[float, int]] = {}
        """Zone → when it is told next, and attempts before that."""
        self._order: list[tuple[float, bytes]] = []
        """A heap of them; what is not in `due` with that time does not count any more."""
        self._changed = trio.Event()

    def add(self, apex: bytes, when: float, attempt: int) -> None:
        """Tell of a zone at a time, and not as it was planned; who is waiting for its first attempt keeps its place."""
        if apex in self.due and self.due[apex][1] == attempt == 0:
            return
        self.due[apex] = when, attempt
        heapq.heappush(self._order, (when, apex))
        self._changed.set()

    async def next(self) -> tuple[bytes, int]:
        """Wait for the next zone that is due, and take it: attempts before this one."""
        while True:
            self._changed = trio.Event()
            wait = math.inf
            while self._order:
                when, apex = self._order[0]
                planned = self.due.get(apex)
                if planned is not None and planned[0] == when and when > trio.current_time():
                    wait = when
                    break
                heapq.heappop(self._order)
                if planned is not None and planned[0] == when:
                    del self.due[apex]
                    return apex, planned[1]
            with trio.move_on_at(wait):
                await self._changed.wait()
