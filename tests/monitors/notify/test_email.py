import email.policy
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from hypothesis import given
from hypothesis import strategies as st

from monitors.notify import deliver
from monitors.notify.email import EmailNotifier, render
from monitors.notify.event import Message
from monitors.notify.notifier import DeliveryError
from monitors.tools import open_tools
from tests.monitors.notify.sample import MORNING, event, message
from tests.monitors.notify.sample import email as settings


def parse(mail: bytes) -> EmailMessage:
    parsed = BytesParser(EmailMessage, policy=email.policy.default).parsebytes(mail)
    assert isinstance(parsed, EmailMessage)
    return parsed


def test_a_mail() -> None:
    down = event(address="192.0.2.1", monitor="smtp", reason="bad reply", evidence="554 no")
    said = message(down, event("up", "mx2", lasted=60.0), dropped=3)
    mail = parse(render(said, settings(to=("a@example.com", "b@example.com"))))
    assert dict(mail.items()) == {
        "From": "waypost@example.com",
        "To": "a@example.com, b@example.com",
        "Subject": "[waypost] 1 down, 1 up: mail/mx1, mail/mx2",
        "Date": "Wed, 25 Nov 2026 10:00:00 +0000",
        "Message-ID": "<0a1b@example.com>",
        "Auto-Submitted": "auto-generated",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "quoted-printable",
        "MIME-Version": "1.0",
    }
    assert mail.get_content().splitlines() == [
        "down: mail/mx1 (192.0.2.1), monitor smtp, since 2026-11-25 10:00:00 UTC: bad reply: 554 no",
        "up: mail/mx2, since 2026-11-25 10:00:00 UTC, after 1 min",
        "3 events before this were dropped: more came than could be taken in",
    ]


HOSTILE = st.text() | st.sampled_from(
    ["x\r\nBcc: a@b.c\r\n\r\nhello", "\r.\r\n", "=?utf-8?q?=0A?=", "é" * 300, "\ud800"]
)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_text_adds_a_header_a_recipient_or_a_line(pool: str, reason: str, evidence: str) -> None:
    mail = render(message(event(pool=pool, reason=reason, evidence=evidence)), settings())
    assert mail.isascii()
    assert max(map(len, mail.split(b"\r\n"))) <= 998
    assert b"\n" not in mail.replace(b"\r\n", b"")
    assert b"\r" not in mail.replace(b"\r\n", b"")
    parsed = parse(mail)
    assert [name for name in parsed if name.lower() not in ("content-transfer-encoding", "content-type")] == [
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version",
    ]  # fmt: skip
    assert parsed["To"] == "ops@example.com"
    assert len(parsed.get_content().splitlines()) == 1


