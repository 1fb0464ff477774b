"""TRIO: the kinds of checks. One file per kind, one line per kind in the table PROBES.

A probe sets no timeout of its own around the whole check: the scheduler does. It may raise what it likes: the
scheduler makes a Result of it. When it is cancelled, nothing that it opened stays open.
"""

import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from monitors.address import family_of, is_host_name
from monitors.host import check_host
from monitors.monitor import Result, Target
from monitors.probes import dns, external, http, https, icmp, smtp, tcp, udp_icmp
from monitors.probes import exec as command
from monitors.probes.dns import DnsMonitor
from monitors.probes.exec import ExecMonitor
from monitors.probes.external import ExternalMonitor
from monitors.probes.http import HttpMonitor
from monitors.probes.https import HttpsMonitor
from monitors.probes.icmp import IcmpMonitor
from monitors.probes.smtp import SmtpMonitor
from monitors.probes.tcp import TcpMonitor
from monitors.probes.udp_icmp import UdpIcmpMonitor
from monitors.tools import Tools

AnyMonitor = (
    DnsMonitor
    | ExecMonitor
    | ExternalMonitor
    | HttpMonitor
    | HttpsMonitor
    | IcmpMonitor
    | SmtpMonitor
    | TcpMonitor
    | UdpIcmpMonitor
)


class Kind(NamedTuple):
    """A kind of check: the type of its monitors, and its probe, which takes the address and such a
    monitor."""

    monitor: type[AnyMonitor]
    probe: Callable[[str, Any, Tools], Awaitable[Result]]


PROBES = {
    "dns": Kind(DnsMonitor, dns.probe),
    "exec": Kind(ExecMonitor, command.probe),
    "external": Kind(ExternalMonitor, external.probe),
    "http": Kind(HttpMonitor, http.probe),
    "https": Kind(HttpsMonitor, https.probe),
    "icmp": Kind(IcmpMonitor, icmp.probe),
    "smtp": Kind(SmtpMonitor, smtp.probe),
    "tcp": Kind(TcpMonitor, tcp.probe),
    "udp_icmp": Kind(UdpIcmpMonitor, udp_icmp.probe),
}


def ping_families(targets: Iterable[Target]) -> set[socket.AddressFamily]:
    """The address families over which these targets are pinged; a host name may have addresses of both."""
    pinged = [target.address for target in targets if isinstance(target.monitor, IcmpMonitor | UdpIcmpMonitor)]
    if any(map(is_host_name, pinged)):
        return {socket.AF_INET, socket.AF_INET6}
    return {family_of(address) for address in pinged}


async def probe(target: Target, tools: Tools) -> Result:
    """Probe `target` by the kind of its monitor; a host name, at all of its addresses."""
    kind, monitor = PROBES[str(target.monitor.__struct_config__.tag)], target.monitor.towards(target)
    # A report is of the target as it is called, whatever addresses its name has.
    called = target.endpoint if isinstance(monitor, ExternalMonitor) else None
    if is_host_name(target.address):
        check = lambda address, monitor: kind.probe(called or address, monitor, tools)  # noqa: E731
        return await check_host(target.address, monitor, tools.resolver, check)
    return await kind.probe(called or target.address, monitor, tools)
