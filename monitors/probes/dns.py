"""dns: one question, up when the RCODE and, if asked for, the records of the answer are as expected (RFC 1035).

Over UDP, a reply that was truncated is asked for again over TCP, as resolvers do (RFC 7766). A datagram that is
not the reply to our question is passed over. The question asks for recursion, which authoritative servers ignore.
"""

import functools
import secrets
import socket
import struct
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import trio
from msgspec import Meta

from monitors.connection import connected
from monitors.monitor import Monitor, Port, Reason, Result
from monitors.tools import Tools, waiting_for

MOST_BYTES = 16_384
"""The longest reply that is looked at; without EDNS, one over UDP has 512 bytes at most."""


def parse_query_name(text: str) -> bytes:
    """Wire format in lower case; ValueError."""
    if not text.isascii() or not text:
        raise ValueError("expected a DNS name in ASCII (an international one in its xn-- form)")
    try:
        return dns.name.from_text(text).to_digestable()
    except dns.exception.DNSException as error:
        raise ValueError(f"not a DNS name: {error}") from None


def parse_query_type(text: str) -> int:
    """The number of a type of records; ValueError."""
    try:
        number = dns.rdatatype.from_text(text)
    except (dns.exception.DNSException, ValueError):
        raise ValueError('no such record type; expected one like "A" or "TYPE65280"') from None
    if number == 0 or dns.rdatatype.is_metatype(number):
        raise ValueError(f"{text} is no type of records")
    return int(number)


def parse_rcode(text: str) -> int:
    """The number of an RCODE that fits into the header; ValueError."""
    try:
        number = int(dns.rcode.from_text(text))
    except (dns.exception.DNSException, ValueError):
        number = 16
    if number > 15:
        raise ValueError('no such RCODE; expected one like "NOERROR" or "NXDOMAIN"')
    return number


class DnsMonitor(Monitor, frozen=True, kw_only=True, tag="dns"):
    """`expected_answer` is record data in zone-file text; each must be among the records of `query_type` in the
    answer. Without it, the RCODE alone counts."""

    port: Port = 53
    transport: Literal["udp", "tcp"] = "udp"
    query_name: Annotated[bytes, Meta(extra={"parse": parse_query_name}, description="a DNS name")]
    query_type: Annotated[int, Meta(extra={"parse": parse_query_type}, description="a record type")] = 1
    expected_rcode: Annotated[int, Meta(extra={"parse": parse_rcode}, description="an RCODE")] = 0
    expected_answer: tuple[str, ...] = ()

    def problems(self) -> Iterator[tuple[str, str]]:
        for text in self.expected_answer:
            try:
                _rdata(text, self.query_type)
            except (dns.exception.DNSException, ValueError) as error:
                yield "expected_answer", f"{text!r} is no data of a record of query_type: {error}"


class Question(NamedTuple):
    """What is asked, without the identifier, and what must be in the answer."""

    name: dns.name.Name
    wire: bytes
    expected: tuple[dns.rdata.Rdata, ...]


class BadReply(Exception):
    """What came back is no reply."""

    def __init__(self, reason: Reason, evidence: str) -> None:
        super().__init__(evidence)
        self.reason = reason


async def probe(address: str, monitor: DnsMonitor, _tools: Tools) -> Result:
    """`rtt` is from the question to the reply, the last one if it was asked twice. OSError if there is no
    connection."""
    question = compile_question(monitor)
    query = secrets.token_bytes(2) + question.wire
    reply: dns.message.Message | None = None
    try:
        if monitor.transport == "udp":
            try:
                reply, rtt = await _ask_udp(address, monitor, query, question)
            except ConnectionRefusedError:
                return Result(False, Reason.PORT_UNREACHABLE, "ICMP port unreachable came back")
        if reply is None:
            reply, rtt = await _ask_tcp(address, monitor, query, question)
        return judge_untrusted(reply, monitor, question, rtt)
    except BadReply as error:
        return Result(False, error.reason, f"{waiting_for.get()}: {error}")


