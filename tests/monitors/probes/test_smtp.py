import gc
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from monitors.monitor import EVIDENCE_LENGTH, Reason, Result
from monitors.probes.smtp import SmtpMonitor
from tests.monitors.checking import check

RST = object()
HANG = object()
Said = bytes | object


def monitor(port: int, timeout: float = 5, helo: str | None = None) -> SmtpMonitor:
    return SmtpMonitor(name="m", port=port, timeout=timeout, retries=0, helo=helo)


@contextmanager
def aiosmtpd(port: int = 0) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.monitors.probes.smtp_peer", str(port)],
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


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


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
