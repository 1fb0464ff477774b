"""Zones from primaries, with a fake primary that answers as it is told, a real store and real sockets."""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from steering.messages import FromSecondaries, Members, SecondaryStatus
from steering.settings import Settings, Zone
from steering.settings_file import parse_settings
from steering.wire import AXFR, IXFR, REFUSED, SOA, render_error
from steering.zones import refresh as refresh_module
from steering.zones import timers as timers_module
from steering.zones.load import read_owner, stage_zones
from steering.zones.message import parse_message_untrusted
from steering.zones.refresh import PER_PRIMARY, Refresher
from steering.zones.store import Store, StoreError, StoreReader, ZoneWriter
from steering.zones.timers import LONGEST, LONGEST_EXPIRE, Timers, read_soa_timers
from steering.zones.tsig import Key, verify_request_untrusted
from tests.steering.running import DEADLINE
from tests.steering.support import APEX, SERVER, opened_store, snapshot
from tests.steering.test_worker import until
from tests.steering.zones.test_load import POOLS, balancer, rdatas

KEY = Key(b"\3xfr\0", "hmac-sha256", b"secret")
Records = list[bytes]


def soa(serial: int, timers: tuple[int, int, int] = (3600, 3600, 86400)) -> bytes:
    numbers = b"".join(number.to_bytes(4, "big") for number in (serial, *timers, 60))
    rdata = b"\2ns\0\4host\0" + numbers
    return b"\xc0\x0c\0\6\0\1\0\0\1\x2c" + len(rdata).to_bytes(2, "big") + rdata


def record(owner: str, last: int) -> bytes:
    label = bytes((len(owner),)) + owner.encode() if owner else b""
    return label + b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2" + bytes((last,))


NS_RECORD = b"\xc0\x0c\0\2\0\1\0\0\1\x2c\0\4\2ns\0"


VERSION = b"\7version\xc0\x0c\0\x10\0\1\0\0\0\0\0\2\x012"


def listed(label: str, member: str) -> bytes:
    """A member of a catalog."""
    target = bytes((len(member),)) + member.encode() + b"\0"
    owner = bytes((len(label),)) + label.encode() + b"\5zones\xc0\x0c"
    return owner + b"\0\x0c\0\1\0\0\0\0" + len(target).to_bytes(2, "big") + target


def moving(label: str, target: bytes) -> bytes:
    """That a member may move to this catalog."""
    owner = b"\3coo" + bytes((len(label),)) + label.encode() + b"\5zones\xc0\x0c"
    return owner + b"\0\x0c\0\1\0\0\0\0" + len(target).to_bytes(2, "big") + target


def transferred(stage: "Stage", apex: bytes, serial: int = 1) -> bool:
    told = [status.serial for status in stage.statuses if status.apex == apex]
    return bool(told) and told[-1] == serial