class Server:
    """A real server in a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout
        self._out = process.stdout
        self.port = int(self._out.readline())

    def mail(self) -> dict[str, Any]:
        mail: dict[str, Any] = json.loads(self._out.readline())
        return mail


@contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.monitors.notify.smtp_server", *arguments],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield Server(process)
        process.kill()


class Authority:
    """A CA of our own, and a certificate for 127.0.0.1."""

    def __init__(self, directory: Path, name: str = "127.0.0.1") -> None:
        ca = trustme.CA()
        self.ca_file = str(directory / "ca.pem")
        ca.cert_pem.write_to_path(self.ca_file)
        self.certificate = str(directory / "server.pem")
        ca.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(self.certificate)
        self.password_file = str(directory / "password")
        Path(self.password_file).write_text("sésame \n")

    @property
    def login(self) -> dict[str, str]:
        return {"ca_file": self.ca_file, "username": "waypost", "password_file": self.password_file}


async def attempt(notifier: EmailNotifier, said: Message | None = None) -> DeliveryError | None:
    with trio.fail_after(30):
        async with open_tools() as tools:
            try:
                await deliver(notifier, said or message(), tools)
            except DeliveryError as error:
                return error
    return None


async def send(notifier: EmailNotifier, said: Message | None = None) -> None:
    assert await attempt(notifier, said) is None


async def failure(notifier: EmailNotifier) -> DeliveryError:
    error = await attempt(notifier)
    assert error is not None
    return error


async def test_starttls_and_a_password(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with serving("--certificate", authority.certificate, "--password", "sésame ") as server:
        notifier = settings(port=server.port, helo="checker.example.com", to=("a@b.c", "d@e.f"), **authority.login)
        await send(notifier, message(event(evidence="é . \n.")))
        mail = server.mail()
        assert (mail["from"], mail["to"]) == ("waypost@example.com", ["a@b.c", "d@e.f"])
        assert (mail["tls"], mail["user"], mail["helo"]) == (True, True, "checker.example.com")
        content = parse(mail["content"].encode())
        assert content["Subject"] == "[waypost] down: mail/mx1"
        assert content.get_content().splitlines() == ["down: mail/mx1, since 2026-11-25 10:00:00 UTC: é . ."]


async def test_tls_from_the_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with serving("--certificate", authority.certificate, "--tls", "--password", "sésame ") as server:
        await send(settings(port=server.port, tls=True, **authority.login))
        assert server.mail()["user"]


async def test_without_tls(tmp_path: Path) -> None:
    with serving() as server:
        error = await failure(settings(port=server.port))
        assert str(error) == "STARTTLS: the server does not offer it"
        for starttls in ("off", "offered"):
            await send(settings(port=server.port, starttls=starttls))
            assert not server.mail()["tls"]
    authority = Authority(tmp_path)
    with serving("--certificate", authority.certificate) as server:
        await send(settings(port=server.port, starttls="off"))
        assert not server.mail()["tls"]
        await send(settings(port=server.port, starttls="offered", ca_file=authority.ca_file))
        assert server.mail()["tls"]


@pytest.mark.parametrize("way", ["--tls", "--certificate"])
async def test_a_certificate_that_cannot_be_trusted(tmp_path: Path, way: str) -> None:
    authority = Authority(tmp_path, "mail.example.com")
    more = ("--tls",) if way == "--tls" else ()
    with serving("--certificate", authority.certificate, *more) as server:
        for trusted in ({}, {"ca_file": authority.ca_file}):
            error = await failure(settings(port=server.port, tls=bool(more), starttls="offered", **trusted))
            assert "certificate verify failed" in str(error)
            assert not error.refused
        await send(settings(port=server.port, tls=bool(more), allow_insecure=True))
        assert server.mail()["tls"]


async def test_a_wrong_password_is_not_the_fault_of_the_mail(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with serving("--certificate", authority.certificate, "--password", "other") as server:
        error = await failure(settings(port=server.port, **authority.login))
        assert str(error).startswith("AUTH: 535 ")
        assert not error.refused
        assert "sésame" not in str(error)


async def test_replies_that_say_no(caplog: pytest.LogCaptureFixture) -> None:
    with serving("--refuse", "rcpt") as server:
        error = await failure(settings(port=server.port, starttls="off"))
        assert (str(error), error.refused) == ("RCPT TO: 550 5.1.1 nobody of that name", False)
    with serving("--refuse", "data") as server:
        error = await failure(settings(port=server.port, starttls="off"))
        assert (str(error), error.refused) == ("mail: 550 5.7.1 looks like spam", True)
    with serving("--refuse", "some") as server:
        await send(settings(port=server.port, starttls="off", to=("no@example.com", "yes@example.com")))
        assert server.mail()["to"] == ["yes@example.com"]
    assert caplog.messages == [
        "notifier ops: no@example.com is refused, the others get the mail: 550 5.1.1 nobody of that name"
    ]


async def test_nobody_listens() -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        error = await failure(settings(port=unused.getsockname()[1]))
    assert str(error).startswith("connect: ")
    assert "111" in str(error)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"ca_file": "/nowhere/ca"}, "/nowhere/ca: No such file or directory"),
        ({"username": "a", "password_file": "/nowhere/p"}, "/nowhere/p: No such file or directory"),
    ],
)
async def test_files_that_are_missing(files: dict[str, str], words: str) -> None:
    assert str(await failure(settings(**files))) == words


async def test_files_that_are_something_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xff\n")
    assert str(path) in str(await failure(settings(ca_file=str(path))))
    error = await failure(settings(username="a", password_file=str(path)))
    assert str(error) == f"{path}: not UTF-8 text"


@asynccontextmanager
async def scripted(*said: bytes) -> AsyncIterator[int]:
    """A server that says the next of `said` at once and after each line, and then nothing more."""

    async def handle(stream: trio.SocketStream) -> None:
        for reply in said:
            line = b""
            try:
                await stream.send_all(reply)
                while not line.endswith(b"\n"):
                    part = await stream.receive_some(1)
                    if not part:
                        return
                    line += part
            except trio.BrokenResourceError:
                return
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handle, 0)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([b"554 go \x1b[31maway\r\n"], "connect: 554 go \\x1b[31maway"),
        ([b"hello\r\n"], "connect: Malformed SMTP response line: hello"),
        ([b"220 hi\r\n", b"421 later\r\n"], "EHLO: 421 later"),
        ([b"220 hi\r\n", b"500 what?\r\n", b"500 no\r\n"], "EHLO: 500 no"),
        ([b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"454 no\r\n"], "STARTTLS: 454 no"),
    ],
)
async def test_what_a_server_says_is_told_in_one_line(said: list[bytes], words: str) -> None:
    async with scripted(*said) as port:
        error = await failure(settings(port=port, starttls="required"))
    assert (str(error), error.refused) == (words, False)


@pytest.mark.parametrize(
    "said",
    [[b""], [b"220 hi\r\n", b""], [b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"220 go\r\n"]],
    ids=["greeting", "EHLO", "handshake"],
)
async def test_a_server_that_hangs_can_be_left(said: list[bytes]) -> None:
    async with scripted(*said) as port, open_tools() as tools:
        with trio.move_on_after(0.2) as patience:
            await deliver(settings(port=port), message(), tools)
        assert patience.cancelled_caught


async def test_an_answer_to_quit_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitors.notify.email.QUIT_SECONDS", 0.05)
    taken = [b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"]
    heard: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        for reply in taken:
            await stream.send_all(reply)
            heard.append(await stream.receive_some(10_000))
        await stream.send_all(b"250 taken\r\n")
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handle, 0)
        await send(settings(port=listeners[0].socket.getsockname()[1], starttls="off"))
        nursery.cancel_scope.cancel()
    assert [line[:4].upper() for line in heard[:4]] == [b"EHLO", b"MAIL", b"RCPT", b"DATA"]


def test_the_time_of_a_mail_is_that_of_the_message() -> None:
    assert parse(render(message(made=MORNING + 60), settings()))["Date"] == "Wed, 25 Nov 2026 10:01:00 +0000"
