"""TRIO: HTTP for people and machines: metrics, health, history, a check on demand, and results of other checkers.

config/http.md says what every path answers. Control tells what it knows through `Source`; nothing here decides.

Whoever asks is hostile. A connection is for one request and lives CONNECTION_SECONDS at most, whatever it does; of
those that are open the oldest makes room for a new one; header and body are bounded. What goes wrong with a connection
ends that connection, and what goes wrong with the server ends the server, never control.

Connections are accepted here, and not by hypercorn's own `serve`: it has no limit on their number, shields what it
sends from being cancelled, so that a client that does not read would hold up the end of the process, and ends as a
whole when one connection fails (its issue 225).
"""

import functools
import hmac
import importlib.metadata
import logging
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, cast

import msgspec
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from hypercorn.utils import wrap_app
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from monitors.address import parse_address
from monitors.history import Past
from monitors.mailbox import MOST_BYTES, Report, ReportError, parse_report_untrusted
from monitors.monitor import Result, Target, one_line
from monitors.tools import traced
from steering.messages import Status
from steering.metrics import CONTENT_TYPE, Exposition, Probed, add_pool, add_result, add_status, monitors_of
from steering.settings import Http

CONNECTIONS = 100
CONNECTION_SECONDS = 75.0
"""Longer than a check may take."""
HEAD_SECONDS = 5.0
"""For a client to send the whole of its request's header."""
HEAD_BYTES = 16 << 10
RECEIVE_BYTES = 4096
"""At a time: what came at once is not counted against HEAD_BYTES."""
GRACE_SECONDS = 1.0
"""For what goes on at a connection when one end has closed it."""
UNREAD_BYTES = 1 << 20
"""Of a body that is too long; a connection that is closed earlier might lose the answer that says so."""
TRIALS = 4
"""Checks on demand that run at the same time."""

TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,1000}=*")
"""RFC 6750 section 2.1, of some length."""

logger = logging.getLogger("waypost.http")


class HttpError(Exception):
    """HTTP cannot be served as the settings want it; the message is for people."""


class Source(Protocol):
    """What control tells, and is told."""

    def is_ready(self) -> bool:
        """Whether a configuration is in force, and so its first results are in."""

    async def status(self) -> Status:
        """All that it knows; only when it is ready. Others run in between."""

    def find(self, monitor: str, address: str) -> Target | None:
        """A target that is watched."""

    def history(self, monitor: str, address: str) -> tuple[Past, ...]:
        """The results of a target, the newest first."""

    def probed(self, monitor: str, address: str) -> Probed | None:
        """The last of them."""

    async def try_out(self, target: Target) -> Result:
        """Check now, for nothing but this answer."""

    def report(self, target: Target, report: Report) -> None:
        """Let a report of another checker take effect; ReportError if that is not how the target is checked."""


@asynccontextmanager
async def open_http() -> AsyncIterator["HttpServer"]:
    """A server that listens nowhere yet; ended, with its connections, at the end."""
    async with trio.open_nursery() as nursery:
        server = HttpServer(nursery)
        try:
            yield server
        finally:
            server.close()
            nursery.cancel_scope.cancel()


class HttpServer:
    """Made by `open_http`. New settings are expected, and then committed or abandoned."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._running: _Listener | None = None
        self._next: _Listener | None = None

    def expect(self, settings: Http | None, source: Source) -> None:
        """Make ready what these settings need, and change nothing. HttpError."""
        self.abandon()
        if settings is None:
            return
        app = make_app(source, read_token(settings), settings.token_for_reading)
        if self._running is None or self._running.listen != settings.listen:
            self._next = _Listener(settings.listen, bind(settings.listen), app)
        else:
            self._next = _Listener(settings.listen, self._running.socket, app)

    def commit(self) -> None:
        """What was expected is in force."""
        before, self._running, self._next = self._running, self._next, None
        if before is not None and self._running is not None and before.socket is self._running.socket:
            before.app, self._running = self._running.app, before
            return
        if before is not None:
            before.close()
        if self._running is not None:
            self._nursery.start_soon(self._running.serve)

    def abandon(self) -> None:
        """What was expected will not be in force."""
        if self._next is not None and (self._running is None or self._next.socket is not self._running.socket):
            self._next.socket.close()
        self._next = None

    def close(self) -> None:
        """Listen no longer, and drop every connection."""
        self.abandon()
        if self._running is not None:
            self._running.close()


def bind(listen: str) -> trio.socket.SocketType:
    """A listening socket. HttpError."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, int(port)))
        listener.listen(CONNECTIONS)
    except OSError as error:
        listener.close()
        raise HttpError(f"http.listen: cannot listen on {listen} (TCP): {error.strerror}") from error
    return trio.socket.from_stdlib_socket(listener)


