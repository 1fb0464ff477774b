"""TRIO: the courier of one notifier: takes events, and sees to it that messages arrive.

Theory of operation. `tell` puts an event into a bounded queue without waiting; one that finds it full is counted, and
the next message says how many. Two tasks do the rest. One takes events in, groups them, and keeps the memory and each
message that is due in the spool. The other delivers messages, the oldest first, with back-off, and holds up nobody but
itself. A message leaves the spool when it was delivered: after a crash one may be told twice, and none is lost.

A disk that fails costs a restart its memory, and nobody a message: what is in the spool is held here too.
"""

import logging
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from monitors.notify.event import Event, Message
from monitors.notify.grouping import Grouping, group, next_due, restrict
from monitors.notify.notifier import DeliveryError, Notifier, backoff
from monitors.notify.spool import Spool

QUEUE = 10_000
"""Events that wait to be taken in."""
MESSAGES = 500
"""Messages that wait to be delivered. The oldest makes room."""
REFUSALS = 3
"""So often a message is tried that the receiver refuses while it takes others."""

Deliver = Callable[[Message], Awaitable[None]]
"""One attempt; raises DeliveryError. It may be cancelled."""

T = TypeVar("T")

logger = logging.getLogger("waypost.notify")


class Statistics(msgspec.Struct, frozen=True):
    """The state of one notifier, and counters since it was started."""

    queued: int
    """Events not taken in yet."""
    waiting: int
    """Messages not delivered yet."""
    delivered: int
    failed: int
    """Attempts that failed."""
    given_up: int
    """Messages that were too old, too many, or refused."""
    dropped: int
    """Events that found the queue full."""
    error: str
    """Why the last attempt failed; "" if it did not."""


class _Letter:
    """A message that waits, and its file, if the disk took it."""

    __slots__ = ("message", "path", "refusals")

    def __init__(self, message: Message, path: Path | None) -> None:
        self.message = message
        self.path = path
        self.refusals = 0


