"""DNS over UDP on real sockets of loopback, in a world of one load balancer."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dns.message
import dns.rcode
import msgspec
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steering.later import Later
from steering.ratelimit import Decision
from steering.respond import respond
from steering.serve.udp import BURST, PACKET_SIZE, answer_burst, open_exchange, serve_udp
from steering.settings_file import parse_settings
from steering.world import World, make_world
from steering.zones.load import stage_zones
from steering.zones.store import Store, StoreReader
from tests.steering.running import DEADLINE, web_settings, zone_text
from tests.steering.test_proxy import header

SERVER = '[server]\nlisten = ["127.0.0.1:53"]\nstate = "state"\n'
BIG = "\n".join(f"big TXT {'x' * 200}{number}" for number in range(20))


class Opener:
    """Opens the world; counts how often."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.opened = 0

    @contextmanager
    def __call__(self) -> Iterator[World]:
        self.opened += 1
        self.world.zones.begin()
        try:
            yield self.world
        finally:
            self.world.zones.end()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder: Path = tmp_path_factory.mktemp("udp")
    (folder / "com.zone").write_text(zone_text(1, BIG))
    zone = '[[zone]]\nname = "example.com"\nfile = "com.zone"\n'
    configured = parse_settings(SERVER + web_settings(80, zones=zone), folder / "waypost.toml")
    store = Store(folder / "zones", write=True)
    stage_zones(configured, store, 1_800_000_000)()
    return make_world(configured, StoreReader(store), {}, {})


@pytest.fixture
def open_world(world: World) -> Opener:
    return Opener(world)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.setblocking(False)
        yield bound


@contextmanager
def connected(listener: socket.socket) -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(DEADLINE)
        client.connect(("127.0.0.1", listener.getsockname()[1]))
        yield client


def question(name: str = "www.example.com", rrtype: str = "A", number: int = 1) -> bytes:
    message = dns.message.make_query(name, rrtype)
    message.id = number
    return message.to_wire()


def dice() -> float:
    return 0.0


def burst(listener: socket.socket, open_world: Opener) -> int:
    """What `serve_udp` does when the socket is readable."""
    return answer_burst(listener.recvfrom, listener.sendto, open_world, dice, 0.0)


def test_each_packet_of_a_burst_is_answered_under_one_world(listener: socket.socket, open_world: Opener) -> None:
    with connected(listener) as client:
        for number in range(50):
            client.send(question(number=number))
        assert burst(listener, open_world) == 50
        assert open_world.opened == 1
        replies = [dns.message.from_wire(client.recv(4096)) for _ in range(50)]
    assert [reply.id for reply in replies] == list(range(50))
    assert all(reply.answer[0][0].to_text() == "192.0.2.1" for reply in replies)