def read_token(settings: Http) -> bytes | None:
    """The token that writing asks for; None: nobody may write. HttpError."""
    if settings.token_file is None:
        return settings.token.encode() or None
    try:
        token = Path(settings.token_file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise HttpError(f"http.token_file: {settings.token_file} cannot be read: {reason}") from None
    if not TOKEN.fullmatch(token):
        raise HttpError(f"http.token_file: {settings.token_file}: expected at least 16 of A-Z a-z 0-9 . _ ~ + / -")
    return token.encode()


class _Listener:
    """A socket that listens, the connections that came by it, and who answers them."""

    def __init__(self, listen: str, listener: trio.socket.SocketType, app: Starlette) -> None:
        self.listen = listen
        self.socket = listener
        self.app = app
        self._running = trio.CancelScope()
        self._open: dict[_Stream, None] = {}
        """The oldest first."""

    async def serve(self) -> None:
        """Until `close`. Never raises."""
        try:
            with self._running:
                await trio.serve_listeners(self._serve_connection, [trio.SocketListener(self.socket)])
        except Exception:
            logger.exception("HTTP on %s has failed, and is back after a restart", self.listen)
        finally:
            self.socket.close()

    def close(self) -> None:
        """Listen no longer, and drop every connection."""
        self._running.cancel()
        for stream in list(self._open):
            stream.drop()

    async def _serve_connection(self, transport: trio.SocketStream) -> None:
        stream = _Stream(transport)
        if len(self._open) >= CONNECTIONS:
            next(iter(self._open)).drop()
        self._open[stream] = None
        try:
            with stream.scope:
                config, app = make_config(), wrap_app(cast(ASGIFramework, self.app), 0, "asgi")
                # What TCPServer asks of its stream, _Stream has.
                await TCPServer(app, config, WorkerContext(None), ConnectionState({}), stream).run()  # type: ignore[arg-type]
        except* Exception as errors:
            # Nobody who connects can make the log long.
            logger.debug("a connection has failed: %r", errors.exceptions)
        finally:
            del self._open[stream]
            stream.drop()


class _Stream:
    """A connection with an end: of all that hypercorn does with it, nothing outlasts that."""

    def __init__(self, transport: trio.SocketStream) -> None:
        self._transport = transport
        self.socket = transport.socket
        self.scope = trio.CancelScope(deadline=trio.current_time() + CONNECTION_SECONDS)

    def drop(self) -> None:
        """End it now."""
        self.scope.cancel()
        # Also wakes up who sends and is shielded.
        self.socket.close()

    async def receive_some(self, most: int) -> bytes | bytearray:
        data = await self._transport.receive_some(min(most, RECEIVE_BYTES))
        if not data:
            self._end_soon()
        return data

    async def send_all(self, data: bytes) -> None:
        with trio.CancelScope(deadline=self.scope.deadline) as scope:
            try:
                await self._transport.send_all(data)
            except trio.BusyResourceError:
                # Another task says that nothing more comes.
                raise trio.BrokenResourceError("closed already") from None
        if scope.cancelled_caught:
            raise trio.BrokenResourceError("it takes too long")

    async def send_eof(self) -> None:
        await self._transport.send_eof()

    async def aclose(self) -> None:
        self._end_soon()
        await self._transport.aclose()

    def _end_soon(self) -> None:
        # What waits for something to do, or for somebody to take what came, would else wait to the end.
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + GRACE_SECONDS)


