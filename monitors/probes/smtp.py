"""smtp: connect, greeting 220, EHLO (HELO where EHLO is refused) 250, QUIT 221 (RFC 5321)."""

import asyncio
import socket
from typing import Annotated

import aiosmtplib
import msgspec
import trio

from monitors.address import family_of
from monitors.failure import explain
from monitors.monitor import Monitor, Port, Reason, Result
from monitors.tools import Tools, waiting_for


class SmtpMonitor(Monitor, frozen=True, kw_only=True, tag="smtp"):
    """`helo` is the host name said in EHLO; None means the name of the machine that checks."""

    port: Port = 25
    helo: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*\Z", max_length=255)] | None = None


async def probe(address: str, monitor: SmtpMonitor, tools: Tools) -> Result:
    """`rtt` is that of the TCP handshake; the evidence of a failure names the step and what was said."""
    conversation = _Conversation(address, monitor.port, monitor.helo or socket.gethostname())
    try:
        return await tools.mail.run(conversation.hold)
    except trio.Cancelled:
        waiting_for.set(conversation.step)
        raise


class _Conversation:
    """One conversation with a server, in the mail thread; `step` is what it has come to."""

    def __init__(self, address: str, port: int, helo: str) -> None:
        self.step = "connect"
        self._address = address
        self._port = port
        self._helo = helo

    async def hold(self) -> Result:
        """The outcome. Nothing of it is left open afterwards, also when it is cancelled."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            connection = await self._connect()
            rtt = loop.time() - started
            client = aiosmtplib.SMTP(sock=connection, local_hostname=self._helo, timeout=None, start_tls=False)
            try:
                await self._talk(client)
            finally:
                client.close()
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
        return Result(True, Reason.OK, rtt=rtt)

    async def _connect(self) -> socket.socket:
        # Connected apart from the library, which would not tell a missing connection from a missing greeting.
        connection = socket.socket(family_of(self._address))
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (self._address, self._port))
        except BaseException:
            connection.close()
            raise
        return connection

    async def _talk(self, client: aiosmtplib.SMTP) -> None:
        self.step = "greeting"
        await client.connect()
        self.step = "EHLO"
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError as refusal:
            if not 500 <= refusal.code <= 599:
                raise
            self.step = "HELO"
            await client.helo()
        self.step = "QUIT"
        # In lower case: the library takes a connection that breaks after b"QUIT" for the reply 221.
        goodbye = await client.execute_command(b"quit")
        if goodbye.code != 221:
            raise aiosmtplib.SMTPResponseException(goodbye.code, goodbye.message)
