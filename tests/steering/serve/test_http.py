"""`steering/serve/http.py`: the real server in Trio, over loopback; who it asks is a fake."""

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from monitors.history import Past
from monitors.mailbox import MOST_BYTES, Report, ReportError
from monitors.monitor import Monitor, Reason, Result, Target
from monitors.scheduler import Statistics
from monitors.tools import waiting_for
from steering.messages import OriginStatus, PoolStatus, Status
from steering.metrics import Probed
from steering.serve import http
from steering.serve.http import HttpError, HttpServer, bind, open_http, read_token
from steering.settings import Http
from tests.steering.running import free_port

TOKEN = "0123456789abcdef"
TARGET = Target(Monitor(name="web"), "192.0.2.1")
V6 = Target(Monitor(name="web"), "2001:db8::1")
PAST = (Past(20.0, False, Reason.REFUSED, "refused", None), Past(10.0, True, Reason.OK, "", 0.5))
WEBSOCKET = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
WRITING = {"Authorization": f"Bearer {TOKEN}"}


class FakeSource:
    """Knows two targets, remembers the reports, and checks when the test lets it."""

    def __init__(self) -> None:
        self.ready = True
        self.targets = [TARGET, V6]
        self.reports: list[tuple[Target, Report]] = []
        self.go = trio.Event()
        self.go.set()
        self.trials = 0
        origins = tuple(OriginStatus(name, t.address, True, 1.0, True) for name, t in (("one", TARGET), ("two", V6)))
        self.pools = (PoolStatus("paris", True, True, "web", 1, 2, origins),)

    def is_ready(self) -> bool:
        return self.ready

    async def status(self) -> Status:
        await trio.lowlevel.checkpoint()
        return Status("waypost.toml", 5.0, 1, (), self.pools, (), (), Statistics(2, 0, 0, 0, 0, 0.0, 0.0))

    def find(self, monitor: str, address: str) -> Target | None:
        return next((t for t in self.targets if (t.monitor.name, t.address) == (monitor, address)), None)

    def history(self, monitor: str, address: str) -> tuple[Past, ...]:
        return PAST if self.find(monitor, address) else ()

    def probed(self, monitor: str, address: str) -> Probed | None:
        return Probed(monitor, True, 20.0) if address == TARGET.address else None

    async def try_out(self, target: Target) -> Result:
        self.trials += 1
        waiting_for.set("greeting\n\x1b[31m")
        await self.go.wait()
        return Result(
            False, Reason.BAD_REPLY, f"from {target.address}", 0.25, warning="ends soon", certificate_expires=9.0
        )

    def report(self, target: Target, report: Report) -> None:
        if report.evidence == "refuse":
            raise ReportError("not this one")
        self.reports.append((target, report))


class Stage:
    """A server, and who asks it."""

    def __init__(self, server: HttpServer, source: FakeSource, port: int, client: httpx2.AsyncClient) -> None:
        self.server = server
        self.source = source
        self.port = port
        self.client = client

    async def get(self, path: str, status: int = 200) -> httpx2.Response:
        response = await self.client.get(path)
        assert response.status_code == status, response.text
        return response

    async def put(self, path: str, content: bytes, status: int, headers: dict[str, str] = WRITING) -> httpx2.Response:
        response = await self.client.put(path, content=content, headers=headers)
        assert response.status_code == status, response.text
        return response

    async def raw(self, data: bytes) -> bytes:
        """What comes back for these bytes, until the server closes."""
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            answer = b""
            try:
                await stream.send_all(data)
                await stream.send_eof()
                async for part in stream:
                    answer += part
            except trio.BrokenResourceError:
                pass  # closed with something unread
            return answer


@asynccontextmanager
async def serving(**fields: object) -> AsyncIterator[Stage]:
    port = free_port()
    source = FakeSource()
    async with open_http() as server:
        server.expect(Http(**{"listen": f"127.0.0.1:{port}", "token": TOKEN, **fields}), source)  # type: ignore[arg-type] # of each its own type
        server.commit()
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield Stage(server, source, port, client)


