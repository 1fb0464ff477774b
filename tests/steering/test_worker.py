"""A worker with real sockets, a real zone store and a feed; this test is its control."""

import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import dns.message
import dns.opcode
import dns.rcode
import dns.tsig
import dns.update
import msgspec
import pytest
import trio
import trio.testing

from steering import later
from steering import worker as worker_module
from steering.balance.pools import Verdict
from steering.messages import (
    Configured,
    Counted,
    HealthChanged,
    Hello,
    MapFile,
    Notified,
    OriginHealth,
    Taken,
    ToControl,
)
from steering.prepare import compile_maps
from steering.process import WorkerEnd
from steering.secret_files import load_keys
from steering.serve.feed import Connection, serve_feed
from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.worker import Worker
from steering.zones.load import stage_zones
from steering.zones.store import Store
from tests.steering.running import DEADLINE, web_settings, zone_text

SERVER = '[server]\nlisten = ["127.0.0.1:53"]\nstate = "state"\n'
ZONE = '[[zone]]\nname = "example.com"\nfile = "com.zone"\n'
NETWORKS = """
country_pools = { FR = ["sorry"] }
[[geo]]
type = "networks"
path = "own.csv"
"""
SECRETS = (bytes(16),)
UP, SORRY = ["192.0.2.1"], ["192.0.2.99"]
DOWN = HealthChanged((OriginHealth("site", "site-1", Verdict(False, 5.0)),))


