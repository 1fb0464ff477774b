import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from monitors.monitor import EVIDENCE_LENGTH, Reason, Result
from monitors.probes.dns import (
    BadReply,
    DnsMonitor,
    compile_question,
    judge_untrusted,
    parse_query_name,
    parse_query_type,
    parse_rcode,
    parse_reply_untrusted,
)
from tests.monitors.checking import check
from tests.peers.servers import Address, running_peer

Answer = Callable[[dns.message.Message], bytes | None]
"""What a fake server says to a query; None is silence."""


def monitor(port: int, name: str = "www.parent.test", **fields: object) -> DnsMonitor:
    plain = DnsMonitor(name="m", port=port, timeout=5, retries=0, query_name=parse_query_name(name))
    return msgspec.structs.replace(plain, **fields)


@pytest.fixture(scope="module", params=["nsd", "knotd", "named"])
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with running_peer(request.param, tmp_path_factory.mktemp("peer")) as address:
        yield address


TRANSPORTS = ["udp", "tcp"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("name", "fields", "reason", "evidence"),
    [
        ("www.parent.test", {}, Reason.OK, "NOERROR: 192.0.2.80"),
        ("WWW.parent.TEST", {"expected_answer": ("192.0.2.80",)}, Reason.OK, "NOERROR: 192.0.2.80"),
        (
            "www.parent.test",
            {"expected_answer": ("192.0.2.80", "192.0.2.81")},
            Reason.ANSWER_MISMATCH,
            "192.0.2.81 is missing in NOERROR: 192.0.2.80",
        ),
        ("www.parent.test", {"query_type": 28}, Reason.OK, "NOERROR: no records of this type"),
        (
            "www.parent.test",
            {"query_type": 28, "expected_answer": ("2001:db8::1",)},
            Reason.ANSWER_MISMATCH,
            "2001:db8::1 is missing in NOERROR: no records of this type",
        ),
        ("no.parent.test", {}, Reason.CODE_MISMATCH, "NXDOMAIN"),
        ("no.parent.test", {"expected_rcode": 3}, Reason.OK, "NXDOMAIN: no records of this type"),
        ("elsewhere.example.com", {}, Reason.CODE_MISMATCH, "REFUSED"),
        (
            "mx.parent.test",
            {"query_type": 15, "expected_answer": ("20 WWW.parent.test.",)},
            Reason.OK,
            None,
        ),
    ],
)
async def test_a_real_server(
    name: str, fields: dict[str, object], reason: Reason, evidence: str | None, transport: str, peer: Address
) -> None:
    result = await check(monitor(peer.port, name, transport=transport, **fields), "127.0.0.1")
    assert (result.up, result.reason) == (reason is Reason.OK, reason)
    assert evidence in (None, result.evidence)
    assert result.rtt is not None
    assert 0 <= result.rtt < 5


async def test_what_does_not_fit_into_a_datagram(peer: Address) -> None:
    asked = monitor(peer.port, "a100.large.test", expected_answer=("192.0.2.1", "192.0.2.100"))
    assert (await check(asked, "127.0.0.1")).up
    huge = await check(monitor(peer.port, "txt100.large.test", query_type=16), "127.0.0.1")
    assert (huge.up, huge.reason) == (False, Reason.BAD_REPLY)
    assert "more than the 16384 that are read" in huge.evidence


async def test_the_source(peer: Address) -> None:
    for transport in TRANSPORTS:
        asked = monitor(peer.port, transport=transport, source="127.0.0.9")
        assert (await check(asked, "127.0.0.1")).up
        elsewhere = await check(msgspec.structs.replace(asked, source="192.0.2.1"), "127.0.0.1")
        assert elsewhere.reason is Reason.CHECK_ERROR
        assert elsewhere.evidence.endswith("Cannot assign requested address")


@asynccontextmanager
async def answering(answer: Answer, tcp_answer: Answer | None = None) -> AsyncIterator[int]:
    """A server over UDP, and TCP with answers of its own; gives the port. What is said over TCP has a length in
    front, but for an answer that is longer than a message can be."""
    datagrams, listeners = await open_both()
    port = datagrams.getsockname()[1]
    with datagrams:

        async def serve_udp() -> None:
            while True:
                packet, client = await datagrams.recvfrom(4096)
                reply = answer(dns.message.from_wire(packet))
                if reply is not None:
                    await datagrams.sendto(reply, client)

        async def serve_tcp(stream: trio.SocketStream) -> None:
            packet = await stream.receive_some(4096)
            reply = (tcp_answer or answer)(dns.message.from_wire(packet[2:]))
            if reply is None:
                await trio.sleep_forever()
            else:
                await stream.send_all(reply)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_udp)
            nursery.start_soon(trio.serve_listeners, serve_tcp, listeners)
            yield port
            nursery.cancel_scope.cancel()


