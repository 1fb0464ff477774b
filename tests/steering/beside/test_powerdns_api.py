"""The HTTP API of PowerDNS: what is sent, and what may come back."""

import json
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import h11
import pytest
import trio

from steering.beside.powerdns_api import ApiTarget, PowerDnsApi, render
from steering.beside.update import Change, UpdateError
from steering.wire import AAAA, A
from tests.steering.support import name

ONE, TWO = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
CHANGE = Change(name("www"), A, 30, (ONE,), (TWO,))
ZONE = {
    "name": "example.com.",
    "rrsets": [
        {"name": "www.example.com.", "type": "TXT", "records": [{"content": '"x"'}]},
        {
            "name": "WWW.example.com.",
            "type": "A",
            "ttl": 30,
            "records": [{"content": "192.0.2.1", "disabled": False}, {"content": "192.0.2.9", "disabled": True}],
        },
    ],
}


def test_a_patch_replaces_or_deletes() -> None:
    gone = Change(name("www"), AAAA, 30, (bytes(16),), ())
    assert json.loads(render([CHANGE, gone])) == {
        "rrsets": [
            {
                "name": "www.example.com.",
                "type": "A",
                "changetype": "REPLACE",
                "ttl": 30,
                "records": [{"content": "192.0.2.2", "disabled": False}],
            },
            {"name": "www.example.com.", "type": "AAAA", "changetype": "DELETE"},
        ]
    }


def test_where_it_is_shows_no_password() -> None:
    update = PowerDnsApi(
        zone=name("@"), url="http://user:secret@127.0.0.1:8081/api/v1/servers/localhost?x=y", api_key="k"
    )
    assert update.where == "http://127.0.0.1:8081/api/v1/servers/localhost"


class Api:
    """An API that answers with one response, and remembers requests."""

    def __init__(self, status: int = 200, body: bytes = json.dumps(ZONE).encode()) -> None:
        self.status, self.body = status, body
        self.requests: list[h11.Request] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(bytes(await stream.receive_some()))
            elif isinstance(event, h11.Request):
                self.requests.append(event)
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                return
        status = 204 if self.requests[-1].method == b"PATCH" and self.status == 200 else self.status
        body = b"" if status == 204 else self.body
        length = [] if status == 204 else [("Content-Length", str(len(body)))]
        sent = http.send(h11.Response(status_code=status, headers=[*length, ("Connection", "close")])) or b""
        sent += http.send(h11.Data(data=body)) or b""
        with suppress(trio.BrokenResourceError):  # it has seen enough
            await stream.send_all(sent + (http.send(h11.EndOfMessage()) or b""))
        await stream.aclose()


async def ask(api: Api, do: Callable[[ApiTarget], Awaitable[object]], **keys: object) -> object:
    """What a target at this API says."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, api.serve, [listener])
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/api/v1/servers/localhost"
        update = PowerDnsApi(zone=name("@"), url=url, **({"api_key": "k"} | keys))  # type: ignore[arg-type] # test keywords
        try:
            return await do(ApiTarget(update))
        except UpdateError as error:
            return str(error)
        finally:
            nursery.cancel_scope.cancel()
    raise AssertionError("not reached")


async def test_what_is_there_is_read_and_replaced() -> None:
    api = Api()
    assert await ask(api, lambda target: target.read(name("www"), A)) == (ONE,)
    assert await ask(api, lambda target: target.read(name("www"), AAAA)) == ()
    assert await ask(api, lambda target: target.write([CHANGE])) is True
    patch = api.requests[-1]
    assert (patch.method, patch.target) == (b"PATCH", b"/api/v1/servers/localhost/zones/example.com.")
    assert (b"x-api-key", b"k") in list(patch.headers)
    assert [request.method for request in api.requests[-2:]] == [b"GET", b"PATCH"], "read just before"


async def test_what_is_another_than_before_is_left() -> None:
    api = Api()
    change = Change(name("www"), A, 30, (TWO,), (ONE,))
    assert await ask(api, lambda target: target.write([change])) is False
    assert {request.method for request in api.requests} == {b"GET"}


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (401, b"Unauthorized", "401 Unauthorized; it has another API key"),
        (404, b"<html>\n <p>\x1b[31mgone\r\n", "404 <html> <p>\\x1b[31mgone; it has no such zone"),
        (200, b"no json", "its response is no zone"),
        (200, b"[" * 100_000, "its response is no zone"),
        (200, b'{"rrsets":[{"name":"www.example.com.","type":"A","records":[{"content":"x"}]}]}', "no zone"),
        (200, b'{"rrsets":[{"name":1}]}', "its response is no zone"),
        (200, bytes(17 << 20), "longer than 16 MiB"),
    ],
)
async def test_what_is_wrong_is_told(status: int, body: bytes, text: str) -> None:
    assert text in str(await ask(Api(status, body), lambda target: target.read(name("www"), A)))


async def test_the_key_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    read = {"api_key": None, "api_key_file": str(file)}
    assert "No such file" in str(await ask(Api(), lambda target: target.read(name("www"), A), **read))
    file.write_text("two words")
    assert "no key" in str(await ask(Api(), lambda target: target.read(name("www"), A), **read))
    file.write_text("right\n")
    api = Api()
    await ask(api, lambda target: target.read(name("www"), A), **read)
    assert (b"x-api-key", b"right") in list(api.requests[0].headers)


async def test_nobody_there() -> None:
    update = PowerDnsApi(zone=name("@"), url="http://127.0.0.1:1/api", api_key="k")
    with pytest.raises(UpdateError, match="ConnectError"):
        await ApiTarget(update).read(name("www"), A)


async def test_who_hangs_up_or_says_nonsense() -> None:
    for said in (b"", b"\0\1\2\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"HTTP/1.1 99 x\r\n\r\n"):

        async def serve(stream: trio.SocketStream, said: bytes = said) -> None:
            await stream.receive_some()
            await stream.send_all(said)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.aclose()

        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, serve, [listener])
            url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            with pytest.raises(UpdateError, match="Error"):
                await ApiTarget(PowerDnsApi(zone=name("@"), url=url, api_key="k")).read(name("www"), A)
            nursery.cancel_scope.cancel()
