"""Run as a program: pings in a network of its own, where echo can be silenced and errors can be forged.

    python -m tests.monitors.ping_namespace unprivileged|raw|lossy

Prints one JSON object per address, or per check where replies get lost, or exits with 77 if it may not make such a
network.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
from pathlib import Path

import icmplib  # type: ignore[import-untyped]  # the package has no types
import trio
import trio.testing

from monitors.icmp_message import make_echo_request
from monitors.monitor import Result
from monitors.ping import Pinger, open_pinger
from monitors.probes import icmp
from monitors.probes.icmp import IcmpMonitor
from monitors.tools import open_tools

SYSCTL = Path("/proc/sys/net")
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def enter_network(kind: str) -> None:
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        sys.exit(77)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    group_range = "0 2147483647" if kind == "unprivileged" else "1 0"
    (SYSCTL / "ipv4/ping_group_range").write_text(group_range)


def silence(family: socket.AddressFamily, silent: bool) -> None:
    name = "ipv4/icmp_echo_ignore_all" if family == socket.AF_INET else "ipv6/icmp/echo_ignore_all"
    (SYSCTL / name).write_text(str(int(silent)))


def forge_host_unreachable(pinger: Pinger, family: socket.AddressFamily, address: str) -> None:
    """Send ourselves the error that a router would send about the one request that waits."""
    channel = pinger._channels[family, None]
    (request,) = channel.awaited.values()
    echo = make_echo_request(family, request.identifier, request.sequence, request.payload)
    packed = socket.inet_pton(family, address)
    with socket.socket(family, socket.SOCK_RAW, channel.socket.proto) as router:
        if family == socket.AF_INET:
            quoted = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(echo), 0, 0, 64, 1, 0) + packed * 2 + echo
            body = struct.pack("!BBHI", 3, 1, 0, 0) + quoted
            checksum = icmplib.ICMPv4Socket._checksum(None, body)
            router.sendto(body[:2] + checksum.to_bytes(2, "big") + body[4:], (address, 0))
        else:
            quoted = struct.pack("!IHBB", 6 << 28, len(echo), 58, 64) + packed * 2 + echo
            router.sendto(struct.pack("!BBHI", 1, 3, 0, 0) + quoted, (address, 0))


async def record(pinger: Pinger, address: str, results: list[Result]) -> None:
    results.append(await pinger.ping(address))


async def main(kind: str) -> None:
    enter_network(kind)
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        async with open_pinger() as pinger:
            alive = await pinger.ping(address)
            silence(family, True)
            with trio.move_on_after(0.1) as patience:
                await pinger.ping(address)
            forged: list[Result] = []
            with trio.fail_after(5):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(record, pinger, address, forged)
                    await trio.testing.wait_all_tasks_blocked()
                    forge_host_unreachable(pinger, family, address)
            silence(family, False)
            again = await pinger.ping(address)
            seen = {
                "privileged": pinger._channels[family, None].is_privileged,
                "alive": alive.up,
                "silent": patience.cancelled_caught,
                "forged": [forged[0].up, forged[0].reason],
                "again": again.up,
                "waiting": pinger.statistics().waiting,
            }
        os.write(1, json.dumps(seen).encode() + b"\n")


async def lose() -> None:
    """Three checks per family: silence begins after the first reply, twice, and is there from the beginning."""
    enter_network("raw")
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        for max_loss, answered in ((0, 1), (2, 1), (0, 0)):
            monitor = IcmpMonitor(name="m", timeout=0.6, retries=0, count=3, max_loss=max_loss)
            silence(family, answered == 0)
            async with open_tools() as tools, trio.open_nursery() as nursery:
                nursery.start_soon(silence_soon, tools.pinger, family)
                result = await icmp.probe(address, monitor, tools)
                nursery.cancel_scope.cancel()
            silence(family, False)
            seen = {"up": result.up, "reason": result.reason, "evidence": result.evidence}
            os.write(1, json.dumps(seen).encode() + b"\n")


async def silence_soon(pinger: Pinger, family: socket.AddressFamily) -> None:
    """Silence echo once the first request has left: its reply is then on its way, or here."""
    key = family, None
    while key not in pinger._channels or not any(r.sent for r in pinger._channels[key].awaited.values()):
        await trio.lowlevel.checkpoint()
    silence(family, True)


if __name__ == "__main__":
    trio.run(lose) if sys.argv[1] == "lossy" else trio.run(main, sys.argv[1])