async def open_both() -> tuple[trio.socket.SocketType, list[trio.SocketListener]]:
    """UDP and TCP on one port of loopback; a port that TCP has in use, or had a minute ago, is passed over."""
    while True:
        datagrams = trio.socket.socket(type=socket.SOCK_DGRAM)
        await datagrams.bind(("127.0.0.1", 0))
        try:
            return datagrams, await trio.open_tcp_listeners(datagrams.getsockname()[1], host="127.0.0.1")
        except OSError as error:
            datagrams.close()
            if error.errno != errno.EADDRINUSE:
                raise


def reply_to(query: dns.message.Message, *addresses: str) -> bytes:
    reply = dns.message.make_response(query)
    if addresses:
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *addresses))
    return reply.to_wire()


def with_length(wire: bytes) -> bytes:
    return len(wire).to_bytes(2, "big") + wire


async def test_a_port_that_is_closed_and_one_that_is_silent() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        silent = await check(monitor(port, timeout=0.2), "127.0.0.1")
    closed = await check(monitor(port), "127.0.0.1")
    closed_tcp = await check(monitor(port, transport="tcp"), "127.0.0.1")
    assert silent == Result(False, Reason.TIMEOUT, "reply over UDP: nothing within 0.2 s")
    assert closed == Result(False, Reason.PORT_UNREACHABLE, "ICMP port unreachable came back")
    assert closed_tcp == Result(False, Reason.REFUSED, "connect over TCP: Connection refused")


async def test_datagrams_about_something_else_are_passed_over() -> None:
    spoiled: list[bytes] = []

    def spoil(query: dns.message.Message) -> bytes:
        good, forged = reply_to(query, "192.0.2.1"), reply_to(query, "192.0.2.9")
        wrong_id = bytes([forged[0] ^ 1]) + forged[1:]
        other = dns.message.make_query("other.test", "A", id=query.id)
        refusal = dns.message.make_response(other)
        refusal.set_rcode(dns.rcode.REFUSED)
        # The query itself, and what is too short to be a reply, come back first.
        spoiled.extend(
            [query.to_wire(), good[:11], b"", wrong_id, reply_to(other, "192.0.2.9"), refusal.to_wire(), good]
        )
        return spoiled.pop(0)

    with trio.socket.socket(type=socket.SOCK_DGRAM) as server:
        await server.bind(("127.0.0.1", 0))

        async def serve() -> None:
            packet, client = await server.recvfrom(4096)
            await server.sendto(spoil(dns.message.from_wire(packet)), client)
            for wrong in spoiled:
                await server.sendto(wrong, client)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            result = await check(monitor(server.getsockname()[1]), "127.0.0.1")
    assert (result.up, result.evidence) == (True, "NOERROR: 192.0.2.1")


async def test_an_error_need_not_repeat_the_question() -> None:
    async with answering(lambda query: query.id.to_bytes(2, "big") + b"\x80\x01" + bytes(8)) as port:
        result = await check(monitor(port), "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (False, Reason.CODE_MISMATCH, "FORMERR")


async def test_an_alias_is_passed_over() -> None:
    def alias(query: dns.message.Message) -> bytes:
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "CNAME", "x.test."))
        reply.answer.append(dns.rrset.from_text("x.test.", 60, "IN", "A", "192.0.2.7"))
        return reply.to_wire()

    async with answering(alias) as port:
        result = await check(monitor(port, expected_answer=("192.0.2.7",)), "127.0.0.1")
    assert (result.up, result.evidence) == (True, "NOERROR: 192.0.2.7")


