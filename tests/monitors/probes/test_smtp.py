import gc
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from monitors.monitor import EVIDENCE_LENGTH, Reason, Result
from monitors.probes.smtp import SmtpMonitor
from tests.monitors.certificates import NAME, UNTRUSTED, Certificates
from tests.monitors.checking import check, open_files, steps

RST = object()
HANG = object()
Said = bytes | object


def monitor(port: int, timeout: float = 5, /, **fields: object) -> SmtpMonitor:
    return msgspec.structs.replace(SmtpMonitor(name="m", port=port, timeout=timeout, retries=0), **fields)


@contextmanager
def aiosmtpd(port: int = 0, security: str = "", files: tuple[Path, Path] | None = None) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.monitors.probes.smtp_peer", str(port), security, *map(str, files or ())],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.kill()


@asynccontextmanager
async def scripted(*said: Said) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that says the next of `said` on connection and after each line of the client, and then closes.

    RST resets the connection, HANG says nothing more. Gives the port, and the lines that it was told.
    """
    heard: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        for number, reply in enumerate(said):
            if number > 0:
                line = b""
                while not line.endswith(b"\n"):
                    line += await stream.receive_some(1) or b"\n"
                heard.append(line)
            if reply is HANG:
                await trio.sleep_forever()
            if reply is RST:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.socket.close()
                return
            assert isinstance(reply, bytes)
            try:
                await stream.send_all(reply)
            except trio.BrokenResourceError:
                return
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handle, 0)
        yield listeners[0].socket.getsockname()[1], heard
        nursery.cancel_scope.cancel()


async def talk(*said: Said, patience: float = 5) -> Result:
    async with scripted(*said) as (port, _):
        return await check(monitor(port, patience), "127.0.0.1")


async def test_a_real_server_that_is_stopped_and_started_again() -> None:
    with aiosmtpd() as port:
        result = await check(monitor(port), "127.0.0.1")
        assert (result.up, result.reason, result.evidence) == (True, Reason.OK, "")
        assert result.rtt is not None
        assert 0 <= result.rtt < 1
    result = await check(monitor(port), "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (
        False,
        Reason.REFUSED,
        "connect: Connection refused",
    )
    with aiosmtpd(port):
        assert (await check(monitor(port), "127.0.0.1")).up


async def test_what_is_said() -> None:
    async with scripted(b"220 hi\r\n", b"250 hi\r\n", b"221 bye\r\n") as (port, heard):
        assert (await check(monitor(port, helo="checker.example.com"), "127.0.0.1")).up
        assert [line.upper() for line in heard] == [b"EHLO CHECKER.EXAMPLE.COM\r\n", b"QUIT\r\n"]


async def test_the_own_name_is_said_unless_another_is_set() -> None:
    async with scripted(b"220 hi\r\n", b"250 hi\r\n", b"221 bye\r\n") as (port, heard):
        assert (await check(monitor(port), "127.0.0.1")).up
        assert heard[0] == f"EHLO {socket.gethostname()}\r\n".encode()


async def test_helo_where_ehlo_is_refused() -> None:
    async with scripted(b"220 hi\r\n", b"502 what?\r\n", b"250 hi\r\n", b"221 bye\r\n") as (port, heard):
        assert (await check(monitor(port), "127.0.0.1")).up
        assert heard[1].startswith(b"HELO ")


@pytest.mark.parametrize(
    ("said", "evidence"),
    [
        ([b"554 5.7.1 go away\r\n"], "greeting: 554 5.7.1 go away"),
        ([b"220-one\r\n220 two\r\n", b"421 4.3.2 later\r\n"], "EHLO: 421 4.3.2 later"),
        ([b"220 hi\r\n", b"502 what?\r\n", b"550 no\r\n"], "HELO: 550 no"),
        ([b"220 hi\r\n", b"250-hi\r\n250 SIZE\r\n", b"500 never\r\n"], "QUIT: 500 never"),
        ([b"220 hi\r\n", b"251 hi\r\n"], "EHLO: 251 hi"),
        ([b"hello\r\n"], "greeting: Malformed SMTP response line: hello"),
        ([b"\r\n"], "greeting: Malformed SMTP response line:"),
        ([b"220 hi\r\n", b"\x00\xff\x1b[31m\r\n"], "EHLO: Malformed SMTP response line: \\x00\\x1b[31m"),
        ([b"554 " + b"\xff\x1b]0;x\x07" + b"\r\n"], "greeting: 554 \\udcff\\x1b]0;x\\x07"),
    ],
)
async def test_a_bad_reply_is_named_with_its_step(said: list[bytes], evidence: str) -> None:
    assert await talk(*said) == Result(False, Reason.BAD_REPLY, evidence)


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ([b""], "greeting"),
        ([b"220 hi\r\n", b""], "EHLO"),
        ([b"220 hi\r\n", b"502 what?\r\n", b""], "HELO"),
        ([b"220 hi\r\n", b"250 hi\r\n", b""], "QUIT"),
        ([b"220-unfinished\r\n"], "greeting"),
    ],
)
async def test_closed_early(said: list[bytes], step: str) -> None:
    result = await talk(*said)
    assert result == Result(False, Reason.CLOSED_EARLY, f"{step}: the server closed the connection")


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ([b"220 hi\r\n", RST], "EHLO"),
        ([b"220 hi\r\n", b"250 hi\r\n", RST], "QUIT"),
    ],
)
async def test_reset(said: list[Said], step: str) -> None:
    assert await talk(*said) == Result(False, Reason.RESET, f"{step}: Connection reset by peer")


async def test_reset_at_once() -> None:
    # Whether it is noticed while connecting or just after is a matter of microseconds.
    result = await talk(RST)
    assert (result.up, result.reason) == (False, Reason.RESET)
    assert result.evidence in {f"{step}: Connection reset by peer" for step in ("connect", "greeting")}


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ([HANG], "greeting"),
        ([b"220 hi\r\n", HANG], "EHLO"),
        ([b"220 hi\r\n", b"250-hi\r\n", HANG], "EHLO"),
        ([b"220 hi\r\n", b"250 hi\r\n", HANG], "QUIT"),
    ],
)
async def test_a_server_that_hangs_is_a_timeout_and_nothing_stays_open(said: list[Said], step: str) -> None:
    before = open_files()
    result = await talk(*said, patience=0.2)
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
    "flood",
    [
        b"x" * 1_000_000,
        b"220" + b"x" * 1_000_000 + b"\r\n",
        b"220-more\r\n" * 100_000,
        bytes(range(256)) * 4000,
    ],
    ids=["endless line", "long line", "endless lines", "junk"],
)
async def test_a_flood_is_a_bad_reply_of_bounded_length(flood: bytes) -> None:
    result = await talk(flood, HANG)
    assert (result.up, result.reason) == (False, Reason.BAD_REPLY)
    assert len(result.evidence) <= EVIDENCE_LENGTH
    assert result.evidence.isprintable()


SECURITIES = ["starttls", "tls"]
FIELDS: dict[str, dict[str, object]] = {
    "starttls": {"starttls": "required", "server_name": NAME},
    "tls": {"tls": True, "server_name": NAME},
}


@pytest.mark.parametrize("security", SECURITIES)
async def test_a_real_server_over_tls(security: str, certificates: Certificates) -> None:
    with aiosmtpd(0, security, certificates.issue("good")) as port:
        result = await check(monitor(port, **FIELDS[security]), "127.0.0.1")
        assert (result.up, result.reason, result.evidence, result.warning) == (True, Reason.OK, "", "")
        assert result.certificate_expires is not None
        assert result.certificate_expires > time.time()
        to_address = msgspec.structs.replace(monitor(port, **FIELDS[security]), server_name=None)
        assert (await check(to_address, "127.0.0.1")).up


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("quality", UNTRUSTED)
async def test_a_bad_certificate(quality: str, security: str, certificates: Certificates) -> None:
    before = open_files()
    reason, words = UNTRUSTED[quality]
    with aiosmtpd(0, security, certificates.issue(quality)) as port:
        result = await check(monitor(port, **FIELDS[security]), "127.0.0.1")
        insecure = await check(monitor(port, **FIELDS[security], allow_insecure=True), "127.0.0.1")
    step = "STARTTLS" if security == "starttls" else "TLS handshake or greeting"
    assert (result.up, result.reason, result.evidence) == (False, reason, f"{step}: {words}")
    assert (insecure.up, insecure.reason, insecure.certificate_expires) == (True, Reason.OK, None)
    gc.collect()
    assert open_files() == before


@pytest.mark.parametrize("security", SECURITIES)
async def test_a_certificate_about_to_expire(security: str, certificates: Certificates) -> None:
    with aiosmtpd(0, security, certificates.issue("soon")) as port:
        result = await check(monitor(port, **FIELDS[security]), "127.0.0.1")
    assert result.up
    assert "expires in 5.0 days" in result.warning


async def test_starttls_that_is_not_offered() -> None:
    with aiosmtpd() as port:
        result = await check(monitor(port, starttls="required"), "127.0.0.1")
        assert (result.up, result.reason) == (False, Reason.TLS_NOT_OFFERED)
        assert result.evidence == "EHLO: STARTTLS is not offered"
        assert (await check(monitor(port, starttls="offered"), "127.0.0.1")).up


async def test_starttls_that_is_offered_is_verified_if_it_is_used(certificates: Certificates) -> None:
    with aiosmtpd(0, "starttls", certificates.issue("expired")) as port:
        assert (await check(monitor(port), "127.0.0.1")).up
        result = await check(monitor(port, starttls="offered", server_name=NAME), "127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.TLS_EXPIRED)


async def test_tls_to_a_server_without_it() -> None:
    with aiosmtpd() as port:
        result = await check(monitor(port, tls=True), "127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.TLS_PROTOCOL)


@pytest.mark.parametrize(
    ("said", "reason", "evidence"),
    [
        ([b"454 4.7.0 not now\r\n"], Reason.BAD_REPLY, "STARTTLS: 454 4.7.0 not now"),
        ([b"220 go\r\n", RST], Reason.RESET, "STARTTLS: Connection reset by peer"),
        ([b"220 go\r\n", HANG], Reason.TIMEOUT, "STARTTLS: nothing within 0.3 s"),
        ([HANG], Reason.TIMEOUT, "STARTTLS: nothing within 0.3 s"),
        ([b"220 go\r\n", b"no TLS at all\r\n"], Reason.TLS_PROTOCOL, "STARTTLS: wrong version number"),
    ],
)
async def test_starttls_that_goes_wrong(said: list[Said], reason: Reason, evidence: str) -> None:
    before = open_files()
    greeting = (b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n")
    async with scripted(*greeting, *said) as (port, _):
        result = await check(monitor(port, 0.3, starttls="required"), "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (False, reason, evidence)
    gc.collect()
    assert open_files() == before


async def test_starttls_after_which_the_server_closes() -> None:
    # With the beginning of our handshake unread, its system may say reset instead.
    async with scripted(b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"220 go\r\n", b"") as (port, _):
        result = await check(monitor(port, starttls="required"), "127.0.0.1")
    assert (result.up, result.evidence[:10]) == (False, "STARTTLS: ")
    assert result.reason in {Reason.CLOSED_EARLY, Reason.RESET}


async def test_tls_from_the_start_that_hangs() -> None:
    before = open_files()
    async with scripted(HANG) as (port, _):
        result = await check(monitor(port, 0.3, tls=True), "127.0.0.1")
    assert result == Result(False, Reason.TIMEOUT, "TLS handshake or greeting: nothing within 0.3 s")
    gc.collect()
    assert open_files() == before


async def test_a_server_that_hangs_inside_tls_is_not_waited_for(certificates: Certificates) -> None:
    before = open_files()
    context = certificates.server_context()

    async def handle(stream: trio.SocketStream) -> None:
        secured = trio.SSLStream(stream, context, server_side=True)
        await secured.send_all(b"220 hi\r\n")
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handle, 0)
        while_serving = open_files()
        port = listeners[0].socket.getsockname()[1]
        result = await check(monitor(port, 0.5, tls=True, server_name=NAME), "127.0.0.1")
        gc.collect()
        # The server's end is open still.
        assert open_files() == while_serving + 1
        nursery.cancel_scope.cancel()
    assert result == Result(False, Reason.TIMEOUT, "EHLO: nothing within 0.5 s")
    assert open_files() == before


@pytest.mark.parametrize(
    ("fields", "reason", "evidence"),
    [
        ({"mail_from": "a@example.com"}, Reason.OK, ""),
        ({"mail_from": "", "rcpt_to": "b@example.com"}, Reason.OK, ""),
        ({"mail_from": "", "rcpt_to": "b@example.com", "expected_code": 250}, Reason.OK, ""),
        ({"mail_from": "", "rcpt_to": "nobody@example.com", "expected_code": 550}, Reason.OK, ""),
        (
            {"mail_from": "", "rcpt_to": "nobody@example.com"},
            Reason.BAD_REPLY,
            "RCPT TO: 550 5.1.1 no such user",
        ),
        (
            {"mail_from": "", "rcpt_to": "b@example.com", "expected_code": 550},
            Reason.CODE_MISMATCH,
            "RCPT TO: 250 OK",
        ),
        ({"mail_from": "a@example.com", "expected_code": 251}, Reason.CODE_MISMATCH, "MAIL FROM: 250 OK"),
        ({"mail_from": "@"}, Reason.BAD_REPLY, "MAIL FROM: 553 5.1.3 Error: malformed address"),
    ],
)
async def test_what_is_asked_of_a_real_server(fields: dict[str, object], reason: Reason, evidence: str) -> None:
    with aiosmtpd() as port:
        result = await check(monitor(port, **fields), "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (reason is Reason.OK, reason, evidence)


async def test_no_mail_is_sent() -> None:
    said = (b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"221 bye\r\n")
    async with scripted(*said) as (port, heard):
        asked = monitor(port, helo="checker.example.com", mail_from="a@example.com", rcpt_to="b@example.com")
        assert (await check(asked, "127.0.0.1")).up
    assert heard == [
        b"EHLO checker.example.com\r\n",
        b"MAIL FROM:<a@example.com>\r\n",
        b"RCPT TO:<b@example.com>\r\n",
        b"quit\r\n",
    ]


async def test_the_source() -> None:
    with aiosmtpd() as port:
        assert (await check(monitor(port, source="127.0.0.9"), "127.0.0.1")).up
        result = await check(monitor(port, source="192.0.2.1"), "127.0.0.1")
    assert result == Result(False, Reason.CHECK_ERROR, "connect: Cannot assign requested address")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, set()),
        ({"starttls": "offered", "server_name": "a", "allow_insecure": True}, set()),
        ({"tls": True, "server_name": "a", "allow_insecure": True}, set()),
        ({"mail_from": "", "rcpt_to": "b@example.com", "expected_code": 550}, set()),
        ({"tls": True, "starttls": "offered"}, {"starttls"}),
        ({"server_name": "a", "allow_insecure": True}, {"server_name", "allow_insecure"}),
        ({"rcpt_to": "b@example.com", "expected_code": 550}, {"rcpt_to", "expected_code"}),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, object], wrong: set[str]) -> None:
    assert {field for field, _ in monitor(1, **fields).problems()} == wrong


async def test_every_step_is_traced() -> None:
    with aiosmtpd() as port:
        assert await steps(monitor(port), "127.0.0.1") == ["connect", "greeting", "EHLO", "QUIT"]
    async with scripted(b"220 hi\r\n", HANG) as (port, _):
        assert await steps(monitor(port, 0.3), "127.0.0.1") == ["connect", "greeting", "EHLO"]
