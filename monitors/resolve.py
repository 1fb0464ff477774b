"""TRIO: the addresses of host names, from the name servers of the system or those that are configured.

Theory of operation. Each (name, A or AAAA) is looked up when a check first asks for it, and again when a check asks
and its TTL has ended; checks that ask at the same time share the look-up, which none of them can cancel. While a
look-up runs, or has failed, the last answer goes on being good for KEEP_SECONDS: a name server that is down must not
look like an origin that is down. That a name does not exist is an answer, not a failure.

Names are absolute: no search list, and /etc/hosts is not read.
"""

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver
import trio

MOST_ADDRESSES = 16
"""Of one name."""
SHORTEST_TTL, LONGEST_TTL = 5.0, 3600.0
"""Seconds for which an answer counts, whatever TTL its records have."""
NEGATIVE_TTL = 30.0
"""Seconds for which it counts that there is no such name or address."""
RETRY_SECONDS = 5.0
"""From a look-up that failed to the next."""
KEEP_SECONDS = 3600.0
"""For which the last answer stays good when its TTL has ended and nobody can be asked."""
LOOK_UP_SECONDS = 5.0
"""For which name servers are asked."""
PATIENCE = 1.0
"""Seconds for which a new answer is waited for while the last one is still good."""
AT_ONCE = 50
"""Look-ups that run at the same time."""


class NameNotResolved(Exception):
    """A name without an address; the message says why."""


class Resolution(NamedTuple):
    """The addresses of a name, IPv4 first, and for how many seconds the name servers said that they are good."""

    addresses: tuple[str, ...]
    ttl: float


@asynccontextmanager
async def open_resolver() -> AsyncIterator["Resolver"]:
    """A resolver that knows no names yet."""
    async with trio.open_nursery() as nursery:
        yield Resolver(nursery)
        nursery.cancel_scope.cancel()


class Resolver:
    """Made by `open_resolver`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nameservers: tuple[tuple[str, int], ...] = ()
        """Address and port of those that are asked; none: those of the system, as it has them at the time."""
        self._nursery = nursery
        self._names: dict[tuple[str, str], _Name] = {}
        self._limit = trio.CapacityLimiter(AT_ONCE)

    async def resolve(self, name: str) -> Resolution:
        """The addresses of `name`, in a fixed order, at most MOST_ADDRESSES; raises NameNotResolved."""
        await trio.lowlevel.checkpoint()
        asked = [self._ask(name, rrtype) for rrtype in ("A", "AAAA")]
        for one in asked:
            if one.running is not None:
                # Who failed the last time is not waited for again while there is something to go on with.
                deadline = PATIENCE if not one.failure else 0.0
                with trio.move_on_after(deadline if one.is_good() else float("inf")):
                    await one.running.wait()
        good = [one for one in asked if one.is_good()]
        addresses = tuple(address for one in good for address in one.addresses)[:MOST_ADDRESSES]
        if not addresses:
            failures = [one.failure for one in asked if not one.is_good()]
            raise NameNotResolved(failures[0] if failures else f"{name} has no address")
        return Resolution(addresses, min(one.ttl for one in good if one.addresses))

    def _ask(self, name: str, rrtype: str) -> "_Name":
        now = trio.current_time()
        one = self._names.get((name, rrtype))
        if one is None:
            self._names = {key: one for key, one in self._names.items() if now < one.asked + 2 * KEEP_SECONDS}
            one = self._names[name, rrtype] = _Name(name, rrtype)
        one.asked = now
        if one.running is None and one.due <= now:
            one.running = trio.Event()
            self._nursery.start_soon(self._look_up, one, one.running)
        return one

    async def _look_up(self, one: "_Name", running: trio.Event) -> None:
        try:
            async with self._limit:
                one.addresses, one.ttl = await self._query(one)
            one.failure = ""
            one.due = trio.current_time() + one.ttl
            one.good_until = one.due + KEEP_SECONDS
        except Exception as error:
            one.failure = f"{one.name} {one.rrtype}: {_describe(error)}"
            one.due = trio.current_time() + RETRY_SECONDS
        finally:
            one.running = None
            running.set()

    async def _query(self, one: "_Name") -> tuple[tuple[str, ...], float]:
        resolver = dns.asyncresolver.Resolver(configure=not self.nameservers)
        if self.nameservers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in self.nameservers]
        try:
            answer = await resolver.resolve(
                one.name + ".",
                one.rrtype,
                search=False,
                raise_on_no_answer=False,
                lifetime=LOOK_UP_SECONDS,
                backend=dns.asyncbackend.get_backend("trio"),
            )
        except dns.resolver.NXDOMAIN:
            return (), NEGATIVE_TTL
        if answer.rrset is None:
            return (), NEGATIVE_TTL
        found = sorted({ipaddress.ip_address(rdata.address) for rdata in answer.rrset}, key=lambda found: found.packed)
        addresses = tuple(str(address) for address in found if _is_usable(address))
        return addresses[:MOST_ADDRESSES], min(LONGEST_TTL, max(SHORTEST_TTL, answer.chaining_result.minimum_ttl))


class _Name:
    """What is known of one type of addresses of a name."""

    __slots__ = ("addresses", "asked", "due", "failure", "good_until", "name", "rrtype", "running", "ttl")

    def __init__(self, name: str, rrtype: str) -> None:
        self.name = name
        self.rrtype = rrtype
        self.addresses: tuple[str, ...] = ()
        self.ttl = 0.0
        self.due = self.good_until = self.asked = float("-inf")
        self.failure = ""
        """Why the last look-up failed, if it did."""
        self.running: trio.Event | None = None

    def is_good(self) -> bool:
        return trio.current_time() < self.good_until


def _is_usable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether this can be the address of one host."""
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped
    return not (mapped or address.is_multicast or address.is_unspecified)


def _describe(error: Exception) -> str:
    """A failed look-up in words."""
    if isinstance(error, dns.resolver.LifetimeTimeout):
        return f"no name server answered within {LOOK_UP_SECONDS:g} s"
    if isinstance(error, dns.resolver.NoNameservers):
        return "no name server could answer"
    return f"{type(error).__name__}: {error}"