@pytest.mark.parametrize("cut", [12, 20, 40, 45])
async def test_junk_with_our_identifier(cut: int) -> None:
    async with answering(lambda query: reply_to(query, "192.0.2.1")[:cut]) as port:
        result = await check(monitor(port), "127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.BAD_REPLY)
    assert result.evidence.startswith("reply over UDP: no DNS message: ")


@pytest.mark.parametrize(
    ("said", "reason", "evidence"),
    [
        (b"", Reason.CLOSED_EARLY, "reply over TCP: the server closed the connection"),
        (b"\0", Reason.CLOSED_EARLY, "reply over TCP: the server closed the connection"),
        (b"\1\0abc", Reason.CLOSED_EARLY, "reply over TCP: the server closed the connection"),
        (b"\0\3abc", Reason.BAD_REPLY, "reply over TCP: not about what was asked"),
        (
            b"\xff\xff" + bytes(70_000),
            Reason.BAD_REPLY,
            "reply over TCP: a message of 65535 bytes, more than the 16384 that are read",
        ),
        (None, Reason.TIMEOUT, "reply over TCP: nothing within 0.3 s"),
    ],
)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_tcp_that_goes_wrong(said: bytes | None, reason: Reason, evidence: str, transport: str) -> None:
    """Also behind a truncated reply over UDP, which may be cut in the middle of a record."""

    def truncate(query: dns.message.Message) -> bytes:
        query.flags |= dns.flags.TC
        return reply_to(query, "192.0.2.1")[:2] + b"\x82" + reply_to(query, "192.0.2.1")[3:40]

    async with answering(truncate, lambda _: said) as port:
        result = await check(monitor(port, transport=transport, timeout=0.3), "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (False, reason, evidence)


async def test_a_truncated_reply_where_tcp_is_closed() -> None:
    with trio.socket.socket(type=socket.SOCK_DGRAM) as server:
        await server.bind(("127.0.0.1", 0))

        async def serve() -> None:
            packet, client = await server.recvfrom(4096)
            await server.sendto(packet[:2] + b"\x82" + packet[3:], client)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            result = await check(monitor(server.getsockname()[1]), "127.0.0.1")
    assert result == Result(False, Reason.REFUSED, "connect over TCP: Connection refused")


async def test_a_good_reply_over_tcp_in_pieces() -> None:
    async with answering(lambda _: None, lambda query: with_length(reply_to(query, "192.0.2.1"))) as port:
        assert (await check(monitor(port, transport="tcp"), "127.0.0.1")).up


QUESTION = compile_question(monitor(53, expected_answer=("192.0.2.1",)))
QUERY = b"id" + QUESTION.wire
GOOD = reply_to(dns.message.from_wire(QUERY), "192.0.2.1", "192.0.2.2")


def read(packet: bytes) -> Result | None:
    try:
        reply = parse_reply_untrusted(packet, QUERY, QUESTION)
    except BadReply as error:
        return Result(False, error.reason, str(error))
    return None if reply is None else judge_untrusted(reply, monitor(53), QUESTION, 0.1)


def test_the_good_reply_is_good() -> None:
    result = read(GOOD)
    assert result is not None
    assert result.up


@given(st.binary(max_size=300))
def test_no_bytes_break_it(packet: bytes) -> None:
    for reply in (packet, GOOD[:12] + packet, GOOD[:33] + packet, GOOD + packet):
        result = read(reply)
        assert result is None or len(result.evidence) <= EVIDENCE_LENGTH


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(GOOD)))
def test_no_mutation_breaks_it(changes: list[tuple[int, int]], length: int) -> None:
    reply = bytearray(GOOD)
    for place, value in changes:
        reply[place] = value
    for packet in (bytes(reply), bytes(reply[:length])):
        result = read(packet)
        assert result is None or result.evidence.isprintable()


@given(st.integers(0, 65535), st.binary(max_size=60))
def test_no_data_of_any_type_breaks_it(number: int, data: bytes) -> None:
    asked = monitor(53, query_type=number)
    question = compile_question(asked)
    query = b"id" + question.wire
    record = b"\xc0\x0c" + number.to_bytes(2, "big") + b"\0\1\0\0\0\0" + len(data).to_bytes(2, "big") + data
    try:
        reply = parse_reply_untrusted(b"id\x80\0\0\1\0\1\0\0\0\0" + query[12:] + record, query, question)
    except BadReply:
        return
    assert reply is None or judge_untrusted(reply, asked, question, 0.1).evidence.isprintable()


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_query_name, "WWW.example", b"\3www\7example\0"),
        (parse_query_name, ".", b"\0"),
        (parse_query_type, "AAAA", 28),
        (parse_query_type, "TYPE65280", 65280),
        (parse_rcode, "NXDOMAIN", 3),
        (parse_rcode, "nxdomain", 3),
    ],
)
def test_what_is_written(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_query_name, ""),
        (parse_query_name, "a..b"),
        (parse_query_name, "x" * 64),
        (parse_query_name, "münchen.example"),
        (parse_query_type, "AXFR"),
        (parse_query_type, "OPT"),
        (parse_query_type, "ANY"),
        (parse_query_type, "TYPE0"),
        (parse_query_type, "TYPE99999"),
        (parse_query_type, "FOO"),
        (parse_rcode, "BADVERS"),
        (parse_rcode, "NO"),
        (parse_rcode, "99999"),
    ],
)
def test_what_cannot_be_written(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_an_answer_that_is_no_data_of_its_type() -> None:
    problems = list(monitor(53, expected_answer=("192.0.2.1", "www.example.com.")).problems())
    assert [field for field, _ in problems] == ["expected_answer"]
    assert problems[0][1].startswith("'www.example.com.' is no data of a record of query_type: ")
    assert list(monitor(53, query_type=15, expected_answer=("10 mx.example.com.",)).problems()) == []
