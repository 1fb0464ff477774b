"""What other servers get: transfers that dnspython takes, and a refusal for everybody who may not."""

import random
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.update
import dns.xfr
import dns.zone
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.later import Later
from steering.messages import Notified
from steering.peers import Peers, is_permitted, is_transfer_request, is_update
from steering.ratelimit import Decision
from steering.respond import respond, respond_update
from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.values import Permission
from steering.world import World, make_world
from steering.zones import transfer as transfer_module
from steering.zones.journal import PART_SIZE
from steering.zones.load import stage_zones
from steering.zones.store import Store, StoreReader, ZoneWriter
from steering.zones.transfer import Transfer
from steering.zones.tsig import Key, Signer
from tests.steering.support import FIRST, SERVER, HalvesMaps, opened_store
from tests.steering.zones.test_load import POOLS, balancer

NOW = 1_800_000_000
KEY = Key(b"\3xfr\0", "hmac-sha256", b"secret")
PEER_KEY = dns.tsig.Key("xfr.", b"secret", "hmac-sha256")
TRANSFERS = 'allow_transfer = ["192.0.2.1", "203.0.113.0/24 key:xfr"]\n[[key]]\nname = "xfr"\nsecret = "c2VjcmV0"\n'
FRIEND, SIGNING, STRANGER = "192.0.2.1", "203.0.113.9", "198.51.100.1"
SECONDARY = (
    '[[zone]]\nname = "example.net"\nprimaries = ["192.0.2.53", "192.0.2.54 key:xfr"]\nallow_notify = ["192.0.2.7"]\n'
)


