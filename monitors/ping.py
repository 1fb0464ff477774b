"""TRIO: echo requests over one shared ICMP socket per address family and source (Linux).

Theory of operation. Each family, and each source address that is asked for, has one socket, opened at its
first ping, one task that waits until the socket is readable and then drains it, and one that sends again what
may have been lost here. A ping puts itself into the table of the awaited, sends, and waits for its event.
Waiting is not bounded here: who pings sets the timeout around it, and a cancelled ping leaves nothing behind.

The rule that everything here serves: **a reply that we lost must not look like a dead host.** So the kernel
filters what we do not want, the receive buffer is large, no more is in flight than fits into it, and what is
still waiting when the kernel counts dropped packets on our socket is sent again.

A reply is believed if it comes from the address that was asked, with the identifier and sequence of the
request and its payload, which holds a nonce. An ICMP error is believed if it quotes a request that we are
waiting for.
"""

import errno
import secrets
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import icmplib  # type: ignore[import-untyped]  # the package has no types
import msgspec
import trio

from monitors.address import family_of, source_towards
from monitors.icmp_message import (
    ECHO_REPLY,
    UNREACHABLE,
    Echo,
    make_echo_request,
    parse_icmp_untrusted,
    reason_of,
    strip_ipv4_header_untrusted,
)
from monitors.monitor import Reason, Result

REPLY_ROOM = 2048
"""Bytes of the receive buffer that one reply may take; most take less than half of it."""

IN_FLIGHT_SECONDS = 0.05
"""How long a request without a reply counts as in flight: dead hosts must not hold up the pings of living
ones."""

RESEND_PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds after which a request is sent again if the kernel has dropped packets of ours meanwhile, each after the
one before."""

BUFFER_BYTES = 4 << 20

PAYLOAD_BYTES = 56
"""As many as ping sends."""

NONCE_BYTES = 16


class PingNotPermitted(Exception):
    """The system allows this process neither unprivileged nor raw ICMP sockets; the message says what to
    do."""


class PingStatistics(msgspec.Struct, frozen=True):
    """`waiting`: pings without a reply yet; `dropped`: packets that the kernel dropped for want of room on
    our sockets; `resent`: requests repeated for that."""

    waiting: int
    dropped: int
    resent: int


def check_ping_permission(families: Iterable[socket.AddressFamily]) -> None:
    """Raise PingNotPermitted if this process may not ping over one of the families (AF_INET, AF_INET6).

    A family that this machine does not have is no question of permission, and passes: its probes will say so.
    """
    for family in families:
        try:
            _open_socket(family).close()
        except OSError:
            continue


@asynccontextmanager
async def open_pinger() -> AsyncIterator["Pinger"]:
    """The pinger of this process; its sockets are closed at the end."""
    async with trio.open_nursery() as nursery:
        pinger = Pinger(nursery)
        try:
            yield pinger
        finally:
            nursery.cancel_scope.cancel()
            pinger._close()


class Pinger:
    """Pings any number of addresses at once; made by `open_pinger`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._channels: dict[tuple[socket.AddressFamily, str | None], _Channel] = {}

    async def ping(self, address: str, source: str | None = None, size: int = PAYLOAD_BYTES) -> Result:
        """One echo of `size` bytes, 16 to 1472, from `source`, if that is of the family of `address`: up with its
        round trip, or down as soon as an ICMP error says why.

        Waits without end for a host that is silent: set a timeout around it. ValueError if `address` is no IP
        literal, OSError if this machine cannot send to it.
        """
        family, source = family_of(address), source_towards(address, source)
        channel = self._channels.get((family, source))
        if channel is None:
            try:
                channel = self._channels[family, source] = _Channel(family, source)
            except PingNotPermitted as error:
                await trio.lowlevel.checkpoint()
                return Result(False, Reason.NOT_PERMITTED, str(error))
            self._nursery.start_soon(channel.receive)
            self._nursery.start_soon(channel.resend_lost)
        # The kernel writes addresses in this form, and replies are matched by it.
        return await channel.ping(socket.inet_ntop(family, socket.inet_pton(family, address)), size)

    def statistics(self) -> PingStatistics:
        """Counters since the start."""
        channels = self._channels.values()
        return PingStatistics(
            sum(len(channel.awaited) for channel in channels),
            sum(channel.dropped() for channel in channels),
            sum(channel.resent for channel in channels),
        )

    def _close(self) -> None:
        for channel in self._channels.values():
            channel.socket.close()


class _Request:
    """An echo request that waits for its reply."""

    __slots__ = (
        "address",
        "answered",
        "dropped",
        "identifier",
        "payload",
        "resent",
        "result",
        "sent",
        "sequence",
        "stamp",
    )

    def __init__(self, address: str, identifier: int, sequence: int, payload: bytes) -> None:
        self.address = address
        self.identifier = identifier
        self.sequence = sequence
        self.payload = payload
        self.answered = trio.Event()
        self.result: Result | None = None
        self.resent = 0
        self.sent = 0.0
        """Trio's time; 0 before."""
        self.stamp = 0.0
        """Unix seconds of the same moment."""
        self.dropped = 0
        """What the kernel had dropped by then."""

    def settle(self, result: Result) -> None:
        # The first answer counts: what comes behind it, before the waiting task runs, is late.
        if self.result is None:
            self.result = result
            self.answered.set()


