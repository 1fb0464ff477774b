"""A name server that says what it is told, over UDP, on a port of loopback."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import dns.message
import dns.rcode
import dns.rrset
import trio


class NameServer:
    """`records` are lines of zone-file text by (name, type); without any, NXDOMAIN if the name has none of any type,
    else no records. `rcode` is for all that is asked; None: silence."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.records: dict[tuple[str, str], list[str]] = {}
        self.ttl = 60
        self.rcode: dns.rcode.Rcode | None = dns.rcode.NOERROR
        self.asked: list[tuple[str, str]] = []

    def reply(self, packet: bytes) -> bytes | None:
        query = dns.message.from_wire(packet)
        question = query.question[0]
        name, rrtype = question.name.to_text(omit_final_dot=True), question.rdtype.name
        self.asked.append((name, rrtype))
        if self.rcode is None:
            return None
        response = dns.message.make_response(query)
        response.set_rcode(self.rcode)
        if self.rcode == dns.rcode.NOERROR:
            texts = self.records.get((name, rrtype), [])
            if texts:
                response.answer = [dns.rrset.from_text(question.name, self.ttl, "IN", rrtype, *texts)]
            elif name not in {name for name, _ in self.records}:
                response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()


@asynccontextmanager
async def serving_names(**records: list[str]) -> AsyncIterator[NameServer]:
    """A server of the A and AAAA `records` of www.example.com."""
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as listener:
        await listener.bind(("127.0.0.1", 0))
        server = NameServer(listener.getsockname()[1])
        server.records = {("www.example.com", rrtype): texts for rrtype, texts in records.items()}

        async def serve() -> None:
            while True:
                packet, client = await listener.recvfrom(2048)
                reply = server.reply(packet)
                if reply is not None:
                    await listener.sendto(reply, client)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield server
            nursery.cancel_scope.cancel()


@contextmanager
def serving_names_beside(**records: list[str]) -> Iterator[NameServer]:
    """The same in a thread, for tests that do not wait."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        server = NameServer(listener.getsockname()[1])
        server.records = {("www.example.com", rrtype): texts for rrtype, texts in records.items()}

        def serve() -> None:
            while True:
                packet, client = listener.recvfrom(2048)
                if not packet:
                    return
                reply = server.reply(packet)
                if reply is not None:
                    listener.sendto(reply, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.sendto(b"", listener.getsockname())
            thread.join()