class Stage:
    """A store, the world of a worker, and what control hears."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self.heard: list[Notified] = []
        self.refused: list[str] = []
        self.reader: StoreReader | None = None
        self.asked: list[tuple[bytes, str, Later]] = []
        self.control_is_there = True

    def load(self, serial: int, records: str, more: str = "", keys: str = TRANSFERS) -> World:
        text = f"$TTL 300\n@ SOA ns host {serial} 1 2 3 4\n@ NS ns.example.net.\n{records}\n"
        (self.folder / "com.zone").write_text(text)
        zone = f'[[zone]]\nname = "example.com"\nfile = "com.zone"\n{keys}'
        return self.world(parse_settings(SERVER + more + zone + SECONDARY, self.folder / "waypost.toml"))

    def world(self, settings: Settings) -> World:
        stage_zones(settings, self.store, NOW)()
        peers = Peers(self.store, settings.zones, [KEY], self.heard.append, self.ask_update, self.refused.append)
        return make_world(settings, StoreReader(self.store), HalvesMaps(), {}, peers=peers)

    def ask_update(self, packet: bytes, client: str, later: Later) -> bool:
        self.asked.append((packet, client, later))
        return self.control_is_there

    def transfer(self, world: World, request: dns.message.Message, client: str = FRIEND) -> list[bytes]:
        """Every message of the reply."""
        assert world.peers is not None
        packet = request.to_wire()
        assert is_transfer_request(packet)
        made = world.peers.open_transfer_untrusted(packet, client, NOW, world.zones)
        if not isinstance(made, Transfer):
            assert made is not None
            return [made]
        messages = []
        while (message := made.next_message(NOW)) is not None:
            messages.append(message)
        made.close()
        assert not made._open
        return messages

    def rcode(self, world: World, request: dns.message.Message, client: str) -> str:
        reply = dns.message.from_wire(self.transfer(world, request, client)[0], keyring=False)
        return dns.rcode.to_text(reply.rcode())


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr("time.time", lambda: float(NOW))
    with opened_store(tmp_path / "zones") as store:
        yield Stage(tmp_path, store)


def axfr() -> dns.message.Message:
    return dns.message.make_query("example.com", "AXFR", use_edns=0)


def ixfr(serial: int) -> dns.message.Message:
    request = dns.message.make_query("example.com", "IXFR")
    request.authority.append(
        dns.rrset.from_text("example.com.", 0, "IN", "SOA", f"ns.example.com. h. {serial} 0 0 0 0")
    )
    return request


def take(zone: dns.zone.Zone, messages: list[bytes], *, incremental: int | None = None, signed: bytes = b"") -> int:
    """Let dnspython apply a transfer; how many messages it had."""
    rdtype = dns.rdatatype.AXFR if incremental is None else dns.rdatatype.IXFR
    context = None
    with dns.xfr.Inbound(zone, rdtype, incremental) as inbound:
        done = False
        for message in messages:
            assert not done
            keyring = {PEER_KEY.name: PEER_KEY} if signed else None
            read = dns.message.from_wire(
                message,
                keyring=keyring,
                request_mac=signed,
                xfr=True,
                origin=zone.origin,
                tsig_ctx=context,
                multi=True,
                one_rr_per_rrset=incremental is not None,
            )
            context = read.tsig_ctx
            assert read.had_tsig == bool(signed)
            done = inbound.process_message(read)
        assert done
    return len(messages)


def empty() -> dns.zone.Zone:
    return dns.zone.Zone("example.com")


def zone_of(text: str) -> dns.zone.Zone:
    return dns.zone.from_text(text, "example.com", relativize=True)


RECORDS = "\n".join(f"h{number} A 192.0.2.{number % 256}\nh{number} TXT {'x' * 100}{number}" for number in range(2000))


class TestAxfr:
    def test_the_zone_is_whole(self, stage: Stage) -> None:
        world = stage.load(1, RECORDS + "\nsub NS ns.sub\nns.sub A 192.0.2.1\n*.w MX 5 a.b\n")
        zone = empty()
        count = take(zone, stage.transfer(world, axfr()))
        assert zone == zone_of((stage.folder / "com.zone").read_text())
        assert 10 < count < 100

    def test_no_message_is_large(self, stage: Stage) -> None:
        world = stage.load(1, RECORDS + "".join(f"\nbig TXT {'y' * 250}{number}" for number in range(200)))
        messages = stage.transfer(world, axfr())
        assert all(len(message) < PART_SIZE + 1000 for message in messages)
        take(empty(), messages)

    def test_a_record_that_is_larger_than_a_part(self, stage: Stage) -> None:
        strings = " ".join([f'"{"z" * 250}"'] * 60)
        world = stage.load(1, f"a A 192.0.2.1\nb TXT {strings}\nc A 192.0.2.1")
        zone = empty()
        take(zone, stage.transfer(world, axfr()))
        assert zone == zone_of((stage.folder / "com.zone").read_text())

    def test_steered_names_have_their_default_answers(self, stage: Stage) -> None:
        world = stage.load(1, "www A 192.0.2.77", POOLS + balancer("www.example.com"))
        zone = empty()
        take(zone, stage.transfer(world, axfr()))
        rdataset = zone.get_rdataset("www", "A")
        assert rdataset is not None
        assert sorted(rdata.to_text() for rdata in rdataset) == ["192.0.2.1", "192.0.2.2"]

    def test_it_is_of_one_version_whatever_happens_meanwhile(self, stage: Stage) -> None:
        world = stage.load(1, RECORDS)
        before = zone_of((stage.folder / "com.zone").read_text())
        assert world.peers is not None
        made = world.peers.open_transfer_untrusted(axfr().to_wire(), FRIEND, NOW, world.zones)
        assert isinstance(made, Transfer)
        messages = [made.next_message(NOW)]
        stage.load(2, "a A 192.0.2.1")
        while messages[-1] is not None:
            messages.append(made.next_message(NOW))
        made.close()
        zone = empty()
        take(zone, [message for message in messages if message is not None])
        assert zone == before

    def test_so_many_at_a_time(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transfer_module, "OPEN_LIMIT", 1)
        world = stage.load(1, RECORDS)
        assert world.peers is not None
        first = world.peers.open_transfer_untrusted(axfr().to_wire(), FRIEND, NOW, world.zones)
        assert isinstance(first, Transfer)
        assert stage.rcode(world, axfr(), FRIEND) == "SERVFAIL"
        first.close()
        assert stage.rcode(world, axfr(), FRIEND) == "NOERROR"


class TestIxfr:
    def test_every_change(self, stage: Stage) -> None:
        dice = random.Random(7)
        zone = empty()
        take(zone, stage.transfer(stage.load(1, "a TXT 1"), axfr()))
        for serial in range(2, 40):
            lines = [f"n{number} TXT {dice.randrange(3)}" for number in range(30) if dice.random() < 0.7]
            world = stage.load(serial, "\n".join(lines))
            if dice.random() < 0.5:
                have = zone.get_soa().serial
                take(zone, stage.transfer(world, ixfr(have)), incremental=have)
                assert zone == zone_of((stage.folder / "com.zone").read_text())

    def test_who_is_current_gets_the_soa(self, stage: Stage) -> None:
        world = stage.load(5, "a TXT 1")
        for serial in (5, 6, 100):
            (message,) = stage.transfer(world, ixfr(serial))
            read = dns.message.from_wire(message, one_rr_per_rrset=True)
            assert [rrset.rdtype for rrset in read.answer] == [dns.rdatatype.SOA]

    def test_who_is_older_than_the_journal_gets_all(self, stage: Stage) -> None:
        stage.load(5, "a TXT 1")
        world = stage.load(6, "a TXT 2")
        zone = empty()
        take(zone, stage.transfer(world, ixfr(3)), incremental=3)
        assert zone == zone_of((stage.folder / "com.zone").read_text())

    def test_without_a_serial_it_is_a_format_error(self, stage: Stage) -> None:
        world = stage.load(5, "a TXT 1")
        assert stage.rcode(world, dns.message.make_query("example.com", "IXFR"), FRIEND) == "FORMERR"

    def test_over_udp_when_it_fits(self, stage: Stage) -> None:
        stage.load(5, "a TXT 1\nb TXT 1")
        world = stage.load(6, "a TXT 2\nb TXT 1")
        reply = ask(world, ixfr(5))
        assert len(reply.answer) == 6
        world = stage.load(7, RECORDS)
        reply = ask(world, ixfr(5))
        assert [rrset.rdtype for rrset in reply.answer] == [dns.rdatatype.SOA]
        assert reply.answer[0][0].serial == 7
        assert ask(world, ixfr(5), STRANGER).rcode() == dns.rcode.REFUSED

    def test_a_zone_that_goes_at_that_moment(self, stage: Stage) -> None:
        world = stage.load(5, "a TXT 1")
        world.zones.begin()
        ZoneWriter(world.zones.store).publish(removed=[b"\7example\3com\0"])
        reply = respond(ixfr(4).to_wire(), FRIEND, False, NOW, lambda: FIRST, world)
        world.zones.end()
        assert reply is not None
        assert dns.message.from_wire(reply).rcode() == dns.rcode.SERVFAIL


def ask(world: World, request: dns.message.Message, client: str = FRIEND, **signed: object) -> dns.message.Message:
    """A reply over UDP."""
    world.zones.begin()
    try:
        packet = respond(request.to_wire(), client, False, NOW, lambda: FIRST, world)
    finally:
        world.zones.end()
    assert packet is not None
    return dns.message.from_wire(packet, one_rr_per_rrset=True, **signed)  # type: ignore[arg-type] # keywords of the test


def signed(request: dns.message.Message, key: dns.tsig.Key = PEER_KEY) -> dns.message.Message:
    request.use_tsig(key)
    return request


class TestKeys:
    def test_a_signed_transfer(self, stage: Stage) -> None:
        world = stage.load(1, RECORDS)
        request = signed(axfr())
        messages = stage.transfer(world, request, SIGNING)
        assert request.mac is not None
        zone = empty()
        assert take(zone, messages, signed=request.mac) > 10
        assert zone == zone_of((stage.folder / "com.zone").read_text())

    @pytest.mark.parametrize(
        ("client", "sign", "rcode"),
        [
            (FRIEND, False, "NOERROR"),
            (FRIEND, True, "NOERROR"),
            (SIGNING, True, "NOERROR"),
            (SIGNING, False, "REFUSED"),
            (STRANGER, False, "REFUSED"),
            (STRANGER, True, "REFUSED"),
        ],
    )
    def test_who_may(self, stage: Stage, client: str, sign: bool, rcode: str) -> None:
        world = stage.load(1, "a TXT 1")
        for make in (axfr, lambda: ixfr(0)):
            assert stage.rcode(world, signed(make()) if sign else make(), client) == rcode
        how = "signed by xfr." if sign else "not signed"
        told = f"{client}, {how}: a transfer of example.com.: allow_transfer has no such entry"
        assert stage.refused == ([] if rcode == "NOERROR" else 2 * [told])

    def test_nobody_by_default(self, stage: Stage) -> None:
        world = stage.load(
            1, "a TXT 1", keys='notify = ["192.0.2.1 key:xfr"]\n[[key]]\nname = "xfr"\nsecret = "c2VjcmV0"\n'
        )
        assert stage.rcode(world, axfr(), FRIEND) == "REFUSED"
        assert stage.rcode(world, signed(axfr()), FRIEND) == "REFUSED"

    def test_a_bad_key(self, stage: Stage) -> None:
        world = stage.load(1, "a TXT 1")
        wrong = signed(axfr(), dns.tsig.Key("xfr.", b"another", "hmac-sha256"))
        assert stage.rcode(world, wrong, SIGNING) == "NOTAUTH"
        assert len(stage.refused) == 1
        assert stage.refused[0].startswith(f"{SIGNING}, signed by xfr.: BADSIG")

    def test_zones_that_are_not_there(self, stage: Stage) -> None:
        world = stage.load(1, "a TXT 1")
        for name, rcode in (("example.org", "NOTAUTH"), ("a.example.com", "NOTAUTH"), ("example.net", "REFUSED")):
            assert stage.rcode(world, dns.message.make_query(name, "AXFR"), FRIEND) == rcode

    def test_a_signed_question_gets_a_signed_answer(self, stage: Stage) -> None:
        world = stage.load(1, f"a TXT {'x' * 200}" + "".join(f"\nbig TXT {'x' * 200}{number}" for number in range(10)))
        for name in ("a", "big", "none"):
            for edns in (0, -1):
                request = signed(dns.message.make_query(f"{name}.example.com", "TXT", use_edns=edns))
                packet = respond_wire(world, request)
                read = dns.message.from_wire(packet, keyring={PEER_KEY.name: PEER_KEY}, request_mac=request.mac)
                assert read.had_tsig
                assert len(packet) <= (1232 if edns == 0 else 512)
                assert bool(read.flags & dns.flags.TC) == (name == "big")
                assert read.question == request.question

    def test_the_rate_limit_counts_what_is_refused(self, stage: Stage) -> None:
        world = stage.load(1, "a TXT 1")
        asked: list[bytes] = []

        def limit(client: str, kind: bytes, now: float) -> Decision:  # noqa: ARG001 # the form of a limit
            asked.append(kind)
            return Decision.DROP

        world = msgspec.structs.replace(world, limit=limit)
        wrong = signed(dns.message.make_query("example.com", "SOA"), dns.tsig.Key("xfr.", b"another", "hmac-sha256"))
        assert respond(wrong.to_wire(), STRANGER, False, NOW, lambda: FIRST, world) is None
        assert asked
        request = signed(dns.message.make_query("example.com", "SOA"))
        assert respond_wire(world, request)


def respond_wire(world: World, request: dns.message.Message) -> bytes:
    world.zones.begin()
    try:
        packet = respond(request.to_wire(), STRANGER, False, NOW, lambda: FIRST, world)
    finally:
        world.zones.end()
    assert packet is not None
    return packet


def notify(name: str = "example.net") -> dns.message.Message:
    request = dns.message.make_query(name, "SOA")
    request.set_opcode(dns.opcode.NOTIFY)
    return request


class TestNotify:
    @pytest.mark.parametrize(
        ("client", "sign", "rcode"),
        [
            ("192.0.2.53", False, "NOERROR"),
            ("192.0.2.53", True, "NOERROR"),
            ("192.0.2.7", False, "NOERROR"),
            ("192.0.2.54", True, "NOERROR"),
            ("192.0.2.54", False, "REFUSED"),
            (STRANGER, False, "REFUSED"),
            (STRANGER, True, "REFUSED"),
        ],
    )
    def test_from_whom(self, stage: Stage, client: str, sign: bool, rcode: str) -> None:
        world = stage.load(1, "a TXT 1")
        reply = ask(world, signed(notify()) if sign else notify(), client, keyring=False)
        assert dns.rcode.to_text(reply.rcode()) == rcode
        assert reply.opcode() == dns.opcode.NOTIFY
        assert stage.heard == ([Notified(b"\7example\3net\0", client)] if rcode == "NOERROR" else [])
        assert len(stage.refused) == (rcode != "NOERROR")

    @pytest.mark.parametrize("name", ["example.com", "example.org", "a.example.net"])
    def test_for_what_is_no_secondary_zone(self, stage: Stage, name: str) -> None:
        world = stage.load(1, "a TXT 1")
        assert ask(world, notify(name), "192.0.2.53").rcode() == dns.rcode.NOTAUTH
        assert not stage.heard


UPDATES = (
    'allow_update = [{ key = "xfr", names = ["_acme-challenge.**"], types = ["TXT"] }, '
    '{ key = "xfr", names = ["*.dyn.example.com"], network = "192.0.2.0/24" }]\n'
    '[[key]]\nname = "xfr"\nsecret = "c2VjcmV0"\n'
)
ACME = "_acme-challenge.example.com."


def update(owner: str = ACME, rrtype: str = "TXT", data: str = "x", zone: str = "example.com") -> dns.message.Message:
    request = dns.update.UpdateMessage(zone)
    request.add(dns.name.from_text(owner), 60, rrtype, data)
    return request


def reply_to_update(world: World, packet: bytes, client: str = FRIEND) -> bytes | Later | None:
    assert is_update(packet)
    world.zones.begin()
    try:
        return respond_update(packet, client, False, NOW, world)
    finally:
        world.zones.end()


class TestUpdate:
    def rcode(self, stage: Stage, world: World, request: dns.message.Message, client: str = FRIEND) -> str:
        """Of the reply that comes at once; "" if control is asked."""
        before = len(stage.asked)
        reply = reply_to_update(world, request.to_wire(), client)
        if isinstance(reply, Later):
            assert stage.asked[before:] == [(request.to_wire(), client, reply)]
            return ""
        assert reply is not None
        read = dns.message.from_wire(reply, keyring=False)
        assert (read.id, read.opcode()) == (request.id, dns.opcode.UPDATE)
        return dns.rcode.to_text(read.rcode())

    def test_who_may_update_what(self, stage: Stage) -> None:
        world = stage.load(1, "a TXT 1", keys=UPDATES)
        assert self.rcode(stage, world, signed(update())) == ""
        assert self.rcode(stage, world, signed(update()), STRANGER) == ""
        assert self.rcode(stage, world, update()) == "REFUSED"
        assert self.rcode(stage, world, signed(update(), dns.tsig.Key("xfr.", b"another", "hmac-sha256"))) == "NOTAUTH"
        assert self.rcode(stage, world, signed(update("a.example.com."))) == "REFUSED"
        assert self.rcode(stage, world, signed(update(rrtype="A", data="192.0.2.1"))) == "REFUSED"
        dynamic = signed(update("a.dyn.example.com.", "A", "192.0.2.1"))
        assert self.rcode(stage, world, dynamic) == ""
        assert self.rcode(stage, world, dynamic, STRANGER) == "REFUSED"
        told = "signed by xfr.: an update of example.com.: allow_update has no entry for"
        assert stage.refused[-3:] == [
            f"{FRIEND}, {told} a.example.com. TXT",
            f"{FRIEND}, {told} _acme-challenge.example.com. A",
            f"{STRANGER}, {told} a.dyn.example.com. A",
        ]

    def test_every_record_must_be_allowed(self, stage: Stage) -> None:
        world = stage.load(1, "a TXT 1", keys=UPDATES)
        request = dns.update.UpdateMessage("example.com")
        request.add("_acme-challenge", 60, "TXT", "x")
        request.delete("a")
        assert self.rcode(stage, world, signed(request)) == "REFUSED"

    def test_a_whole_name_goes_only_where_all_types_are_allowed(self, stage: Stage) -> None:
        world = stage.load(1, "a TXT 1", keys=UPDATES)
        for owner, rcode in (("_acme-challenge", "REFUSED"), ("a.dyn", "")):
            request = dns.update.UpdateMessage("example.com")
            request.delete(owner)
            assert self.rcode(stage, world, signed(request)) == rcode

    def test_of_what_is_no_zone_that_takes_updates(self, stage: Stage) -> None:
        world = stage.load(1, "a TXT 1", keys=UPDATES)
        assert self.rcode(stage, world, signed(update(zone="example.org"))) == "NOTAUTH"
        assert self.rcode(stage, world, signed(update(zone="example.net"))) == "REFUSED"
        assert self.rcode(stage, world, signed(update("a.example.net."))) == "NOTZONE"
        for rrtype, rrclass, rcode in (("A", "IN", dns.rcode.FORMERR), ("SOA", "CH", dns.rcode.NOTAUTH)):
            query = signed(dns.message.make_query("example.com", rrtype, rrclass))
            query.set_opcode(dns.opcode.UPDATE)
            reply = reply_to_update(world, query.to_wire())
            assert isinstance(reply, bytes)
            assert reply[3] & 15 == rcode
        nothing = signed(dns.message.Message())
        nothing.set_opcode(dns.opcode.UPDATE)
        reply = reply_to_update(world, nothing.to_wire())
        assert isinstance(reply, bytes)
        assert reply[3] & 15 == dns.rcode.FORMERR

    def test_the_order_of_judgements(self, stage: Stage) -> None:
        """The signature, the zone, who asks, the form, what may be updated."""
        world = stage.load(1, "a TXT 1", keys=UPDATES)
        wrong = dns.tsig.Key("xfr.", b"another", "hmac-sha256")
        bad_form = update("a.example.com.", "TYPE252", "\\# 1 00")
        assert self.rcode(stage, world, signed(update(zone="example.org"), wrong)) == "NOTAUTH"
        assert self.rcode(stage, world, bad_form) == "REFUSED"
        assert self.rcode(stage, world, signed(bad_form)) == "FORMERR"
        assert self.rcode(stage, world, signed(update("a.example.com."))) == "REFUSED"

    def test_the_reply_is_signed(self, stage: Stage) -> None:
        world = stage.load(1, "a TXT 1", keys=UPDATES)
        request = signed(update())
        reply = reply_to_update(world, request.to_wire())
        assert isinstance(reply, Later)
        sent: list[bytes] = []
        reply.send = sent.append
        reply.finish(8)
        read = dns.message.from_wire(sent[0], keyring={PEER_KEY.name: PEER_KEY}, request_mac=request.mac)
        assert read.had_tsig
        assert (read.rcode(), read.opcode(), read.id) == (dns.rcode.NXRRSET, dns.opcode.UPDATE, request.id)

    def test_without_control_it_fails(self, stage: Stage) -> None:
        world = stage.load(1, "a TXT 1", keys=UPDATES)
        stage.control_is_there = False
        reply = reply_to_update(world, signed(update()).to_wire())
        assert isinstance(reply, bytes)
        assert reply[3] & 15 == dns.rcode.SERVFAIL

    def test_the_rate_limit_counts_what_is_refused(self, stage: Stage) -> None:
        world = stage.load(1, "a TXT 1", keys=UPDATES)
        world = msgspec.structs.replace(world, limit=lambda *_: Decision.DROP)
        assert reply_to_update(world, update().to_wire()) is None
        assert isinstance(reply_to_update(world, signed(update()).to_wire()), Later)

    def test_who_has_no_peers_does_not_know_updates(self, stage: Stage) -> None:
        world = msgspec.structs.replace(stage.load(1, "a TXT 1", keys=UPDATES), peers=None)
        assert self.rcode(stage, world, update()) == "NOTIMP"

    def test_a_response_is_none(self) -> None:
        assert not is_update(b"\0\0\xa8" + bytes(9))
        assert not is_update(b"")


def test_a_zone_that_was_never_transferred_is_a_failure_and_not_a_lie(stage: Stage) -> None:
    world = stage.load(1, "a CNAME www.example.net.\nb MX 5 www.example.net.")
    for name, rrtype, rcode in (("www.example.net", "A", "SERVFAIL"), ("b.example.com", "MX", "NOERROR")):
        assert dns.rcode.to_text(ask(world, dns.message.make_query(name, rrtype)).rcode()) == rcode
    reply = ask(world, dns.message.make_query("a.example.com", "A"))
    assert (reply.rcode(), len(reply.answer)) == (dns.rcode.NOERROR, 1)


def test_a_zone_that_was_never_transferred_cannot_be_had_from_here_either(stage: Stage) -> None:
    text = SERVER + '[[zone]]\nname = "example.com"\nprimaries = ["192.0.2.53"]\nallow_transfer = ["192.0.2.1"]\n'
    world = stage.world(parse_settings(text, stage.folder / "waypost.toml"))
    for make in (axfr, lambda: ixfr(1)):
        assert stage.rcode(world, make(), FRIEND) == "SERVFAIL"
    assert ask(world, ixfr(1)).rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize(
    ("permission", "client", "key", "may"),
    [
        (Permission("192.0.2.0/24"), "192.0.2.9", None, True),
        (Permission("192.0.2.0/24"), "::ffff:192.0.2.9", None, True),
        (Permission("192.0.2.0/24"), "2001:db8::1", None, False),
        (Permission("2001:db8::/32"), "2001:db8::1%lo", None, True),
        (Permission(None, b"\3xfr\0"), "192.0.2.9", KEY, True),
        (Permission(None, b"\5other\0"), "192.0.2.9", KEY, False),
        (Permission("192.0.2.0/24", b"\3xfr\0"), "192.0.2.9", None, False),
        (Permission("192.0.2.0/24", b"\3xfr\0"), "198.51.100.1", KEY, False),
    ],
)
def test_permissions(permission: Permission, client: str, key: Key | None, may: bool) -> None:
    assert is_permitted([permission], client, None if key is None else Signer(key)) is may
    assert not is_permitted([], client, None)


@given(st.binary(max_size=100))
def test_any_octets_ask_for_a_transfer_or_not(packet: bytes) -> None:
    is_transfer_request(packet)


@given(data=st.data())
def test_what_servers_say_with_octets_changed_gets_a_reply_or_silence(data: st.DataObject, peers_world: World) -> None:
    made = [axfr(), ixfr(1), notify(), update(), *map(signed, (axfr(), notify(), ixfr(3), update()))]
    base = data.draw(st.sampled_from(made))
    packet = bytearray(base.to_wire())
    for _ in range(data.draw(st.integers(0, 3))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(packet[: data.draw(st.integers(0, len(packet)))])
    if is_update(whole):
        answered = reply_to_update(peers_world, whole)
        assert answered is None or isinstance(answered, Later) or answered[:2] == whole[:2]
    peers_world.zones.begin()
    try:
        reply = respond(whole, FRIEND, False, NOW, lambda: FIRST, peers_world)
        assert reply is None or reply[:2] == whole[:2]
        assert peers_world.peers is not None
        opened = peers_world.peers.open_transfer_untrusted(whole, FRIEND, NOW, peers_world.zones)
        if isinstance(opened, Transfer):
            while opened.next_message(NOW) is not None:
                pass
            opened.close()
    finally:
        peers_world.zones.end()


@pytest.fixture(scope="module")
def peers_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("peers")
    with opened_store(folder / "zones") as store:
        made = Stage(folder, store)
        made.load(1, "a TXT 1")
        yield made.load(2, "a TXT 2", keys=UPDATES.partition("[[key]]")[0] + TRANSFERS)
