"""TRIO: the one background thread with an asyncio loop, in which all work with aiosmtplib is done.

aiosmtplib runs on asyncio alone. A task of Trio hands a coroutine function to this thread and waits; whatever
happens, it does not go on before the work there has ended, so a cancelled caller leaves no connection behind.
Work and its cancellation travel by the same queue, in order: the task exists before anything can cancel it.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar

import aiosmtplib
import trio

T = TypeVar("T")


class MailThreadClosed(RuntimeError):
    """The thread was closed before the work had ended."""


class MailThread:
    """Runs from the moment it is made until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="waypost mail", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], Coroutine[object, None, T]]) -> T:
        """What `work()` returns or raises, run as a task of the asyncio loop; a cancellation here cancels it
        there."""
        trio_token = trio.lowlevel.current_trio_token()
        ended = trio.Event()
        tasks: list[asyncio.Task[T]] = []

        def start() -> None:
            task = self._loop.create_task(work())
            tasks.append(task)
            task.add_done_callback(lambda _: trio_token.run_sync_soon(ended.set))

        self._loop.call_soon_threadsafe(start)
        try:
            await ended.wait()
        except trio.Cancelled:
            self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            with trio.CancelScope(shield=True):
                await ended.wait()
            raise
        if tasks[0].cancelled():
            raise MailThreadClosed("the mail thread was closed")
        return tasks[0].result()

    def close(self) -> None:
        """Cancel what still runs, let it end, and end the thread. Call it once, when no task of Trio is in
        `run`."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_closing())

    async def _until_closing(self) -> None:
        await self._closing.wait()


def close_at_once(client: aiosmtplib.SMTP) -> None:
    """End a connection without waiting, as TLS would for the goodbye of the other end. Call it in the thread."""
    transport = client.transport
    client.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
