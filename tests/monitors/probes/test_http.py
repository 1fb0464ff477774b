import gc
import socket

import msgspec
import pytest

from monitors.http_client import MOST_BYTES
from monitors.monitor import EVIDENCE_LENGTH, Reason, Result
from monitors.probes.http import HttpMonitor
from tests.monitors.certificates import NAME
from tests.monitors.checking import check, has_ipv6, open_files
from tests.monitors.web import HANG, RST, Said, scripted, serving


def monitor(port: int, **fields: object) -> HttpMonitor:
    plain = HttpMonitor(name="m", port=port, retries=0)
    return msgspec.structs.replace(plain, **fields)


async def judge(*said: Said, **fields: object) -> Result:
    async with scripted(*said) as (port, _):
        return await check(monitor(port, **fields), "127.0.0.1")


async def test_a_real_server() -> None:
    with serving() as port:
        result = await check(monitor(port), "127.0.0.1")
        assert (result.up, result.reason, result.evidence, result.warning) == (True, Reason.OK, "200 OK", "")
        assert result.rtt is not None
        assert 0 <= result.rtt < 5
    result = await check(monitor(port), "127.0.0.1")
    assert (result.reason, result.evidence) == (Reason.REFUSED, "connect: Connection refused")


async def test_what_is_sent() -> None:
    async with scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, heard):
        assert (await check(monitor(port), "127.0.0.1")).up
        chosen = (("X-Check", "a b"), ("user-agent", "me"), ("Host", NAME))
        asked = monitor(port, method="HEAD", path="/p?q=1", headers=chosen)
        assert (await check(asked, "127.0.0.1")).up
    plain, own = (request.decode().lower().split("\r\n") for request in heard)
    assert plain == [
        "get / http/1.1",
        f"host: 127.0.0.1:{port}",
        "user-agent: waypost",
        "accept: */*",
        "accept-encoding: identity",
        "connection: close",
        "",
        "",
    ]
    assert own[0] == "head /p?q=1 http/1.1"
    assert sorted(own[1:-2]) == [
        "accept-encoding: identity",
        "accept: */*",
        "connection: close",
        f"host: {NAME}",
        "user-agent: me",
        "x-check: a b",
    ]


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6_is_bracketed_in_the_host_header() -> None:
    async with scripted(b"HTTP/1.1 204 No Content\r\n\r\n", host="::1") as (port, heard):
        assert (await check(monitor(port, expected_codes=((200, 299),)), "::1")).up
    assert f"Host: [::1]:{port}".encode() in heard[0]


