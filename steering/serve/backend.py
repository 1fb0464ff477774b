"""PowerDNS's backend `remote`: JSON objects over a UNIX socket, one a line, or in bodies of POST (`post_json`).

PowerDNS is the client, with some connections for each of its threads that stay open; on each it asks, waits, and asks
again. `answer` is synchronous.

What a client can cost us is bounded:
- Of more than CONNECTIONS at a time, the further ones are closed at once.
- A request is at most REQUEST_SIZE bytes; a longer one, or over HTTP one that is broken, ends its connection.
- A request that is begun must be there, and a reply be taken, in PATIENCE seconds. Waiting for the next one is free.
"""

import logging
import math
import socket
from collections.abc import Callable, Sequence

import h11
import trio

CONNECTIONS = 500
REQUEST_SIZE = 65536  # bytes
READ_SIZE = 65536  # bytes
PATIENCE = 10.0  # seconds
LOGGED_LENGTH = 512  # bytes of a request that the log shows

Reply = Callable[[bytes], bytes]
"""A request to its reply, both JSON objects."""

logger = logging.getLogger("waypost.backend")


async def serve_backend(listeners: Sequence[socket.socket], reply: Reply) -> None:
    """Answer on listening sockets until cancelled: lines on UNIX sockets, HTTP on the others."""
    connections = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal connections
        converse = converse_lines if stream.socket.family == socket.AF_UNIX else converse_http
        connections += 1
        try:
            if connections <= CONNECTIONS:
                await converse(stream, reply)
        except (trio.BrokenResourceError, trio.TooSlowError, h11.RemoteProtocolError):
            pass  # gone, or not worth more
        except Exception:
            logger.exception("a request could not be answered")
        finally:
            connections -= 1
            await trio.aclose_forcefully(stream)

    await trio.serve_listeners(serve, [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in listeners])


async def converse_lines(stream: trio.abc.Stream, reply: Reply) -> None:
    """Answer each line until the client leaves or breaks a rule."""
    received = bytearray()
    deadline = math.inf
    while True:
        with trio.fail_at(deadline):
            data = await stream.receive_some(READ_SIZE)
        if not data:
            return
        received += data
        while (end := received.find(b"\n")) >= 0:
            line = bytes(received[:end])
            del received[: end + 1]
            with trio.fail_after(PATIENCE):
                await stream.send_all(reply(line) + b"\n")
            deadline = math.inf
        if len(received) > REQUEST_SIZE:
            logger.warning("a request of more than %d bytes: %s", REQUEST_SIZE, bytes(received[:LOGGED_LENGTH]))
            return
        if received:
            deadline = min(deadline, trio.current_time() + PATIENCE)


async def converse_http(stream: trio.abc.Stream, reply: Reply) -> None:
    """Answer each POST until the client leaves or breaks a rule; the path does not matter."""
    connection = h11.Connection(h11.SERVER)
    while True:
        body = bytearray()
        begun = False
        deadline = math.inf
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if begun or connection.trailing_data[0]:
                    deadline = min(deadline, trio.current_time() + PATIENCE)
                with trio.fail_at(deadline):
                    connection.receive_data(bytes(await stream.receive_some(READ_SIZE)))
                begun = True
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > REQUEST_SIZE:
                    return
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.Request):
                return
        content = reply(bytes(body))
        headers = [("Content-Type", "text/javascript; charset=utf-8"), ("Content-Length", str(len(content)))]
        response = connection.send(h11.Response(status_code=200, headers=headers)) or b""
        response += connection.send(h11.Data(data=content)) or b""
        response += connection.send(h11.EndOfMessage()) or b""
        with trio.fail_after(PATIENCE):
            await stream.send_all(response)
        if connection.our_state is not h11.DONE:
            return
        connection.start_next_cycle()