class Courier:
    """Runs while `run` does; it can be told before. `unix_time` is the clock, `dice` the jitter from 0 to 1."""

    def __init__(
        self,
        notifier: Notifier,
        deliver: Deliver,
        spool: Spool,
        unix_time: Callable[[], float],
        dice: Callable[[], float],
    ) -> None:
        self._notifier = notifier
        self._deliver = deliver
        self._spool = spool
        self._unix_time = unix_time
        self._dice = dice
        self._told, self._queue = trio.open_memory_channel[Event](QUEUE)
        self._letters: list[_Letter] = []
        self._has_letters = trio.Event()
        self._delivered = self._failed = self._given_up = self._dropped = 0
        self._unsaid_given_up = self._unsaid_dropped = 0
        self._error = ""

    def tell(self, event: Event) -> None:
        """Hand over an event. Never waits."""
        try:
            self._told.send_nowait(event)
        except trio.WouldBlock:
            if not self._unsaid_dropped:
                logger.warning("notifier %s: more events than it can take in; some are dropped", self._notifier.name)
            self._dropped += 1
            self._unsaid_dropped += 1

    def statistics(self) -> Statistics:
        """How it does."""
        queued = self._queue.statistics().current_buffer_used
        return Statistics(
            queued, len(self._letters), self._delivered, self._failed, self._given_up, self._dropped, self._error
        )

    async def run(self) -> None:
        """Until it is cancelled; what it was told until then is kept first."""
        grouping = Grouping()
        with trio.CancelScope(shield=True):
            # Not to be cut short: what is kept at the end takes the place of what is loaded here.
            if kept := await self._on_disk(self._spool.load):
                grouping = restrict(kept[0], self._notifier)
                for path, message in kept[1]:
                    await self._add(_Letter(message, path))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver_letters)
            await self._take_events(grouping)

    async def _take_events(self, grouping: Grouping) -> None:
        while True:
            events: list[Event] = []
            try:
                with trio.move_on_after(self._seconds_until_due(grouping)):
                    events.append(await self._queue.receive())
            finally:
                # Also at the end: whatever was told is kept.
                with trio.CancelScope(shield=True):
                    grouping = await self._take(grouping, events + self._all_queued())

    def _seconds_until_due(self, grouping: Grouping) -> float:
        due = next_due(grouping, self._notifier)
        return math.inf if due is None else max(0.0, due - self._unix_time())

    def _all_queued(self) -> list[Event]:
        events = []
        while True:
            try:
                events.append(self._queue.receive_nowait())
            except trio.WouldBlock:
                return events

    async def _take(self, grouping: Grouping, events: list[Event]) -> Grouping:
        after, message = group(
            grouping, events, self._notifier, self._unix_time(), self._unsaid_dropped, self._unsaid_given_up
        )
        if message is not None:
            self._unsaid_dropped -= message.dropped
            self._unsaid_given_up -= message.given_up
            await self._add(_Letter(message, await self._on_disk(self._spool.put, message)))
        if after != grouping:
            await self._on_disk(self._spool.keep, after)
        return after

    async def _add(self, letter: _Letter) -> None:
        self._letters.append(letter)
        self._has_letters.set()
        if len(self._letters) > MESSAGES:
            await self._give_up(self._letters[0], f"more than {MESSAGES} messages wait")

    async def _deliver_letters(self) -> None:
        failures = 0
        while True:
            await self._has_letters.wait()
            error = await self._deliver_each()
            if error is None:
                failures = 0
                continue
            failures += 1
            delay = backoff(failures, self._dice(), error.retry_after)
            logger.warning(
                "notifier %s: a message was not delivered; tried again in %.0f s: %s", self._notifier.name, delay, error
            )
            await trio.sleep(delay)

    async def _deliver_each(self) -> DeliveryError | None:
        """Try each letter, as long as the receiver is well; the last error."""
        last = None
        for letter in list(self._letters):
            age = self._unix_time() - letter.message.made
            if letter not in self._letters:
                continue  # it had to make room
            if age > self._notifier.give_up_after:
                await self._give_up(letter, f"not delivered for {age:.0f} s")
                continue
            error = await self._attempt(letter.message)
            if error is None:
                self._delivered += 1
                await self._remove(letter)
                continue
            self._failed += 1
            last = error
            if not error.refused:
                break
            letter.refusals += 1
            if letter.refusals >= REFUSALS:
                await self._give_up(letter, f"refused: {error}")
        self._error = "" if last is None else str(last)
        return last if self._letters else None

    async def _attempt(self, message: Message) -> DeliveryError | None:
        timeout = self._notifier.timeout
        try:
            with trio.fail_after(timeout):
                await self._deliver(message)
        except DeliveryError as error:
            return error
        except trio.TooSlowError:
            return DeliveryError(f"nothing within {timeout:g} s")
        except Exception as error:
            logger.exception("notifier %s: an error in the delivery itself", self._notifier.name)
            return DeliveryError(f"{type(error).__name__}: {error}", refused=True)
        return None

    async def _give_up(self, letter: _Letter, why: str) -> None:
        logger.error("notifier %s: message %s is given up: %s", self._notifier.name, letter.message.identifier, why)
        self._given_up += 1
        self._unsaid_given_up += 1
        await self._remove(letter)

    async def _remove(self, letter: _Letter) -> None:
        if letter in self._letters:
            self._letters.remove(letter)
        if not self._letters:
            self._has_letters = trio.Event()
        if letter.path is not None:
            # Shielded: what was delivered must not be told again after a reload.
            with trio.CancelScope(shield=True):
                await self._on_disk(self._spool.remove, letter.path)

    async def _on_disk(self, work: Callable[..., T], *arguments: object) -> T | None:
        """What `work` returns, done in a thread; None, with the reason in the log, if the disk fails."""
        try:
            return await trio.to_thread.run_sync(work, *arguments)
        except OSError as error:
            logger.error("notifier %s: the spool fails: %s", self._notifier.name, error)  # noqa: TRY400 - no trace
            return None
