"""smtp: connect, greeting 220, EHLO (HELO where EHLO is refused) 250, QUIT 221 (RFC 5321); on request STARTTLS
(RFC 3207) or TLS from the start (RFC 8314), and MAIL FROM and RCPT TO. DATA is never said: no mail is sent.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from time import time
from typing import Annotated, Literal

import aiosmtplib
import msgspec
import trio
from msgspec import Meta

from monitors.address import HostName, family_of, source_towards
from monitors.failure import explain
from monitors.mailthread import close_at_once
from monitors.monitor import Port, Reason, Result
from monitors.tls import ServerNameMonitor, note_certificate
from monitors.tools import Tools, current_trace, trace_step, waiting_for

Mailbox = Annotated[str, Meta(pattern=r"^[!-;=?-~]*\Z", max_length=254)]
"""What stands between < and >; empty for the null sender."""


class SmtpMonitor(ServerNameMonitor, frozen=True, kw_only=True, tag="smtp"):
    """`helo` is the host name said in EHLO; None means the name of the machine that checks.

    `expected_code` is that of the reply to RCPT TO, or to MAIL FROM if that comes last; None means any 2xx.
    """

    port: Port = 25
    starttls: Literal["off", "offered", "required"] = "off"
    tls: bool = False
    helo: HostName | None = None
    mail_from: Mailbox | None = None
    rcpt_to: Mailbox | None = None
    expected_code: Annotated[int, Meta(ge=200, le=599)] | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.tls and self.starttls != "off":
            yield "starttls", "only without tls = true, which means TLS from the start"
        if not self.tls and self.starttls == "off":
            if self.server_name is not None:
                yield "server_name", "only with tls or starttls"
            if self.allow_insecure:
                yield "allow_insecure", "only with tls or starttls"
        if self.mail_from is None and self.rcpt_to is not None:
            yield "rcpt_to", "only with mail_from"
        if self.mail_from is None and self.expected_code is not None:
            yield "expected_code", "only with mail_from"


async def probe(address: str, monitor: SmtpMonitor, tools: Tools) -> Result:
    """`rtt` is that of the TCP handshake; the evidence of a failure names the step and what was said."""
    is_plain = monitor.starttls == "off" and not monitor.tls
    context = None if is_plain else tools.tls_context(monitor.allow_insecure)
    conversation = _Conversation(address, monitor, context)
    try:
        return await tools.mail.run(conversation.hold)
    except trio.Cancelled:
        waiting_for.set(conversation.step)
        raise


class _Conversation:
    """One conversation with a server, in the mail thread; `step` is what it has come to."""

    def __init__(self, address: str, monitor: SmtpMonitor, context: ssl.SSLContext | None) -> None:
        self._trace = current_trace()
        self._address = address
        self._monitor = monitor
        self._context = context
        self.step = "connect"

    @property
    def step(self) -> str:
        return self._step

    @step.setter
    def step(self, step: str) -> None:
        self._step = step
        if self._trace is not None:
            trace_step(step, self._trace)

    async def hold(self) -> Result:
        """The outcome. Nothing of it is left open afterwards, also when it is cancelled."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            connection = await self._connect()
            up = Result(True, Reason.OK, rtt=loop.time() - started)
            client = aiosmtplib.SMTP(
                hostname=self._monitor.server_name or self._address,
                sock=connection,
                local_hostname=self._monitor.helo or socket.gethostname(),
                timeout=None,
                use_tls=self._monitor.tls,
                start_tls=False,
                tls_context=self._context,
            )
            try:
                return await self._talk(client, up)
            finally:
                close_at_once(client)
        except aiosmtplib.SMTPResponseException as error:
            # A reply that is none has the code -1.
            reply = f"{error.code} {error.message}" if error.code >= 0 else error.message
            return Result(False, Reason.BAD_REPLY, f"{self.step}: {reply}")
        except aiosmtplib.SMTPException as error:
            cause = error.__cause__
            while cause is not None and not (isinstance(cause, OSError) and cause.errno):
                cause = cause.__cause__
            if isinstance(cause, OSError):
                return explain(cause, self.step)
            return Result(False, Reason.CLOSED_EARLY, f"{self.step}: the server closed the connection")
        except OSError as error:
            return explain(error, self.step)

    async def _connect(self) -> socket.socket:
        # Connected apart from the library, which would not tell a missing connection from a missing greeting.
        connection = socket.socket(family_of(self._address))
        try:
            connection.setblocking(False)
            source = source_towards(self._address, self._monitor.source)
            if source is not None:
                connection.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(connection, (self._address, self._monitor.port))
        except BaseException:
            connection.close()
            raise
        return connection

    async def _talk(self, client: aiosmtplib.SMTP, up: Result) -> Result:
        """`up`, with what the certificate says; aiosmtplib.SMTPException for what is not as it should be."""
        self.step = "TLS handshake or greeting" if self._monitor.tls else "greeting"
        await client.connect()
        await self._greet(client)
        if self._monitor.starttls != "off":
            if client.supports_extension("starttls"):
                self.step = "STARTTLS"
                await client.starttls(server_hostname=self._monitor.server_name or self._address)
                await self._greet(client)
            elif self._monitor.starttls == "required":
                return Result(False, Reason.TLS_NOT_OFFERED, "EHLO: STARTTLS is not offered", up.rtt)
        certificate = client.get_transport_info("peercert")
        up = note_certificate(up, certificate, self._monitor.certificate_warning_days, time())
        asked = {"MAIL FROM": self._monitor.mail_from, "RCPT TO": self._monitor.rcpt_to}
        commands = [command for command, mailbox in asked.items() if mailbox is not None]
        for command in commands:
            self.step = command
            reply = await client.execute_command(f"{command}:<{asked[command]}>".encode())
            expected = self._monitor.expected_code if command == commands[-1] else None
            if expected is not None and reply.code != expected:
                evidence = f"{command}: {reply.code} {reply.message}"
                return msgspec.structs.replace(up, up=False, reason=Reason.CODE_MISMATCH, evidence=evidence)
            if expected is None and not 200 <= reply.code <= 299:
                raise aiosmtplib.SMTPResponseException(reply.code, reply.message)
        self.step = "QUIT"
        # In lower case: the library takes a connection that breaks after b"QUIT" for the reply 221.
        goodbye = await client.execute_command(b"quit")
        if goodbye.code != 221:
            raise aiosmtplib.SMTPResponseException(goodbye.code, goodbye.message)
        return up

    async def _greet(self, client: aiosmtplib.SMTP) -> None:
        self.step = "EHLO"
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError as refusal:
            if not 500 <= refusal.code <= 599:
                raise
            self.step = "HELO"
            await client.helo()
