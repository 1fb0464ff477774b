"""Every scenario on `respond`, and again over real UDP and TCP."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import pytest
import trio

from steering.respond import respond
from steering.serve.tcp import TcpLimits, serve_tcp
from steering.serve.udp import serve_udp
from steering.world import World
from tests.scenarios.scenario import (
    TEXT,
    Case,
    Stage,
    describe_reply,
    make_question,
    read_scenario,
    sort_case,
)

FILES = sorted(TEXT.glob("*.txt"))
CASES = [
    pytest.param(path, number, id=f"{path.stem}: {case.title}")
    for path in FILES
    for number, case in enumerate(read_scenario(path).cases)
]
FROM_LOOPBACK = [
    pytest.param(path, number, id=f"{path.stem}: {case.title}")
    for path in FILES
    for number, case in enumerate(read_scenario(path).cases)
    if " from " not in case.ask
]
"""The cases whose answer does not hang on the source address, which here is loopback's."""
FROM_ANYWHERE = [case for case in CASES if " from " not in read_scenario(case.values[0]).cases[case.values[1]].ask]
"""Cases whose answer does not hang on the source address: over a real network that is loopback's."""


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


@pytest.mark.parametrize(("path", "number"), CASES)
def test_respond(path: Path, number: int, stages: dict[Path, Stage]) -> None:
    case = read_scenario(path).cases[number]
    query, source = make_question(case)
    with opened(stages[path].world(case.down)) as world:
        packet = query.to_wire()
        first = respond(packet, source, True, 0.0, lambda: case.dice, world)
        again = respond(packet, source, True, 0.0, lambda: case.dice, world)
    assert first is not None
    assert describe_reply(dns.message.from_wire(first), case) == sort_case(case)
    assert again == first, "what is remembered is what was composed"


@pytest.mark.parametrize(("path", "number"), FROM_ANYWHERE)
async def test_network(path: Path, number: int, stages: dict[Path, Stage]) -> None:
    case = read_scenario(path).cases[number]
    query, _ = make_question(case)
    world = stages[path].world(case.down)
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
                by_udp = await ask_udp(query.to_wire(), datagrams.getsockname())
                by_tcp = await ask_tcp(query.to_wire(), streams.getsockname())
            nursery.cancel_scope.cancel()
    assert describe_reply(dns.message.from_wire(by_udp), case) == sort_case(case)
    assert describe_reply(dns.message.from_wire(by_tcp), case) == sort_case(case)


async def ask_udp(query: bytes, address: tuple[str, int]) -> bytes:
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        await client.connect(address)
        await client.send(query)
        return await client.recv(65535)


async def ask_tcp(query: bytes, address: tuple[str, int]) -> bytes:
    async with await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(len(query).to_bytes(2, "big") + query)
        received = bytearray()
        while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2], "big"):
            received += await stream.receive_some()
        return bytes(received[2:])


def test_every_case_can_fail() -> None:
    """A case that expects another record than the one answered is told apart."""
    case = Case("x", answer=("www.example.com. 30 A 192.0.2.1",))
    other = Case("x", answer=("www.example.com. 30 A 192.0.2.2",))
    assert sort_case(case) != sort_case(other)
