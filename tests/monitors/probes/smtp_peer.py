"""Run as a program: a real SMTP server (aiosmtpd) in a process of its own.

    python -m tests.monitors.probes.smtp_peer PORT [starttls|tls CHAIN KEY]

Prints the port that it listens on, which for PORT 0 is a free one, and serves until its standard input ends. It
knows no recipient whose name begins with "no". A mail that is sent ends it with status 3.
"""

import asyncio
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, Envelope, Session


class Handler:
    """Answers to the commands of a mail."""

    async def handle_RCPT(  # noqa: N802  # a name of aiosmtpd
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.startswith("no"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802  # likewise
        os._exit(3)


async def main(port: int, security: str = "", *files: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if files:
        context.load_cert_chain(*files)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), tls_context=context if security == "starttls" else None, timeout=60),
        "127.0.0.1",
        port,
        ssl=context if security == "tls" else None,
    )
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201  # its one output
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