class Primary:
    """Answers with records, which it sends in one message each; or wrongly."""

    def __init__(self) -> None:
        self.serial = 1
        self.timers = (3600, 3600, 86400)
        self.whole: Records = [record("www", 1)]
        self.changes: dict[int | None, Records] = {}
        """What an incremental transfer from a serial sends between the first SOA and the last."""
        self.signs = False
        self.signs_last = True
        self.refuses = False
        self.refuses_others = False
        """It refuses all zones but example.com."""
        self.silent = False
        """It takes connections and questions, and says nothing."""
        self.breaks_after: int | None = None
        """Messages of a transfer after which the connection ends."""
        self.claims: int | None = None
        """The serial that it tells who only asks."""
        self.asked: list[int] = []
        self.port = 0

    async def serve(self, task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        await trio.serve_listeners(self.converse, listeners, task_status=task_status)

    async def converse(self, stream: trio.SocketStream) -> None:
        received = bytearray()
        with contextlib.suppress(trio.BrokenResourceError):
            while data := await stream.receive_some():
                received += data
                while len(received) >= 2 and len(received) >= 2 + int.from_bytes(received[:2], "big"):
                    end = 2 + int.from_bytes(received[:2], "big")
                    packet = bytes(received[2:end])
                    del received[:end]
                    if not await self.reply(stream, packet):
                        await stream.aclose()
                        return

    async def reply(self, stream: trio.SocketStream, packet: bytes) -> bool:
        message = parse_message_untrusted(packet)
        self.asked.append(message.rrtype)
        if self.silent:
            return True
        signer = None
        if self.signs:
            assert message.signature is not None
            now = message.signature.time
            signer = verify_request_untrusted(packet, message.signature, {KEY.name: KEY}, now)
        own = soa(self.serial, self.timers)
        if message.rrtype == SOA:
            records = [soa(self.serial if self.claims is None else self.claims, self.timers)]
        elif (
            message.rrtype == IXFR
            and (serial := int.from_bytes(message.authorities[0].rdata[-20:-16], "big")) in self.changes
        ):
            records = [own, *self.changes[serial], own]
        else:
            records = [own, NS_RECORD, *self.whole, own]
        for number, data in enumerate(records):
            if message.rrtype != SOA and number == self.breaks_after:
                return False
            head = packet[:2] + b"\x84\0\0\1\0\1\0\0\0\0" + message.question
            refused = self.refuses or (self.refuses_others and message.name != APEX)
            answer = render_error(packet, REFUSED, message.question) if refused else head + data
            if signer is not None and (self.signs_last or message.rrtype == SOA or number < len(records) - 1):
                answer = signer.sign(answer, now)
            await stream.send_all(len(answer).to_bytes(2, "big") + answer)
        return True


class Stage:
    """A refresher, a store and two primaries."""

    def __init__(self, folder: Path, store: Store, nursery: trio.Nursery) -> None:
        self.folder, self.store = folder, store
        self.statuses: list[SecondaryStatus] = []
        self.members: list[bytes] = []
        self.first, self.second = Primary(), Primary()
        self.refresher = Refresher(store, nursery, lambda: 0.0, self.hear)
        self.nursery = nursery

    def hear(self, news: FromSecondaries) -> None:
        if isinstance(news, SecondaryStatus):
            self.statuses.append(news)
        elif isinstance(news, Members):
            self.members = [zone.name for zone in news.zones]

    def start(self, more: str = "", *, both: bool = False, key: str = "", after: str = "") -> None:
        primaries = [self.first, self.second] if both else [self.first]
        listed = ", ".join(f'"127.0.0.1:{primary.port}{key and " key:" + key}"' for primary in primaries)
        text = f'{more}[[zone]]\nname = "example.com"\nprimaries = [{listed}]\n{after}'
        text += f'[[key]]\nname = "{key}"\nsecret = "c2VjcmV0"\n' if key else ""
        settings = parse_settings(SERVER + text, self.folder / "waypost.toml")
        stage_zones(settings, self.store, 1000.0)()
        self.refresher.replace(settings, [KEY])

    @property
    def status(self) -> SecondaryStatus:
        return self.statuses[-1]

    async def until(self, look: Callable[[SecondaryStatus], bool]) -> None:
        await until(lambda: bool(self.statuses) and look(self.status))

    async def refreshed(self) -> None:
        """Let a NOTIFY come and be acted on."""
        before = len(self.statuses)
        self.refresher.notify(APEX)
        await until(lambda: len(self.statuses) > before)

    def addresses(self) -> dict[str, list[str]]:
        """Owner to addresses, of what is served; nothing if nothing is answered."""
        reader = StoreReader(self.store)
        with snapshot(reader):
            zone = reader.zones[APEX]
            if zone.expired:
                return {}
            return {
                key[:-1].decode(): sorted(rdatas(node, 1)) for key, node in reader.walk(zone) if key and b"\0\1" in node
            }


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(refresh_module, "NOTIFY_PAUSE", 0.0)
    monkeypatch.setattr(refresh_module, "FIRST_RETRY", 0.02)
    monkeypatch.setattr(timers_module, "SHORTEST", 0.02)
    with opened_store(tmp_path / "zones") as store, trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:  # whose threads have ended when the store is closed
            made = Stage(tmp_path, store, nursery)
            for primary in (made.first, made.second):
                await nursery.start(primary.serve)
            yield made
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("key", ["", "xfr"])
async def test_all_of_it_then_changes(stage: Stage, key: str) -> None:
    first = stage.first
    first.signs = bool(key)
    stage.start(key=key)
    await stage.until(lambda status: status.serial == 1)
    assert stage.addresses() == {"www": ["192.0.2.1"]}
    first.serial, first.changes = 2, {1: [soa(1), record("www", 1), soa(2), record("www", 2), record("new", 3)]}
    await stage.refreshed()
    assert stage.status.serial == 2
    assert stage.addresses() == {"www": ["192.0.2.2"], "new": ["192.0.2.3"]}
    first.serial, first.changes = 3, {2: [soa(2), record("new", 3), soa(3)]}
    await stage.refreshed()
    assert stage.addresses() == {"www": ["192.0.2.2"]}
    assert first.asked == [SOA, AXFR, SOA, IXFR, SOA, IXFR]
    assert (stage.status.error, stage.status.expired) == ("", False)
    assert stage.status.last_check is not None
    assert stage.status.expires == stage.status.last_check + stage.first.timers[2]
    await stage.refreshed()
    assert first.asked[-1] == SOA, "nothing new: nothing transferred"


async def test_an_incremental_transfer_may_be_all_of_it(stage: Stage) -> None:
    stage.start()
    await stage.until(lambda status: status.serial == 1)
    stage.first.serial, stage.first.whole = 5, [record("other", 9)]
    await stage.refreshed()
    assert stage.addresses() == {"other": ["192.0.2.9"]}
    assert stage.first.asked[-1] == IXFR


async def test_changes_that_do_not_fit_lead_to_all_of_it(stage: Stage) -> None:
    stage.start()
    await stage.until(lambda status: status.serial == 1)
    stage.first.serial, stage.first.whole = 2, [record("www", 7)]
    stage.first.changes = {1: [soa(1), record("www", 200), soa(2), record("www", 7)]}
    await stage.refreshed()
    assert stage.addresses() == {"www": ["192.0.2.7"]}
    assert stage.first.asked[-2:] == [IXFR, AXFR]


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("key", ["", "xfr"])
async def test_half_a_transfer_changes_nothing(stage: Stage, after: int, key: str) -> None:
    stage.first.signs = bool(key)
    stage.start(key=key)
    await stage.until(lambda status: status.serial == 1)
    before = stage.addresses()
    stage.first.serial, stage.first.whole, stage.first.breaks_after = 2, [record("www", 7), record("b", 8)], after
    await stage.refreshed()
    assert stage.status.serial == 1
    assert "127.0.0.1" in stage.status.error
    assert stage.addresses() == before
    stage.first.breaks_after = None
    await stage.refreshed()
    assert stage.addresses() == {"www": ["192.0.2.7"], "b": ["192.0.2.8"]}
    assert stage.status.error == ""


class TestCatalogs:
    """The first primary has the catalog, and the second one the members."""

    @pytest.fixture
    async def catalog(self, stage: Stage) -> Stage:
        stage.first.whole = [VERSION, listed("a", "net"), listed("b", "org")]
        text = (
            f'catalog = "consumer"\n[zone.members]\nprimaries = ["127.0.0.1:{stage.second.port}"]\n'
            '[[zone]]\nname = "org"\nnameservers = ["ns.example.net"]\n'
        )
        stage.start(after=text)
        await until(lambda: transferred(stage, b"\3net\0"))
        return stage

    async def test_members_come_and_go(self, catalog: Stage, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        assert catalog.members == [b"\3net\0"]
        assert "refused: org. in the catalog example.com. is a zone of the configuration" in caplog.text
        catalog.first.serial, catalog.first.whole = 2, [VERSION, listed("a", "de"), listed("b", "org")]
        catalog.refresher.notify(APEX)
        await until(lambda: transferred(catalog, b"\2de\0"))
        assert catalog.members == [b"\2de\0"]
        assert caplog.text.count("is gone") == caplog.text.count("zone net. is gone: no catalog lists it any more") == 1
        assert catalog.store.find_zone(b"\3net\0") is None
        assert catalog.store.read_timers(b"\3net\0") is None
        assert catalog.store.find_zone(b"\3org\0") is not None, "it is none of the members"
        assert IXFR not in catalog.first.asked
        assert caplog.text.count("refused") == 1

    @pytest.mark.parametrize("whole", [[], [b"\7version\xc0\x0c\0\x10\0\1\0\0\0\0\0\2\x011"]])
    async def test_a_broken_one_changes_nothing(self, catalog: Stage, whole: Records) -> None:
        catalog.first.serial, catalog.first.whole = 2, whole
        catalog.refresher.notify(APEX)
        await catalog.until(lambda status: "a broken catalog" in status.error)
        assert catalog.members == [b"\3net\0"]
        assert transferred(catalog, b"\3net\0")
        served = catalog.store.find_zone(APEX)
        assert served is not None
        assert served.serial == 1

    async def test_a_new_label_lets_a_zone_begin_anew(self, catalog: Stage) -> None:
        catalog.second.serial = 0  # older than ours: a zone that does not begin anew would not take it
        catalog.first.serial, catalog.first.whole = 2, [VERSION, listed("c", "net")]
        catalog.refresher.notify(APEX)
        await until(lambda: transferred(catalog, b"\3net\0", 0))

    @pytest.mark.parametrize("label", ["a", "b"])
    async def test_a_member_moves_to_another_catalog(
        self, stage: Stage, caplog: pytest.LogCaptureFixture, label: str
    ) -> None:
        """The second primary has the old catalog, the first one the new; each has the zone as well."""
        old, net = b"\3old\0", b"\3net\0"
        stage.second.serial, stage.second.whole = 7, [VERSION, listed("a", "net")]
        stage.first.whole = [VERSION]
        second = f'catalog = "consumer"\nprimaries = ["127.0.0.1:{stage.second.port}"]\n'
        stage.start(after=f'catalog = "consumer"\n[[zone]]\nname = "old"\n{second}')
        await until(lambda: transferred(stage, net, 7) and transferred(stage, APEX))

        async def change(primary: Primary, apex: bytes, serial: int, *records: bytes) -> None:
            primary.serial, primary.whole = serial, [VERSION, *records]
            stage.refresher.notify(apex)
            await until(lambda: transferred(stage, apex, serial))

        def owner() -> bytes:
            assert stage.members == [net]
            return read_owner(ZoneWriter(stage.store), net)

        await change(stage.first, APEX, 2, listed(label, "net"))
        assert "refused: net. in the catalog example.com. is a member of old." in caplog.text
        assert owner() == old
        await change(stage.second, old, 8, listed("a", "net"), moving("a", APEX))
        assert owner() == old, "the new one has not come again yet"
        stage.first.refuses_others = True
        await change(stage.first, APEX, 3, listed(label, "net"))
        assert owner() == APEX
        zone = stage.store.find_zone(net)
        assert zone is not None
        assert zone.expired is (label == "b"), "with another label, it begins anew"
        stage.first.refuses_others = False
        await change(stage.second, old, 9)
        assert owner() == APEX
        stage.first.serial = 20
        stage.refresher.notify(net)
        await until(lambda: transferred(stage, net, 20))

    async def test_a_restart_knows_them(self, catalog: Stage) -> None:
        catalog.first.refuses = True
        again = Refresher(catalog.store, catalog.nursery, lambda: 0.0, catalog.hear)
        catalog.members = []
        again.replace(catalog.refresher.settings, [KEY])
        assert catalog.members == [b"\3net\0"]

    async def test_who_is_just_configured_is_not_touched(self, catalog: Stage) -> None:
        """The zones are those of a new configuration already, of which the refresher has not been told yet."""
        settings = catalog.refresher.settings
        net = Zone(b"\3net\0", nameservers=(b"\2ns\0",))
        stage_zones(msgspec.structs.replace(settings, zones=(*settings.zones, net)), catalog.store, 1000.0)()
        catalog.first.serial, catalog.first.whole = 2, [VERSION]
        catalog.refresher.notify(APEX)
        await catalog.until(lambda status: "just being changed" in status.error)
        assert catalog.store.find_zone(b"\3net\0") is not None


class TestPrimariesThatLie:
    async def test_about_a_newer_serial(self, stage: Stage) -> None:
        stage.start()
        await stage.until(lambda status: status.serial == 1)
        stage.first.claims, stage.first.whole = 9, [record("www", 66)]
        await stage.refreshed()
        assert "not newer" in stage.status.error
        assert stage.addresses() == {"www": ["192.0.2.1"]}

    async def test_with_an_older_one(self, stage: Stage) -> None:
        stage.first.serial = 5
        stage.start()
        await stage.until(lambda status: status.serial == 5)
        stage.first.serial, stage.first.whole = 4, [record("www", 66)]
        await stage.refreshed()
        assert "older" in stage.status.error
        assert stage.addresses() == {"www": ["192.0.2.1"]}

    @pytest.mark.parametrize(
        "bad", [record("www", 1).replace(b"\xc0\x0c", b"\3org\0"), b"\xc0\x0c\0\5\0\1\0\0\0\0\0\1\0"]
    )
    async def test_with_what_cannot_be_in_the_zone(self, stage: Stage, bad: bytes) -> None:
        stage.first.whole = [record("www", 1), bad]
        stage.start()
        await stage.until(lambda status: bool(status.error))
        assert stage.addresses() == {}
        assert stage.status.serial is None

    @pytest.mark.parametrize(
        "changes",
        [
            [soa(9), record("www", 1), soa(2), record("www", 66)],
            [soa(1), record("www", 1), soa(3), record("www", 66)],
            [soa(1), record("www", 1), soa(2), record("www", 66), soa(3), soa(4)],
            [soa(1), record("www", 1), soa(1), record("www", 66), soa(1), soa(2)],
        ],
    )
    async def test_about_the_way_to_a_serial(self, stage: Stage, changes: Records) -> None:
        stage.start()
        await stage.until(lambda status: status.serial == 1)
        stage.first.serial, stage.first.whole, stage.first.changes = 2, [record("www", 2)], {1: changes}
        await stage.refreshed()
        assert stage.addresses() == {"www": ["192.0.2.2"]}
        assert stage.first.asked[-2:] == [IXFR, AXFR]

    async def test_with_one_between_ours_and_what_it_tells(self, stage: Stage) -> None:
        """As of several servers behind one address: newer than ours is good."""
        stage.start()
        await stage.until(lambda status: status.serial == 1)
        stage.first.serial, stage.first.claims, stage.first.whole = 5, 9, [record("www", 5)]
        await stage.refreshed()
        assert (stage.status.serial, stage.status.error) == (5, "")

    @pytest.mark.parametrize(("old", "new"), [(2**32 - 1, 0), (2**32 - 5, 2**31 - 6), (2**31 + 5, 3)])
    async def test_not_where_serials_wrap(self, stage: Stage, old: int, new: int) -> None:
        """RFC 1982 section 3.2; half a round is neither newer nor older."""
        stage.first.serial = old
        stage.start()
        await stage.until(lambda status: status.serial == old)
        stage.first.serial, stage.first.changes = new, {old: [soa(old), soa(new), record("new", 1)]}
        await stage.refreshed()
        assert (stage.status.serial, "new" in stage.addresses()) == (new, True)
        stage.first.serial = (new + 2**31) % 2**32
        await stage.refreshed()
        assert stage.status.serial == new
        assert "older" in stage.status.error

    async def test_without_a_signature_at_the_end(self, stage: Stage) -> None:
        stage.first.signs, stage.first.signs_last = True, False
        stage.start(key="xfr")
        await stage.until(lambda status: bool(status.error))
        assert "the end of the reply is not signed" in stage.status.error
        assert stage.addresses() == {}

    async def test_without_the_signature(self, stage: Stage) -> None:
        stage.start(key="xfr")
        await stage.until(lambda status: bool(status.error))
        assert "signature" in stage.status.error
        assert stage.addresses() == {}


async def test_the_next_primary_when_one_is_bad(stage: Stage) -> None:
    stage.first.refuses = True
    stage.second.whole = [record("www", 2)]
    stage.start(both=True)
    await stage.until(lambda status: status.serial == 1)
    assert stage.addresses() == {"www": ["192.0.2.2"]}
    assert stage.status.error == ""
    stage.second.refuses = True
    await stage.refreshed()
    refused = "the server answers REFUSED to the question for the SOA"
    # In the order of the configuration, whoever was asked first.
    expected = "; ".join(f"127.0.0.1:{primary.port}: {refused}" for primary in (stage.first, stage.second))
    assert stage.status.error == expected
    stage.first.silent, stage.first.refuses = True, False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refresh_module, "TRANSFER_TIME", 0.01)
        await stage.refreshed()  # the first one is silent from now on, and asked last
        await stage.refreshed()
    assert stage.status.error == expected.replace(refused, "no answer in time", 1)


async def test_why_there_is_no_connection_is_said_plainly(stage: Stage) -> None:
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    stage.first.port = listener[0].socket.getsockname()[1]
    await listener[0].aclose()
    stage.start()
    await stage.until(lambda status: bool(status.error))
    assert stage.status.error == f"127.0.0.1:{stage.first.port}: Connection refused"


async def test_it_is_tried_again_and_again(stage: Stage) -> None:
    stage.first.refuses = True
    stage.start()
    await until(lambda: len(stage.first.asked) >= 4)
    stage.first.refuses = False
    await stage.until(lambda status: status.serial == 1)
    assert stage.addresses()


async def test_a_reload_tries_again_what_has_failed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_module, "FIRST_RETRY", 100.0)
    stage.first.refuses = True
    stage.start()
    await stage.until(lambda status: bool(status.error))
    for _ in range(5):
        asked = len(stage.first.asked)
        stage.start()
        await until(lambda: len(stage.first.asked) > asked)  # noqa: B023
        await stage.until(lambda status: 0 < status.next_try - time.time() <= 100)
    stage.first.refuses = False
    stage.start()
    await stage.until(lambda status: status.serial == 1)


