"""Every scenario on `respond`, and again over real UDP and TCP."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import msgspec
import pytest
import trio

from steering.respond import respond
from steering.serve.tcp import TcpLimits, serve_tcp
from steering.serve.udp import serve_udp
from steering.world import World
from tests.scenarios.scenario import (
    SILENCE,
    TEXT,
    Case,
    Question,
    Stage,
    describe_reply,
    make_question,
    read_scenario,
    sort_case,
)

FILES = sorted(TEXT.glob("*.txt"))
TRANSPORTS = ("udp", "tcp")
LAST = bytes.fromhex("ffff 0000 0001 0000 0000 0000 00 0002 0001")
"""A question that is always answered, so that nobody has to wait for silence to be long enough."""


def cases(wanted: Callable[[Case], bool]) -> list[object]:
    """The cases of all files, each as a parameter."""
    return [
        pytest.param(
            path,
            number,
            id=f"{path.stem}: {case.title}",
            marks=[pytest.mark.xfail(reason=case.broken, strict=True)] if case.broken else [],
        )
        for path in FILES
        for number, case in enumerate(read_scenario(path).cases)
        if wanted(case)
    ]


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Path, Stage]]:
    made = {path: Stage(read_scenario(path), tmp_path_factory.mktemp(path.stem)) for path in FILES}
    yield made
    for stage in made.values():
        stage.close()


@contextmanager
def opened(world: World) -> Iterator[World]:
    world.zones.begin()
    try:
        yield world
    finally:
        world.zones.end()


def check(reply: bytes | None, question: Question, case: Case, transport: str) -> None:
    """What the case says of the reply, and what holds of every reply."""
    assert describe_reply(reply, case) == sort_case(case), transport
    if reply is not None and question.repeated:
        assert reply[:2] == question.repeated[:2]
        assert reply[12:].startswith(question.repeated[2:])
        assert (dns.message.from_wire(reply).edns >= 0) == question.edns
        assert transport == "tcp" or len(reply) <= question.size


@pytest.mark.parametrize(("path", "number"), cases(lambda _: True))
def test_respond(path: Path, number: int, stages: dict[Path, Stage]) -> None:
    case = read_scenario(path).cases[number]
    question = make_question(case)
    with opened(stages[path].world(case)) as world:
        for transport in [case.over] if case.over else TRANSPORTS:
            over_tcp = transport == "tcp"
            first = respond(question.packet, question.source, over_tcp, case.now, lambda: case.dice, world)
            again = respond(question.packet, question.source, over_tcp, case.now, lambda: case.dice, world)
            check(first, question, case, transport)
            assert again == first, "what is remembered is what was composed"


@pytest.mark.parametrize(("path", "number"), cases(lambda case: " from " not in case.ask and not case.now))
async def test_network(path: Path, number: int, stages: dict[Path, Stage]) -> None:
    """The cases whose answer hangs neither on the source address, which here is loopback's, nor on the time."""
    case = read_scenario(path).cases[number]
    question = make_question(case)
    world = stages[path].world(case)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as streams,
    ):
        for listener in (datagrams, streams):
            listener.bind(("127.0.0.1", 0))
            listener.setblocking(False)
        streams.listen()

        def answer(message: bytes, client: tuple[str, int]) -> bytes | None:
            with opened(world):
                return respond(message, client[0], True, 0.0, lambda: case.dice, world)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_udp, datagrams, lambda: opened(world), lambda: case.dice, lambda _: None)
            await nursery.start(serve_tcp, [streams], answer, TcpLimits())
            with trio.fail_after(5):
                replies = {
                    "udp": await ask_udp(question.packet, datagrams.getsockname()),
                    "tcp": await ask_tcp(question.packet, streams.getsockname()),
                }
            nursery.cancel_scope.cancel()
    for transport in [case.over] if case.over else TRANSPORTS:
        check(replies[transport], question, case, transport)


async def ask_udp(query: bytes, address: tuple[str, int]) -> bytes | None:
    """The reply over UDP, or None when there is none."""
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        await client.connect(address)
        await client.send(query)
        await client.send(LAST)
        reply = await client.recv(65535)
        return None if reply[:2] == LAST[:2] else reply


async def ask_tcp(query: bytes, address: tuple[str, int]) -> bytes | None:
    """The reply over TCP, or None when there is none or the connection ends."""
    async with await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(b"".join(len(each).to_bytes(2, "big") + each for each in (query, LAST)))
        received = bytearray()
        while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2], "big"):
            more = await stream.receive_some()
            if not more:
                return None
            received += more
        reply = bytes(received[2 : 2 + int.from_bytes(received[:2], "big")])
        return None if reply[:2] == LAST[:2] else reply


def test_every_line_of_an_answer_counts() -> None:
    """A case that differs from the reply in any of its lines is told apart."""
    packet = bytes.fromhex("1234 8400 0001 0001 0000 0001") + b"\1x\0\0\1\0\1"
    packet += bytes.fromhex("c00c 0001 0001 0000001e 0004 c0000201 000029 04d0 0000 0000 0006 0003 0002 6e73")
    case = Case("x", ask="x. A", answer=("x. 30 A 192.0.2.1",), options=('nsid:"ns"',), octets=("c0 0c",))
    assert describe_reply(packet, case) == sort_case(case)
    for change in (
        {"status": "NOERROR"},
        {"status": "NXDOMAIN aa"},
        {"status": SILENCE},
        {"answer": ()},
        {"answer": ("x. 30 A 192.0.2.2",)},
        {"answer": ("x. 31 A 192.0.2.1",)},
        {"authority": ("x. 30 A 192.0.2.1",)},
        {"additional": ("x. 30 A 192.0.2.1",)},
        {"scope": 0},
        {"options": ()},
        {"options": ("nsid",)},
        {"octets": ("ff",)},
    ):
        other = msgspec.structs.replace(case, **change)
        assert describe_reply(packet, other) != sort_case(other), change
    assert describe_reply(None, case) != sort_case(case)