class Stage:
    """A worker and its control."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.nursery = nursery
        self.store = Store(folder / "state" / "zones", write=True)
        self.connections: list[Connection[ToControl]] = []
        self.heard: list[ToControl] = []
        self.first: Configured | None = None
        self._control = trio.CancelScope()
        self._feed = str(folder / "feed.sock")
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.setblocking(False)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.tcp.setblocking(False)
        self.lifeline, self.held = os.pipe()
        self.ended = trio.Event()

    def close(self) -> None:
        for each in (self.udp, self.tcp):
            each.close()
        os.close(self.lifeline)
        if self.held >= 0:
            os.close(self.held)

    def settings(self, text: str, zone: str = zone_text(1, "static A 192.0.2.7")) -> Settings:
        """Settings whose zones are in the store."""
        (self.folder / "com.zone").write_text(zone)
        made = parse_settings(SERVER + text, self.folder / "waypost.toml")
        stage_zones(made, self.store, 1_800_000_000)()
        return made

    async def start(self) -> None:
        """Start the worker."""
        end = WorkerEnd(3, (self.udp,), (self.tcp,), self._feed, self.lifeline, lambda: None)
        worker = Worker(self.store, end)

        async def run() -> None:
            await worker.run()
            self.ended.set()

        self.nursery.start_soon(run)

    async def start_control(self, first: Configured) -> None:
        """Start control, which tells each worker this first, and wait until the worker is there."""
        self.first = first
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self._feed)
        listener.listen()
        listener.setblocking(False)
        self._control = trio.CancelScope()

        async def run() -> None:
            with self._control, listener:
                await serve_feed(listener, msgspec.msgpack.Decoder(ToControl), self._take)

        self.nursery.start_soon(run)
        await until(lambda: bool(self.connections))

    def _forget_feed(self) -> None:
        Path(self._feed).unlink()

    async def _take(self, connection: Connection[ToControl]) -> None:
        assert self.first
        connection.send(self.first)
        self.connections.append(connection)
        try:
            async for message in connection:
                self.heard.append(message)
        finally:
            self.connections.remove(connection)

    async def stop_control(self) -> None:
        """As if control had been killed."""
        self._control.cancel()
        self._forget_feed()
        await until(lambda: not self.connections)

    def tell(self, message: msgspec.Struct) -> None:
        """Send to every worker."""
        for connection in self.connections:
            connection.send(message)

    async def ask(self, name: str = "www.example.com", *, tcp: bool = False) -> list[str]:
        """The data of the answer, or the RCODE."""
        question = dns.message.make_query(name, "A").to_wire()
        if tcp:
            async with await trio.open_tcp_stream(*self.tcp.getsockname()) as stream:
                await stream.send_all(len(question).to_bytes(2, "big") + question)
                received = bytearray()
                while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2], "big"):
                    received += await stream.receive_some()
                reply = dns.message.from_wire(bytes(received[2:]))
        else:
            with trio.socket.socket(type=socket.SOCK_DGRAM) as client:
                await client.connect(self.udp.getsockname())
                await client.send(question)
                reply = dns.message.from_wire(await client.recv(4096))
        return [rdata.to_text() for rrset in reply.answer for rdata in rrset] or [dns.rcode.to_text(reply.rcode())]

    async def answers(self, expected: list[str], name: str = "www.example.com") -> None:
        """Ask until the answer is this."""
        while True:
            if await self.ask(name) == expected:
                return
            await trio.sleep(0.01)


async def until(look: Callable[[], bool]) -> None:
    """Look until it is so."""
    while True:
        if look():
            return
        await trio.sleep(0.01)


@pytest.fixture
async def stage(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Stage]:
    made = Stage(tmp_path, nursery)
    try:
        with trio.fail_after(DEADLINE):
            yield made
            nursery.cancel_scope.cancel()
    finally:
        made.close()


async def test_nothing_is_answered_before_control_has_spoken_and_nothing_is_lost(stage: Stage) -> None:
    await stage.start()
    replies: list[list[str]] = []

    async def ask(tcp: bool) -> None:
        replies.append(await stage.ask(tcp=tcp))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, False)
        nursery.start_soon(ask, True)
        with trio.move_on_after(0.05):
            await trio.sleep_forever()
        assert replies == []
        await stage.start_control(Configured(stage.settings(web_settings(80, zones=ZONE)), (), (), SECRETS))
    assert replies == [UP, UP]


async def test_it_says_who_it_is_and_counts(stage: Stage) -> None:
    await stage.start()
    await stage.start_control(Configured(stage.settings(web_settings(80, zones=ZONE)), (), (), SECRETS))
    await stage.ask()
    await stage.ask()
    await stage.ask(tcp=True)
    await until(lambda: Counted(2, 1) in stage.heard)
    assert stage.heard[0] == Hello(3, os.getpid())
    assert stage.heard.count(Taken()) == 1
    stage.tell(DOWN)
    stage.tell(Configured(stage.settings(web_settings(80, zones=ZONE)), (), (), SECRETS))
    await until(lambda: stage.heard.count(Taken()) == 2)


async def test_health_and_settings_change_what_is_answered(stage: Stage) -> None:
    settings = stage.settings(web_settings(80, zones=ZONE))
    await stage.start()
    await stage.start_control(Configured(settings, (), DOWN.health, SECRETS))
    await stage.answers(SORRY)
    stage.tell(HealthChanged((OriginHealth("site", "site-1", Verdict(True, 5.0)),)))
    await stage.answers(UP)
    assert await stage.ask(tcp=True) == UP
    stage.tell(DOWN)
    await stage.answers(SORRY)
    stage.tell(Configured(stage.settings(web_settings(80, zones=ZONE, address="192.0.2.2")), (), (), SECRETS))
    await stage.answers(["192.0.2.2"])


async def test_a_change_of_a_target_that_nobody_knows_does_nothing(stage: Stage) -> None:
    await stage.start()
    await stage.start_control(Configured(stage.settings(web_settings(80, zones=ZONE)), (), (), SECRETS))
    stage.tell(HealthChanged((OriginHealth("gone", "site-1", Verdict(False, 5.0)),)))
    stage.tell(HealthChanged(()))
    await stage.answers(UP)


async def test_a_published_zone_is_seen_without_a_word(stage: Stage) -> None:
    await stage.start()
    await stage.start_control(Configured(stage.settings(web_settings(80, zones=ZONE)), (), (), SECRETS))
    assert await stage.ask("static.example.com") == ["192.0.2.7"]
    assert await stage.ask("new.example.com") == ["NXDOMAIN"]
    stage.settings(web_settings(80, zones=ZONE), zone_text(2, "new A 192.0.2.8"))
    assert await stage.ask("new.example.com") == ["192.0.2.8"]
    assert await stage.ask("static.example.com", tcp=True) == ["NXDOMAIN"]


async def test_without_control_it_goes_on_and_it_finds_the_next_one(stage: Stage) -> None:
    await stage.start()
    first = Configured(stage.settings(web_settings(80, zones=ZONE)), (), (), SECRETS)
    await stage.start_control(first)
    await stage.answers(UP)
    await stage.stop_control()
    assert await stage.ask() == UP
    assert await stage.ask(tcp=True) == UP
    await stage.start_control(msgspec.structs.replace(first, health=DOWN.health))
    await stage.answers(SORRY)
    stage.tell(HealthChanged((OriginHealth("site", "site-1", Verdict(True, 5.0)),)))
    await stage.answers(UP)


class TestMaps:
    async def test_the_map_says_who_gets_what(self, stage: Stage) -> None:
        settings, maps = self.prepare(stage)
        await stage.start()
        await stage.start_control(Configured(settings, maps, (), SECRETS))
        await stage.answers(SORRY)

    async def test_one_that_is_unusable_leaves_the_world_as_it_was(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings, maps = self.prepare(stage)
        await stage.start()
        await stage.start_control(Configured(settings, maps, (), SECRETS))
        await stage.answers(SORRY)
        told: list[bytes | None] = []
        for damaged in (b"", b"nonsense", None):
            told.append(damaged)
            path = stage.folder / f"damaged{len(told)}"
            if damaged is not None:
                path.write_bytes(damaged)
            stage.tell(Configured(settings, tuple(MapFile(each.rules, str(path)) for each in maps), (), SECRETS))
            await until(lambda: caplog.text.count("is not usable") == len(told))
            await until(lambda: stage.heard.count(Taken()) == 1 + len(told))
            assert await stage.ask() == SORRY
        assert all(record.levelno <= logging.ERROR for record in caplog.records)

    async def test_without_any_world_a_change_of_health_does_not_end_it(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings, maps = self.prepare(stage)
        await stage.start()
        await stage.start_control(
            Configured(settings, tuple(MapFile(each.rules, "/none") for each in maps), (), SECRETS)
        )
        await until(lambda: "is not usable" in caplog.text)
        stage.tell(DOWN)
        stage.tell(Configured(settings, maps, (), SECRETS))
        await stage.answers(SORRY)

    def prepare(self, stage: Stage) -> tuple[Settings, tuple[MapFile, ...]]:
        (stage.folder / "own.csv").write_text("network,country\n127.0.0.0/8,FR\n")
        settings = stage.settings(web_settings(80, zones=ZONE, balancers=NETWORKS))
        return settings, compile_maps(settings)


@pytest.mark.parametrize("how", ["SIGTERM", "death of the supervisor"])
async def test_its_end(stage: Stage, how: str) -> None:
    await stage.start()
    await stage.start_control(Configured(stage.settings(web_settings(80, zones=ZONE)), (), (), SECRETS))
    await stage.answers(UP)
    if how == "SIGTERM":
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        os.close(stage.held)
        stage.held = -1
    await stage.ended.wait()


async def test_the_end_before_control_has_spoken(stage: Stage) -> None:
    await stage.start()
    await trio.testing.wait_all_tasks_blocked(0.05)
    os.close(stage.held)
    stage.held = -1
    await stage.ended.wait()


async def test_a_flood_of_notify_reaches_control_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "NOTIFY_INTERVAL", DEADLINE)
    await stage.start()
    text = '[[zone]]\nname = "example.net"\nprimaries = ["127.0.0.1"]\n'
    await stage.start_control(Configured(stage.settings(web_settings(80, zones=ZONE) + text), (), (), SECRETS))
    notify = dns.message.make_query("example.net", "SOA")
    notify.set_opcode(dns.opcode.NOTIFY)
    with trio.socket.socket(type=socket.SOCK_DGRAM) as client:
        await client.connect(stage.udp.getsockname())
        for _ in range(300):
            await client.send(notify.to_wire())
            assert dns.message.from_wire(await client.recv(4096)).rcode() == dns.rcode.NOERROR
    await stage.ask()
    await until(lambda: Counted(301, 0) in stage.heard)
    assert [each for each in stage.heard if isinstance(each, Notified)] == [Notified(b"\7example\3net\0", "127.0.0.1")]


async def test_without_control_an_update_is_answered_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later, "PATIENCE", 2 * DEADLINE)
    await stage.start()
    text = 'allow_update = [{ key = "acme", names = ["new.example.com"] }]\n'
    key = '[[key]]\nname = "acme"\nsecret = "c2VjcmV0"\n'
    settings = stage.settings(web_settings(80, zones=ZONE + text + key))
    await stage.start_control(Configured(settings, (), (), SECRETS, load_keys(settings, Path())))
    await stage.answers(UP)
    await stage.stop_control()
    with trio.socket.socket(type=socket.SOCK_DGRAM) as client:
        await client.connect(stage.udp.getsockname())
        update = dns.update.UpdateMessage("example.com")
        update.add("new", 60, "A", "192.0.2.5")
        update.use_tsig(dns.tsig.Key("acme", b"secret"))
        await client.send(update.to_wire())
        reply = dns.message.from_wire(await client.recv(4096), update.keyring, request_mac=update.mac)
        assert reply.rcode() == dns.rcode.SERVFAIL