class TestReading:
    async def test_whether_it_lives_and_is_ready(self) -> None:
        async with serving() as stage:
            assert (await stage.get("/-/healthy")).text == "healthy\n"
            assert (await stage.get("/-/ready")).text == "ready\n"
            stage.source.ready = False
            await stage.get("/-/healthy")
            for path in ("/-/ready", "/metrics", "/health", "/history?origin=paris/one"):
                assert "starting" in (await stage.get(path, 503)).json()["error"]

    async def test_metrics(self) -> None:
        async with serving() as stage:
            response = await stage.get("/metrics")
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {family.name: family for family in text_string_to_metric_families(response.text)}
        [sample] = families["probe_success"].samples
        assert sample.labels == {"monitor": "web", "address": "192.0.2.1", "pool": "paris", "origin": "one"}
        assert len(families["waypost_origin_up"].samples) == 2

    async def test_health(self) -> None:
        async with serving() as stage:
            health = (await stage.get("/health")).json()
        [pool] = health["pools"]
        assert (pool["name"], pool["up"]) == ("paris", True)
        assert [origin["address"] for origin in pool["origins"]] == ["192.0.2.1", "2001:db8::1"]

    @pytest.mark.parametrize(
        "query", ["origin=paris/two", "monitor=web&address=2001:db8::1", "monitor=web&address=2001:DB8:0::1"]
    )
    async def test_history(self, query: str) -> None:
        async with serving() as stage:
            [target] = (await stage.get(f"/history?{query}")).json()["targets"]
        assert (target["monitor"], target["address"]) == ("web", "2001:db8::1")
        assert target["results"] == [
            {"time": 20.0, "up": False, "reason": "refused", "evidence": "refused", "rtt": None},
            {"time": 10.0, "up": True, "reason": "ok", "evidence": "", "rtt": 0.5},
        ]

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/", 404),
            ("/metrics/", 404),
            ("/history", 400),
            ("/history?monitor=web", 400),
            ("/history?origin=paris", 404),
            ("/history?origin=paris/three", 404),
            ("/history?monitor=web&address=192.0.2.9", 404),
            ("/probe?monitor=%ff%00&address=%00", 404),
            ("/external/web/192.0.2.1", 405),
        ],
    )
    async def test_what_there_is_not(self, path: str, status: int) -> None:
        async with serving() as stage:
            response = await stage.get(path, status)
            assert response.headers["Content-Type"] == "application/json"
            assert response.json()["error"]

    async def test_with_a_token_only(self) -> None:
        async with serving(token_for_reading=True) as stage:
            for path in ("/metrics", "/health", "/history?origin=paris/one", "/probe?monitor=web&address=192.0.2.1"):
                await stage.get(path, 401)
            await stage.get("/-/healthy")
            await stage.get("/-/ready")
            assert (await stage.client.get("/metrics", headers=WRITING)).status_code == 200


class TestProbe:
    async def test_a_check_now(self) -> None:
        async with serving() as stage:
            text = (await stage.get("/probe?monitor=web&address=192.0.2.1")).text
        families = {family.name: family for family in text_string_to_metric_families(text)}
        assert families["probe_success"].samples[0].value == 0
        assert families["probe_ssl_earliest_cert_expiry"].samples[0].value == 9
        assert 0 <= families["probe_duration_seconds"].samples[0].value < 10

    async def test_step_by_step(self) -> None:
        async with serving() as stage:
            text = (await stage.get("/probe?monitor=web&address=192.0.2.1&debug=true")).text
        lines = text.splitlines()
        assert lines[0].endswith("at 192.0.2.1")
        assert [line.split("s  ")[1] for line in lines[1:4]] == [
            "start",
            "greeting \\x1b[31m",
            "DOWN: bad reply (from 192.0.2.1)",
        ]
        assert "round trip 0.250000 s" in lines
        assert "warning: ends soon" in lines
        assert list(text_string_to_metric_families(text.partition("\n\n")[2]))

    async def test_never_at_another_address(self) -> None:
        async with serving() as stage:
            for address in ("192.0.2.9", "localhost", "127.0.0.1", "192.0.2.1:80", "192.0.2.1%20"):
                await stage.get(f"/probe?monitor=web&address={address}", 404)
            assert stage.source.trials == 0

    async def test_only_some_at_a_time(self) -> None:
        async with serving() as stage, trio.open_nursery() as nursery:
            stage.source.go = trio.Event()
            for _ in range(http.TRIALS):
                nursery.start_soon(stage.get, "/probe?monitor=web&address=192.0.2.1")
            while stage.source.trials < http.TRIALS:
                await trio.lowlevel.checkpoint()
            response = await stage.get("/probe?monitor=web&address=192.0.2.1", 429)
            assert response.headers["Retry-After"] == "1"
            stage.source.go.set()
        assert stage.source.trials == http.TRIALS


