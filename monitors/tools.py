"""TRIO: what probes share: the pinger, the resolver, the mail thread, the TLS contexts and the mailbox, each made when
a kind of check first asks for it; and what a probe says of its steps."""

import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from monitors.mailbox import Mailbox
from monitors.mailthread import MailThread
from monitors.ping import Pinger, open_pinger
from monitors.resolve import Resolver, open_resolver
from monitors.tls import make_context

MOST_STEPS = 200
"""The steps of a probe that are traced; those that follow are not."""

Trace = list[tuple[float, str]]
"""The steps of one probe, each with the monotonic seconds at which it began."""

_step: ContextVar[str] = ContextVar("step", default="")
_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)


class WaitingFor:
    """What a probe is waiting for ("greeting"): a probe of several steps sets it, and the evidence of a timeout or
    an exception tells it."""

    def set(self, step: str) -> None:
        _step.set(step)
        trace = _trace.get()
        # A probe that is cancelled may say once more where it was.
        if trace is not None and step and (not trace or trace[-1][1] != step):
            trace_step(step)

    def get(self) -> str:
        return _step.get()


waiting_for = WaitingFor()


@contextmanager
def traced() -> Iterator[Trace]:
    """Collect the steps of the probe that runs inside."""
    trace: Trace = []
    token = _trace.set(trace)
    try:
        yield trace
    finally:
        _trace.reset(token)


def current_trace() -> Trace | None:
    """Where the steps of this probe are collected, if they are."""
    return _trace.get()


def trace_step(step: str, trace: Trace | None = None) -> None:
    """Tell a step that no evidence names; `trace` is for another thread, which is not in the context of the probe."""
    trace = _trace.get() if trace is None else trace
    if trace is not None and len(trace) < MOST_STEPS:
        trace.append((time.monotonic(), step))


class Tools:
    """Made by `open_tools`."""

    def __init__(self, pinger: Pinger, resolver: Resolver) -> None:
        self.pinger = pinger
        self.resolver = resolver
        self.mailbox = Mailbox()
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
