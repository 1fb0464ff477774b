"""DNS over TCP (RFC 7766): each message with its length, two bytes, before it (RFC 1035 section 4.2.2).

One task per connection reads, answers at once, and writes; `answer` is synchronous, so answers leave in the
order of their questions, as many as came together in one write. The rare answer that comes later is waited for.

What a client can cost us is bounded, in time and in memory:
- A client that sends nothing, or never finishes the message that it trickles in, is closed `idle` seconds
  after its last complete message; single bytes do not buy time.
- A client that does not take its answers is not read from, and reset `write` seconds after we began to send.
- With `connections` open, or `per_client` from one client, the next one takes the place of the one whose last
  complete message or answer is the longest ago. A client is an IPv4 address or an IPv6 /64.
- When unfinished messages and unsent answers together exceed `buffered` bytes, the connection that holds most
  is closed.
- A reply of many messages (a zone transfer) is sent message by message, each like an answer; all of it must be taken
  within `stream` seconds. Other connections are served between any two.
- A message shorter than a DNS header ends its connection.

The connection of a proxy begins with a header that says for which client it is (proxy.py), and then counts as that
client's.

Cancelling drains: no more is accepted or read, and answers that are being sent get `drain` seconds to leave.
"""

import contextlib
import logging
import math
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

import msgspec
import trio

from steering.later import Later
from steering.proxy import ProxyError, parse_proxy_untrusted

Address = tuple[str, int]  # of a client: canonical text without a scope, port


class Messages(Protocol):
    """A reply of many messages, one after the other."""

    def next_message(self, now: float, /) -> bytes | None:
        """The next one, None after the last; `now` in Unix seconds."""

    def close(self) -> None:
        """No more is wanted."""


Answer = Callable[[bytes, Address], bytes | Messages | Later | None]
"""Query to reply, neither with its length; None is silence. A Later must get its reply in the end."""

HEADER_LENGTH = 12  # bytes of the shortest message that has an ID to answer
READ_SIZE = 4096  # bytes read, and answered without letting other tasks run
WRITE_SIZE = 65536  # bytes of answers that are sent before the next query is looked at
LOGGED_LENGTH = 512  # bytes of a packet that the log shows

logger = logging.getLogger("waypost.tcp")


class TcpLimits(msgspec.Struct, frozen=True):
    """What clients may use: numbers of connections, seconds, bytes."""

    connections: int = 1000
    per_client: int = 100
    idle: float = 10.0
    write: float = 10.0
    drain: float = 2.0
    stream: float = 300.0
    buffered: int = 16 << 20