class TestExternal:
    async def test_a_report(self) -> None:
        async with serving() as stage:
            await stage.put("/external/web/192.0.2.1", b'{"up": false, "evidence": "behind", "rtt": 0.5}', 204)
            await stage.put("/external/web/2001:DB8::1", b'{"up": true}', 204)
            assert stage.source.reports == [(TARGET, Report(False, "behind", 0.5)), (V6, Report(True))]

    @pytest.mark.parametrize(
        ("path", "content", "status"),
        [
            ("/external/web/192.0.2.1", b"", 400),
            ("/external/web/192.0.2.1", b"{", 400),
            ("/external/web/192.0.2.1", b'{"up": "yes"}', 400),
            ("/external/web/192.0.2.1", b'{"up": true, "evidence": "refuse"}', 400),
            ("/external/web/192.0.2.1", b" " * (MOST_BYTES + 1), 413),
            ("/external/web/192.0.2.1", b" " * 900_000, 413),
            ("/external/web/192.0.2.9", b'{"up": true}', 404),
            ("/external/other/192.0.2.1", b'{"up": true}', 404),
            ("/external/web", b'{"up": true}', 404),
        ],
    )
    async def test_what_is_refused(self, path: str, content: bytes, status: int) -> None:
        async with serving() as stage:
            assert (await stage.put(path, content, status)).json()["error"]
            assert stage.source.reports == []

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer " + TOKEN[:-1]},
            {"Authorization": "Bearer " + TOKEN + "x"},
            {"Authorization": "Basic " + TOKEN},
            {"Authorization": TOKEN},
        ],
    )
    async def test_only_with_the_token(self, headers: dict[str, str]) -> None:
        async with serving() as stage:
            response = await stage.put("/external/web/192.0.2.1", b'{"up": true}', 401, headers)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert stage.source.reports == []

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer"}, WRITING])
    async def test_without_a_token_in_the_configuration_never(self, headers: dict[str, str]) -> None:
        async with serving(token="") as stage:
            await stage.put("/external/web/192.0.2.1", b'{"up": true}', 403, headers)
            assert stage.source.reports == []


