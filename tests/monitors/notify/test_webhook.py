import gzip
import json
import math
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h11
import pytest
import trio
import trustme
from hypothesis import given
from hypothesis import strategies as st

from monitors.notify import deliver
from monitors.notify.courier import Courier
from monitors.notify.event import Message
from monitors.notify.notifier import DeliveryError
from monitors.notify.spool import Spool
from monitors.notify.webhook import WebhookNotifier, render
from monitors.tools import open_tools
from tests.monitors.notify.sample import MORNING, event, message, webhook


def test_json_has_every_field() -> None:
    said = message(event(address="192.0.2.1", reason="refused", reminder=True), omitted={"up": 2}, dropped=1)
    assert json.loads(render(said, webhook())) == {
        "version": 1,
        "id": "0a1b",
        "notifier": "ops",
        "made": MORNING,
        "title": "1 still down, 2 up: mail/mx1 and 2 more",
        "events": [
            {
                "label": "still down",
                "kind": "down",
                "since": MORNING,
                "pool": "mail",
                "origin": "mx1",
                "address": "192.0.2.1",
                "monitor": "",
                "up": False,
                "reason": "refused",
                "evidence": "",
                "lasted": None,
                "reminder": True,
            }
        ],
        "omitted": {"up": 2},
        "dropped": 1,
        "given_up": 0,
    }


def test_slack() -> None:
    said = message(event(reason="bad reply", evidence="`554` <no>"), event("up", "mx2"), dropped=1)
    assert json.loads(render(said, webhook(format="slack"))) == {
        "text": "1 down, 1 up: mail/mx1, mail/mx2",
        "attachments": [
            {
                "fallback": "1 down, 1 up: mail/mx1, mail/mx2",
                "color": "#b3261e",
                "text": "down: mail/mx1, since 2026-11-25 10:00:00 UTC: bad reply: `'554' &lt;no&gt;`\n"
                "up: mail/mx2, since 2026-11-25 10:00:00 UTC\n"
                "1 events before this were dropped: more came than could be taken in",
                "footer": "waypost, 2026-11-25 10:00:00 UTC",
                "mrkdwn_in": ["text"],
            }
        ],
    }


@pytest.mark.parametrize(
    ("said", "color"),
    [
        (message(event("up")), "#2e7d32"),
        (message(event("resumed", pool="", origin="")), "#2e7d32"),
        (message(event("forced", up=False)), "#b3261e"),
        (message(event("held", pool="", origin="")), "#b3261e"),
    ],
)
def test_the_colour_says_whether_it_is_good_news(said: Message, color: str) -> None:
    assert json.loads(render(said, webhook(format="slack")))["attachments"][0]["color"] == color


@given(st.text() | st.sampled_from(["<!channel>", "@here", "`@everyone`", "<http://a|b>"]))
def test_no_text_can_mention_anybody_or_make_a_link(text: str) -> None:
    said = message(event(reason=text, evidence=text, pool=text))
    body = json.loads(render(said, webhook(format="slack")))
    for shown in (body["text"], body["attachments"][0]["text"], body["attachments"][0]["fallback"]):
        assert "<" not in shown
        assert ">" not in shown
        assert all(part.startswith("\u200b") for part in shown.split("@")[1:])
        assert "\n" not in shown


def test_a_message_for_slack_has_bounds() -> None:
    many = message(*(event(origin=f"o{number}", evidence="x" * 200) for number in range(200)), omitted={"down": 800})
    text = json.loads(render(many, webhook(format="slack")))["attachments"][0]["text"]
    assert len(text.splitlines()) == 21
    assert text.endswith("\nand 980 more down")


