"""TRIO: telling people: every notifier of a configuration, each with a courier of its own."""

import functools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from monitors import notify
from monitors.notify import AnyNotifier
from monitors.notify.courier import Courier, Statistics
from monitors.notify.event import Event, Message
from monitors.notify.notifier import concerns
from monitors.notify.spool import Spool
from monitors.tools import Tools

Deliver = Callable[[AnyNotifier, Message, Tools], Awaitable[None]]


@asynccontextmanager
async def open_notifications(
    directory: Path, tools: Tools, deliver: Deliver = notify.deliver
) -> AsyncIterator["Notifications"]:
    """Notifications without notifiers; the spool of each is the folder of its name in `directory`.

    `deliver` makes one attempt. At the end everything is cancelled; what was told and not delivered is in the spool.
    """
    async with trio.open_nursery() as nursery:
        yield Notifications(nursery, directory, tools, deliver)
        nursery.cancel_scope.cancel()


class Notifications:
    """Made by `open_notifications`."""

    def __init__(self, nursery: trio.Nursery, directory: Path, tools: Tools, deliver: Deliver) -> None:
        self._nursery = nursery
        self._directory = directory
        self._tools = tools
        self._deliver = deliver
        self._lines: dict[str, _Line] = {}
        self._ends: dict[str, trio.Event] = {}

    def replace(self, notifiers: Iterable[AnyNotifier]) -> None:
        """Tell `notifiers`, and nobody else, from now on. Who is unchanged is not disturbed; who is changed goes on
        with the memory and the messages that were kept under its name."""
        wanted = {notifier.name: notifier for notifier in notifiers}
        for name, line in list(self._lines.items()):
            if wanted.get(name) != line.notifier:
                self._lines.pop(name).running.cancel()
        for name, notifier in wanted.items():
            if name not in self._lines:
                deliver = functools.partial(self._attempt, notifier)
                courier = Courier(notifier, deliver, Spool(self._directory / name), time.time, random.random)
                self._lines[name] = line = _Line(notifier, courier)
                before, self._ends[name] = self._ends.get(name), line.ended
                self._nursery.start_soon(line.run, before)

    def tell(self, event: Event) -> None:
        """Hand an event to every notifier that it concerns. Never waits."""
        for line in self._lines.values():
            if concerns(line.notifier, event):
                line.courier.tell(event)

    def statistics(self) -> dict[str, Statistics]:
        """How each notifier does, by its name."""
        return {name: line.courier.statistics() for name, line in self._lines.items()}

    async def _attempt(self, notifier: AnyNotifier, message: Message) -> None:
        await self._deliver(notifier, message, self._tools)


class _Line:
    """A notifier and its courier, which starts when `before` has ended: two never share a spool."""

    def __init__(self, notifier: AnyNotifier, courier: Courier) -> None:
        self.notifier = notifier
        self.courier = courier
        self.running = trio.CancelScope()
        self.ended = trio.Event()

    async def run(self, before: trio.Event | None) -> None:
        try:
            with trio.CancelScope(shield=True):
                if before is not None:
                    await before.wait()
            with self.running:
                await self.courier.run()
        finally:
            self.ended.set()
