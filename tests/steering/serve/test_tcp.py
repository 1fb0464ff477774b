"""`steering/serve/tcp.py`: streams in memory and a mock clock for the limits, real loopback TCP for the rest.

The answer to a query is the query with its bytes after the header reversed, unless its first byte asks for
something else.
"""

import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from steering.later import Later
from steering.serve.tcp import (
    READ_SIZE,
    WRITE_SIZE,
    Address,
    StreamServer,
    TcpError,
    TcpLimits,
    serve_tcp,
    take_message_untrusted,
)
from tests.steering.test_proxy import header

HEADER = bytes(12)
SILENCE, FAILURE, BIG, TOO_BIG = b"s", b"f", b"b", b"t"
LIMITS = TcpLimits()
HERE: Address = ("192.0.2.1", 1234)


def answer(query: bytes, address: Address) -> bytes | None:
    """What a worker would say."""
    assert len(query) >= 12
    assert isinstance(address[1], int)
    match query[12:13]:
        case b"s":
            return None
        case b"f":
            raise ValueError("on purpose")
        case b"b":
            return bytes(60_000)
        case b"t":
            return bytes(65_536)
    return query[:12] + query[:11:-1]


class FakeMessages:
    """A reply of so many messages; the last of them fails if it is to."""

    def __init__(self, count: int, size: int = 1000, *, fails: bool = False) -> None:
        self.left, self.size, self.fails = count, size, fails
        self.closed = False

    def next_message(self, now: float) -> bytes | None:
        assert now > 0
        if not self.left:
            return None
        self.left -= 1
        if self.fails and not self.left:
            raise ValueError("on purpose")
        return self.left.to_bytes(4, "big") * (self.size // 4)

    def close(self) -> None:
        self.closed = True


def framed(*bodies: bytes) -> bytes:
    """Messages with these bytes after the header, as they go over the wire."""
    return b"".join((12 + len(body)).to_bytes(2, "big") + HEADER + body for body in bodies)


MUCH = framed(*[BIG] * 270)  # asks for 16 MB, with queries that the server reads at once


# ---- cutting the stream


@given(st.lists(st.binary(max_size=300)), st.binary(max_size=300))
def test_any_stream_is_messages_or_more_or_the_one_error(bodies: list[bytes], rest: bytes) -> None:
    received = bytearray(framed(*bodies) + rest)
    position = 0
    taken = []
    try:
        while (message := take_message_untrusted(received, position)) is not None:
            taken.append(message)
            position += 2 + len(message)
    except TcpError:
        assert int.from_bytes(received[position : position + 2], "big") < 12
    else:
        assert len(received) - position < 2 + 65535
    assert taken[: len(bodies)] == [HEADER + body for body in bodies]


# ---- streams in memory


class Client:
    """Our end of a stream that a server serves in a task."""

    def __init__(
        self, nursery: trio.Nursery, server: StreamServer, address: Address = HERE, lockstep: bool = False
    ) -> None:
        pair = trio.testing.lockstep_stream_pair() if lockstep else trio.testing.memory_stream_pair()
        self.stream: trio.abc.Stream = pair[0]
        nursery.start_soon(server.serve, pair[1], address)

    async def ask(self, *bodies: bytes) -> None:
        await self.stream.send_all(framed(*bodies))

    async def hear(self) -> bytes:
        """The body of the next reply, or nothing when the stream has ended."""
        head = await self.read(2)
        return (await self.read(int.from_bytes(head, "big")))[12:] if head else b""

    async def read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = await self.stream.receive_some(length - len(data))
            if not more:
                return b""
            data += more
        return data

    async def is_closed(self) -> bool:
        """Whether the server has closed its end. Loses a byte if it has not and says something."""
        closed = False

        async def read() -> None:
            nonlocal closed
            try:
                closed = await self.stream.receive_some(1) == b""
            except trio.BrokenResourceError:
                closed = True

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        return closed


@given(st.lists(st.binary(min_size=1, max_size=50).filter(lambda body: body[:1] not in b"sfbt")), st.data())
def test_queries_cut_anywhere_are_all_answered(bodies: list[bytes], data: st.DataObject) -> None:
    wire = framed(*bodies)
    pieces = []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        pieces.append(wire[:size])
        wire = wire[size:]

    async def converse() -> None:
        async with trio.open_nursery() as nursery:
            client = Client(nursery, StreamServer(answer, LIMITS))
            for piece in pieces:
                await client.stream.send_all(piece)
            assert [await client.hear() for _ in bodies] == [body[::-1] for body in bodies]
            await client.stream.aclose()

    trio.run(converse)


@given(st.binary(max_size=3 * READ_SIZE))
def test_any_bytes_give_bytes_or_silence(data: bytes) -> None:
    async def converse() -> None:
        async with trio.open_nursery() as nursery:
            client = Client(nursery, StreamServer(lambda query, _address: query, LIMITS))
            try:
                await client.stream.send_all(data)
            except trio.BrokenResourceError:
                pass
            await trio.testing.wait_all_tasks_blocked()
            await client.stream.aclose()

    trio.run(converse)


class TestRepliesOfManyMessages:
    def serve(self, nursery: trio.Nursery, messages: FakeMessages, lockstep: bool = False) -> Client:
        def answer_many(query: bytes, address: Address) -> bytes | FakeMessages | None:
            return messages if query[12:13] == b"m" else answer(query, address)

        return Client(nursery, StreamServer(answer_many, LIMITS), lockstep=lockstep)

    async def test_every_message_in_its_place(self) -> None:
        async with trio.open_nursery() as nursery:
            messages = FakeMessages(3)
            client = self.serve(nursery, messages)
            await client.ask(b"abc", b"m", b"def")
            assert await client.hear() == b"cba"
            for number in (2, 1, 0):
                assert (await client.hear())[:4] == number.to_bytes(4, "big")
            assert await client.hear() == b"fed"
            assert messages.closed
            await client.stream.aclose()

    async def test_others_are_served_between_two(self) -> None:
        async with trio.open_nursery() as nursery:
            messages = FakeMessages(10_000)
            server = StreamServer(lambda query, _: messages if query[12:13] == b"m" else query, LIMITS)
            many, one = Client(nursery, server), Client(nursery, server)
            await many.ask(b"m")
            await one.ask(b"abc")
            assert await one.hear() == b"abc"
            assert messages.left
            nursery.cancel_scope.cancel()

    async def test_one_that_breaks_off_closes_the_connection(self, caplog: pytest.LogCaptureFixture) -> None:
        async with trio.open_nursery() as nursery:
            messages = FakeMessages(2, fails=True)
            client = self.serve(nursery, messages)
            await client.ask(b"m")
            assert await client.hear()
            assert await client.hear() == b""
            assert messages.closed
        assert "broke off" in caplog.text

    async def test_a_client_that_takes_nothing_is_cut(self, autojump_clock: MockClock) -> None:  # noqa: ARG002
        async with trio.open_nursery() as nursery:
            messages = FakeMessages(10)
            client = self.serve(nursery, messages, lockstep=True)
            await client.ask(b"m")
            await trio.sleep(LIMITS.write + 1)
            assert messages.closed

    async def test_a_client_that_takes_it_slowly_is_cut(self, autojump_clock: MockClock) -> None:  # noqa: ARG002
        async with trio.open_nursery() as nursery:
            messages = FakeMessages(1000)
            client = self.serve(nursery, messages, lockstep=True)
            await client.ask(b"m")
            start = trio.current_time()
            for _ in range(1000):
                if not await client.hear():
                    break
                await trio.sleep(5)
            assert LIMITS.stream < trio.current_time() - start < LIMITS.stream + 20
            assert messages.closed


async def test_a_reply_that_comes_later_keeps_its_place() -> None:
    later = Later(lambda rcode: bytes((rcode,)))

    def answer_later(query: bytes, address: Address) -> bytes | Later | None:
        return later if query[12:13] == b"l" else answer(query, address)

    async with trio.open_nursery() as nursery:
        client = Client(nursery, StreamServer(answer_later, LIMITS))
        await client.ask(b"abc", b"l", b"def")
        assert await client.hear() == b"cba"
        await trio.testing.wait_all_tasks_blocked()
        later.finish(5)
        assert await client.stream.receive_some(3) == b"\0\1\5"
        assert await client.hear() == b"fed"
        await client.stream.aclose()


async def test_silence_keeps_the_connection() -> None:
    async with trio.open_nursery() as nursery:
        client = Client(nursery, StreamServer(answer, LIMITS))
        await client.ask(SILENCE, b"abc")
        assert await client.hear() == b"cba"
        await client.stream.aclose()


@pytest.mark.parametrize("length", [0, 1, 11])
async def test_a_short_message_closes_after_the_answers_before_it(
    length: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with trio.open_nursery() as nursery:
        client = Client(nursery, StreamServer(answer, LIMITS))
        await client.stream.send_all(framed(b"abc") + length.to_bytes(2, "big") + framed(b"def"))
        assert await client.hear() == b"cba"
        assert await client.hear() == b""
    assert not caplog.records  # nobody was asked


@pytest.mark.parametrize("what", [FAILURE, TOO_BIG])
async def test_a_failing_answer_is_logged_and_closes_that_connection(
    what: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server = StreamServer(answer, LIMITS)
    async with trio.open_nursery() as nursery:
        client, other = Client(nursery, server), Client(nursery, server)
        await client.ask(b"abc", what + b"x" * 1000, b"def")
        assert await client.hear() == b"cba"
        assert await client.hear() == b""
        await other.ask(b"abc")
        assert await other.hear() == b"cba"
        await other.stream.aclose()
    (record,) = caplog.records
    assert record.exc_info
    assert (HEADER + what).hex() in record.getMessage()
    assert len(record.getMessage()) < 1200


async def test_idle_connections_end(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        client = Client(nursery, StreamServer(answer, LIMITS))
        await trio.sleep(LIMITS.idle - 1)
        await client.ask(b"abc")
        assert await client.hear() == b"cba"
        await trio.sleep(LIMITS.idle - 1)
        await client.ask(b"abc")
        assert await client.hear() == b"cba"
        asked = autojump_clock.current_time()
        assert await client.hear() == b""
        assert autojump_clock.current_time() - asked == pytest.approx(LIMITS.idle)


async def test_trickling_bytes_buy_no_time(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        client = Client(nursery, StreamServer(answer, LIMITS))
        with pytest.raises(trio.BrokenResourceError):
            for byte in framed(b"x" * 100):
                await client.stream.send_all(bytes([byte]))
                await trio.sleep(1)
        assert autojump_clock.current_time() == pytest.approx(LIMITS.idle, abs=1.1)


async def test_a_client_that_does_not_read_is_closed_in_time(autojump_clock: trio.testing.MockClock) -> None:
    asked = 0

    def count(query: bytes, _address: Address) -> bytes:
        nonlocal asked
        asked += 1
        return query + bytes(WRITE_SIZE // 4)

    async with trio.open_nursery() as nursery:
        client = Client(nursery, StreamServer(count, LIMITS), lockstep=True)
        with pytest.raises(trio.BrokenResourceError):
            while True:
                await client.ask(b"x" * 100)
        assert asked <= 2  # it was not read from while its answers waited
        assert autojump_clock.current_time() == pytest.approx(LIMITS.write, abs=1)


async def test_answers_to_one_segment_are_sent_before_they_pile_up() -> None:
    asked = 0

    def count(_query: bytes, _address: Address) -> bytes:
        nonlocal asked
        asked += 1
        return bytes(60_000)

    async with trio.open_nursery() as nursery:
        client = Client(nursery, StreamServer(count, LIMITS), lockstep=True)
        await client.ask(*[b"x"] * 100)
        await trio.testing.wait_all_tasks_blocked()
        assert asked == 2
        assert await client.hear() == bytes(60_000 - 12)
        await client.stream.aclose()


async def test_a_full_server_closes_the_connection_that_is_idle_longest() -> None:
    server = StreamServer(answer, TcpLimits(connections=3))
    async with trio.open_nursery() as nursery:
        clients = []
        for _ in range(3):
            clients.append(Client(nursery, server))
            await trio.testing.wait_all_tasks_blocked()
        await clients[0].ask(b"abc")
        assert await clients[0].hear() == b"cba"
        clients.append(Client(nursery, server))
        assert [await client.is_closed() for client in clients] == [False, True, False, False]
        clients.append(Client(nursery, server))
        assert [await client.is_closed() for client in clients] == [False, True, True, False, False]
        nursery.cancel_scope.cancel()


async def test_one_client_only_pushes_out_itself() -> None:
    server = StreamServer(answer, TcpLimits(per_client=2))
    near, far = [("2001:db8::1", 1), ("2001:db8::2", 2), ("2001:db8::1:0:0:3", 3)], ("2001:db8:0:1::1", 4)
    async with trio.open_nursery() as nursery:
        clients = []
        for address in [("192.0.2.1", 9), far, *near, ("192.0.2.2", 9), ("192.0.2.2", 9)]:
            clients.append(Client(nursery, server, address))
            await trio.testing.wait_all_tasks_blocked()
        assert [await client.is_closed() for client in clients] == [False, False, True, *[False] * 4]
        nursery.cancel_scope.cancel()


async def test_the_one_that_holds_most_is_closed_when_too_much_is_buffered() -> None:
    server = StreamServer(answer, TcpLimits(buffered=100_000))
    async with trio.open_nursery() as nursery:
        greedy, modest, waiting = (Client(nursery, server) for _ in range(3))
        await modest.stream.send_all(framed(b"y" * 30_000)[:-1])
        await greedy.stream.send_all(framed(b"x" * 65_000)[:-1])
        await waiting.stream.send_all(framed(b"z" * 20_000)[:-1])
        assert [await client.is_closed() for client in (greedy, modest, waiting)] == [True, False, False]
        await modest.stream.send_all(b"!")
        assert await modest.hear() == b"!" + b"y" * 29_999
        nursery.cancel_scope.cancel()


async def test_answers_that_were_taken_do_not_count_as_buffered() -> None:
    server = StreamServer(answer, TcpLimits(buffered=100_000))
    async with trio.open_nursery() as nursery:
        clients = [Client(nursery, server) for _ in range(3)]
        for client in clients:
            await client.ask(BIG)
            assert await client.hear() == bytes(60_000 - 12)
        assert [await client.is_closed() for client in clients] == [False] * 3
        nursery.cancel_scope.cancel()


async def test_one_that_waits_to_send_can_be_pushed_out(autojump_clock: trio.testing.MockClock) -> None:
    server = StreamServer(answer, TcpLimits(connections=1))
    async with trio.open_nursery() as nursery:
        stuck = Client(nursery, server, lockstep=True)
        await stuck.ask(BIG)
        await trio.testing.wait_all_tasks_blocked()
        client = Client(nursery, server)
        await client.ask(b"abc")
        assert await client.hear() == b"cba"
        with pytest.raises(trio.BrokenResourceError):
            await stuck.ask(b"abc")
        assert autojump_clock.current_time() == 0
        await client.stream.aclose()


async def test_all_counts_return_to_nothing() -> None:
    server = StreamServer(answer, TcpLimits(connections=3, per_client=2, buffered=2000))
    async with trio.open_nursery() as nursery:
        for number in range(20):
            client = Client(nursery, server, (f"192.0.2.{number % 3}", 1))
            await client.stream.send_all(framed(b"abc", b"def" * 400)[: 100 * number])
            if number % 5 == 0:
                await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert not server._connections
    assert not server._clients
    assert server._buffered == 0


# ---- real sockets


@asynccontextmanager
async def served(
    *hosts: str, limits: TcpLimits = LIMITS, answer_with: Callable[[bytes, Address], bytes | None] = answer
) -> AsyncIterator[list[Address]]:
    """Addresses where a server listens, until the end of the block."""
    listeners = []
    for host in hosts or ("127.0.0.1",):
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listener.bind((host, 0))
        listener.listen()
        listeners.append(listener)
    addresses = [listener.getsockname()[:2] for listener in listeners]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_tcp, listeners, answer_with, limits)
        yield addresses
        nursery.cancel_scope.cancel()


async def connect(address: Address) -> trio.SocketStream:
    """A connection whose receive buffer stays small."""
    stream = await trio.open_tcp_stream(*address)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return stream


async def read_reply(stream: trio.abc.ReceiveStream) -> bytes:
    """The body of the next reply."""
    data = bytearray()
    needed = 2
    while len(data) < needed:
        more = await stream.receive_some(needed - len(data))
        assert more
        data += more
        needed = 2 + int.from_bytes(data[:2], "big") if len(data) >= 2 else 2
    return bytes(data[14:])


async def test_two_families_and_the_address_of_the_client() -> None:
    seen: list[Address] = []

    def note(query: bytes, address: Address) -> bytes:
        seen.append(address)
        return query

    async with served("127.0.0.1", "::1", answer_with=note) as addresses:
        for address in addresses:
            async with await connect(address) as stream:
                await stream.send_all(framed(b"abc"))
                assert await read_reply(stream) == b"abc"
                assert seen.pop() == stream.socket.getsockname()[:2]


async def test_many_queries_in_one_segment_and_a_half_closed_client() -> None:
    async with served() as [address], await connect(address) as stream:
        await stream.send_all(framed(*[b"%d" % number for number in range(10, 1000)]))
        await stream.send_eof()
        for number in range(10, 1000):
            assert await read_reply(stream) == (b"%d" % number)[::-1]
        assert await stream.receive_some() == b""


async def test_clients_that_vanish_are_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as [address]:
        for data in (b"", b"\x00", framed(BIG) * 50):
            with socket.create_connection(address) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00" + bytes(4))
                client.send(data)
        async with await connect(address) as stream:
            await stream.send_all(framed(b"abc"))
            assert await read_reply(stream) == b"cba"
    assert not caplog.records


async def test_a_client_that_does_not_read_is_reset(autojump_clock: trio.testing.MockClock) -> None:
    async with served() as [address], await connect(address) as stream:
        await stream.send_all(MUCH)
        await trio.sleep(LIMITS.write + 1)
        with pytest.raises(trio.BrokenResourceError):
            while await stream.receive_some():
                pass
    assert autojump_clock.current_time() == LIMITS.write + 1


async def test_draining_sends_what_was_answered(autojump_clock: trio.testing.MockClock) -> None:
    """The answer waits in the server until the client reads, which it begins after the server was cancelled."""
    server = StreamServer(answer, LIMITS)

    async def read(client: Client) -> None:
        await trio.sleep(LIMITS.drain / 2)
        assert await client.hear() == bytes(60_000 - 12)
        assert await client.hear() == b""

    async with trio.open_nursery() as readers, trio.open_nursery() as nursery:
        client, idle = Client(nursery, server, lockstep=True), Client(nursery, server)
        await client.ask(BIG)
        await trio.testing.wait_all_tasks_blocked()
        server.drain()
        nursery.cancel_scope.cancel()
        readers.start_soon(read, client)
    assert await idle.hear() == b""
    assert autojump_clock.current_time() < LIMITS.drain


async def test_draining_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    async with AsyncExitStack() as stack:
        async with served() as [address]:
            stream = await stack.enter_async_context(await connect(address))
            await stream.send_all(MUCH)
            await trio.testing.wait_all_tasks_blocked()
            begin = autojump_clock.current_time()
        assert autojump_clock.current_time() - begin == pytest.approx(LIMITS.drain)


async def test_a_process_without_descriptors_goes_on_later(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = trio.SocketListener.accept
    failures = [OSError(errno.EMFILE, "no descriptors"), OSError(errno.ENFILE, "none at all")]

    async def fail_first(listener: trio.SocketListener) -> trio.SocketStream:
        if failures:
            raise failures.pop()
        return await accept(listener)

    monkeypatch.setattr(trio.SocketListener, "accept", fail_first)
    async with served() as [address], await connect(address) as stream:
        await stream.send_all(framed(b"abc"))
        assert await read_reply(stream) == b"cba"
    assert not failures
    assert autojump_clock.current_time() > 0


# ---- behind a proxy


@pytest.mark.parametrize("step", [1, 1000])
async def test_a_proxys_connection_is_its_clients(nursery: trio.Nursery, step: int) -> None:
    seen: list[Address] = []

    def note(query: bytes, address: Address) -> bytes:
        seen.append(address)
        return query

    server = StreamServer(note, TcpLimits(per_client=1), lambda address: address == HERE[0])
    clients = []
    for host in ("198.51.100.7", "2001:db8::7"):
        client, stream = trio.testing.memory_stream_pair()
        nursery.start_soon(server.serve, stream, HERE)
        sent = header(host, 99) + framed(b"x")
        for start in range(0, len(sent), step):
            await client.send_all(sent[start : start + step])
            await trio.testing.wait_all_tasks_blocked()
        assert await client.receive_some() == framed(b"x")
        clients.append(client)
    await clients[0].send_all(framed(b"y"))  # one for each client, so that it is still open
    assert await clients[0].receive_some() == framed(b"y")
    assert seen == [("198.51.100.7", 99), ("2001:db8::7", 99), ("198.51.100.7", 99)]
    nursery.cancel_scope.cancel()


async def test_a_proxys_connection_without_its_header_is_closed() -> None:
    client, stream = trio.testing.memory_stream_pair()
    await client.send_all(framed(b"x"))
    await StreamServer(answer, LIMITS, lambda _: True).serve(stream, HERE)
    assert await client.receive_some() == b""


async def test_half_a_header_buys_no_time(autojump_clock: trio.testing.MockClock) -> None:
    client, stream = trio.testing.memory_stream_pair()
    await client.send_all(header()[:20])
    await StreamServer(answer, LIMITS, lambda _: True).serve(stream, HERE)
    assert autojump_clock.current_time() == pytest.approx(LIMITS.idle)