async def test_a_zone_expires_and_comes_back_without_a_transfer(stage: Stage) -> None:
    stage.first.timers = (0, 0, 1)
    stage.start()
    await stage.until(lambda status: status.serial == 1)
    stage.first.refuses = True
    await stage.until(lambda status: status.expired)
    assert stage.addresses() == {}
    assert stage.status.serial == 1
    stage.first.refuses = False
    await stage.until(lambda status: not status.expired)
    assert stage.addresses() == {"www": ["192.0.2.1"]}
    assert stage.first.asked.count(AXFR) == 1


async def test_a_restart_knows_when_it_is_due(stage: Stage) -> None:
    stage.start()
    await stage.until(lambda status: status.serial == 1)
    asked, last_check = len(stage.first.asked), stage.status.last_check
    again = Refresher(stage.store, stage.nursery, lambda: 0.0, stage.hear)
    settings = parse_settings(
        SERVER + f'[[zone]]\nname = "example.com"\nprimaries = ["127.0.0.1:{stage.first.port}"]\n',
        stage.folder / "waypost.toml",
    )
    before = len(stage.statuses)
    again.replace(settings, [])
    await until(lambda: len(stage.statuses) > before)
    assert (stage.status.serial, stage.status.last_check) == (1, last_check)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert len(stage.first.asked) == asked, "it is not due yet"


