"""TRIO: what probes share: the pinger, the resolver, the mail thread and the TLS contexts, each made when a kind of
check first asks for it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from monitors.mailthread import MailThread
from monitors.ping import Pinger, open_pinger
from monitors.resolve import Resolver, open_resolver
from monitors.tls import make_context

waiting_for: ContextVar[str] = ContextVar("waiting_for", default="")
"""What a probe is waiting for ("greeting"): a probe of several steps sets it, and the evidence of a timeout or
an exception tells it."""


class Tools:
    """Made by `open_tools`."""

    def __init__(self, pinger: Pinger, resolver: Resolver) -> None:
        self.pinger = pinger
        self.resolver = resolver
        self._mail: MailThread | None = None
        self._tls: dict[bool, ssl.SSLContext] = {}

    def tls_context(self, allow_insecure: bool) -> ssl.SSLContext:
        """The one context of all checks, or that of those that verify nothing."""
        if allow_insecure not in self._tls:
            self._tls[allow_insecure] = make_context(allow_insecure)
        return self._tls[allow_insecure]

    @property
    def mail(self) -> MailThread:
        if self._mail is None:
            self._mail = MailThread()
        return self._mail

    def close(self) -> None:
        if self._mail is not None:
            self._mail.close()


@asynccontextmanager
async def open_tools() -> AsyncIterator[Tools]:
    """The tools of one process, closed at the end. The pinger opens no socket before the first ping."""
    async with open_pinger() as pinger, open_resolver() as resolver:
        tools = Tools(pinger, resolver)
        try:
            yield tools
        finally:
            tools.close()
