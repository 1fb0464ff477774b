"""TRIO: the check of a host name: every address that it has is checked at once, and together they are one Result.

A family of addresses that this machine has no route to is left out, unless there is no other: that a checker has no
IPv6 says nothing of the host. What is left out has neither passed nor failed.

The addresses have SHARE_OF_TIMEOUT of the timeout, less the look-up, so that one that hangs does not take the results
of the others along.
"""

import errno
import socket
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import trio

from monitors.address import family_of
from monitors.attempt import attempt
from monitors.monitor import Monitor, Reason, Result
from monitors.resolve import NameNotResolved, Resolver
from monitors.tools import waiting_for

SHARE_OF_TIMEOUT = 0.95


async def check_host(
    name: str, monitor: Monitor, resolver: Resolver, probe: Callable[[str, Monitor], Awaitable[Result]]
) -> Result:
    """The Result of `probe` at the addresses of `name`, up by the rule `monitor.addresses`."""
    deadline = trio.current_time() + SHARE_OF_TIMEOUT * monitor.timeout
    waiting_for.set(f"look-up of {name}")
    try:
        resolution = await resolver.resolve(name)
    except NameNotResolved as error:
        return Result(False, Reason.NAME_UNKNOWN, str(error))
    addresses = leave_out_families(resolution.addresses, has_route)
    waiting_for.set(f"{len(addresses)} addresses of {name}")
    # A kind that divides its timeout divides what is left of it.
    each = msgspec.structs.replace(monitor, timeout=max(0.0, deadline - trio.current_time()))
    results = dict.fromkeys(addresses, Result(False, Reason.TIMEOUT))

    async def check(address: str) -> None:
        results[address] = await attempt(lambda: probe(address, each), each.timeout)

    async with trio.open_nursery() as nursery:
        for address in addresses:
            nursery.start_soon(check, address)
    return combine(results, monitor.addresses, resolution.ttl)


def combine(results: Mapping[str, Result], rule: str, ttl: float) -> Result:
    """One Result of those of each address: up if `rule`, "any" or "all", of them are.

    `rtt` is the mean of those that passed. Of several failures a timeout gives the reason, as it is tried again.
    """
    passed = {address: result for address, result in results.items() if result.up}
    failed = {address: result for address, result in results.items() if not result.up}
    up = bool(passed) and (rule == "any" or not failed)
    reason = Reason.OK
    if not up:
        reasons = [result.reason for result in failed.values()]
        reason = Reason.TIMEOUT if Reason.TIMEOUT in reasons else reasons[0]
    told = [f"{address}: {result.reason}, {result.evidence}".removesuffix(", ") for address, result in failed.items()]
    if passed:
        said = next((result.evidence for result in passed.values() if result.evidence), "")
        told.append(f"{', '.join(passed)}: {said}" if said else f"passed: {', '.join(passed)}")
    rtts = [result.rtt for result in passed.values() if result.rtt is not None]
    ends = [result.certificate_expires for result in results.values() if result.certificate_expires is not None]
    return Result(
        up,
        reason,
        "; ".join(told),
        sum(rtts) / len(rtts) if rtts else None,
        next((result.warning for result in results.values() if result.warning), ""),
        min(ends, default=None),
        tuple(passed),
        tuple(failed),
        ttl,
    )


def leave_out_families(addresses: tuple[str, ...], is_routed: Callable[[str], bool]) -> tuple[str, ...]:
    """The addresses of the families of which any has a route; all of them if none has."""
    routed = {family_of(address) for address in addresses if is_routed(address)}
    return tuple(address for address in addresses if not routed or family_of(address) in routed)


def has_route(address: str) -> bool:
    """Whether this machine knows a way to `address`; nothing is sent."""
    try:
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as connection:
            connection.connect((address, 9))
    except OSError as error:
        return error.errno not in (errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
    return True
