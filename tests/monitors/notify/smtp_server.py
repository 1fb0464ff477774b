"""Run as a program: a real SMTP server (aiosmtpd) in a process of its own, which tells what mail it gets.

    python -m tests.monitors.notify.smtp_server [--certificate FILE] [--tls] [--password TEXT] [--refuse STEP]

Prints the port that it listens on, and then a line of JSON for each mail. With --certificate it offers STARTTLS, with
--tls instead begins with TLS, with --password asks for it (user "waypost"), and answers STEP (rcpt, some, data) with
550. Serves until its standard input ends.
"""

import argparse
import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class Handler:
    def __init__(self, refuse: str) -> None:
        self.refuse = refuse

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.refuse == "rcpt" or (self.refuse == "some" and address.startswith("no")):
            return "550 5.1.1 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refuse == "data":
            return "550 5.7.1 looks like spam"
        assert isinstance(envelope.content, bytes)
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.content.decode("ascii"),
            "tls": server.transport is not None and server.transport.get_extra_info("ssl_object") is not None,
            "user": bool(session.authenticated),
            "helo": session.host_name,
        }
        print(json.dumps(mail), flush=True)  # noqa: T201  # its output
        return "250 OK"


async def main(arguments: argparse.Namespace) -> None:
    context = None
    if arguments.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.certificate)

    def authenticate(
        _server: SMTP, _session: Session, _envelope: Envelope, _way: str, data: LoginPassword
    ) -> AuthResult:
        return AuthResult(handled=False, success=data == LoginPassword(b"waypost", arguments.password.encode()))

    def make() -> SMTP:
        return SMTP(
            Handler(arguments.refuse),
            tls_context=None if arguments.tls else context,
            authenticator=authenticate if arguments.password else None,
            auth_required=bool(arguments.password),
            auth_require_tls=not arguments.tls,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if arguments.tls else None)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201  # its output
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate", default="")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--password", default="")
    parser.add_argument("--refuse", default="")
    asyncio.run(main(parser.parse_args()))