class Server:
    """A real HTTP server on loopback. `answers` are given in turn: bytes as they are, a number as a status; None
    hangs. The last stays."""

    def __init__(self, *answers: int | bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0
        self.stays = False
        """Whether the connection is left open after an answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/s3cret?token=t0ken"

    async def handle(self, stream: trio.abc.Stream) -> None:
        connection = h11.Connection(h11.SERVER)
        target, headers, body = "", {}, b""
        try:
            while not isinstance(said := connection.next_event(), h11.EndOfMessage):
                if said is h11.NEED_DATA:
                    connection.receive_data(bytes(await stream.receive_some(65536)))
                elif isinstance(said, h11.Request):
                    target = said.target.decode()
                    headers = {name.decode(): value.decode() for name, value in said.headers}
                elif isinstance(said, h11.Data):
                    body += said.data
                elif isinstance(said, h11.ConnectionClosed):
                    return
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            return  # no TLS was agreed on
        self.requests.append((target, headers, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await trio.sleep_forever()
        if isinstance(answer, int):
            answer = b"HTTP/1.1 %d Status\r\nContent-Length: 4\r\n\r\nwhy!" % answer
        assert isinstance(answer, bytes)
        try:
            await stream.send_all(answer)
        except trio.BrokenResourceError:
            pass
        if self.stays:
            await trio.sleep_forever()
        await stream.aclose()


@asynccontextmanager
async def serving(server: Server, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    serve: Callable[..., Any] = trio.serve_tcp
    if context:
        serve = partial(trio.serve_ssl_over_tcp, ssl_context=context)
    async with trio.open_nursery() as nursery:
        if context:
            listeners = await nursery.start(partial(serve, server.handle, 0, host="127.0.0.1"))
            server.port = listeners[0].transport_listener.socket.getsockname()[1]
        else:
            listeners = await nursery.start(partial(serve, server.handle, 0, host="127.0.0.1"))
            server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


async def attempt(notifier: WebhookNotifier) -> DeliveryError | None:
    with trio.fail_after(30):
        async with open_tools() as tools:
            try:
                await deliver(notifier, message(), tools)
            except DeliveryError as error:
                return error
    return None


async def send(notifier: WebhookNotifier) -> None:
    assert await attempt(notifier) is None


async def failure(notifier: WebhookNotifier) -> DeliveryError:
    error = await attempt(notifier)
    assert error is not None
    assert "s3cret" not in str(error)
    assert "t0ken" not in str(error)
    return error


async def test_a_message_is_posted() -> None:
    async with serving(Server(200)) as server:
        await send(webhook(url=server.url, headers={"Authorization": "Bearer x"}))
    [(target, headers, body)] = server.requests
    assert target == "/s3cret?token=t0ken"
    assert json.loads(body)["title"] == "down: mail/mx1"
    assert headers["authorization"] == "Bearer x"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == "0a1b"


async def test_no_secret_gets_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with serving(Server(200)) as server:
        await send(webhook(url=server.url))
    assert caplog.text == ""


async def test_a_header_of_the_settings_takes_the_place_of_ours() -> None:
    async with serving(Server(200)) as server:
        await send(webhook(url=server.url, headers={"content-type": "text/x", "USER-AGENT": "me"}))
    [(_, headers, _)] = server.requests
    assert (headers["content-type"], headers["user-agent"]) == ("text/x", "me")


async def test_a_url_can_be_in_a_file(tmp_path: Path) -> None:
    async with serving(Server(204)) as server:
        (tmp_path / "url").write_text(server.url + "\n")
        await send(webhook(url=None, url_file=str(tmp_path / "url")))
    assert len(server.requests) == 1


@pytest.mark.parametrize("content", [b"", b"not a url", b"http://[::1", b"ftp://127.0.0.1/s3cret", b"http://\x01/"])
async def test_a_file_that_has_no_url(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "url").write_bytes(content)
    assert not (await failure(webhook(url=None, url_file=str(tmp_path / "url")))).refused


async def test_files_that_are_missing_or_something_else(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    for notifier in (webhook(url=None, url_file=missing), webhook(ca_file=missing)):
        assert str(await failure(notifier)) == f"{missing}: No such file or directory"
    (tmp_path / "binary").write_bytes(b"\xff")
    error = await failure(webhook(url=None, url_file=str(tmp_path / "binary")))
    assert str(error) == f"{tmp_path / 'binary'}: not UTF-8 text"
    assert str(tmp_path / "binary") in str(await failure(webhook(ca_file=str(tmp_path / "binary"))))


def answer(head: bytes, body: bytes = b"") -> bytes:
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("said", "words", "refused", "wait"),
    [
        (500, "500 why!", False, 0),
        (404, "404 why!", False, 0),
        (401, "401 why!", False, 0),
        (400, "400 why!", True, 0),
        (413, "413 why!", True, 0),
        (answer(b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/"), "301 ", False, 0),
        (answer(b"HTTP/1.1 429 No\r\nRetry-After: 30", b"slow"), "429 slow", False, 30),
        (answer(b"HTTP/1.1 503 No\r\nRetry-After: 99999999999999999999"), "503 ", False, 3600),
        (answer(b"HTTP/1.1 503 No\r\nRetry-After: -1"), "503 ", False, 0),
        (answer(b"HTTP/1.1 503 No\r\nRetry-After: " + "²".encode("latin-1")), "503 ", False, 0),
        (answer(b"HTTP/1.1 500 No", b"\xff\x1b[31m\r\nx"), "500 \\xff\\x1b[31m x", False, 0),
        (answer(b"HTTP/1.1 500 No\r\nContent-Encoding: gzip", gzip.compress(b"a" * 10**7)), None, False, 0),
        (answer(b"HTTP/1.1 500 No", b"y" * 1_000_000), None, False, 0),
    ],
)
async def test_answers_that_say_no(said: int | bytes, words: str | None, refused: bool, wait: float) -> None:
    async with serving(Server(said)) as server:
        error = await failure(webhook(url=server.url))
    assert words is None or str(error) == words.strip() or str(error) == words
    assert (error.refused, error.retry_after) == (refused, wait)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("length", "seconds"), [(300, math.inf), (3, 0.05)])
async def test_an_answer_that_never_ends(monkeypatch: pytest.MonkeyPatch, length: int, seconds: float) -> None:
    """Enough of it is enough, and so is waiting for more."""
    monkeypatch.setattr("monitors.notify.webhook.ANSWER_SECONDS", seconds)
    server = Server(b"HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n" + b"x" * length)
    server.stays = True
    async with serving(server):
        assert str(await failure(webhook(url=server.url))).startswith("500 xxx")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200\r\nA: " + b"x" * 1_000_000,
        b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nx",
        b"\0" * 999,
    ],
    ids=["nothing", "no HTTP", "endless header", "cut off", "binary"],
)
async def test_what_is_no_answer(said: bytes) -> None:
    async with serving(Server(said)) as server:
        error = await failure(webhook(url=server.url))
    assert not error.refused
    assert str(error).isprintable()


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert str(await failure(webhook(url=f"http://127.0.0.1:{port}/s3cret"))) == "Connection refused"


async def test_certificates(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca"))
    trusted = {"ca_file": str(tmp_path / "ca")}
    for name, good in (("127.0.0.1", True), ("hooks.example.com", False)):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ca.issue_cert(name).configure_cert(context)
        async with serving(Server(200), context) as server:
            url = server.url.replace("http:", "https:")
            assert str(await failure(webhook(url=url))).startswith("certificate: ")
            await send(webhook(url=url, allow_insecure=True))
            if good:
                await send(webhook(url=url, **trusted))
            else:
                assert "127.0.0.1" in str(await failure(webhook(url=url, **trusted)))
        assert len(server.requests) == 1 + good


async def test_a_proxy_is_used_only_when_it_is_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Server(200)) as server, serving(Server(200)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        await send(webhook(url=server.url))
        assert (len(server.requests), len(proxy.requests)) == (1, 0)
        await send(webhook(url=server.url, proxy=f"http://127.0.0.1:{proxy.port}"))
        assert (len(server.requests), len(proxy.requests)) == (1, 1)
    assert proxy.requests[0][0] == server.url


async def test_a_server_that_fails_then_hangs_then_takes_it(tmp_path: Path) -> None:
    """The whole way, on the real clock: 500, no answer within the timeout, 200; waits shortened by the dice."""
    async with serving(Server(500, None, 200)) as server, open_tools() as tools:
        notifier = webhook(url=server.url, group_for=0.0, timeout=1.0)
        arrived = trio.Event()

        async def post(said: Message) -> None:
            await deliver(notifier, said, tools)
            arrived.set()

        courier = Courier(notifier, post, Spool(tmp_path), lambda: MORNING, lambda: -1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(courier.run)
            courier.tell(event())
            with trio.fail_after(30):
                await arrived.wait()
            nursery.cancel_scope.cancel()
    assert len(server.requests) == 3
    assert len({body for _, _, body in server.requests}) == 1
    assert courier.statistics().failed == 2
