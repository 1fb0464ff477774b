"""TRIO: asking another name server: a question and its reply over UDP, or a question and many messages over TCP.

Every request has a random identifier and, where the peer has a key, a signature; a reply that is not to this request,
or not signed as it must be, is no reply. Whoever asks bounds the time.
"""

import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator

import trio

from steering.values import Peer
from steering.wire import BadPacket
from steering.zones.message import Message, parse_message_untrusted
from steering.zones.tsig import Key, SignatureError, Signer, Verifier

PACKET_SIZE = 4096
CHUNK = 65536
CONNECT_TIME = 5.0
"""Seconds."""


class ExchangeError(Exception):
    """There was no reply, or one that is of no use; the message is for people."""


def make_identifier() -> bytes:
    """One that cannot be guessed."""
    return os.urandom(2)


async def ask_udp(peer: Peer, key: Key | None, request: bytes) -> Message:
    """The reply to a request; raises ExchangeError, and waits for as long as it is let."""
    signer = Signer(key) if key is not None else None
    packet = request if signer is None else signer.sign(request, time.time())
    family = socket.AF_INET6 if ":" in peer.address else socket.AF_INET
    try:
        with trio.socket.socket(family, socket.SOCK_DGRAM) as client:
            await client.connect((peer.address, peer.port))
            await client.send(packet)
            while True:
                reply = await client.recv(PACKET_SIZE)
                try:
                    message = parse_message_untrusted(reply)
                    if not is_reply(message, request):
                        continue
                    if signer is not None:
                        Verifier(signer).verify_untrusted(reply, message.signature, time.time())
                except BadPacket:
                    continue  # not from the server, or else it will be silence
                except SignatureError as error:
                    raise ExchangeError(str(error)) from error
                return message
    except OSError as error:
        raise ExchangeError(system_reason(error)) from error


@contextlib.asynccontextmanager
async def open_stream(peer: Peer) -> AsyncIterator[trio.SocketStream]:
    """A TCP connection; raises ExchangeError, also for what breaks while it is used."""
    family = socket.AF_INET6 if ":" in peer.address else socket.AF_INET
    try:
        with trio.socket.socket(family, socket.SOCK_STREAM) as client:
            with trio.move_on_after(CONNECT_TIME) as connecting:
                await client.connect((peer.address, peer.port))
            if connecting.cancelled_caught:
                raise ExchangeError("no connection in time")
            yield trio.SocketStream(client)
    except (trio.BrokenResourceError, OSError) as error:
        raise ExchangeError(system_reason(error) if isinstance(error, OSError) else "the connection broke") from error


def system_reason(error: OSError) -> str:
    """The system's, without what trio puts before it."""
    return os.strerror(error.errno) if error.errno else str(error)


class Reply:
    """A request that is sent over a stream, and the messages that come.

    With a key, what came may be used only after `finish`.
    """

    def __init__(self, stream: trio.SocketStream, key: Key | None, request: bytes) -> None:
        self._stream = stream
        self._request = request
        self._signer = Signer(key) if key is not None else None
        self._verifier: Verifier | None = None
        self._received = bytearray()
        self.size = 0
        """Octets that have come."""

    async def send(self) -> None:
        """Send the request."""
        packet = self._request
        if self._signer is not None:
            packet = self._signer.sign(packet, time.time())
            self._verifier = Verifier(self._signer)
        await self._stream.send_all(len(packet).to_bytes(2, "big") + packet)

    async def receive(self) -> Message:
        """The next message; raises ExchangeError."""
        received = self._received
        while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2], "big"):
            data = await self._stream.receive_some(CHUNK)
            if not data:
                raise ExchangeError("the server closed the connection in the middle of the transfer")
            received += data
            self.size += len(data)
        end = 2 + int.from_bytes(received[:2], "big")
        packet = bytes(received[2:end])
        del received[:end]
        try:
            message = parse_message_untrusted(packet)
            if self._verifier is not None:
                self._verifier.verify_untrusted(packet, message.signature, time.time())
        except (BadPacket, SignatureError) as error:
            raise ExchangeError(str(error)) from error
        if not is_reply(message, self._request):
            raise ExchangeError("a message that is no reply to the request")
        return message

    def finish(self) -> None:
        """It was the last message; raises ExchangeError if its end is not signed as it must be."""
        try:
            if self._verifier is not None:
                self._verifier.finish()
        except SignatureError as error:
            raise ExchangeError(str(error)) from error


def is_reply(message: Message, request: bytes) -> bool:
    """Whether a message says that it is the reply to this request; messages behind the first may lack the question."""
    asked = parse_message_untrusted(request)
    same = (message.name, message.rrtype, message.rrclass) == (asked.name, asked.rrtype, asked.rrclass)
    matches = message.identifier == request[:2] and message.opcode == asked.opcode
    return message.is_response and matches and (same or not message.question)