async def serve_tcp(
    listeners: Sequence[socket.socket],
    answer: Answer,
    limits: TcpLimits,
    is_proxy: Callable[[str], bool] = lambda _: False,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Answer queries on the listening sockets until cancelled; then drain (see above).

    Closes its copies of the sockets. An exception of `answer` is logged with the query and closes that
    connection.
    """
    server = StreamServer(answer, limits, is_proxy)

    async def serve_stream(stream: trio.SocketStream) -> None:
        try:
            host, port = stream.socket.getpeername()[:2]
        except OSError:
            return  # reset between the kernel's accept and ours
        await server.serve(stream, (host.partition("%")[0], port))

    async with trio.open_nursery() as nursery:
        try:
            wrapped = [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in listeners]
            await nursery.start(trio.serve_listeners, serve_stream, wrapped)
            task_status.started()
            await trio.sleep_forever()
        finally:
            server.drain()
    raise AssertionError("only cancelling ends this")


class StreamServer:
    """Answers on streams of any kind, all under the same limits."""

    def __init__(self, answer: Answer, limits: TcpLimits, is_proxy: Callable[[str], bool] = lambda _: False) -> None:
        self._answer = answer
        self._is_proxy = is_proxy
        self._limits = limits
        self._connections: dict[_Connection, None] = {}  # in the order of their progress, the oldest first
        self._clients: Counter[bytes] = Counter()  # connections of each client
        self._buffered = 0
        self._end = math.inf  # when draining is over

    async def serve(self, stream: trio.abc.Stream, address: Address) -> None:
        """Answer on one stream until it ends or breaks a rule, and close it."""
        connection = _Connection(stream, address)
        self._admit(connection)
        try:
            with connection.scope:
                await self._converse(connection)
        except (trio.BrokenResourceError, TcpError):
            pass  # the client is gone, or not worth more
        finally:
            self._forget(connection)
            await trio.aclose_forcefully(stream)

    def drain(self) -> None:
        """Give the answers that are being sent `drain` seconds from now; the caller cancels the rest."""
        self._end = trio.current_time() + self._limits.drain
        for connection in self._connections:
            connection.sending.deadline = min(connection.sending.deadline, self._end)

    async def _converse(self, connection: "_Connection") -> None:
        """Read, answer, write; returns when the connection is to be closed."""
        received = bytearray()
        closing = False
        proxied = self._is_proxy(connection.address[0])
        while not closing:
            with trio.move_on_at(connection.progress + self._limits.idle) as patience:
                data = await connection.stream.receive_some(READ_SIZE)
            if patience.cancelled_caught or not data:
                return
            received += data
            if proxied:
                proxied = not self._take_proxy_untrusted(received, connection)
                if proxied:
                    continue
            position = 0
            replies = bytearray()
            while not closing:
                try:
                    query = take_message_untrusted(received, position)
                    if query is None:
                        break
                    position += 2 + len(query)
                    self._touch(connection)
                    reply = self._reply(query, connection.address)
                    if isinstance(reply, bytes):
                        replies += reply
                    elif isinstance(reply, Later):
                        coming = _Coming()
                        reply.send = coming.take
                        await self._send(connection, replies, len(received) - position)
                        replies = await coming.wait()
                    else:
                        with contextlib.closing(reply):
                            await self._send(connection, replies, len(received) - position)
                            replies.clear()
                            await self._stream(connection, reply, len(received) - position)
                except TcpError:
                    closing = True  # but what was asked properly before is answered
                if len(replies) >= WRITE_SIZE:
                    await self._send(connection, replies, len(received) - position)
                    replies.clear()
            del received[:position]
            await self._send(connection, replies, len(received))

    async def _stream(self, connection: "_Connection", messages: Messages, unfinished: int) -> None:
        """Send a reply of many messages. Raises TcpError if that takes too long, or fails."""
        end = trio.current_time() + self._limits.stream
        while True:
            try:
                message = messages.next_message(time.time())
            except Exception as error:
                logger.exception("a reply of many messages to %s broke off", connection.address[0])
                raise TcpError("the reply broke off") from error
            if message is None:
                return
            if trio.current_time() > end:
                raise TcpError("the client takes a long reply too slowly")
            await self._send(connection, bytearray(_frame(message)), unfinished)
            await trio.lowlevel.checkpoint()

    def _take_proxy_untrusted(self, received: bytearray, connection: "_Connection") -> bool:
        """Take the header of a proxy's connection, which from then on is its client's; whether it was whole."""
        try:
            proxied = parse_proxy_untrusted(received)
        except ProxyError as error:
            raise TcpError(str(error)) from error
        if proxied is None:
            return False
        del received[: proxied.size]
        if proxied.client is not None:
            self._forget(connection)
            connection.belong(proxied.client)
            self._admit(connection)
        return True

    def _reply(self, query: bytes, address: Address) -> bytes | Messages | Later:
        """What to send for a query: nothing for silence. Raises TcpError, and logs, when `answer` fails."""
        try:
            reply = self._answer(query, address)
            if reply is None:
                return b""
            return _frame(reply) if isinstance(reply, bytes) else reply
        except Exception as error:
            logger.exception("no answer to %s from %s", query[:LOGGED_LENGTH].hex(), address[0])
            raise TcpError("the query could not be answered") from error

    async def _send(self, connection: "_Connection", replies: bytearray, unfinished: int) -> None:
        """Send the replies, while so many bytes of questions wait. Raises TcpError if that takes too long."""
        deadline = min(trio.current_time() + self._limits.write, self._end)
        connection.sending = trio.CancelScope(shield=True, deadline=deadline)
        self._hold(connection, unfinished + len(replies))
        if not replies:
            return
        with connection.sending:
            await connection.stream.send_all(replies)
        if connection.sending.cancelled_caught:
            if isinstance(connection.stream, trio.SocketStream):
                # Reset: or else the kernel keeps what was not taken, and tries for minutes.
                connection.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise TcpError("the client does not take its answers")
        self._touch(connection)
        self._hold(connection, unfinished)

    def _admit(self, connection: "_Connection") -> None:
        """Count a new connection in, at the cost of the oldest one where there is no room."""
        if self._clients[connection.client] >= self._limits.per_client:
            self._close(next(other for other in self._connections if other.client == connection.client))
        elif len(self._connections) >= self._limits.connections:
            self._close(next(iter(self._connections)))
        self._connections[connection] = None
        self._clients[connection.client] += 1

    def _touch(self, connection: "_Connection") -> None:
        """Note that the connection made progress now."""
        connection.progress = trio.current_time()
        if connection in self._connections:
            del self._connections[connection]
            self._connections[connection] = None

    def _hold(self, connection: "_Connection", held: int) -> None:
        """Note how many bytes the connection holds; close those that hold most while that is too much."""
        if connection in self._connections:
            self._buffered += held - connection.held
            connection.held = held
        while self._buffered > self._limits.buffered:
            self._close(max(self._connections, key=lambda other: other.held))

    def _close(self, connection: "_Connection") -> None:
        """Close a connection, whatever it is doing: at once for the counts, soon for its task."""
        self._forget(connection)
        connection.scope.cancel()
        connection.sending.cancel()

    def _forget(self, connection: "_Connection") -> None:
        """Count a connection out, once."""
        if connection not in self._connections:
            return
        del self._connections[connection]
        self._buffered -= connection.held
        self._clients[connection.client] -= 1
        if not self._clients[connection.client]:
            del self._clients[connection.client]


class TcpError(Exception):
    """The connection is to be closed."""


def take_message_untrusted(received: bytearray, position: int) -> bytes | None:
    """The message whose length is at this position; None if it is not complete yet.

    Raises TcpError if it is too short to be a DNS message.
    """
    if len(received) < position + 2:
        return None
    length = received[position] << 8 | received[position + 1]
    if length < HEADER_LENGTH:
        raise TcpError(f"a message of {length} bytes")
    if len(received) < position + 2 + length:
        return None
    return bytes(memoryview(received)[position + 2 : position + 2 + length])


def _frame(message: bytes) -> bytes:
    return struct.pack("!H", len(message)) + message


class _Coming:
    """The reply of a Later."""

    def __init__(self) -> None:
        self._come = trio.Event()
        self._reply = b""

    def take(self, reply: bytes) -> None:
        """It has come."""
        self._reply = reply
        self._come.set()

    async def wait(self) -> bytearray:
        """The reply with its length."""
        await self._come.wait()
        return bytearray(_frame(self._reply))


class _Connection:
    """One client's stream and what the limits need to know of it."""

    def __init__(self, stream: trio.abc.Stream, address: Address) -> None:
        self.stream = stream
        self.belong(address)
        self.scope = trio.CancelScope()  # around all of it
        self.sending = trio.CancelScope()  # around the present or the last sending, shielded from the first
        self.progress = trio.current_time()  # of the last complete message or answer
        self.held = 0  # bytes

    def belong(self, address: Address) -> None:
        """Be the connection of the client at this address."""
        self.address = address
        family, length = (socket.AF_INET6, 8) if ":" in address[0] else (socket.AF_INET, 4)
        self.client = socket.inet_pton(family, address[0])[:length]
