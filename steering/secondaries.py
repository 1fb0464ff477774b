"""TRIO: the process that others' words change zones in, and control's end of it: it keeps zones from primaries fresh
(zones/refresh.py), and applies updates (zones/updater.py), one at a time.

Control runs it as a child while there are such zones: what a primary sends, and applying it, must not delay a probe.
They talk in frames as in serve/feed.py over a socket pair: Secondaries, Notified and UpdateAsked to the child,
SecondaryStatus, Members and UpdateDone back. A child that dies is started again, and told everything again; what it had
published stays, and updates that it had not answered fail when their time is over.
"""

import logging
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import trio

from steering.child import run_child
from steering.log import start_log
from steering.messages import FromSecondaries, Notified, Secondaries, ToSecondaries, UpdateAsked, UpdateDone
from steering.serve.feed import Connection
from steering.wire import SERVFAIL, name_to_text
from steering.zones.refresh import Refresher
from steering.zones.store import Store
from steering.zones.updater import Updater

RESTART_PAUSE = 1.0
"""Seconds."""

logger = logging.getLogger("waypost.control")


class SecondaryZones:
    """Control's end: starts the child when there is something for it to do."""

    def __init__(self, nursery: trio.Nursery, on_news: Callable[[FromSecondaries], None]) -> None:
        self._nursery = nursery
        self._on_news = on_news
        self._wanted: Secondaries | None = None
        self._connection: Connection[FromSecondaries] | None = None
        self._running = False

    def replace(self, wanted: Secondaries) -> None:
        """The configuration from now on."""
        self._wanted = wanted
        if self._connection is not None:
            self._connection.send(wanted)
        elif not self._running and any(zone.primaries or zone.allow_update for zone in wanted.settings.zones):
            self._running = True
            self._nursery.start_soon(self._run)

    def notify(self, notified: Notified) -> None:
        """A primary says that a zone has changed."""
        if self._connection is not None:
            self._connection.send(notified)

    def update(self, asked: UpdateAsked) -> None:
        """Somebody who may asks for an update."""
        if self._connection is not None:
            self._connection.send(asked)
        else:
            self._on_news(UpdateDone(asked.worker, asked.number, SERVFAIL))

    async def _run(self) -> None:
        while True:
            async with trio.open_nursery() as nursery:
                try:
                    process, stream = await _start_child(nursery)
                except OSError as error:
                    trouble = f"cannot be started ({error.strerror})"
                else:
                    await Connection(stream, msgspec.msgpack.Decoder(FromSecondaries)).run(self._converse)
                    process.terminate()
                    trouble = "has ended"
            logger.error("the process that refreshes and updates zones %s: starting it again", trouble)
            await trio.sleep(RESTART_PAUSE)

    async def _converse(self, connection: Connection[FromSecondaries]) -> None:
        assert self._wanted is not None, "it was started for something"
        self._connection = connection
        connection.send(self._wanted)
        try:
            async for news in connection:
                self._on_news(news)
        finally:
            self._connection = None


async def _start_child(nursery: trio.Nursery) -> tuple[trio.Process, trio.SocketStream]:
    """The child, and our end of what we talk over; raises OSError."""
    ours, theirs = socket.socketpair()
    with theirs:
        end, level = theirs.fileno(), logging.getLogger().level
        run = partial(run_child, "steering.secondaries", str(end), str(level), pass_fds=[end])
        try:
            process: trio.Process = await nursery.start(partial(run, stdin=subprocess.DEVNULL))
        except BaseException:
            ours.close()
            raise
    return process, trio.SocketStream(trio.socket.from_stdlib_socket(ours))


def main() -> None:
    """The child."""
    descriptor, level = map(int, sys.argv[1:])
    start_log(sys.stderr, level)
    trio.run(_run, socket.socket(fileno=descriptor))


async def _run(end: socket.socket) -> None:
    """Until control is gone, or SIGTERM."""
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(end))
    connection = Connection(stream, msgspec.msgpack.Decoder(ToSecondaries))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_wait_for_signal, nursery.cancel_scope)
        await connection.run(partial(_obey, nursery))
        nursery.cancel_scope.cancel()


async def _obey(nursery: trio.Nursery, connection: Connection[ToSecondaries]) -> None:
    refresher: Refresher | None = None
    updater: Updater | None = None
    async for message in connection:
        if isinstance(message, Secondaries):
            if refresher is None or updater is None:
                store = Store(Path(message.settings.server.state) / "zones", write=True)
                refresher = Refresher(store, nursery, random.random, connection.send)
                updater = Updater(store)
            refresher.replace(message.settings, message.keys)
            updater.replace(message.settings)
        elif isinstance(message, UpdateAsked):
            if updater is not None:
                # At the end nobody waits for it: it may wait for a lock itself, and what it had not answered failed.
                done = await trio.to_thread.run_sync(updater.update, message, time.monotonic, abandon_on_cancel=True)
                if done.rcode:
                    level = logging.ERROR if done.rcode == SERVFAIL else logging.INFO
                    logger.log(level, "zone %s: not updated %s", name_to_text(done.apex), done.told)
                elif done.serial is not None:
                    logger.info("zone %s: serial %d, updated %s", name_to_text(done.apex), done.serial, done.told)
                connection.send(done)
        elif refresher is not None:
            refresher.notify(message.apex)


async def _wait_for_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


if __name__ == "__main__":
    main()