@functools.lru_cache(maxsize=1024)
def compile_question(monitor: DnsMonitor) -> Question:
    """The question of a monitor, made once."""
    name, _ = dns.name.from_wire(monitor.query_name, 0)
    wire = struct.pack("!5H", dns.flags.RD, 1, 0, 0, 0) + monitor.query_name + struct.pack("!2H", monitor.query_type, 1)
    return Question(name, wire, tuple(_rdata(text, monitor.query_type) for text in monitor.expected_answer))


def parse_reply_untrusted(packet: bytes, query: bytes, question: Question) -> dns.message.Message | None:
    """The reply to `query`, or None for a packet that is about something else. BadReply."""
    if len(packet) < 12 or packet[:2] != query[:2] or not packet[2] & 0x80:
        return None
    try:
        message = dns.message.from_wire(packet, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError) as error:
        raise BadReply(Reason.BAD_REPLY, f"no DNS message: {type(error).__name__}: {error}") from None
    asked = [(section.name, section.rdtype, section.rdclass) for section in message.question]
    if asked == [(question.name, int.from_bytes(query[-4:-2], "big"), dns.rdataclass.IN)]:
        return message
    # Who could not read the question cannot repeat it.
    return message if not asked and message.rcode() != dns.rcode.NOERROR else None


def judge_untrusted(reply: dns.message.Message, monitor: DnsMonitor, question: Question, rtt: float) -> Result:
    """The Result, by RCODE and answer."""
    rcode = dns.rcode.to_text(reply.rcode())
    if reply.rcode() != monitor.expected_rcode:
        return Result(False, Reason.CODE_MISMATCH, rcode, rtt)
    answer = [rdata for rrset in reply.answer if rrset.rdtype == monitor.query_type for rdata in rrset]
    said = f"{rcode}: {', '.join(str(rdata) for rdata in answer[:10]) or 'no records of this type'}"
    for expected in question.expected:
        if expected not in answer:
            return Result(False, Reason.ANSWER_MISMATCH, f"{expected} is missing in {said}", rtt)
    return Result(True, Reason.OK, said, rtt)


async def _ask_udp(
    address: str, monitor: DnsMonitor, query: bytes, question: Question
) -> tuple[dns.message.Message | None, float]:
    """The reply, or None for one that was truncated. BadReply."""
    async with connected(address, monitor.port, monitor.source, socket.SOCK_DGRAM) as (connection, _):
        waiting_for.set("reply over UDP")
        asked = trio.current_time()
        await connection.send(query)
        while True:
            packet = await connection.recv(MOST_BYTES)
            rtt = trio.current_time() - asked
            if len(packet) >= 12 and packet[:2] == query[:2] and packet[2] & 0x82 == 0x82:
                return None, rtt
            reply = parse_reply_untrusted(packet, query, question)
            if reply is not None:
                return reply, rtt


async def _ask_tcp(
    address: str, monitor: DnsMonitor, query: bytes, question: Question
) -> tuple[dns.message.Message, float]:
    """The reply. BadReply."""
    waiting_for.set("connect over TCP")
    async with connected(address, monitor.port, monitor.source) as (connection, _):
        waiting_for.set("reply over TCP")
        asked = trio.current_time()
        stream = trio.SocketStream(connection)
        await stream.send_all(len(query).to_bytes(2, "big") + query)
        length = int.from_bytes(await _receive_exactly(stream, 2), "big")
        if length > MOST_BYTES:
            raise BadReply(Reason.BAD_REPLY, f"a message of {length} bytes, more than the {MOST_BYTES} that are read")
        reply = parse_reply_untrusted(await _receive_exactly(stream, length), query, question)
        if reply is None:
            raise BadReply(Reason.BAD_REPLY, "not about what was asked")
        return reply, trio.current_time() - asked


async def _receive_exactly(stream: trio.SocketStream, length: int) -> bytes:
    received = b""
    while len(received) < length:
        more = await stream.receive_some(length - len(received))
        if not more:
            raise BadReply(Reason.CLOSED_EARLY, "the server closed the connection")
        received += more
    return received


def _rdata(text: str, query_type: int) -> dns.rdata.Rdata:
    kind = dns.rdatatype.RdataType.make(query_type)
    return dns.rdata.from_text(dns.rdataclass.IN, kind, text, origin=dns.name.root, relativize=False)
