"""TRIO: email: one mail for each message, over SMTP (RFC 5321) in the mail thread, as plain text.

The library's own choices about TLS are not used: whether STARTTLS is wanted is said here, and a password never goes
over a connection that is not encrypted.
"""

import asyncio
import email.policy
import email.utils
import logging
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Literal

import aiosmtplib
import trio
from msgspec import Meta, field

from monitors.mailthread import close_at_once
from monitors.monitor import Port, one_line
from monitors.notify.event import Message
from monitors.notify.notifier import DeliveryError, FileName, Notifier
from monitors.notify.wording import describe, footnotes, title
from monitors.tls import make_context
from monitors.tools import Tools

HostName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:-]*\Z", max_length=255, description="a host name or an address")
]
MailAddress = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]*\Z",
        max_length=254,
        description='a mail address like "ops@example.com"',
    ),
]

QUIT_SECONDS = 2.0
"""How long the answer to QUIT is waited for: the mail is accepted by then."""

POLICY = email.policy.SMTP.clone(cte_type="7bit")
"""Not every server takes 8-bit text."""

logger = logging.getLogger("waypost.notify")


class EmailNotifier(Notifier, frozen=True, kw_only=True, tag="email"):
    """`server` takes the mail. `tls` is for a port that begins with TLS (RFC 8314); otherwise `starttls` says
    whether the connection has to be encrypted before the mail is sent."""

    server: HostName
    port: Port | None = None
    """Without one: 465 with `tls`, else 587 with `username`, else 25."""
    tls: bool = False
    starttls: Literal["off", "offered", "required"] = "required"
    ca_file: FileName | None = None
    """Certificates to trust instead of the system's."""
    allow_insecure: bool = False
    """Whether any certificate will do."""
    username: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    password_file: FileName | None = None
    """The password is its first line; read for every mail."""
    helo: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*\Z", max_length=255)] | None = None
    """The host name said in EHLO; without one, that of the machine."""
    sender: MailAddress = field(name="from")
    to: Annotated[tuple[MailAddress, ...], Meta(min_length=1)]

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.username and not self.password_file:
            yield "username", "expected password_file beside it"
        if self.password_file and not self.username:
            yield "password_file", "expected username beside it"
        if self.username and not self.tls and self.starttls != "required":
            yield "starttls", 'with a username only "required" will do: the password could be read on the way'


def render(message: Message, notifier: EmailNotifier) -> bytes:
    """The mail, headers and text, in ASCII with CRLF (RFC 5322)."""
    lines = []
    for event in message.events:
        said, seen = describe(event)
        lines.append(said + (f": {seen}" if seen else ""))
    mail = EmailMessage(POLICY)
    mail["From"] = notifier.sender
    mail["To"] = ", ".join(notifier.to)
    # What looks like an encoded word (RFC 2047) would be decoded here, to anything.
    mail["Subject"] = f"[waypost] {title(message)}".replace("=?", "= ?")
    mail["Date"] = email.utils.format_datetime(datetime.fromtimestamp(message.made, UTC))
    mail["Message-ID"] = f"<{message.identifier}@{notifier.sender.partition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday is to be told
    mail.set_content("\n".join([*lines, *footnotes(message, len(message.events))]) + "\n")
    return mail.as_bytes()


async def deliver(notifier: EmailNotifier, message: Message, tools: Tools) -> None:
    """Hand in one mail. DeliveryError if no recipient was accepted, or the mail itself was not."""
    context, password = await trio.to_thread.run_sync(_read_files, notifier)
    session = _Session(notifier, render(message, notifier), context, password)
    try:
        await tools.mail.run(session.hold)
    except aiosmtplib.SMTPException as error:
        raise session.explain_untrusted(error) from error
    except OSError as error:
        raise DeliveryError(f"{session.step}: {error}") from error


def _read_files(notifier: EmailNotifier) -> tuple[ssl.SSLContext, str]:
    """In a thread: anew for each attempt, so that a file that was replaced counts."""
    try:
        context = make_context(notifier.allow_insecure, notifier.ca_file)
        password = Path(notifier.password_file).read_text("utf-8") if notifier.password_file else ""
    except UnicodeDecodeError as error:
        raise DeliveryError(f"{notifier.password_file}: not UTF-8 text") from error
    except OSError as error:
        raise DeliveryError(f"{error.filename or notifier.ca_file}: {error.strerror or error}") from error
    return context, password.partition("\n")[0].rstrip("\r")


class _Session:
    """One session with the server, in the mail thread; `step` is what it has come to."""

    def __init__(self, notifier: EmailNotifier, mail: bytes, context: ssl.SSLContext, password: str) -> None:
        self.step = "connect"
        self._notifier = notifier
        self._mail = mail
        self._context = context
        self._password = password

    async def hold(self) -> None:
        """Hand in the mail; nothing stays open afterwards, also when it is cancelled."""
        notifier = self._notifier
        client = aiosmtplib.SMTP(
            hostname=notifier.server,
            port=notifier.port or (465 if notifier.tls else 587 if notifier.username else 25),
            use_tls=notifier.tls,
            start_tls=False,
            tls_context=self._context,
            local_hostname=notifier.helo or socket.gethostname(),
            timeout=None,
        )
        try:
            await client.connect()
            await self._hand_in(client)
            try:
                await asyncio.wait_for(client.execute_command(b"QUIT"), QUIT_SECONDS)
            except (aiosmtplib.SMTPException, OSError):
                pass  # TimeoutError is an OSError; the mail is accepted
        finally:
            close_at_once(client)

    async def _hand_in(self, client: aiosmtplib.SMTP) -> None:
        notifier = self._notifier
        self.step = "EHLO"
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError as refusal:
            if not 500 <= refusal.code <= 599:
                raise
            await client.helo()
        if not notifier.tls and notifier.starttls != "off":
            self.step = "STARTTLS"
            if client.supports_extension("starttls"):
                await client.starttls()
            elif notifier.starttls == "required":
                raise DeliveryError("STARTTLS: the server does not offer it")
        if notifier.username:
            self.step = "AUTH"
            await client.login(notifier.username, self._password)
        self.step = "mail"
        refused, _ = await client.sendmail(notifier.sender, notifier.to, self._mail)
        for recipient, reply in refused.items():
            text = one_line(f"{reply.code} {reply.message}")
            logger.warning("notifier %s: %s is refused, the others get the mail: %s", notifier.name, recipient, text)

    def explain_untrusted(self, error: aiosmtplib.SMTPException) -> DeliveryError:
        """The error in words; a reply of 5xx to the mail itself is a refusal, others may pass."""
        match error:
            case aiosmtplib.SMTPRecipientsRefused(recipients=[first, *_]):
                return DeliveryError(f"RCPT TO: {first.code} {first.message}")
            case aiosmtplib.SMTPResponseException(code=code, message=text):
                about_the_mail = isinstance(error, aiosmtplib.SMTPDataError) and code >= 500
                reply = f"{code} {text}" if code >= 0 else text  # a reply that is none has the code -1
                return DeliveryError(f"{self.step}: {reply}", refused=about_the_mail)
        return DeliveryError(f"{self.step}: {error.message}")
