"""`steering/serve/feed.py`: frames as bytes, connections in memory, and both ends over a real UNIX socket."""

import socket
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from steering.serve.feed import (
    FRAME_LIMIT,
    RECONNECT_INTERVAL,
    Connection,
    FeedError,
    FrameReader,
    connect_feed,
    encode_frame,
    serve_feed,
)


class Settings(msgspec.Struct, frozen=True, tag=True):
    """Something that control says."""

    text: str


class Counters(msgspec.Struct, frozen=True, tag=True):
    """Something that a worker says."""

    queries: int


DECODER = msgspec.msgpack.Decoder(Settings | Counters)

Peer = Connection[Settings | Counters]


@given(st.lists(st.text()), st.data())
def test_frames_survive_any_cutting(texts: list[str], data: st.DataObject) -> None:
    stream = b"".join(encode_frame(Settings(text)) for text in texts)
    reader = FrameReader()
    seen = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        reader.receive(stream[:size])
        stream = stream[size:]
        while (body := reader.take_frame()) is not None:
            seen.append(DECODER.decode(body))
    assert seen == [Settings(text) for text in texts]


@given(st.binary())
def test_any_bytes_are_frames_or_more_or_the_one_error(data: bytes) -> None:
    reader = FrameReader()
    reader.receive(data)
    taken = 0
    try:
        while (body := reader.take_frame()) is not None:
            taken += 4 + len(body)
    except FeedError:
        assert int.from_bytes(data[taken : taken + 4], "big") > FRAME_LIMIT
    else:
        assert taken <= len(data)


def test_a_message_longer_than_a_frame_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steering.serve.feed.FRAME_LIMIT", 100)
    with pytest.raises(FeedError, match="Settings of"):
        encode_frame(Settings("x" * 100))


async def test_both_ends_speak() -> None:
    left, right = trio.testing.memory_stream_pair()
    heard: list[object] = []

    async def talk(connection: Peer) -> None:
        connection.send(Settings("hello"))
        connection.send(Settings("again"))
        heard.append(await anext(connection))
        heard.append(await anext(connection))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Connection(left, DECODER).run, talk)
        nursery.start_soon(Connection(right, DECODER).run, talk)
    assert sorted(map(repr, heard)) == ["Settings(text='again')"] * 2 + ["Settings(text='hello')"] * 2


@pytest.mark.parametrize(
    "last",
    [b"", encode_frame(Counters(2))[:2], encode_frame(Counters(2))[:-1]],
    ids=["clean", "length", "body"],
)
async def test_the_death_of_the_peer_is_the_end_of_the_messages(last: bytes) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    heard = []

    async def listen(connection: Peer) -> None:
        heard.extend([message async for message in connection])

    await theirs.send_all(encode_frame(Counters(1)) + last)
    await theirs.aclose()
    await Connection(ours, DECODER).run(listen)
    assert heard == [Counters(1)]