class _Channel:
    """The socket of one family and source, and the requests that wait on it."""

    def __init__(self, family: socket.AddressFamily, source: str | None) -> None:
        self.family = family
        self._opened = _open_socket(family, source)  # closes the socket when it is forgotten
        self.socket: socket.socket = self._opened.sock
        self.is_privileged: bool = self._opened.is_privileged
        self.awaited: dict[tuple[str, int], _Request] = {}
        self.resent = 0
        # An unprivileged socket has an identifier of its own, which the kernel writes into each request.
        self._identifier = secrets.randbelow(1 << 16) if self.is_privileged else self.socket.getsockname()[1]
        self._sequence = secrets.randbelow(1 << 16)
        self._waiting = trio.Event()
        self._in_flight: deque[_Request] = deque()
        self._most_in_flight = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // REPLY_ROOM
        self._turn = trio.Lock()

    async def ping(self, address: str, size: int) -> Result:
        payload = secrets.token_bytes(NONCE_BYTES) + b"waypost health check".ljust(size, b".")[: size - NONCE_BYTES]
        request = _Request(address, self._identifier, self._unused_sequence(address), payload)
        self.awaited[address, request.sequence] = request
        self._waiting.set()
        try:
            await self._send(request)
            await request.answered.wait()
            assert request.result is not None
            return request.result
        finally:
            del self.awaited[address, request.sequence]

    async def receive(self) -> None:
        """Give every request its reply, for ever. Draining is bounded, so that a flood cannot keep others
        from running."""
        while True:
            await trio.lowlevel.wait_readable(self.socket)
            # A raw socket gets the errors among the messages.
            for receive in (self._receive_error, self._receive_message)[self.is_privileged :]:
                for _ in range(256):
                    try:
                        receive()
                    except BlockingIOError:
                        break
                    except OSError:
                        # An unprivileged socket reports the errors of all requests here too, without saying
                        # whose.
                        continue

    async def resend_lost(self) -> None:
        """Send again, for ever, what may have been among the packets that the kernel dropped."""
        seen, until = self.dropped(), 0.0
        while True:
            if not self.awaited:
                self._waiting = trio.Event()
                await self._waiting.wait()
            await trio.sleep(RESEND_PAUSES[0])
            dropped, now = self.dropped(), trio.current_time()
            if dropped != seen:
                seen, until = dropped, now + sum(RESEND_PAUSES)
            for request in list(self.awaited.values()) if now <= until else ():
                if request.sent and request.dropped != seen and request.resent < len(RESEND_PAUSES):
                    is_awaited = self.awaited.get((request.address, request.sequence)) is request
                    if is_awaited and request.sent + RESEND_PAUSES[request.resent] <= now:
                        self.resent += 1
                        request.resent += 1
                        with suppress(OSError):  # the first time, it could be sent
                            await self._send(request)

    def dropped(self) -> int:
        """Packets that the kernel has dropped on this socket (SK_MEMINFO_DROPS: the counter that SO_RXQ_OVFL
        sends along with the next packet, but known without waiting for one)."""
        memory: bytes = self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
        return int(struct.unpack("=9I", memory)[8]) if len(memory) == 36 else 0

    async def _send(self, request: _Request) -> None:
        packet = make_echo_request(self.family, request.identifier, request.sequence, request.payload)
        # An unprivileged socket may report the error of an earlier request in place of sending this one.
        attempts = 1 if self.is_privileged else 3
        while True:
            if self._turn.locked() or self._pause():
                async with self._turn:
                    while pause := self._pause():  # noqa: ASYNC110 - time is what is waited for
                        await trio.sleep(pause)
            request.dropped, request.sent, request.stamp = self.dropped(), trio.current_time(), time.time()
            try:
                self.socket.sendto(packet, (request.address, 0))
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.ENOBUFS):
                    await trio.sleep(IN_FLIGHT_SECONDS)
                    continue
                attempts -= 1
                if attempts == 0:
                    raise
            else:
                self._in_flight.append(request)
                return

    def _pause(self) -> float:
        """Seconds until the receive buffer certainly has room for one more reply."""
        now, in_flight = trio.current_time(), self._in_flight
        while in_flight and (in_flight[0].result is not None or in_flight[0].sent + IN_FLIGHT_SECONDS <= now):
            in_flight.popleft()
        return in_flight[0].sent + IN_FLIGHT_SECONDS - now if len(in_flight) >= self._most_in_flight else 0.0

    def _receive_message(self) -> None:
        packet, ancillary, _, source = self.socket.recvmsg(2048, 256)
        if self.family == socket.AF_INET and self.is_privileged:
            packet = strip_ipv4_header_untrusted(packet)
        message = parse_icmp_untrusted(packet, self.family)
        if message is None:
            return
        address = source[0] if isinstance(message, Echo) else message.destination
        request = self.awaited.get((address, message.sequence))
        if request is None or request.identifier != message.identifier:
            return
        if not isinstance(message, Echo):
            request.settle(Result(False, message.reason, f"{message.evidence}, said {source[0]}"))
        elif message.payload == request.payload:
            request.settle(Result(True, Reason.OK, rtt=_round_trip(request, ancillary)))

    def _receive_error(self) -> None:
        """An ICMP error about a request of an unprivileged socket, which gets them apart from the
        messages."""
        packet, ancillary, _, destination = self.socket.recvmsg(2048, 256, socket.MSG_ERRQUEUE)
        request = self.awaited.get((destination[0], int.from_bytes(packet[6:8], "big")))
        for level, kind, data in ancillary:
            if request and (level, kind) in _RECVERR.values() and len(data) >= 16:
                origin, icmp_type, icmp_code = struct.unpack_from("=4xBBB", data)
                if origin in (_ORIGIN_ICMP, _ORIGIN_ICMP6) and icmp_type in UNREACHABLE[self.family]:
                    request.settle(Result(False, *reason_of(self.family, icmp_type, icmp_code)))

    def _unused_sequence(self, address: str) -> int:
        while True:
            self._sequence = (self._sequence + 1) & 0xFFFF
            if (address, self._sequence) not in self.awaited:
                return self._sequence


