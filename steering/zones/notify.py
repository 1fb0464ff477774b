"""TRIO: NOTIFY (RFC 1996): secondaries are told that a zone has changed, until they have said that they know.

Each target of a zone is asked with growing patience, TIMEOUTS; one that never answers is logged, and hears of the next
change again. A change during that begins anew. At the start everybody is told of every zone, since nobody knows what
was published when waypost was last stopped. At most AT_ONCE targets are being asked at a time.

Whoever hears of a zone asks for it at once, and if nobody answers then, not again for long (BIND: until `refresh`). So
nobody is told before the workers answer for the zones in force.
"""

import logging
from collections.abc import Iterable, Mapping

import dns.rcode
import trio

from steering.settings import Zone
from steering.values import Peer
from steering.wire import NOERROR, NOTIFY, SOA, name_to_text
from steering.zones.exchange import ExchangeError, ask_udp, make_identifier
from steering.zones.message import render_request
from steering.zones.tsig import Key

TIMEOUTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds for which each attempt waits for its answer."""
AT_ONCE = 100

logger = logging.getLogger("waypost.notify")


class NotifySender:
    """Tells secondaries, in tasks of a nursery."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._zones: Mapping[bytes, Zone] = {}
        self._keys: Mapping[bytes, Key] = {}
        self._served = trio.Event()
        self._sending: dict[tuple[bytes, Peer], trio.CancelScope] = {}

    def replace(self, zones: Iterable[Zone], keys: Iterable[Key]) -> None:
        """The zones and keys from now on; whoever is new to a zone is told of it. Nobody is before `serve`."""
        if self._served.is_set():
            self._served = trio.Event()
        before = self._zones
        self._zones = {zone.name: zone for zone in zones if zone.notify}
        self._keys = {key.name: key for key in keys}
        for apex, zone in self._zones.items():
            told = before[apex].notify if apex in before else ()
            for peer in zone.notify:
                if peer not in told:
                    self._start(apex, peer)

    def serve(self) -> None:
        """These zones are answered for from now on."""
        self._served.set()

    def tell(self, apex: bytes) -> None:
        """A zone has changed."""
        zone = self._zones.get(apex)
        for peer in zone.notify if zone is not None else ():
            self._start(apex, peer)

    def _start(self, apex: bytes, peer: Peer) -> None:
        if running := self._sending.get((apex, peer)):
            running.cancel()
        scope = self._sending[apex, peer] = trio.CancelScope()
        self._nursery.start_soon(self._send, apex, peer, scope)

    async def _send(self, apex: bytes, peer: Peer, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await self._served.wait()
                async with self._limiter:
                    await self._insist(apex, peer)
        finally:
            if self._sending.get((apex, peer)) is scope:
                del self._sending[apex, peer]

    async def _insist(self, apex: bytes, peer: Peer) -> None:
        reason = ""
        for timeout in TIMEOUTS:
            with trio.move_on_after(timeout) as patience:
                try:
                    request = render_request(make_identifier(), NOTIFY, apex, SOA, authoritative=True)
                    reply = await ask_udp(peer, self._keys[peer.key] if peer.key is not None else None, request)
                    if reply.rcode == NOERROR:
                        return
                    reason = dns.rcode.to_text(dns.rcode.Rcode(reply.rcode))
                except ExchangeError as error:
                    reason = str(error)
                await trio.sleep_forever()  # the next attempt is as late as if nothing had come
            assert patience.cancelled_caught
            reason = reason or "no answer"
        logger.warning("zone %s: %s was not notified: %s", name_to_text(apex), peer, reason)
