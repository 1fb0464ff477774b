"""Run as a program: checks in a network of its own, whose hosts answer, drop, delay and reject what is sent to them.

    python -m tests.monitors.fault_network unprivileged|raw

The hosts are this program, behind a TUN device: 192.0.2.N and 2001:db8::N do what FATES says for N, and errors come
from a router, as they would. Prints one JSON object of the results, or, if there can be no such network here, why
not, and exits with 77.
"""

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections import Counter
from typing import NamedTuple

import trio

from monitors.attempt import attempt
from monitors.monitor import Result
from monitors.probes import PROBES
from monitors.probes.icmp import IcmpMonitor
from monitors.probes.tcp import TcpMonitor
from monitors.probes.udp_icmp import UdpIcmpMonitor
from monitors.tools import Tools, open_tools
from tests.monitors.ping_namespace import enter_network

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
DELAY = 0.15
TIMEOUT = 1.0


class Fate(NamedTuple):
    """What becomes of a ping, and of any other packet: reply, delay, drop, every other, or an ICMP error of ERRORS.
    TCP has no reply."""

    ping: str
    other: str


LOSING = 9
FATES = {
    1: Fate("reply", "reply"),
    2: Fate("drop", "drop"),
    3: Fate("delay", "delay"),
    4: Fate("reply", "port"),
    5: Fate("host", "host"),
    6: Fate("network", "network"),
    7: Fate("prohibited", "prohibited"),
    8: Fate("loop", "loop"),
    LOSING: Fate("every other", "drop"),
    10: Fate("reply", "drop"),
    11: Fate("reply", "host"),
}
ERRORS = {
    4: {"port": (3, 3), "host": (3, 1), "network": (3, 0), "prohibited": (3, 13), "loop": (11, 0)},
    6: {"port": (1, 4), "host": (1, 3), "network": (1, 0), "prohibited": (1, 1), "loop": (3, 0)},
}
"""Type and code by version of IP (RFC 792, RFC 1812, RFC 4443)."""
ROUTER = {4: socket.inet_pton(socket.AF_INET, "192.0.2.253"), 6: socket.inet_pton(socket.AF_INET6, "2001:db8::fd")}
ICMP = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
ECHO = {4: (8, 0), 6: (128, 129)}
"""Types of request and reply."""

LOSSY = "icmp, 4 requests"
"""The one check that may ask LOSING, which counts the pings."""
CHECKS = {
    "icmp": IcmpMonitor(name="m", timeout=TIMEOUT),
    LOSSY: IcmpMonitor(name="m", timeout=TIMEOUT, count=4, max_loss=1),
    "udp_icmp": UdpIcmpMonitor(name="m", timeout=TIMEOUT, port=5353),
    "udp_icmp, reply expected": UdpIcmpMonitor(name="m", timeout=TIMEOUT, port=5353, send=b"ping", expect=b"ping"),
    "tcp": TcpMonitor(name="m", timeout=TIMEOUT, port=5353),
}


def open_device() -> int:
    """The TUN device behind which all hosts are."""
    if shutil.which("ip") is None:
        print("iproute2 is not installed")  # noqa: T201  # its output
        sys.exit(77)
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"faults", IFF_TUN | IFF_NO_PI))
    except OSError as error:
        print(f"there is no TUN device for this process: {error}")  # noqa: T201  # its output
        sys.exit(77)
    for command in (
        "addr add 192.0.2.254/24 dev faults",
        "addr add 2001:db8::fe/64 dev faults nodad",
        "link set faults up",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    return device


class Hosts:
    """Gives every packet its fate."""

    def __init__(self, device: int, nursery: trio.Nursery) -> None:
        self._device = device
        self._nursery = nursery
        self._pings: Counter[bytes] = Counter()

    async def run(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._device)
            self._take(os.read(self._device, 4096))

    def _take(self, packet: bytes) -> None:
        version = packet[0] >> 4
        if version == 4:
            protocol, source, destination, payload = packet[9], packet[12:16], packet[16:20], packet[20:]
        else:
            protocol, source, destination, payload = packet[6], packet[8:24], packet[24:40], packet[40:]
        if destination[0] == 0xFF or destination[-1] not in FATES:
            return
        is_ping = protocol == ICMP[version] and payload[0] == ECHO[version][0]
        fate = FATES[destination[-1]].ping if is_ping else FATES[destination[-1]].other
        if fate == "every other":
            self._pings[destination] += 1
            fate = "reply" if self._pings[destination] % 2 else "drop"
        if fate in ERRORS[version]:
            body = bytes(ERRORS[version][fate]) + bytes(6) + packet[:500]
            self._send(ROUTER[version], source, ICMP[version], body)
        elif fate != "drop" and protocol != socket.IPPROTO_TCP:
            answer = bytes((ECHO[version][1], 0, 0, 0)) + payload[4:]
            if not is_ping:
                answer = payload[2:4] + payload[:2] + payload[4:6] + bytes(2) + payload[8:]
            delay = DELAY if fate == "delay" else 0.0
            self._nursery.start_soon(self._send_later, delay, destination, source, protocol, answer)

    async def _send_later(self, delay: float, source: bytes, destination: bytes, protocol: int, payload: bytes) -> None:
        await trio.sleep(delay)
        self._send(source, destination, protocol, payload)

    def _send(self, source: bytes, destination: bytes, protocol: int, payload: bytes) -> None:
        """A packet to this machine; the checksum in `payload` is 0 so far."""
        place = 6 if protocol == socket.IPPROTO_UDP else 2
        pseudo = source + destination + struct.pack("!II", len(payload), protocol)
        is_covered = len(source) == 16 or protocol == socket.IPPROTO_UDP
        sum_of_all = checksum(pseudo + payload if is_covered else payload)
        payload = payload[:place] + sum_of_all + payload[place + 2 :]
        if len(source) == 4:
            header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + source + destination
            header = header[:10] + checksum(header) + header[12:]
        else:
            header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + source + destination
        os.write(self._device, header + payload)


def checksum(data: bytes) -> bytes:
    """RFC 1071."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(total ^ 0xFFFF).to_bytes(2, "big")


async def main(kind: str) -> None:
    enter_network(kind)
    device = open_device()
    results: dict[str, Result] = {}

    async def check(name: str, address: str, tools: Tools) -> None:
        monitor = CHECKS[name]
        probe = PROBES[name.partition(",")[0]].probe
        results[f"{name} {address}"] = await attempt(lambda: probe(address, monitor, tools), monitor.timeout)

    async with open_tools() as tools, trio.open_nursery() as nursery:
        nursery.start_soon(Hosts(device, nursery).run)
        async with trio.open_nursery() as checks:
            for name in CHECKS:
                for number in FATES if name == LOSSY else FATES.keys() - {LOSING}:
                    checks.start_soon(check, name, f"192.0.2.{number}", tools)
                    checks.start_soon(check, name, f"2001:db8::{number:x}", tools)
        nursery.cancel_scope.cancel()
    seen = {key: [result.up, result.reason, result.evidence, result.rtt] for key, result in results.items()}
    os.write(1, json.dumps(seen).encode())


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
