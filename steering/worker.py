"""A worker: the DNS sockets, the current World, and `respond` between them.

It is fed by control and does nothing that can wait. Without a world yet (it has just been started) it leaves packets
in its sockets until control has spoken; when control is away it goes on with the last world that it knew. Changes in
the zone store it sees for itself, in the snapshot that it takes for each burst of packets.
"""

import logging
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import trio

from geodata.classes import ClassMap
from geodata.errors import GeoError
from steering.balance.pools import Health
from steering.beside.powerdns_remote import reply_untrusted
from steering.cookies import CookieSigner
from steering.later import Later, Waiting
from steering.messages import (
    Configured,
    Counted,
    HealthChanged,
    Hello,
    Notified,
    OriginHealth,
    Taken,
    ToWorker,
    UpdateAsked,
    UpdateDone,
)
from steering.peers import Peers, is_transfer_request, is_update
from steering.process import WorkerEnd, beat_while_well, wait_for_end
from steering.ratelimit import KEY_SIZE, RateLimit, RateLimiter
from steering.refusals import RefusalLog
from steering.respond import respond, respond_update
from steering.serve.backend import serve_backend
from steering.serve.feed import Connection, connect_feed
from steering.serve.tcp import Address, TcpLimits, serve_tcp
from steering.serve.udp import serve_udp
from steering.wire import TCP_IDLE
from steering.world import World, make_world
from steering.zones.store import Store, StoreReader
from steering.zones.transfer import Transfer

COUNT_INTERVAL = 1.0
"""Seconds between two reports of the counters to control."""
NOTIFY_INTERVAL = 1.0
"""Seconds between two times that control is told of NOTIFYs; the first one goes at once."""
EXPIRE_INTERVAL = 0.5
"""Seconds between two looks for clients that have waited for control for too long."""

logger = logging.getLogger("waypost.worker")


def run_worker(state: Path, end: WorkerEnd) -> None:
    """Answer until SIGTERM, then drain; the main function of the process."""
    store = Store(state / "zones")
    trio.run(Worker(store, end).run)