def make_config() -> Config:
    """Of hypercorn: bounds, and one request for each connection."""
    config = Config()
    config.errorlog = None  # whoever connects could fill it
    config.include_server_header = False
    config.keep_alive_max_requests = 0
    config.keep_alive_timeout = HEAD_SECONDS
    config.h11_max_incomplete_size = HEAD_BYTES
    config.h2_max_header_list_size = HEAD_BYTES
    config.h2_max_concurrent_streams = 1
    config.websocket_max_message_size = 1024
    return config


def make_app(source: Source, token: bytes | None, token_for_reading: bool) -> Starlette:
    """Who answers. `token` is what writing asks for; None: it is refused."""
    answers = _Answers(source)

    def route(path: str, answer: Callable[[Request], Awaitable[Response]], method: str, is_open: bool = False) -> Route:
        async def endpoint(request: Request) -> Response:
            if not is_open and (method != "GET" or token_for_reading):
                check_token(request, token)
            try:
                return await answer(request)
            except ClientDisconnect:
                return Response(status_code=400)  # for nobody
            except HTTPException:
                raise
            except Exception:
                logger.exception("an error in the answer to %s", path)
                return _refuse(500, "an error in waypost itself, which is in its log")

        return Route(path, endpoint, methods=[method])

    app = Starlette(
        routes=[
            route("/metrics", answers.metrics, "GET"),
            route("/health", answers.health, "GET"),
            route("/history", answers.history, "GET"),
            route("/probe", answers.probe, "GET"),
            route("/external/{monitor}/{address}", answers.external, "PUT"),
            route("/-/healthy", answers.healthy, "GET", is_open=True),
            route("/-/ready", answers.ready, "GET", is_open=True),
        ],
        exception_handlers={HTTPException: _tell_error},
    )
    app.router.redirect_slashes = False
    return app


def check_token(request: Request, token: bytes | None) -> None:
    """HTTPException unless the request shows the token (RFC 6750 section 2.1)."""
    if token is None:
        raise HTTPException(403, "there is no token in the configuration, so nobody may write")
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(shown.strip().encode("latin-1"), token):
        challenge = {"WWW-Authenticate": 'Bearer realm="waypost"'}
        raise HTTPException(401, "expected Authorization: Bearer, with the token", challenge)


