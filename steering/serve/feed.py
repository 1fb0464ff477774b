"""The feed: the stream of messages between control and its workers, over a UNIX stream socket.

    0                   1                   2                   3
    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
   +---------------------------------------------------------------+
   |          length of the body in bytes, network order           |
   +---------------------------------------------------------------+
   |          body: one msgpack value, a tagged msgspec Struct     |
   +---------------------------------------------------------------+

Both directions speak the same frames; which messages there are is the business of the decoder passed in.

The rules:
- Sending never waits. Each connection queues; when more than its limit waits because the peer does not read,
  the connection is closed, and a worker that connects again is told everything anew. So control never waits
  for a worker.
- The death of the peer, even in the middle of a frame, is the end of the messages and not an error.
- A frame that is too long or does not decode cannot come from our own code: it is logged and ends the
  connection.
"""

import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, NoReturn, TypeVar

import msgspec
import trio

FRAME_LIMIT = 256 << 20  # bytes of a body; the settings of 100,000 zones are about 20 MB
QUEUE_LIMIT = 256 << 20  # bytes that may wait in one connection
FRAME_OVERHEAD = 100  # bytes of memory that a waiting frame costs beside its own
CHUNK = 65536  # bytes read at once
RECONNECT_INTERVAL = 0.1  # seconds between two attempts to connect
FLUSH_TIMEOUT = 1.0  # seconds that a finished connection may take to send what waits

Incoming = TypeVar("Incoming")

logger = logging.getLogger("waypost.feed")


class FeedError(Exception):
    """A frame is longer than FRAME_LIMIT."""


class Connection(Generic[Incoming]):
    """One end of the feed: iterate over it for the peer's messages, `send` to it.

    The handler that gets a connection must iterate: that is how it learns that the peer is gone.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        decoder: msgspec.msgpack.Decoder[Incoming],
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self._stream = stream
        self._decoder = decoder
        self._reader = FrameReader()
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._queue_limit = queue_limit
        self._changed = trio.Event()
        self._open = True
        self._finished = False
        self._scope = trio.CancelScope()

    def send(self, message: msgspec.Struct) -> None:
        """Queue a message. Raises FeedError if it is longer than a frame may be."""
        self.send_frame(encode_frame(message))

    def send_frame(self, frame: bytes) -> None:
        """Queue a frame from `encode_frame`: what many connections get is encoded once and shared.

        Nothing happens when the connection is closed already. When the queue is overfull, it is closed now;
        one frame always fits into an empty queue.
        """
        if not self._open:
            return
        if self._queued and self._queued + len(frame) + FRAME_OVERHEAD > self._queue_limit:
            logger.warning("a peer of the feed does not read: %d messages wait; closing it", len(self._queue))
            self.close()
            return
        self._queue.append(frame)
        self._queued += len(frame) + FRAME_OVERHEAD
        self._changed.set()

    def close(self) -> None:
        """Close now: cancels the handler of this connection and drops what waits to be sent."""
        self._stop_sending()
        self._scope.cancel()

    def __aiter__(self) -> "Connection[Incoming]":
        return self

    async def __anext__(self) -> Incoming:
        try:
            while (body := self._reader.take_frame()) is None:
                data = await self._stream.receive_some(CHUNK)
                if not data:
                    raise StopAsyncIteration
                self._reader.receive(data)
            return self._decoder.decode(body)
        except trio.BrokenResourceError:
            raise StopAsyncIteration from None
        except (FeedError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            logger.warning("a peer of the feed sent what is no message; closing it: %s", error)
            raise StopAsyncIteration from None

    async def run(self, handle: Callable[["Connection[Incoming]"], Awaitable[None]]) -> None:
        """Run the handler with this connection; when it returns, send what still waits (bounded) and end."""
        with self._scope:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send_queued)
                    await handle(self)
                    self._finished = True
                    self._changed.set()
                    self._scope.deadline = trio.current_time() + FLUSH_TIMEOUT
            finally:
                self._stop_sending()
                await trio.aclose_forcefully(self._stream)

    async def _send_queued(self) -> None:
        """Send frames as they come, until the handler has finished and nothing waits, or the peer is gone."""
        while self._queue or not self._finished:
            if not self._queue:
                self._changed = trio.Event()
                await self._changed.wait()
                continue
            frame = self._queue.popleft()
            try:
                await self._stream.send_all(frame)
            except trio.BrokenResourceError:
                # What the peer said before it died can still be read: the reader decides when this is over.
                self._stop_sending()
                return
            self._queued -= len(frame) + FRAME_OVERHEAD

    def _stop_sending(self) -> None:
        """Forget what waits and ignore what comes."""
        self._open = False
        self._queue.clear()
        self._queued = 0


async def serve_feed(
    listener: socket.socket,
    decoder: msgspec.msgpack.Decoder[Incoming],
    on_connect: Callable[[Connection[Incoming]], Awaitable[None]],
    *,
    queue_limit: int = QUEUE_LIMIT,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Control's side: run `on_connect` for each worker that connects, until cancelled.

    `listener` is the listening UNIX socket from the supervisor. An exception of `on_connect` propagates.
    """

    async def serve_stream(stream: trio.SocketStream) -> None:
        await Connection(stream, decoder, queue_limit).run(on_connect)

    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve_stream, listeners)
        task_status.started()
    raise AssertionError("serve_listeners only ends by an exception")


async def connect_feed(
    address: str,
    decoder: msgspec.msgpack.Decoder[Incoming],
    on_connect: Callable[[Connection[Incoming]], Awaitable[None]],
) -> NoReturn:
    """A worker's side: run `on_connect` with a connection to control, again after each loss, until cancelled.

    While control is away (also at the start) this tries every RECONNECT_INTERVAL. An exception of
    `on_connect` propagates.
    """
    connected = True
    while True:
        try:
            stream = await trio.open_unix_socket(address)
        except OSError as error:
            if connected:
                logger.warning("control is away (%s); going on with what it last said", error.strerror)
            connected = False
        else:
            # With a full backlog this looks connected too, and breaks at the first use: tried again as well.
            connected = True
            await Connection(stream, decoder).run(on_connect)
            logger.info("the connection to control has ended; connecting again")
        await trio.sleep(RECONNECT_INTERVAL)


def encode_frame(message: msgspec.Struct) -> bytes:
    """The frame of a message. Raises FeedError if it is longer than a frame may be."""
    body = msgspec.msgpack.encode(message)
    if len(body) > FRAME_LIMIT:
        raise FeedError(f"a {type(message).__name__} of {len(body)} bytes is longer than a frame may be")
    return len(body).to_bytes(4, "big") + body


class FrameReader:
    """Cuts received bytes into frames. Three outcomes: the body of a frame, None for "more", or FeedError."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes | bytearray) -> None:
        """Add bytes from the peer."""
        self._buffer += data

    def take_frame(self) -> bytes | None:
        """Take the next frame's body, if it is complete."""
        if len(self._buffer) < 4:
            return None
        length = int.from_bytes(self._buffer[:4], "big")
        if length > FRAME_LIMIT:
            raise FeedError(f"a frame of {length} bytes is longer than a frame may be")
        if len(self._buffer) < 4 + length:
            return None
        body = bytes(memoryview(self._buffer)[4 : 4 + length])
        del self._buffer[: 4 + length]
        return body