class Worker:
    """The world that a worker answers from, and the tasks around it."""

    def __init__(self, store: Store, end: WorkerEnd) -> None:
        self._end = end
        self._store = store
        self._zones = StoreReader(store)
        self._control: Connection[ToWorker] | None = None
        """None while control is away: who is not heard then asks again, or the zone's own timers do."""
        self._notified: dict[bytes, Notified] = {}
        """By zone, what control is still to be told: once, however often a flood says it."""
        self._heard = trio.Event()
        self._refusals = RefusalLog()
        self._waiting = Waiting(random.getrandbits(48))
        self._world: World | None = None
        self._configured = trio.Event()
        self._limit = RateLimit()
        self._limiter = RateLimiter(self._limit, os.urandom(KEY_SIZE))
        self._udp = 0
        self._tcp = 0

    async def run(self) -> None:
        """Serve until SIGTERM, or until the supervisor is gone."""
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(beat_while_well, self._end.beat)
                nursery.start_soon(connect_feed, self._end.feed, msgspec.msgpack.Decoder(ToWorker), self._obey)
                nursery.start_soon(self._serve)
                nursery.start_soon(self._expire)
                nursery.start_soon(wait_for_end, signals, self._end.lifeline, nursery.cancel_scope)

    async def _serve(self) -> None:
        await self._configured.wait()
        async with trio.open_nursery() as nursery:
            for listener in self._end.udp:
                nursery.start_soon(serve_udp, listener, self._open_world, random.random, self._count_udp)
            if self._end.tcp:
                nursery.start_soon(serve_tcp, self._end.tcp, self._answer_tcp, TcpLimits(idle=TCP_IDLE), self._is_proxy)
            if self._end.backend:
                nursery.start_soon(serve_backend, self._end.backend, self._answer_powerdns)

    @contextmanager
    def _open_world(self) -> Iterator[World]:
        """The current world with the newest snapshot of the zones."""
        changed = self._zones.begin()
        try:
            assert self._world is not None, "nothing is served before the first world"
            if changed:
                self._world = self._world.with_zones_changed()
            yield self._world
        finally:
            self._zones.end()

    def _count_udp(self, packets: int) -> None:
        self._udp += packets

    def _is_proxy(self, address: str) -> bool:
        is_proxy = None if self._world is None else self._world.is_proxy
        return is_proxy is not None and is_proxy(address)

    def _answer_tcp(self, message: bytes, client: Address) -> bytes | Transfer | Later | None:
        self._tcp += 1
        with self._open_world() as world:
            if world.peers is not None and is_transfer_request(message):
                return world.peers.open_transfer_untrusted(message, client[0], time.time(), world.zones)
            if is_update(message):
                return respond_update(message, client[0], True, time.time(), world)
            return respond(message, client[0], True, time.time(), random.random, world)

    def _answer_powerdns(self, request: bytes) -> bytes:
        with self._open_world() as world:
            return reply_untrusted(request, random.random, world)

    async def _obey(self, connection: Connection[ToWorker]) -> None:
        """Take what control says until the connection is lost."""
        connection.send(Hello(self._end.number, os.getpid()))
        self._control = connection
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._report, connection)
                nursery.start_soon(self._pass_on_notified, connection)
                async for message in connection:
                    if isinstance(message, UpdateDone):
                        self._waiting.finish(message.number, message.rcode)
                        continue
                    self._take(message)
                    if isinstance(message, Configured):
                        connection.send(Taken())
                nursery.cancel_scope.cancel()
        finally:
            self._control = None

    def _take(self, message: Configured | HealthChanged) -> None:
        """Go on with the world that control tells of, if it is usable."""
        try:
            self._world = self._apply(message)
        except GeoError:
            logger.exception("a map of control's is not usable; going on with the world as it was")
        if self._world is not None:
            self._configured.set()

    def _apply(self, message: Configured | HealthChanged) -> World | None:
        if isinstance(message, HealthChanged):
            # Without a world there is nothing to change: all of it is about to come.
            return None if self._world is None else self._world.with_health(_health_of(message.health))
        maps = {each.rules: ClassMap.open(Path(each.path)) for each in message.maps}
        limit = message.settings.server.rate_limit
        # Each worker sees its share of a client's packets.
        rate = -(-limit.responses_per_second // message.settings.server.workers)
        limit = msgspec.structs.replace(limit, responses_per_second=rate)
        if limit != self._limit:
            self._limit, self._limiter = limit, RateLimiter(limit, os.urandom(KEY_SIZE))
        cookies = CookieSigner(message.cookie_secrets)
        judge = self._limiter.judge if limit.responses_per_second else None
        zones, keys = message.settings.zones, message.keys
        peers = Peers(self._store, zones, keys, self._tell_notified, self._ask_update, self._log_refusal)
        return make_world(message.settings, self._zones, maps, _health_of(message.health), cookies, judge, peers)

    def _log_refusal(self, text: str) -> None:
        for line in self._refusals.take(text, time.monotonic()):
            logger.warning("refused: %s", line)

    def _tell_notified(self, notified: Notified) -> None:
        self._notified[notified.apex] = notified
        self._heard.set()

    async def _pass_on_notified(self, connection: Connection[ToWorker]) -> None:
        while True:
            await self._heard.wait()
            self._heard = trio.Event()
            for notified in self._notified.values():
                connection.send(notified)
            self._notified.clear()
            await trio.sleep(NOTIFY_INTERVAL)

    def _ask_update(self, packet: bytes, client: str, later: Later) -> bool:
        asked = self._waiting.add(later, time.monotonic()) if self._control is not None else None
        if self._control is None or asked is None:
            return False
        self._control.send(UpdateAsked(self._end.number, *asked, client, packet))
        return True

    async def _expire(self) -> None:
        while True:
            await trio.sleep(EXPIRE_INTERVAL)
            self._waiting.expire(time.monotonic())

    async def _report(self, connection: Connection[ToWorker]) -> None:
        while True:
            connection.send(Counted(self._udp, self._tcp, self._limiter.slipped, self._limiter.dropped))
            await trio.sleep(COUNT_INTERVAL)


def _health_of(origins: tuple[OriginHealth, ...]) -> Health:
    return {(each.pool, each.origin): each.verdict for each in origins}