class _Answers:
    """What each path answers."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._trials = 0

    async def metrics(self, _request: Request) -> Response:
        """Everything, for Prometheus."""
        status, exposition, now = await self._status(), Exposition(), time.time()
        add_status(exposition, status, _version())
        for pool in status.pools:
            probed = [
                [found for name in monitors_of(pool, origin) if (found := self._source.probed(name, origin.address))]
                for origin in pool.origins
            ]
            add_pool(exposition, pool, probed, now)
            await trio.lowlevel.checkpoint()
        return Response(exposition.render(), media_type=CONTENT_TYPE)

    async def health(self, _request: Request) -> Response:
        """Pools and origins: state, why, since when."""
        status = await self._status()
        return _json({"since": status.since, "held": status.held, "pools": status.pools})

    async def history(self, request: Request) -> Response:
        """The last results of an origin, or of a target."""
        keys = await self._keys(request)
        targets = [
            {"monitor": monitor, "address": address, "results": self._source.history(monitor, address)}
            for monitor, address in keys
        ]
        return _json({"targets": targets})

    async def _keys(self, request: Request) -> list[tuple[str, str]]:
        """Monitor and address of what is asked for."""
        if "origin" not in request.query_params:
            target = self._target(request.query_params.get("monitor"), request.query_params.get("address"))
            return [target.key]
        pool_name, _, name = request.query_params["origin"].partition("/")
        for pool in (await self._status()).pools:
            for origin in pool.origins:
                if (pool.name, origin.name) == (pool_name, name):
                    return [(monitor, origin.address) for monitor in monitors_of(pool, origin)]
        raise HTTPException(404, "no such origin; expected origin=POOL/ORIGIN")

    async def probe(self, request: Request) -> Response:
        """A check of a target, now; with debug=true, step by step."""
        target = self._target(request.query_params.get("monitor"), request.query_params.get("address"))
        if self._trials >= TRIALS:
            raise HTTPException(429, f"{TRIALS} checks run already", {"Retry-After": "1"})
        self._trials += 1
        try:
            with traced() as trace:
                started = time.monotonic()
                result = await self._source.try_out(target)
                duration = time.monotonic() - started
        finally:
            self._trials -= 1
        exposition = Exposition()
        add_result(exposition, "", result.up, duration, result.certificate_expires)
        if request.query_params.get("debug") != "true":
            return Response(exposition.render(), media_type=CONTENT_TYPE)
        steps = [(begun - started, one_line(step)) for begun, step in trace]
        text = describe_trial(target, steps, result, duration)
        return Response(text + exposition.render(), media_type="text/plain; charset=utf-8")

    async def external(self, request: Request) -> Response:
        """A result of another checker."""
        target = self._target(request.path_params["monitor"], request.path_params["address"])
        try:
            self._source.report(target, parse_report_untrusted(await read_body(request)))
        except ReportError as error:
            raise HTTPException(400, str(error)) from None
        return Response(status_code=204)

    async def healthy(self, _request: Request) -> Response:
        """An answer is the proof that the loop of control goes on."""
        return Response("healthy\n", media_type="text/plain")

    async def ready(self, _request: Request) -> Response:
        """Whether it does what it is for."""
        self._check_ready()
        return Response("ready\n", media_type="text/plain")

    async def _status(self) -> Status:
        self._check_ready()
        return await self._source.status()

    def _check_ready(self) -> None:
        if not self._source.is_ready():
            raise HTTPException(503, "starting: the first results are not in yet", {"Retry-After": "1"})

    def _target(self, monitor: str | None, address: str | None) -> Target:
        """Only what is configured: nobody can have any other address checked."""
        if not monitor or not address:
            raise HTTPException(400, "expected monitor=NAME and address=ADDRESS")
        try:
            canonical = parse_address(address)
        except ValueError:
            canonical = address
        target = self._source.find(monitor, canonical)
        if target is None:
            raise HTTPException(404, "no target has this monitor and address")
        return target


async def read_body(request: Request) -> bytes:
    """The body of a request. HTTPException 413."""
    body, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        body += part[: MOST_BYTES + 1 - len(body)]
        if size > UNREAD_BYTES:
            break
    if size > MOST_BYTES:
        raise HTTPException(413, f"a body of more than {MOST_BYTES} bytes")
    return bytes(body)


def describe_trial(target: Target, steps: list[tuple[float, str]], result: Result, duration: float) -> str:
    """A check, step by step, for people; times in seconds since its start."""
    kind = target.monitor.__struct_config__.tag
    lines = [f"{target.monitor.name} ({kind}) at {target.address}"]
    lines += [f"{at:12.6f} s  {step}" for at, step in [(0.0, "start"), *steps]]
    seen = f"{result.reason} ({result.evidence})" if result.evidence else str(result.reason)
    lines.append(f"{duration:12.6f} s  {'up' if result.up else 'DOWN'}: {seen}")
    if result.rtt is not None:
        lines.append(f"round trip {result.rtt:.6f} s")
    if result.warning:
        lines.append(f"warning: {result.warning}")
    return "\n".join(lines) + "\n\n"


async def _tell_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refuse(error.status_code, error.detail, error.headers)


def _refuse(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode({"error": why}), status, headers, "application/json")


@functools.cache
def _version() -> str:
    try:
        return importlib.metadata.version("waypost")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