class TestSettings:
    async def test_a_reload_keeps_the_port_and_takes_the_new_token(self) -> None:
        async with serving() as stage:
            listen = f"127.0.0.1:{stage.port}"
            stage.server.expect(Http(listen=listen, token="another-token-00"), stage.source)
            await stage.put("/external/web/192.0.2.1", b'{"up": true}', 204)
            stage.server.commit()
            await stage.put("/external/web/192.0.2.1", b'{"up": true}', 401)
            stage.server.expect(Http(listen=listen), stage.source)
            stage.server.abandon()
            await stage.put("/external/web/192.0.2.1", b'{"up": true}', 401)

    async def test_another_port_and_none(self) -> None:
        async with serving() as stage:
            other = free_port()
            stage.server.expect(Http(listen=f"127.0.0.1:{other}"), stage.source)
            await stage.get("/-/healthy")
            stage.server.commit()
            await trio.testing.wait_all_tasks_blocked()
            assert (await stage.client.get(f"http://127.0.0.1:{other}/-/healthy")).status_code == 200
            with pytest.raises(httpx2.ConnectError):
                await stage.get("/-/healthy")
            stage.server.expect(None, stage.source)
            stage.server.commit()
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(httpx2.ConnectError):
                await stage.client.get(f"http://127.0.0.1:{other}/-/healthy")

    async def test_what_was_abandoned_is_free_again(self) -> None:
        async with serving() as stage:
            other = free_port()
            stage.server.expect(Http(listen=f"127.0.0.1:{other}"), stage.source)
            stage.server.abandon()
            bind(f"127.0.0.1:{other}").close()
            await stage.get("/-/healthy")

    async def test_a_port_that_is_taken(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            async with serving() as stage:
                with pytest.raises(HttpError, match=rf"cannot listen on {listen} \(TCP\): Address already in use"):
                    stage.server.expect(Http(listen=listen), stage.source)
                await stage.get("/-/healthy")

    def test_a_token_in_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "token"
        with pytest.raises(HttpError, match=r"token_file: .* cannot be read: No such file"):
            read_token(Http(token_file=str(path)))
        for bad in ("", "short", "with spaces in the middle of it"):
            path.write_text(bad)
            with pytest.raises(HttpError, match="expected at least 16 of"):
                read_token(Http(token_file=str(path)))
        path.write_text(TOKEN + "\n")
        assert read_token(Http(token_file=str(path))) == TOKEN.encode()
        assert read_token(Http()) is None


class TestHostileClients:
    async def test_one_that_sends_nothing_is_dropped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "HEAD_SECONDS", 0.1)
        async with serving() as stage:
            for sent in (b"", b"GET /metrics HTTP/1.1\r\nHost:"):
                async with await trio.open_tcp_stream("127.0.0.1", stage.port) as stream:
                    await stream.send_all(sent)
                    with trio.fail_after(20):
                        assert await stream.receive_some() == b""

    async def test_one_that_never_ends_its_body_is_dropped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "CONNECTION_SECONDS", 0.3)
        async with serving() as stage, await trio.open_tcp_stream("127.0.0.1", stage.port) as stream:
            head = "PUT /external/web/192.0.2.1 HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n"
            await stream.send_all(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n{{".encode())
            with trio.fail_after(20):
                assert await stream.receive_some() == b""

    async def test_one_that_does_not_read_holds_up_neither_others_nor_the_end(self) -> None:
        with trio.fail_after(30):
            async with serving() as stage:
                origin = stage.source.pools[0].origins[0]
                pools, stage.source.pools = (
                    stage.source.pools,
                    (PoolStatus("p" * 1000, True, True, "web", 1, 1, (origin,) * 5000),),
                )
                stuck = await trio.open_tcp_stream("127.0.0.1", stage.port)
                await stuck.send_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                assert await stuck.receive_some(1)
                stage.source.pools = pools
                await stage.get("/metrics")
        await stuck.aclose()

    async def test_the_oldest_makes_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "CONNECTIONS", 3)
        async with serving() as stage:
            streams = [await trio.open_tcp_stream("127.0.0.1", stage.port) for _ in range(6)]
            await stage.get("/-/healthy")
            with trio.fail_after(20):
                assert await streams[0].receive_some() == b""
            for stream in streams:
                await stream.aclose()

    async def test_a_header_that_is_too_long(self) -> None:
        async with serving() as stage:
            answer = await stage.raw(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 431 ")

    @pytest.mark.parametrize(
        "request_text",
        [
            b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + WEBSOCKET + b"Sec-WebSocket-Version: 13\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + WEBSOCKET + b"\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: !\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
            b"PUT /external/web/192.0.2.1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"PUT /external/web/192.0.2.1 HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\n\r\n",
            b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /%zz?%zz=%ff&&&=;debug HTTP/1.1\r\nHost: a\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            b"CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    )
    async def test_odd_requests_end_at_most_their_connection(
        self, request_text: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with serving() as stage:
            with trio.fail_after(20):
                await stage.raw(request_text)
            await stage.get("/-/healthy")
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    def test_a_thousand_of_garbage(self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "GRACE_SECONDS", 0.01)
        port = free_port()
        garbage = st.one_of(
            st.binary(max_size=300),
            st.builds(
                lambda method, path, headers, body: (
                    b" ".join((method, path, b"HTTP/1.1\r\n")) + headers + b"\r\n" + body
                ),
                st.sampled_from([b"GET", b"PUT", b"HEAD", b"POST", b"X\0"]),
                st.sampled_from([b"/metrics", b"/probe", b"/history", b"/external/web/192.0.2.1", b"/-/ready", b"//"])
                | st.binary(max_size=40),
                st.lists(
                    st.sampled_from(
                        [
                            b"Host: a\r\n",
                            b"Content-Length: 5\r\n",
                            b"Transfer-Encoding: chunked\r\n",
                            b"Upgrade: websocket\r\nConnection: upgrade\r\n",
                            b"Upgrade: h2c\r\n",
                            b"Expect: 100-continue\r\n",
                            f"Authorization: Bearer {TOKEN}\r\n".encode(),
                        ]
                    )
                    | st.binary(max_size=30).map(lambda value: b"X: " + value + b"\r\n"),
                    max_size=5,
                ).map(b"".join),
                st.binary(max_size=100) | st.sampled_from([b'{"up": true}', b"5\r\nhello\r\n0\r\n\r\n"]),
            ),
        )

        async def attack(texts: list[bytes]) -> None:
            source = FakeSource()
            async with open_http() as server:
                server.expect(Http(listen=f"127.0.0.1:{port}", token=TOKEN), source)
                server.commit()
                stage = Stage(server, source, port, httpx2.AsyncClient())
                with trio.fail_after(60):
                    for text in texts:
                        await stage.raw(text)
                    answer = await stage.raw(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")
                    assert answer.startswith(b"HTTP/1.1 200 ")

        @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(garbage, min_size=20, max_size=20))
        def run(texts: list[bytes]) -> None:
            trio.run(attack, texts)

        run()
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_error_of_ours_is_a_500_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as stage:
        stage.source.pools = (object(),)  # type: ignore[assignment] # an error on purpose
        await stage.get("/metrics", 500)
        await stage.get("/-/healthy")
    assert "AttributeError" in caplog.text