@pytest.mark.parametrize(
    ("path", "codes", "up", "evidence"),
    [
        ("/", ((200, 200),), True, "200 OK"),
        ("/503", ((200, 200),), False, "503 Service Unavailable"),
        ("/404", ((200, 299), (404, 404)), True, "404 Not Found"),
        ("/204", ((200, 299),), True, "204 No Content"),
        ("/to?http://other.example.com/", ((200, 200),), False, "302 Found, to http://other.example.com/"),
    ],
)
async def test_codes(path: str, codes: tuple[tuple[int, int], ...], up: bool, evidence: str) -> None:
    with serving() as port:
        result = await check(monitor(port, path=path, expected_codes=codes), "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (up, Reason.OK if up else Reason.CODE_MISMATCH, evidence)


@pytest.mark.parametrize(
    ("path", "expected", "evidence"),
    [
        ("/body", "all is well", "200 OK"),
        ("/body", "NAÏVE", "200 OK"),
        ("/body", "all is lost", "200 OK: <h1>All is WELL, naïve \\xff</h1>"),
        ("/", "all", "200 OK: nothing in the body"),
        ("/long", "xwell", "200 OK"),
        ("/long", "wellnot", "200 OK: " + "x" * (EVIDENCE_LENGTH - 9) + "…"),
    ],
)
async def test_the_body(path: str, expected: str, evidence: str) -> None:
    with serving() as port:
        result = await check(monitor(port, path=path, expected_body=expected), "127.0.0.1")
    up = evidence == "200 OK"
    assert (result.up, result.reason, result.evidence) == (up, Reason.OK if up else Reason.BODY_MISMATCH, evidence)


async def test_a_body_in_chunks_and_one_that_ends_with_the_connection() -> None:
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [b"1\r\n%c\r\n" % letter for letter in b"well"]
    assert (await judge(head, *chunks, b"0\r\n\r\n", expected_body="WELL")).up
    assert (await judge(b"HTTP/1.0 200 OK\r\n\r\n", b"we", b"ll", expected_body="WELL")).up


async def test_redirections_on_this_host_are_followed() -> None:
    with serving() as port:
        for path in ("/to?/200", "/to?200", f"/to?http://127.0.0.1:{port}/200", f"/to?//127.0.0.1:{port}/to?/200"):
            result = await check(monitor(port, path=path, follow_redirects=True), "127.0.0.1")
            assert (result.up, result.evidence) == (True, "200 OK"), path
            assert not (await check(monitor(port, path=path), "127.0.0.1")).up


async def test_redirections_elsewhere_are_judged() -> None:
    with serving() as port, serving() as other:
        for url in (
            f"http://{NAME}:{port}/200",
            f"http://127.0.0.1:{other}/200",
            f"http://127.0.0.2:{port}/200",
            "ftp://127.0.0.1/200",
            "http://[::1/200",
            "http://127.0.0.1:99999/200",
        ):
            asked = monitor(port, path=f"/to?{url}", follow_redirects=True)
            result = await check(asked, "127.0.0.1")
            assert (result.reason, result.evidence) == (Reason.CODE_MISMATCH, f"302 Found, to {url}")


async def test_a_redirection_keeps_the_name() -> None:
    with serving() as port:
        asked = monitor(
            port,
            path=f"/to?http://{NAME.upper()}:{port}/echo",
            headers=(("Host", f"{NAME}:1"),),
            follow_redirects=True,
            expected_body=f"Host: {NAME}:{port}",
        )
        assert (await check(asked, "127.0.0.1")).up


async def test_an_endless_redirection_ends() -> None:
    async with scripted(b"HTTP/1.1 302 Found\r\nLocation: /loop\r\n\r\n") as (port, heard):
        result = await check(monitor(port, follow_redirects=True), "127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.BAD_REPLY)
    assert result.evidence == "302 Found, to /loop, after 5 redirections"
    assert len(heard) == 1 + 5


@pytest.mark.parametrize(
    ("said", "reason", "evidence"),
    [
        ([b""], Reason.CLOSED_EARLY, "response: the server closed the connection"),
        ([b"HTTP/1.1 200 OK\r\n"], Reason.CLOSED_EARLY, "response: the server closed the connection"),
        ([b"220 mail.example.com ESMTP\r\n\r\n"], Reason.BAD_REPLY, "response: illegal status line"),
        ([b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"], Reason.BAD_REPLY, "response: illegal header line"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"], Reason.BAD_REPLY, "response: bad Content-Length"),
        ([RST], Reason.RESET, "response: Connection reset by peer"),
    ],
)
async def test_what_is_no_response(said: list[Said], reason: Reason, evidence: str) -> None:
    result = await judge(*said)
    assert (result.up, result.reason) == (False, reason)
    assert result.evidence.startswith(evidence)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwe"], Reason.CLOSED_EARLY),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], Reason.BAD_REPLY),
    ],
)
async def test_a_body_that_breaks_off(said: list[Said], reason: Reason) -> None:
    result = await judge(*said, expected_body="well")
    assert (result.up, result.reason) == (False, reason)
    assert (await judge(*said)).up, "nobody asked for the body"


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ([HANG], "response"),
        ([b"HTTP/1.1 200 OK\r\n", HANG], "response"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwe", HANG], "body"),
    ],
)
async def test_a_server_that_hangs_is_a_timeout_and_nothing_stays_open(said: list[Said], step: str) -> None:
    before = open_files()
    result = await judge(*said, timeout=0.2, expected_body="well")
    assert result == Result(False, Reason.TIMEOUT, f"{step}: nothing within 0.2 s")
    gc.collect()
    assert open_files() == before


async def test_a_listener_that_does_not_accept_is_a_timeout_at_connect() -> None:
    with socket.socket() as full, socket.socket() as queued:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        queued.connect(full.getsockname())
        result = await check(monitor(full.getsockname()[1], timeout=0.2), "127.0.0.1")
    assert result == Result(False, Reason.TIMEOUT, "connect: nothing within 0.2 s")


@pytest.mark.parametrize(
    ("flood", "reason"),
    [
        (b"x" * 1_000_000, Reason.BAD_REPLY),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200_000, Reason.BAD_REPLY),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 1_000_000, Reason.BAD_REPLY),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000, Reason.BAD_REPLY),
        (bytes(range(256)) * 4000, Reason.BAD_REPLY),
        (b"HTTP/1.1 200 \x1b[31mOK\r\n\r\n" + b"\x1b]0;x\x07" * 100_000, Reason.BODY_MISMATCH),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"\x1b]0;x\x07" * 100_000, Reason.BODY_MISMATCH),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;%s\r\nx\r\n" % (b"e" * 99) * 10_000,
            Reason.BODY_MISMATCH,
        ),
    ],
    ids=["line", "header", "field", "interim", "junk", "escapes", "body", "chunks"],
)
async def test_a_flood_is_read_in_part_and_shown_safely(flood: bytes, reason: Reason) -> None:
    result = await judge(flood, HANG, expected_body="well")
    assert (result.up, result.reason) == (False, reason)
    assert result.evidence.isprintable()
    assert len(result.evidence) <= EVIDENCE_LENGTH
    assert len(flood) > MOST_BYTES


async def test_the_source_is_an_address_of_this_machine() -> None:
    with serving() as port:
        assert (await check(monitor(port, source="127.0.0.9"), "127.0.0.1")).up
        elsewhere = await check(monitor(port, source="192.0.2.1"), "127.0.0.1")
    assert (elsewhere.reason, elsewhere.evidence) == (Reason.CHECK_ERROR, "connect: Cannot assign requested address")