class TestPrimariesThatAreSilent:
    MORE = 2 * PER_PRIMARY

    def more(self, *primaries: Primary) -> str:
        """So many zones of these."""
        peers = ", ".join(f'"127.0.0.1:{primary.port}"' for primary in primaries)
        return "".join(f'[[zone]]\nname = "z{each}"\nprimaries = [{peers}]\n' for each in range(self.MORE))

    async def test_zones_of_others_do_not_wait(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(refresh_module, "ANSWER_TIME", DEADLINE)
        stage.second.silent = True
        stage.start(self.more(stage.second))
        await until(lambda: len(stage.second.asked) == PER_PRIMARY)
        await until(lambda: transferred(stage, APEX))

    async def test_who_has_another_primary_asks_that_first(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(refresh_module, "ANSWER_TIME", 2.0)
        stage.second.silent = True
        stage.start(self.more(stage.second, stage.first))
        await until(lambda: all(transferred(stage, b"%cz%d\0" % (len(f"z{n}"), n)) for n in range(self.MORE)))
        assert len(stage.second.asked) == PER_PRIMARY, "who waits for it meanwhile does not ask it"

    async def test_a_zone_that_waits_for_its_turn_expires(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        stage.first.timers = (0, 0, 1)
        stage.start()
        await stage.until(lambda status: status.serial == 1)
        monkeypatch.setattr(refresh_module, "ANSWER_TIME", DEADLINE)
        stage.first.silent = True
        await until(lambda: not stage.addresses())


async def test_a_flood_of_notify_is_one_comparison(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.start()
    await stage.until(lambda status: status.serial == 1)
    monkeypatch.setattr(refresh_module, "NOTIFY_PAUSE", DEADLINE)
    stage.refresher._zones[APEX]._compared = -DEADLINE  # a long time ago
    asked, told = len(stage.first.asked), len(stage.statuses)
    for _ in range(1000):
        stage.refresher.notify(APEX)
        await trio.lowlevel.checkpoint()
    await until(lambda: len(stage.first.asked) > asked)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert len(stage.first.asked) == asked + 1
    assert len(stage.statuses) == told + 1


class Clock:
    """The time of day, as it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.set_by = 0.0
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + self.set_by)
        monkeypatch.setattr(refresh_module, "CLOCK_INTERVAL", 0.01)


YEAR = 365 * 86400.0


class TestClocksThatAreSet:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        return Clock(monkeypatch)

    @pytest.mark.parametrize("years", [56, -56])
    async def test_what_was_just_compared_is_just_compared(self, clock: Clock, stage: Stage, years: int) -> None:
        stage.start()
        await stage.until(lambda status: status.serial == 1)
        stage.first.refuses = True
        clock.set_by = years * YEAR
        await stage.until(lambda status: bool(status.error))
        assert not stage.status.expired
        assert stage.addresses()
        assert stage.status.last_check is not None
        assert abs(stage.status.last_check - time.time()) < DEADLINE

    @pytest.mark.parametrize(("days", "expired"), [(2, True), (0.5, False)])
    async def test_a_clock_that_is_set_after_the_start(
        self, clock: Clock, stage: Stage, days: float, expired: bool
    ) -> None:
        """What an earlier process has kept was noted by a good clock."""
        stage.start()
        await stage.until(lambda status: status.serial == 1)
        stage.refresher._zones[APEX].scope.cancel()
        now = time.time()
        timers = Timers(now - days * 86400, now - days * 86400, now - days * 86400)
        stage.store.note_timers(APEX, msgspec.msgpack.encode(timers), expired=False)
        stage.first.refuses = True
        stage.statuses.clear()
        clock.set_by = -now
        again = Refresher(stage.store, stage.nursery, lambda: 0.0, stage.hear)
        again.replace(stage.refresher.settings, [])
        await stage.until(lambda status: bool(status.error) or status.next_try > time.time())
        assert not stage.status.expired
        clock.set_by = 0
        await stage.until(lambda status: status.expired is expired and bool(status.error))


@pytest.mark.parametrize(
    ("timers", "expected"),
    [
        ((0, 0, 0), (1, 1, 2)),
        ((2**31, 2**32 - 1, 2**32 - 1), (LONGEST, LONGEST, LONGEST_EXPIRE)),
        ((3600, 600, 60), (3600, 600, 4200)),
        ((3600, 600, 86400), (3600, 600, 86400)),
    ],
)
def test_timers_count_within_bounds(timers: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    assert read_soa_timers(soa(1, timers)[12:]) == expected


async def test_what_expired_while_nothing_ran_is_not_answered_from(stage: Stage) -> None:
    stage.start()
    await stage.until(lambda status: status.serial == 1)
    stage_zones(stage.refresher.settings, stage.store, time.time() + 86000)()
    assert stage.addresses()
    stage_zones(stage.refresher.settings, stage.store, time.time() + 86400)()
    assert not stage.addresses()
    stage.refresher.replace(stage.refresher.settings, [KEY])
    await until(lambda: bool(stage.addresses()))
    assert stage.first.asked.count(AXFR) == 1


class TestFileInstead:
    """A zone that is from a file now."""

    def load(self, stage: Stage) -> Settings:
        (stage.folder / "com.zone").write_text("@ 60 SOA ns host 1 60 60 60 60\n@ 60 NS ns\nwww 60 A 192.0.2.9\n")
        text = SERVER + '[[zone]]\nname = "example.com"\nfile = "com.zone"\n'
        settings = parse_settings(text, stage.folder / "waypost.toml")
        stage_zones(settings, stage.store, 1000.0)()
        return settings

    async def test_when_it_gets_primaries_again_it_does_not_expire_at_once(self, stage: Stage) -> None:
        stage.start()
        await stage.until(lambda status: status.serial == 1)
        stage.store.note_timers(APEX, msgspec.msgpack.encode(Timers(1.0, 1.0)), expired=False)
        stage.refresher.replace(self.load(stage), [KEY])
        stage.first.refuses = True
        stage.start()
        await stage.until(lambda status: bool(status.error))
        assert stage.addresses() == {"www": ["192.0.2.9"]}

    async def test_what_has_not_heard_of_it_yet_does_not_let_it_expire(self, stage: Stage) -> None:
        stage.first.timers = (0, 0, 1)
        stage.start()
        await stage.until(lambda status: status.serial == 1)
        stage.first.refuses = True
        await stage.until(lambda status: status.expired)
        self.load(stage)
        await stage.refreshed()
        assert stage.addresses() == {"www": ["192.0.2.9"]}
        assert stage.store.read_timers(APEX) is None


def large(number: int) -> bytes:
    """A record that takes 60,000 octets."""
    return b"\4b%03d\xc0\x0c\xff\x00\0\1\0\0\0\0" % number + (60_000).to_bytes(2, "big") + bytes(60_000)


class TestFullDisks:
    @pytest.fixture
    async def stage(self, small_disk: Path, stage: Stage) -> Stage:
        """One with a store in a file system of 4 MiB."""
        assert small_disk in stage.store.directory.parents
        return stage

    @pytest.mark.parametrize("megabytes", [2.5, 6])
    async def test_nothing_is_lost_and_it_goes_on_when_there_is_room(
        self, stage: Stage, caplog: pytest.LogCaptureFixture, megabytes: float
    ) -> None:
        """Whether there is no room for what comes, or none for the zone that it makes."""
        stage.start()
        await stage.until(lambda status: status.serial == 1)
        first = stage.first
        small = [record("www", 2)]
        first.serial, first.whole = 2, [*small, *map(large, range(int(megabytes * 1e6 / 60_000)))]
        await stage.refreshed()
        assert stage.status.serial == 1
        assert "MiB free" in stage.status.error
        assert str(stage.store.directory) in stage.status.error
        assert "MiB free" in caplog.text
        assert stage.addresses() == {"www": ["192.0.2.1"]}
        first.serial, first.whole = 3, small
        await stage.refreshed()
        assert stage.addresses() == {"www": ["192.0.2.2"]}
        assert stage.status.error == ""


async def test_a_zone_expires_though_that_cannot_be_kept(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again, but not all the time."""
    stage.first.timers = (0, 0, 1)
    stage.start()
    await stage.until(lambda status: status.serial == 1)

    def fail(_apex: bytes, _timers: bytes, *, expired: bool, **_others: object) -> None:
        raise StoreError(f"no space left for expired={expired}")

    with monkeypatch.context() as full:
        full.setattr(stage.store, "note_timers", fail)
        stage.first.refuses = True
        await until(lambda: "has expired" in caplog.text)
        asked = len(stage.first.asked)
        await trio.sleep(0.2)
        assert len(stage.first.asked) - asked < 10
        assert caplog.text.count("has expired") == 1
        assert "no space left for expired=True" in caplog.text
    await until(lambda: not stage.addresses())


class TestLoadBalancers:
    async def test_they_win_and_what_they_replace_is_not_forgotten(self, stage: Stage) -> None:
        steered = POOLS + balancer("www.example.com")
        stage.start(steered)
        await stage.until(lambda status: status.serial == 1)
        assert stage.addresses() == {"www": ["192.0.2.1", "192.0.2.2"]}
        stage.first.serial = 2
        stage.first.changes = {1: [soa(1), record("www", 1), soa(2), record("www", 77), record("b", 8)]}
        await stage.refreshed()
        assert stage.first.asked[-1] == IXFR
        assert stage.addresses() == {"www": ["192.0.2.1", "192.0.2.2"], "b": ["192.0.2.8"]}
        stage.start()
        assert stage.addresses() == {"www": ["192.0.2.77"], "b": ["192.0.2.8"]}
        with stage.store.environment.begin() as transaction:
            assert not transaction.stat(stage.store.replaced)["entries"]
        stage.start(POOLS + balancer("b.example.com") + balancer("c.example.com"))
        assert stage.addresses() == {name: ["192.0.2.1", "192.0.2.2"] for name in "bc"} | {"www": ["192.0.2.77"]}
        stage.start()
        assert stage.addresses() == {"www": ["192.0.2.77"], "b": ["192.0.2.8"]}
