"""Web servers: the standard library's, and one that says what it is told, right or wrong."""

import functools
import http.server
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

RST = object()
HANG = object()
Said = bytes | object


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path: /CODE, /echo, /to?URL, /body, /long."""

    def do_GET(self) -> None:
        kind, _, rest = self.path[1:].partition("?")
        code, body = 200, b""
        match kind:
            case "to":
                code = 302
            case "echo":
                body = f"{self.command} {self.path} {self.headers}".encode()
            case "body":
                body = b"<h1>All is WELL, na\xc3\xafve \xff</h1>"
            case "long":
                body = b"x" * 10_235 + b"well" + b"not"
            case number:
                code = int(number or 200)
        self.send_response(code)
        if code == 302:
            self.send_header("Location", rest)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_OPTIONS = do_GET  # noqa: N815  # names of the standard library

    def log_message(self, *_: object) -> None:
        pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    context: ssl.SSLContext | None = None

    def finish_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]  # TCP
        if self.context is not None:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except OSError:
                return
        with request:
            Handler(request, client_address, self)

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server of the standard library, over TLS if there is a context; gives its port."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.context = context
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@asynccontextmanager
async def scripted(*said: Said, host: str = "127.0.0.1") -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that says all of `said` after the first bytes of each client, and then closes.

    RST resets the connection, HANG says nothing more. Gives the port, and what it was told.
    """
    heard: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        try:
            heard.append(await stream.receive_some(65536))
            for words in said:
                if words is HANG:
                    await trio.sleep_forever()
                if words is RST:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    stream.socket.close()
                    return
                assert isinstance(words, bytes)
                await stream.send_all(words)
            await stream.aclose()
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(functools.partial(trio.serve_tcp, handle, 0, host=host))
        yield listeners[0].socket.getsockname()[1], heard
        nursery.cancel_scope.cancel()