@pytest.mark.parametrize("nonsense", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x01\x01"])
async def test_nonsense_ends_the_connection_and_is_logged(nonsense: bytes, caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(nonsense)
    await Connection(ours, DECODER).run(ignore)
    assert "no message" in caplog.text


async def test_what_the_peer_said_before_it_died_is_heard_though_sending_fails() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    heard = []

    async def listen(connection: Peer) -> None:
        connection.send(Settings("into the void"))
        await trio.testing.wait_all_tasks_blocked()
        connection.send(Settings("ignored"))
        heard.extend([message async for message in connection])

    await theirs.send_all(encode_frame(Counters(1)))
    await theirs.aclose()
    await Connection(ours, DECODER).run(listen)
    assert heard == [Counters(1)]


async def test_a_peer_that_does_not_read_is_closed_and_nobody_waits(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = trio.testing.lockstep_stream_pair()
    frame = encode_frame(Settings("x" * 1000))
    sent = 0

    async def broadcast(connection: Peer) -> None:
        nonlocal sent
        while sent < 1000:  # bounds a test that fails
            connection.send_frame(frame)
            sent += 1
            await trio.testing.wait_all_tasks_blocked()

    await Connection(ours, DECODER, queue_limit=10_000).run(broadcast)
    assert 5 < sent < 11
    assert "does not read" in caplog.text
    with pytest.raises(trio.BrokenResourceError):
        await theirs.send_all(b"?")


async def test_one_frame_always_fits() -> None:
    ours, theirs = trio.testing.lockstep_stream_pair()
    heard = []

    async def speak(connection: Peer) -> None:
        connection.send(Settings("x" * 1000))

    async def listen(connection: Peer) -> None:
        heard.extend([message async for message in connection])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Connection(ours, DECODER, queue_limit=10).run, speak)
        nursery.start_soon(Connection(theirs, DECODER).run, listen)
    assert heard == [Settings("x" * 1000)]


async def test_a_finished_connection_does_not_wait_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    ours, _theirs = trio.testing.lockstep_stream_pair()

    async def speak(connection: Peer) -> None:
        connection.send(Settings("nobody reads this"))

    await Connection(ours, DECODER).run(speak)
    assert 0.5 < autojump_clock.current_time() < 5


async def test_a_worker_connects_again_and_again(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Control comes late, and is then restarted with the same listener, as the supervisor does it."""
    address = str(tmp_path / "feed.sock")
    to_test, heard = trio.open_memory_channel[str](10)

    async def work(connection: Peer) -> None:
        connection.send(Counters(7))
        async for message in connection:
            assert isinstance(message, Settings)
            to_test.send_nowait(message.text)

    async def control(connection: Peer) -> None:
        async for message in connection:
            connection.send(Settings(f"you have {message}"))

    async with trio.open_nursery() as worker:
        worker.start_soon(connect_feed, address, DECODER, work)
        await trio.sleep(10 * RECONNECT_INTERVAL)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(address)
            listener.listen()
            for _ in range(3):
                async with trio.open_nursery() as life:
                    await life.start(serve_feed, listener.dup(), DECODER, control)
                    assert await heard.receive() == "you have Counters(queries=7)"
                    life.cancel_scope.cancel()
        worker.cancel_scope.cancel()
    assert autojump_clock.current_time() >= 12 * RECONNECT_INTERVAL


async def test_a_full_backlog_is_no_error(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    address = str(tmp_path / "feed.sock")
    connections = 0

    async def work(connection: Peer) -> None:
        nonlocal connections
        connections += 1
        async for _ in connection:
            pass

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen(0)
        end = autojump_clock.current_time() + 20 * RECONNECT_INTERVAL
        with trio.move_on_at(end):
            async with trio.open_nursery() as workers:
                for _ in range(3):
                    workers.start_soon(connect_feed, address, DECODER, work)
    assert connections > 3


async def test_control_goes_on_beside_a_stuck_worker(tmp_path: Path) -> None:
    """Over a real socket: of two workers one does not read; it is closed, the other one hears everything."""
    address = str(tmp_path / "feed.sock")
    frame = encode_frame(Settings("x" * 100_000))
    connections: list[Peer] = []
    ended: list[Peer] = []
    heard_by_worker, heard = trio.open_memory_channel[None](0)

    async def control(connection: Peer) -> None:
        connections.append(connection)
        try:
            await ignore(connection)
        finally:
            ended.append(connection)

    async def work(connection: Peer) -> None:
        async for _ in connection:
            await heard_by_worker.send(None)

    async def be_stuck(_connection: Peer) -> None:
        await trio.sleep_forever()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen()
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_feed, queue_limit=1_000_000), listener, DECODER, control)
            for worker in (be_stuck, work):
                nursery.start_soon(connect_feed, address, DECODER, worker)
                await trio.testing.wait_all_tasks_blocked()
            stuck, working = connections
            for _ in range(100):
                for connection in connections:
                    connection.send_frame(frame)
                await heard.receive()
            assert ended == [stuck]
            nursery.cancel_scope.cancel()
    assert ended == [stuck, working]


async def ignore(connection: Peer) -> None:
    """Read to the end."""
    async for _ in connection:
        pass
