"""The connections of PowerDNS: framing, keep-alive, and clients that break a rule."""

import socket
from collections.abc import Awaitable, Callable

import h11
import pytest
import trio
import trio.testing

from steering.serve.backend import CONNECTIONS, PATIENCE, REQUEST_SIZE, converse_http, converse_lines, serve_backend


def upper(request: bytes) -> bytes:
    return request.upper()


async def test_lines_are_answered_in_order_however_they_come(nursery: trio.Nursery) -> None:
    client, server = trio.testing.memory_stream_pair()
    nursery.start_soon(converse_lines, server, upper)
    for part in (b"o", b"ne\ntw", b"o\nthree\n"):
        await client.send_all(part)
    received = b""
    while received.count(b"\n") < 3:
        received += await client.receive_some()
    assert received == b"ONE\nTWO\nTHREE\n"
    await client.aclose()


async def test_a_line_without_end_ends_its_connection() -> None:
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(b"x" * (REQUEST_SIZE + 1))
    await converse_lines(server, upper)


async def test_half_a_line_is_waited_for_and_silence_is_not(autojump_clock: trio.testing.MockClock) -> None:
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(b"half")
    start = autojump_clock.current_time()
    with pytest.raises(trio.TooSlowError):
        await converse_lines(server, upper)
    assert autojump_clock.current_time() - start == pytest.approx(PATIENCE)
    _, silent = trio.testing.memory_stream_pair()
    with trio.move_on_after(10 * PATIENCE) as waiting:
        await converse_lines(silent, upper)
    assert waiting.cancelled_caught


@pytest.mark.parametrize("converse", [converse_lines, converse_http])
async def test_a_request_that_comes_bit_by_bit_ends_in_time(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, converse: Callable[..., Awaitable[None]]
) -> None:
    client, server = trio.testing.memory_stream_pair()

    async def drip() -> None:
        for octet in post(b"x" * 100):
            await client.send_all(bytes((octet,)))
            await trio.sleep(PATIENCE / 4)

    nursery.start_soon(drip)
    start = autojump_clock.current_time()
    with pytest.raises(trio.TooSlowError), trio.fail_after(100 * PATIENCE):
        await converse(server, upper)
    assert autojump_clock.current_time() - start == pytest.approx(PATIENCE)
    nursery.cancel_scope.cancel()


def post(body: bytes) -> bytes:
    return b"POST /dns HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


async def read_response(client: trio.abc.ReceiveStream, http: h11.Connection) -> bytes:
    body = b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(bytes(await client.receive_some()))
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return body
        else:
            assert isinstance(event, h11.Response)
            assert event.status_code == 200


async def test_posts_are_answered_over_one_connection(nursery: trio.Nursery) -> None:
    client, server = trio.testing.memory_stream_pair()
    nursery.start_soon(converse_http, server, upper)
    http = h11.Connection(h11.CLIENT)
    for body in (b"one", b"two"):
        http.send(h11.Request(method="POST", target="/", headers=[("Host", "a"), ("Content-Length", "0")]))
        http.send(h11.EndOfMessage())
        await client.send_all(post(body))
        assert await read_response(client, http) == body.upper()
        http.start_next_cycle()
    await client.aclose()


async def test_a_body_that_is_too_long_ends_its_connection() -> None:
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(post(b"x" * (REQUEST_SIZE + 1)))
    await converse_http(server, upper)


async def test_what_is_not_http_ends_its_connection() -> None:
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(b"\0\r\n\r\n")
    with pytest.raises(h11.RemoteProtocolError):
        await converse_http(server, upper)


async def test_too_many_connections_are_closed(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steering.serve.backend.CONNECTIONS", 1)
    assert CONNECTIONS > 1
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    nursery.start_soon(serve_backend, [listener], upper)
    first = await trio.open_tcp_stream("127.0.0.1", port)
    await first.send_all(post(b"one"))
    assert await first.receive_some()
    second = await trio.open_tcp_stream("127.0.0.1", port)
    assert await second.receive_some() == b""
    await first.aclose()
    await second.aclose()
    nursery.cancel_scope.cancel()