def test_a_reply_may_come_later(listener: socket.socket, open_world: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    later = Later(lambda rcode: bytes((rcode,)))
    monkeypatch.setattr("steering.serve.udp.respond_update", lambda *_: later)
    with connected(listener) as client:
        client.send(b"\0\0\x28" + bytes(9))
        assert burst(listener, open_world) == 1
        later.finish(5)
        assert client.recv(4096) == b"\5"
    later.finish(5)  # nobody is there any more


def test_a_flood_lets_others_have_their_turn(listener: socket.socket, open_world: Opener) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    with connected(listener) as client:
        for number in range(BURST + 7):
            client.send(question(number=number))
        assert burst(listener, open_world) == BURST
        assert burst(listener, open_world) == 7


def test_without_packets_there_is_nothing_to_do(listener: socket.socket, open_world: Opener) -> None:
    assert burst(listener, open_world) == 0


def test_a_fault_is_logged_with_the_packet_and_the_others_are_answered(
    listener: socket.socket, open_world: Opener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(packet: bytes, *others: object) -> bytes | None:
        if packet[:2] == b"\0\2":
            raise RuntimeError("a fault of ours")
        return respond(packet, *others)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr("steering.serve.udp.respond", faulty)
    with connected(listener) as client:
        for number in (1, 2, 3):
            client.send(question(number=number))
        assert burst(listener, open_world) == 3
        replies = [dns.message.from_wire(client.recv(4096)) for _ in range(3)]
    assert [(reply.id, reply.rcode()) for reply in replies] == [
        (1, dns.rcode.NOERROR),
        (2, dns.rcode.SERVFAIL),
        (3, dns.rcode.NOERROR),
    ]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert question(number=2).hex() in record.getMessage()
    assert "127.0.0.1" in record.getMessage()
    assert "a fault of ours" in caplog.text


@given(st.lists(st.binary(max_size=600) | st.binary(min_size=12, max_size=40), max_size=6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_a_reply_or_silence(
    listener: socket.socket, open_world: Opener, caplog: pytest.LogCaptureFixture, packets: list[bytes]
) -> None:
    with connected(listener) as client:
        for packet in [*packets, question(number=77)]:
            client.send(packet)
        assert burst(listener, open_world) == len(packets) + 1
        while dns.message.from_wire(client.recv(4096), ignore_trailing=True, continue_on_error=True).id != 77:
            pass
    assert not caplog.records


@pytest.mark.parametrize("length", [PACKET_SIZE - 1, PACKET_SIZE, PACKET_SIZE + 1, 65000])
def test_long_packets(listener: socket.socket, open_world: Opener, length: int) -> None:
    with connected(listener) as client:
        client.send(question().ljust(length, b"\0"))
        client.send(question(number=77))
        assert burst(listener, open_world) == 2
        while client.recv(4096)[:2] != b"\0\x4d":
            pass


def test_what_does_not_fit_is_cut_and_says_so(listener: socket.socket, open_world: Opener) -> None:
    with connected(listener) as client:
        client.send(question("big.example.com", "TXT"))
        burst(listener, open_world)
        reply = client.recv(65535)
    assert len(reply) <= 512
    assert reply[2] & 2, "TC"


class Wire:
    """A socket of which sending fails for some clients."""

    def __init__(self, *packets: tuple[bytes, str], failures: dict[str, OSError]) -> None:
        self.packets = list(packets)
        self.failures = failures
        self.sent: list[str] = []

    def receive(self, size: int) -> tuple[bytes, tuple[str, int]]:
        if not self.packets:
            raise BlockingIOError
        packet, client = self.packets.pop(0)
        return packet[:size], (client, 53)

    def send(self, reply: bytes, peer: tuple[str, int]) -> int:
        if failure := self.failures.get(peer[0]):
            raise failure
        self.sent.append(peer[0])
        return len(reply)


@pytest.mark.parametrize(
    "failure",
    [
        OSError(22, "Invalid argument"),
        PermissionError(1, "no"),
        OSError(101, "unreachable"),
        BlockingIOError(11, "full"),
    ],
    ids=str,
)
def test_a_reply_that_cannot_be_sent_costs_nobody_else_an_answer(open_world: Opener, failure: OSError) -> None:
    clients = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
    wire = Wire(*((question(), client) for client in clients), failures={"192.0.2.2": failure})
    while wire.packets:
        answer_burst(wire.receive, wire.send, open_world, dice, 0.0)
    assert wire.sent == ["192.0.2.1", "192.0.2.3"]


def test_a_failing_socket_does_not_keep_a_snapshot_open(open_world: Opener) -> None:
    wire = Wire((question(), "192.0.2.1"), failures={"192.0.2.1": OSError(22, "Invalid argument")})
    for _ in range(600):  # as many snapshots as the store has places for readers, and more
        wire.packets = [(question(), "192.0.2.1")]
        answer_burst(wire.receive, wire.send, open_world, dice, 0.0)


async def test_it_serves_until_it_is_cancelled_and_answers_what_has_come(
    listener: socket.socket, open_world: Opener
) -> None:
    counted: list[int] = []
    with trio.fail_after(DEADLINE), connected(listener) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_udp, listener, open_world, dice, counted.append)
            for number in range(3):
                client.send(question(number=number))
                await trio.testing.wait_all_tasks_blocked(0.01)
            client.send(question(number=3))
            nursery.cancel_scope.cancel()
        assert [client.recv(4096)[:2] for _ in range(4)] == [bytes([0, number]) for number in range(4)]
    assert sum(counted) == 4


@pytest.mark.parametrize(("bound", "asked"), [("0.0.0.0", "127.0.0.9"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")])
async def test_on_a_wildcard_address_the_reply_comes_from_the_address_that_was_asked(
    open_world: Opener, bound: str, asked: str
) -> None:
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_DGRAM)
        listener.bind((bound, 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with listener, trio.fail_after(DEADLINE):
        listener.setblocking(False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_udp, listener, open_world, dice, lambda _: None)
            with trio.socket.socket(family, socket.SOCK_DGRAM) as client:
                await client.connect((asked, listener.getsockname()[1]))  # takes replies from nowhere else
                await client.send(question())
                assert (await client.recv(4096))[:2] == b"\0\1"
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("listed", [True, False])
def test_a_proxy_says_for_whom_it_asks_and_must(world: World, listener: socket.socket, listed: bool) -> None:
    seen: list[str] = []

    def note(client: str, _kind: bytes, _now: float) -> Decision:
        seen.append(client)
        return Decision.SEND

    proxied = msgspec.structs.replace(world, limit=note, is_proxy=lambda address: listed and address == "127.0.0.1")
    query = dns.message.make_query("www.example.com", "A").to_wire()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(listener.getsockname())
        for packet in (header("198.51.100.7") + query, header(command=0x20) + query, header(), b"", query):
            client.send(packet)
        receive, send = open_exchange(listener)
        assert answer_burst(receive, send, Opener(proxied), lambda: 0.0, 0.0) == 5
        client.settimeout(0.2)
        replies = []
        with suppress(TimeoutError):
            while True:
                replies.append(client.recv(4096))
    if listed:
        assert seen == ["198.51.100.7", "127.0.0.1"]
        assert [reply[:2] for reply in replies] == [query[:2]] * 2
    else:
        assert seen[-1] == "127.0.0.1"
        assert "198.51.100.7" not in seen
        assert replies[-1][:2] == query[:2]