def _open_socket(
    family: socket.AddressFamily, source: str | None = None
) -> icmplib.ICMPv4Socket | icmplib.ICMPv6Socket:
    """Unprivileged where the kernel allows it, else raw. PingNotPermitted if neither; OSError if there is no
    such family, or `source` is not of this machine."""
    kind = icmplib.ICMPv4Socket if family == socket.AF_INET else icmplib.ICMPv6Socket
    for privileged in (False, True):
        try:
            opened = kind(address=source, privileged=privileged)
        except icmplib.SocketPermissionError:
            continue
        except icmplib.ICMPSocketError as error:
            raise error.__context__ or error from None
        _tune(opened.sock, family, privileged)
        if not privileged and source is None:
            opened.sock.bind(("0.0.0.0" if family == socket.AF_INET else "::", 0))  # gives it its identifier
        return opened
    raise PingNotPermitted(
        "this process may not send ICMP echo requests: give it CAP_NET_RAW (AmbientCapabilities=CAP_NET_RAW "
        "in its systemd unit, or setcap cap_net_raw+ep on the Python that it runs), or allow its group "
        'unprivileged ping (sysctl -w net.ipv4.ping_group_range="0 2147483647", which covers IPv6 too)'
    )


def _tune(opened: socket.socket, family: socket.AddressFamily, privileged: bool) -> None:
    opened.setblocking(False)
    for forced, ordinary in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        # Room for the replies of a burst, and for requests that wait until their hosts are found not to be
        # there.
        try:
            opened.setsockopt(socket.SOL_SOCKET, forced, BUFFER_BYTES)
        except PermissionError:
            opened.setsockopt(socket.SOL_SOCKET, ordinary, BUFFER_BYTES)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    if not privileged:
        opened.setsockopt(*_RECVERR[family], 1)
        return
    # A raw socket is given a copy of all ICMP that the machine receives. A bit that is set blocks its type.
    wanted = sum(1 << kind for kind in (ECHO_REPLY[family], *UNREACHABLE[family]))
    blocked = ~wanted & ((1 << 256) - 1)
    if family == socket.AF_INET:
        opened.setsockopt(_SOL_RAW, _ICMP_FILTER, (blocked & 0xFFFFFFFF).to_bytes(4, sys.byteorder))
    else:
        words = ((blocked >> shift) & 0xFFFFFFFF for shift in range(0, 256, 32))
        opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *words))


def _round_trip(request: _Request, ancillary: list[tuple[int, int, bytes]]) -> float:
    """Seconds until the kernel received the reply: draining comes later, and in a burst much later.

    The kernel stamps by the wall clock, which may have been set meanwhile; the round trip is then that of our
    own clock.
    """
    elapsed = trio.current_time() - request.sent
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(data) == 16:
            seconds, nanoseconds = struct.unpack("=qq", data)
            stamped = seconds + nanoseconds / 1e9 - request.stamp
            return float(stamped) if 0 <= stamped <= elapsed else elapsed
    return elapsed


# Linux, <asm-generic/socket.h>, <linux/icmp.h>, <linux/icmpv6.h>, <linux/errqueue.h>: not in the socket
# module.
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_SO_MEMINFO = 55
_SOL_RAW = 255
_ICMP_FILTER = 1
_ICMP6_FILTER = 1
_RECVERR: dict[socket.AddressFamily, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
_ORIGIN_ICMP = 2
_ORIGIN_ICMP6 = 3
