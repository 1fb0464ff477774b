"""Tests of respond: what holds for every packet, and corners that the scenarios leave out.

tests/scenarios has what each kind of question gets.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from steering.balance.pools import Verdict
from steering.compose import ADDITIONAL_LIMIT, CHAIN_LIMIT, find_address
from steering.cookies import CookieSigner
from steering.ratelimit import Decision
from steering.respond import respond
from steering.wire import ERROR, NO_NAME, NODE, REFERRAL, TCP_IDLE, Answer, ancestor, is_below
from steering.world import MEMO_SIZE, Identity, World
from tests.steering.support import (
    FIRST,
    HalvesMap,
    labels,
    load_world,
    name,
    names,
    opened_store,
    spelt,
    subnets,
    wire_of,
    write_settings,
)

ZONE = (
    """\
$TTL 300
@ SOA ns1 hostmaster 7 3600 600 86400 60
@ NS ns1
@ NS ns.other.test.
ns1 A 192.0.2.53
www A 192.0.2.1
www AAAA 2001:db8::1
alias CNAME www
chain CNAME alias
steeredalias CNAME geo
wildalias CNAME x.wild
dangling CNAME missing
loop1 CNAME loop2
loop2 CNAME loop1
incut CNAME www.sub
indname CNAME www.old
away CNAME www.other.test.
mail MX 10 www
mail MX 20 geo
mail MX 30 MX.UPPER
mx.upper A 192.0.2.25
null MX 0 .
a.b.c TXT "deep"
*.wild A 192.0.2.77
*.wild TXT "any"
*.wildmail MX 10 geo
*.wildcname CNAME geo
below.*.hole TXT "the wildcard itself has no records"
x.y.wild A 192.0.2.78
sub NS ns.sub
sub NS ns.sibling
sub DS 12345 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.sub A 192.0.2.60
www.sub A 192.0.2.61
sibling NS ns.sibling
ns.sibling A 192.0.2.62
old DNAME new
www.new A 192.0.2.80
grow DNAME xxxxxxxxxx.grow
far DNAME longer.other.test.
big TXT "{filler}" "{filler}" "{filler}" "{filler}" "{filler}" "{filler}"
many MX 1 www
svc HTTPS 1 WWW alpn=h2
self HTTPS 1 . alpn=h2
self A 192.0.2.9
""".replace("{filler}", "x" * 250)
    + "".join(
        f"many MX {number} h{number}\nh{number} A 192.0.2.{number}\nh{number} AAAA 2001:db8::{number:x}\n"
        for number in range(2, 60)
    )
)

SETTINGS = """\
[[monitor]]
name = "tcp"
type = "tcp"
port = 80
[[pool]]
name = "paris"
monitor = "tcp"
[[pool.origin]]
name = "paris-1"
address = "192.0.2.101"
[pool.origin.records]
AAAA = "2001:db8::101"
CNAME = "www.example.com."
MX = "10 www.example.com."
SRV = "10 5 80 geo.example.com."
HTTPS = "1 . alpn=h2"
TXT = "site=paris"
[[pool.origin]]
name = "paris-2"
address = "192.0.2.102"
records = { MX = "20 GEO.example.com.", TXT = "site=paris2" }
[[pool]]
name = "tokyo"
[[pool.origin]]
name = "tokyo-1"
address = "192.0.2.111"
weight = 0.25
[pool.origin.records]
AAAA = "2001:db8::111"
CNAME = "missing.example.com."
MX = "10 www.sub.example.com."
SRV = "1 1 1 ."
HTTPS = "0 www.example.com."
TXT = "site=tokyo"
[[pool.origin]]
name = "tokyo-2"
address = "192.0.2.112"
""" + "".join(
    f"""\
[[load_balancer]]
name = "{owner}"
types = {types}
default_pools = ["paris", "tokyo"]
fallback_pool = "tokyo"
region_pools = {{ WEU = ["tokyo"] }}
"""
    for owner, types in (
        ("geo.example.com", '["A", "AAAA", "HTTPS", "TXT"]'),
        ("example.com", '["MX", "TXT", "A"]'),
        ("_sip._tcp.example.com", '["SRV"]'),
        ("shop.example.com", '["CNAME"]'),
        ("*.apps.example.com", '["A", "TXT"]'),
        ("*.shops.example.com", '["CNAME"]'),
        ("balanced.test", '["A", "MX"]'),
    )
)

COOKIES = CookieSigner([bytes(16)])
LOW, HIGH = "10.1.2.3", "203.0.113.9"
"""Addresses in the two classes of HalvesMap."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world, in one snapshot, for every test; what it remembers is forgotten before each."""
    directory = tmp_path_factory.mktemp("respond")
    with opened_store(directory / "zones") as store:
        made = replace(
            load_world(write_settings(directory, SETTINGS, {"example.com": ZONE, "balanced.test": ""}), store),
            identity=Identity(b"ns1.paris", b"waypost"),
            cookies=COOKIES,
        )
        made.zones.begin()
        yield made
        made.zones.end()


@pytest.fixture(autouse=True)
def nothing_remembered(world: World) -> None:
    world.memo.clear()


def ask(
    world: World,
    text: str,
    rrtype: str,
    *,
    client: str = LOW,
    over_tcp: bool = True,
    dice: float = FIRST,
    **options: object,
) -> dns.message.Message:
    """The reply to a question with EDNS."""
    query = dns.message.make_query(
        dns.name.from_text(text, dns.name.from_text("example.com")),
        rrtype,
        **({"use_edns": 0} | options),  # type: ignore[arg-type] # test keywords
    )
    packet = respond(query.to_wire(), client, over_tcp, 0.0, lambda: dice, world)
    assert packet is not None
    return dns.message.from_wire(packet)


def lines(section: list[dns.rrset.RRset]) -> list[str]:
    """The records of a section, names relative to nothing."""
    return [line for rrset in section for line in rrset.to_text().splitlines()]


# Whatever comes.

known_labels = st.sampled_from(
    sorted(
        {line.split()[0].encode() for line in ZONE.splitlines() if line and line[0] not in "$@"}
        | {b"geo", b"_sip._tcp", b"shop", b"apps", b"shops", b"ns", b"b.c", b"c", b"wild", b"hole", b"*"}
    )
).map(lambda text: text.split(b"."))
some_labels = st.sampled_from([b"www", b"x", b"*", b"ns", b"missing", b"\0"]) | labels()
below = st.tuples(st.lists(some_labels, max_size=3), known_labels | st.just([])).map(
    lambda parts: [*parts[0], *parts[1]]
)
apexes = st.sampled_from([(b"example", b"com"), (b"balanced", b"test"), (b"other", b"test"), ()])
asked_names = (
    (st.tuples(below, apexes).map(lambda parts: [*parts[0], *parts[1]]))
    .filter(lambda made: sum(len(label) + 1 for label in made) < 255)
    .map(lambda made: dns.name.Name([*made, b""]))
    .flatmap(spelt)
) | names()
asked_types = (st.sampled_from([1, 2, 5, 6, 15, 16, 28, 33, 35, 39, 43, 46, 65, 255]) | st.integers(0, 65535)).map(
    dns.rdatatype.RdataType.make
)
classes = st.sampled_from([dns.rdataclass.IN] * 4 + [dns.rdataclass.CH, dns.rdataclass.ANY])
clients = st.sampled_from([LOW, HIGH, "::1", "fe80::1%eth0", "ffff::1", "::ffff:203.0.113.9"])
CLIENT_COOKIE = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, bytes(8))
NSID = dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")
KEEPALIVE = dns.edns.GenericOption(dns.edns.OptionType.KEEPALIVE, b"")
options: st.SearchStrategy[dns.edns.Option] = subnets() | st.sampled_from([CLIENT_COOKIE, NSID, KEEPALIVE])


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Queries as resolvers send them."""
    made = dns.message.make_query(draw(asked_names), draw(asked_types), draw(classes))
    made.id = draw(st.integers(0, 65535))
    if draw(st.booleans()):
        made.flags = dns.flags.Flag(0)
    if draw(st.booleans()):
        made.use_edns(
            draw(st.sampled_from([0, 0, 0, 1])),
            draw(st.sampled_from([0, dns.flags.DO])),
            draw(st.sampled_from([0, 511, 512, 600, 1231, 1232, 1233, 4096, 65535])),
            options=draw(st.lists(options, max_size=3, unique_by=lambda option: option.otype)),
        )
    return made.to_wire()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Queries with some octets changed, added or missing."""
    packet = bytearray(draw(packets()))
    for _ in range(draw(st.integers(1, 4))):
        packet[draw(st.integers(0, len(packet) - 1))] = draw(st.integers(0, 255))
    return bytes(packet[: draw(st.integers(0, len(packet)))] + draw(st.binary(max_size=3)))


@settings(max_examples=400)
@given(st.binary(max_size=100) | packets() | damaged(), clients, st.booleans(), st.floats(0, 1, exclude_max=True))
def test_every_packet_gets_a_reply_that_parses_or_silence(
    world: World, packet: bytes, client: str, over_tcp: bool, dice: float
) -> None:
    world.memo.clear()
    first = respond(packet, client, over_tcp, 0.0, lambda: dice, world)
    again = respond(packet, client, over_tcp, 0.0, lambda: dice, world)
    assert first == again, "what is remembered is what was composed"
    if first is None:
        assert len(packet) < 12 or packet[2] & 0x80, "silence is for what is no query"
        return
    assert first[:2] == packet[:2]
    assert first[2] & 0x80
    assert first[2] & 0x79 == packet[2] & 0x79
    if packet[2] & 0x78:
        assert first[3] & 15 == dns.rcode.NOTIMP
        return
    reply = dns.message.from_wire(first)
    assert reply.rcode() != dns.rcode.SERVFAIL
    if not reply.question:
        cookie = packet[4:12] == b"\0\0\0\0\0\0\0\1" and any(option.otype == 10 for option in reply.options)
        assert reply.rcode() == (dns.rcode.NOERROR if cookie else dns.rcode.FORMERR)
        assert not (reply.answer or reply.authority or reply.additional)
        return
    question = reply.question[0]
    length = len(wire_of(question.name)) + 4
    assert first[12 : 12 + length] == packet[12 : 12 + length], "the question as it was spelt"
    if reply.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTAUTH):
        assert not (reply.answer or reply.authority or reply.additional)
        assert len(first) <= 512
        return
    assert_sections_are_sound(reply)
    if not over_tcp:
        opt = dns.message.from_wire(packet)
        advertised = max(512, opt.payload) if opt.edns >= 0 else 512
        assert len(first) <= min(advertised, 1232)


def assert_sections_are_sound(reply: dns.message.Message) -> None:
    """What holds for every reply of an authoritative server."""
    rcode = reply.rcode()
    soas = [rrset for rrset in reply.authority if rrset.rdtype == dns.rdatatype.SOA]
    referral = [rrset for rrset in reply.authority if rrset.rdtype == dns.rdatatype.NS]
    if rcode in (dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.BADVERS) or reply.flags & dns.flags.TC:
        assert not (reply.answer or reply.authority or reply.additional)
        return
    assert rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN)
    if not reply.answer:
        assert len(soas) + len(referral) == 1, "an empty answer is negative or a referral"
    if rcode == dns.rcode.NXDOMAIN:
        assert len(soas) == 1
    assert bool(reply.flags & dns.flags.AA) == (bool(reply.answer) or not referral)
    keys = [
        (rrset.name, rrset.rdtype) for section in (reply.answer, reply.authority, reply.additional) for rrset in section
    ]
    assert len(keys) == len(set(keys)), "no RRset twice"
    expected = reply.question[0].name
    for rrset in reply.answer:
        if rrset.rdtype == dns.rdatatype.DNAME:
            assert expected.is_subdomain(rrset.name)
            continue
        assert rrset.name == expected, "the answer section is one chain"
        if rrset.rdtype == dns.rdatatype.CNAME:
            expected = rrset[0].target


@settings(max_examples=300)
@given(packets(), packets(), clients, clients, st.floats(0, 1, exclude_max=True), st.data())
def test_what_one_client_asked_does_not_change_what_another_gets(
    world: World, one: bytes, other: bytes, client: str, neighbour: str, dice: float, data: st.DataObject
) -> None:
    """The same question under another spelling, subnet, size and client; with and without a memory of the first."""
    if data.draw(st.booleans(), label="the same question"):
        query, template = dns.message.from_wire(one), dns.message.from_wire(other)
        template.question[0].name = data.draw(spelt(query.question[0].name))
        template.question[0].rdtype = query.question[0].rdtype
        template.question[0].rdclass = query.question[0].rdclass
        other = template.to_wire()
    world.memo.clear()
    alone = respond(other, neighbour, False, 0.0, lambda: dice, world)
    world.memo.clear()
    for over_tcp in (True, False):
        respond(one, client, over_tcp, 0.0, lambda: 0.99, world)
    assert respond(other, neighbour, False, 0.0, lambda: dice, world) == alone


STEERED = [
    ("geo", ("A", "AAAA", "HTTPS", "TXT", "MX", "ANY")),
    ("@", ("A", "AAAA", "MX", "TXT", "NS")),
    ("_sip._tcp", ("SRV", "A")),
    ("shop", ("CNAME", "A", "MX")),
    ("x.apps", ("A", "TXT", "MX")),
    ("x.shops", ("CNAME", "A")),
    ("steeredalias", ("A", "HTTPS", "CNAME")),
    ("mail", ("MX",)),
    ("balanced.test.", ("A", "MX")),
]


@pytest.mark.parametrize(("text", "rrtype"), [(text, rrtype) for text, types in STEERED for rrtype in types])
def test_each_class_gets_its_own_answer_whoever_asked_first(world: World, text: str, rrtype: str) -> None:
    alone = {}
    for client in (LOW, HIGH):
        world.memo.clear()
        alone[client] = ask(world, text, rrtype, client=client)
    for first, second in ((LOW, HIGH), (HIGH, LOW)):
        world.memo.clear()
        for client in (first, second, first):
            reply = ask(world, text, rrtype, client=client)
            for section in ("answer", "authority", "additional"):
                assert getattr(reply, section) == getattr(alone[client], section)


@settings(max_examples=200)
@given(packets(), st.floats(0, 1, exclude_max=True))
def test_udp_says_what_tcp_says_or_that_it_is_cut(world: World, packet: bytes, dice: float) -> None:
    """RFC 2181 section 9: only optional additional records are left out without a word."""
    full, short = (respond(packet, LOW, over_tcp, 0.0, lambda: dice, world) for over_tcp in (True, False))
    assert full is not None
    assert short is not None
    whole, cut = dns.message.from_wire(full), dns.message.from_wire(short)
    assert not whole.flags & dns.flags.TC
    assert cut.rcode() == whole.rcode()
    if cut.flags & dns.flags.TC:
        assert len(full) > 512
    else:
        assert (cut.answer, cut.authority) == (whole.answer, whole.authority)
        assert all(rrset in whole.additional for rrset in cut.additional)


@given(packets())
def test_the_scope_covers_nobody_who_gets_another_answer(world: World, packet: bytes) -> None:
    """RFC 7871 section 7.2.1: an answer of scope 0 is the same for all; any other depends on what the map said."""
    query = dns.message.from_wire(packet)
    query.question[0].rdclass = dns.rdataclass.IN
    replies = {}
    for subnet in ("0.0.0.0", "128.0.0.0"):
        query.use_edns(0, payload=1232, options=[dns.edns.ECSOption(subnet, 8)])
        reply = respond(query.to_wire(), LOW, True, 0.0, lambda: FIRST, world)
        assert reply is not None
        message = dns.message.from_wire(reply)
        (echoed,) = (option for option in message.options if isinstance(option, dns.edns.ECSOption))
        replies[subnet] = (message.rcode(), message.answer, message.authority, message.additional), echoed.scopelen
    (one, scope), (other, other_scope) = replies.values()
    if one != other:
        assert (scope, other_scope) == (1, 1)
    assert scope in (0, 1)


# Corners.


@pytest.mark.parametrize(
    ("text", "rrtype", "rcode", "answer"),
    [
        ("www", "A", "NOERROR", ["www.example.com. 300 IN A 192.0.2.1"]),
        ("www", "NS", "NOERROR", []),
        ("nothing.www", "A", "NXDOMAIN", []),
        ("sub", "DS", "NOERROR", ["sub.example.com. 300 IN DS 12345 13 2 " + "0" * 64]),
        ("sibling", "DS", "NOERROR", []),
        ("@", "DS", "NOERROR", []),
        ("old", "DNAME", "NOERROR", ["old.example.com. 300 IN DNAME new.example.com."]),
        ("old", "A", "NOERROR", []),
        ("www", "NULL", "NOERROR", []),
    ],
)
def test_answers(world: World, text: str, rrtype: str, rcode: str, answer: list[str]) -> None:
    reply = ask(world, text, rrtype)
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert lines(reply.answer) == answer
    assert reply.flags & dns.flags.AA
    assert bool(reply.authority) == (not answer)


@pytest.mark.parametrize("meta", ["AXFR", "IXFR", "MAILA", "MAILB", "TKEY", "TSIG"])
def test_meta_types_are_not_implemented(world: World, meta: str) -> None:
    query = dns.message.make_query("example.com", "A").to_wire()
    packet = query[:-4] + struct.pack("!HH", dns.rdatatype.from_text(meta), 1)
    reply = respond(packet, LOW, True, 0.0, lambda: FIRST, world)
    assert reply is not None
    assert reply[3] & 15 == dns.rcode.NOTIMP


def test_other_zones_are_refused(world: World) -> None:
    for text in ("other.test.", ".", "com.", "xexample.com."):
        reply = ask(world, text, "A")
        assert reply.rcode() == dns.rcode.REFUSED
        assert not reply.flags & dns.flags.AA


def test_a_wildcard_without_records_of_its_own(world: World) -> None:
    """RFC 4592 sections 2.2.2 and 3.3.1: *.hole exists by what is below it, so it is the source of synthesis."""
    reply = ask(world, "x.hole", "TXT")
    assert (reply.rcode(), lines(reply.answer)) == (dns.rcode.NOERROR, [])


def test_any_gives_one_rrset(world: World) -> None:
    """RFC 8482 section 4.1."""
    for text, count in (("www", 1), ("geo", 1), ("chain", 1), ("x.wild", 1), ("c", 0)):
        reply = ask(world, text, "ANY")
        assert len(reply.answer) == count, text
        assert reply.flags & dns.flags.AA


def test_a_chain_through_steered_names(world: World) -> None:
    for client, addresses in ((LOW, ["192.0.2.101", "192.0.2.102"]), (HIGH, ["192.0.2.111"])):
        for text in ("steeredalias", "x.wildcname"):
            reply = ask(world, text, "A", client=client)
            assert [rdata.to_text() for rdata in reply.answer[-1]] == addresses
            assert reply.answer[-1].name == dns.name.from_text("geo.example.com")


@pytest.mark.parametrize("text", ["shop", "x.shops"])
def test_a_steered_cname_is_followed(world: World, text: str) -> None:
    low, high = ask(world, text, "A", client=LOW), ask(world, text, "A", client=HIGH)
    assert [line.split(maxsplit=4)[3:] for line in lines(low.answer)] == [
        ["CNAME", "www.example.com."],
        ["A", "192.0.2.1"],
    ]
    assert low.rcode() == dns.rcode.NOERROR
    assert high.rcode() == dns.rcode.NXDOMAIN, "the target that this class gets does not exist (RFC 6604)"


def test_targets_of_records_are_steered_too(world: World) -> None:
    for client, address in ((LOW, "192.0.2.101"), (HIGH, "192.0.2.111")):
        for text in ("mail", "x.wildmail"):
            reply = ask(world, text, "MX", client=client, options=[dns.edns.ECSOption(client, 32)])
            found = {rdata.to_text() for rrset in reply.additional if rrset.rdtype == 1 for rdata in rrset}
            assert address in found
            (echoed,) = (option for option in reply.options if isinstance(option, dns.edns.ECSOption))
            assert echoed.scopelen == 1


def test_names_keep_their_case_and_are_written_once(world: World) -> None:
    reply = ask(world, "mail", "MX")
    assert {rrset.name.to_text() for rrset in reply.additional} >= {"MX.UPPER.example.com.", "www.example.com."}
    assert "30 MX.UPPER.example.com." in {rdata.to_text() for rdata in reply.answer[0]}


def test_a_referral(world: World) -> None:
    for text in ("sub", "www.sub", "a.b.c.sub"):
        reply = ask(world, text, "A")
        assert not reply.flags & dns.flags.AA
        assert [rrset.name.to_text() for rrset in reply.authority] == ["sub.example.com."]
        assert {rrset.name.to_text() for rrset in reply.additional} == {
            "ns.sub.example.com.",
            "ns.sibling.example.com.",
        }


def test_a_chain_into_a_delegation_keeps_its_authority(world: World) -> None:
    """RFC 1034 section 6.2.7 shape: the alias is ours, so AA is set; the referral says where to go on."""
    reply = ask(world, "incut", "A")
    assert reply.flags & dns.flags.AA
    assert [rrset.rdtype for rrset in reply.authority] == [dns.rdatatype.NS]


def test_dname(world: World) -> None:
    reply = ask(world, "WWW.old", "A")
    assert [rrset.rdtype for rrset in reply.answer] == [39, 5, 1]
    assert reply.answer[1].name.to_text() == "WWW.old.example.com."
    assert reply.answer[1][0].target == dns.name.from_text("www.new.example.com")


def test_a_dname_that_grows_ends(world: World) -> None:
    reply = ask(world, "a.grow", "A")
    links = [rrset for rrset in reply.answer if rrset.rdtype == 5]
    assert len(links) <= CHAIN_LIMIT


def test_a_name_that_a_dname_makes_too_long(world: World) -> None:
    """RFC 6672 section 2.2: YXDOMAIN."""
    for octets, rcode, types in ((253, dns.rcode.NOERROR, [39, 5]), (254, dns.rcode.YXDOMAIN, [39])):
        label = "x" * 63
        long = f"{label}.{label}.{label}.{'x' * (octets - 17 - 3 * 64 - 1)}.far.example.com."
        assert len(wire_of(dns.name.from_text(long))) == octets, "two fewer than what the DNAME makes of it"
        reply = ask(world, long, "A")
        assert (reply.rcode(), [rrset.rdtype for rrset in reply.answer]) == (rcode, types)


def test_a_large_answer_is_cut_over_udp_only(world: World) -> None:
    for payload in (1232, 4096, 65535):
        assert ask(world, "big", "TXT", over_tcp=False, payload=payload).flags & dns.flags.TC, "1232 is our most"
    reply = ask(world, "big", "TXT")
    assert not reply.flags & dns.flags.TC
    assert len(reply.answer[0][0].strings) == 6


def test_additional_addresses_are_limited_and_optional(world: World) -> None:
    reply = ask(world, "many", "MX")
    assert len(reply.answer[0]) == 59
    assert len({rrset.name for rrset in reply.additional}) == ADDITIONAL_LIMIT
    short = ask(world, "many", "MX", over_tcp=False, payload=1232)
    assert (short.answer, short.additional) == (reply.answer, []) or short.flags & dns.flags.TC


def test_needed_glue_is_not_left_out(world: World) -> None:
    """RFC 9471 section 3.1."""
    for text in ("sub", "x.sub"):
        reply = ask(world, text, "A", over_tcp=False, use_edns=False)
        assert dns.name.from_text("ns.sub.example.com") in {rrset.name for rrset in reply.additional}


def test_https_of_the_owner_itself(world: World) -> None:
    reply = ask(world, "self", "HTTPS")
    assert lines(reply.additional) == ["self.example.com. 300 IN A 192.0.2.9"]
    reply = ask(world, "geo", "HTTPS", client=LOW)
    assert {rrset.rdtype for rrset in reply.additional} == {1, 28}
    assert {rrset.name.to_text() for rrset in reply.additional} == {"geo.example.com."}


def test_a_zone_of_load_balancers_alone(world: World) -> None:
    assert lines(ask(world, "balanced.test.", "NS").answer) == ["balanced.test. 3600 IN NS ns1.balanced.test."]
    reply = ask(world, "balanced.test.", "SOA")
    assert reply.answer[0][0].serial == 1_800_000_000
    assert ask(world, "x.balanced.test.", "A").rcode() == dns.rcode.NXDOMAIN
    assert len(ask(world, "balanced.test.", "A", client=LOW).answer[0]) == 2


def test_the_dice_choose_by_weight(world: World) -> None:
    """tokyo: weights 0.25 and 1.0 (the default)."""
    for dice, address in ((0.0, "192.0.2.111"), (0.19, "192.0.2.111"), (0.21, "192.0.2.112"), (0.999, "192.0.2.112")):
        for _ in ("composed", "remembered"):
            assert [rdata.to_text() for rdata in ask(world, "geo", "A", client=HIGH, dice=dice).answer[0]] == [address]


def test_a_changed_health_changes_the_answer(world: World) -> None:
    down = {("paris", "paris-1"): Verdict(False, 60.0)}
    assert len(ask(world, "geo", "A").answer[0]) == 2
    changed = world.with_health(down)
    assert [rdata.to_text() for rdata in ask(changed, "geo", "A").answer[0]] == ["192.0.2.102"]
    assert len(ask(world, "geo", "A").answer[0]) == 2, "the old world is what it was"


def test_the_memory_is_bounded_and_has_only_names_that_exist(world: World) -> None:
    for number in range(50):
        for text in (
            f"m{number}",
            f"x{number}.wild",
            f"x{number}.sub",
            f"x{number}.old",
            f"x{number}.apps",
            f"x{number}.shops",
        ):
            ask(world, text, "A")
    assert not world.memo
    for rrtype in range(256, 256 + MEMO_SIZE + 10):
        packet = name("www") + struct.pack("!HH", rrtype, 1)
        respond(bytes((0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + packet, LOW, True, 0.0, lambda: FIRST, world)
    assert 0 < len(world.memo) <= MEMO_SIZE


def test_the_memory_does_not_grow_by_large_answers(tmp_path: Path) -> None:
    """DESIGN: RssAnon stays under 100 MiB a process. 20,000 aliases of one large RRset are a zone that people have."""
    large = "".join(f'big TXT "{number} {"x" * 240}"\n' for number in range(200))
    zone = "$TTL 9\n@ SOA ns host 1 2 3 4 5\n@ NS ns\n" + large
    zone += "".join(f"a{number} CNAME big\n" for number in range(200))
    with opened_store(tmp_path / "zones") as store:
        world = load_world(write_settings(tmp_path, "", {"example.com": zone}), store)
        world.zones.begin()
        for number in range(200):
            query = dns.message.make_query(f"a{number}.example.com", "TXT")
            respond(query.to_wire(), LOW, True, 0.0, lambda: FIRST, world)
        world.zones.end()
    bodies = [answer.body for answer in world.memo.values() if isinstance(answer, Answer)]
    assert sum(map(len, bodies)) * (MEMO_SIZE // 200) < 100 << 20


# EDNS options, and who this is.


def option_of(reply: dns.message.Message, code: int) -> bytes | None:
    """The data of an option of a reply."""
    return next((option.to_wire() for option in reply.options if option.otype == code), None)


def cookie(data: bytes) -> dns.edns.Option:
    return dns.edns.GenericOption(dns.edns.OptionType.COOKIE, data)


def test_a_cookie_is_answered_with_a_good_one(world: World) -> None:
    """RFC 7873 section 5.2, whatever else the answer is."""
    for text, rcode in (
        ("www", dns.rcode.NOERROR),
        ("missing", dns.rcode.NXDOMAIN),
        ("other.test.", dns.rcode.REFUSED),
    ):
        first = ask(world, text, "A", options=[CLIENT_COOKIE])
        made = option_of(first, 10)
        assert made == COOKIES.judge_untrusted(bytes(8), LOW, 0.0).option
        again = ask(world, text, "A", options=[cookie(made)])
        assert (first.rcode(), again.rcode(), option_of(again, 10)) == (rcode, rcode, made)
        bad = ask(world, text, "A", options=[cookie(made[:-1] + b"x")])
        assert (bad.rcode(), option_of(bad, 10)) == (rcode, made), "as if it were not there (RFC 7873 section 5.2.4)"
    assert option_of(ask(world, "www", "A"), 10) is None
    without = replace(world, cookies=None)
    assert option_of(ask(without, "www", "A", options=[CLIENT_COOKIE]), 10) is None


def test_a_cookie_alone(world: World) -> None:
    """RFC 7873 section 5.4."""
    query = dns.message.Message(7)
    query.use_edns(0, options=[CLIENT_COOKIE])
    packet = respond(query.to_wire(), LOW, False, 0.0, lambda: FIRST, world)
    assert packet is not None
    reply = dns.message.from_wire(packet)
    assert (reply.id, reply.rcode(), reply.question, reply.answer) == (7, dns.rcode.NOERROR, [], [])
    assert option_of(reply, 10) == COOKIES.judge_untrusted(bytes(8), LOW, 0.0).option


@pytest.mark.parametrize(
    ("option", "over_tcp"),
    [
        pytest.param(cookie(bytes(7)), False, id="a short cookie"),
        pytest.param(cookie(bytes(12)), False, id="half a server cookie"),
        pytest.param(cookie(bytes(41)), False, id="a long cookie"),
        pytest.param(dns.edns.GenericOption(dns.edns.OptionType.ECS, b"\0\1\x18\0"), True, id="a broken subnet"),
    ],
)
def test_a_bad_option_gets_the_question_and_an_opt_record_back(
    world: World, option: dns.edns.Option, over_tcp: bool
) -> None:
    """RFC 6891 section 7; RFC 7873 section 5.2.2, RFC 7871 section 7.1.2."""
    query = dns.message.make_query("wWw.example.com", "A", use_edns=0, options=[option])
    packet = respond(query.to_wire(), LOW, over_tcp, 0.0, lambda: FIRST, world)
    assert packet is not None
    reply = dns.message.from_wire(packet)
    assert (reply.rcode(), reply.edns, reply.options) == (dns.rcode.FORMERR, 0, ())
    assert reply.question == query.question
    assert packet[12:].startswith(b"\3wWw")
    assert not reply.answer


def test_who_asks_for_the_name_of_the_server_gets_it(world: World) -> None:
    """RFC 5001, if there is one."""
    assert option_of(ask(world, "www", "A", options=[NSID]), 3) == b"ns1.paris"
    assert option_of(ask(world, "www", "A"), 3) is None
    nameless = replace(world, identity=Identity(b"", b""))
    assert option_of(ask(nameless, "www", "A", options=[NSID]), 3) is None


def test_how_long_a_connection_stays_open_is_said_over_tcp_only(world: World) -> None:
    """RFC 7828 section 3.3.2, in units of 100 milliseconds."""
    told = option_of(ask(world, "www", "A", options=[KEEPALIVE]), 11)
    assert told == (TCP_IDLE * 10).to_bytes(2, "big")
    assert option_of(ask(world, "www", "A", options=[KEEPALIVE], over_tcp=False), 11) is None
    assert option_of(ask(world, "www", "A"), 11) is None


def test_options_stand_beside_each_other(world: World) -> None:
    reply = ask(world, "geo", "A", options=[dns.edns.ECSOption(HIGH, 24), CLIENT_COOKIE, NSID, KEEPALIVE])
    assert sorted(option.otype for option in reply.options) == [3, 8, 10, 11]


def test_a_refusal_says_why(world: World) -> None:
    """RFC 8914 section 4.21: not authoritative."""
    for text, rdclass in (("other.test.", "IN"), ("www", "CH"), ("version.bind.", "HS")):
        reply = ask(world, text, "TXT", rdclass=rdclass)
        assert (reply.rcode(), option_of(reply, 15)) == (dns.rcode.REFUSED, b"\0\x14")
        assert ask(world, text, "TXT", rdclass=rdclass, use_edns=False).edns == -1
    assert option_of(ask(world, "missing", "A"), 15) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id.server.", "ns1.paris"),
        ("Hostname.BIND.", "ns1.paris"),
        ("version.bind.", "waypost"),
        ("version.server.", "waypost"),
    ],
)
def test_class_ch(world: World, text: str, said: str) -> None:
    """RFC 4892; only what is configured is told."""
    for rrtype in ("TXT", "ANY"):
        reply = ask(world, text, rrtype, rdclass="CH")
        assert lines(reply.answer) == [f'{text} 0 CH TXT "{said}"']
        assert reply.flags & dns.flags.AA
    assert ask(world, text, "A", rdclass="CH").rcode() == dns.rcode.REFUSED
    assert ask(world, text, "TXT").rcode() == dns.rcode.REFUSED, "in class IN"
    assert ask(replace(world, identity=Identity(b"", b"")), text, "TXT", rdclass="CH").rcode() == dns.rcode.REFUSED


# The limit of rates.


class Limit:
    """Always decides the same, and remembers what it was asked."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.asked: list[tuple[str, bytes, float]] = []

    def __call__(self, client: str, kind: bytes, now: float) -> Decision:
        self.asked.append((client, kind, now))
        return self.decision


def limited(world: World, decision: Decision) -> tuple[World, Limit]:
    limit = Limit(decision)
    return replace(world, limit=limit), limit


KINDS = [
    ("www", "A", NODE + name("www")),
    ("www", "MX", NODE + name("www")),
    ("geo", "A", NODE + name("geo")),
    ("geo", "HTTPS", NODE + name("geo")),
    ("chain", "A", NODE + name("chain")),
    ("c", "A", NODE + name("c")),
    ("x1.wild", "A", NODE + name("*.wild")),
    ("x2.wild", "MX", NODE + name("*.wild")),
    ("x.apps", "A", NODE + name("*.apps")),
    ("x.hole", "TXT", NODE + name("*.hole")),
    ("x.old", "A", NODE + name("old")),
    ("a.b.sub", "A", REFERRAL + name("sub")),
    ("sub", "NS", REFERRAL + name("sub")),
    ("missing", "A", NO_NAME + name("@")),
    ("x.missing", "TXT", NO_NAME + name("@")),
    ("x.balanced.test.", "A", NO_NAME + name("balanced.test.")),
    ("other.test.", "A", ERROR),
    ("www", "AXFR", ERROR),
]


@pytest.mark.parametrize(("text", "rrtype", "kind"), KINDS)
def test_answers_from_one_place_count_together(world: World, text: str, rrtype: str, kind: bytes) -> None:
    """ratelimit.py says which do; also when they are remembered."""
    limiting, limit = limited(world, Decision.SEND)
    for _ in ("composed", "remembered"):
        query = dns.message.make_query(dns.name.from_text(text, dns.name.from_text("example.com")), "A")
        query.question[0].rdtype = dns.rdatatype.from_text(rrtype)
        respond(query.to_wire(), LOW, False, 7.5, lambda: FIRST, limiting)
    assert limit.asked == [(LOW, kind, 7.5)] * 2


def test_a_limited_answer_is_sent_cut_or_not_at_all(world: World) -> None:
    query = dns.message.make_query("www.example.com", "A", use_edns=0, options=[CLIENT_COOKIE])
    slipping, dropping = limited(world, Decision.SLIP)[0], limited(world, Decision.DROP)[0]
    packet = respond(query.to_wire(), LOW, False, 0.0, lambda: FIRST, slipping)
    assert packet is not None
    reply = dns.message.from_wire(packet)
    assert reply.flags & dns.flags.TC
    assert not (reply.answer or reply.authority or reply.additional)
    assert option_of(reply, 10) is not None, "so that the client can show a good one next time"
    assert respond(query.to_wire(), LOW, False, 0.0, lambda: FIRST, dropping) is None


def test_errors_are_limited_together(world: World) -> None:
    broken = dns.message.make_query("www.example.com", "A").to_wire() + b"\0"
    for decision, sent in ((Decision.SEND, True), (Decision.SLIP, False), (Decision.DROP, False)):
        limiting, limit = limited(world, decision)
        assert (respond(broken, LOW, False, 0.0, lambda: FIRST, limiting) is not None) == sent
        assert limit.asked == [(LOW, ERROR, 0.0)]
        assert respond(broken[:5], LOW, False, 0.0, lambda: FIRST, limiting) is None
        assert len(limit.asked) == 1, "what gets no answer is not counted"


def test_whose_address_is_proved_is_not_limited(world: World) -> None:
    """Over TCP, and with a good cookie; a bad or missing one proves nothing."""
    limiting, limit = limited(world, Decision.DROP)
    good = COOKIES.judge_untrusted(bytes(8), LOW, 0.0).option

    def asked(*options: dns.edns.Option, over_tcp: bool = False) -> bytes | None:
        query = dns.message.make_query("www.example.com", "A", use_edns=0, options=list(options))
        return respond(query.to_wire(), LOW, over_tcp, 0.0, lambda: FIRST, limiting)

    assert asked(over_tcp=True)
    assert respond(b"\0" * 12, LOW, True, 0.0, lambda: FIRST, limiting)
    assert asked(cookie(good))
    assert limit.asked == []
    assert asked() is asked(CLIENT_COOKIE) is asked(cookie(good[:-1] + b"x")) is None


def test_nothing_of_an_expired_zone_is_in_an_answer(tmp_path: Path) -> None:
    """Not in flattened answers either, nor of targets."""
    text = """[[zone]]
name = "example.org"
nameservers = ["ns.example.net"]
[[pool]]
name = "one"
origin = [{ name = "one", address = "192.0.2.1", records = { CNAME = "www.example.net.", MX = "1 www.example.net." } }]
[[load_balancer]]
name = "flat.example.org"
types = ["A"]
flatten = true
default_pools = ["one"]
fallback_pool = "one"
[[load_balancer]]
name = "mail.example.org"
types = ["MX"]
default_pools = ["one"]
fallback_pool = "one"
"""
    target = "$TTL 300\n@ SOA ns host 1 3600 600 86400 60\n@ NS ns.example.com.\nwww A 192.0.2.99\n"
    with opened_store(tmp_path / "zones") as store:
        world = load_world(write_settings(tmp_path, text, {"example.net": target}), store)

        def texts(owner: str, rrtype: str) -> str:
            query = dns.message.make_query(owner, rrtype, use_edns=0).to_wire()
            world.zones.begin()
            reply = respond(query, LOW, False, 0.0, lambda: FIRST, world.with_zones_changed())
            world.zones.end()
            return "" if reply is None else dns.message.from_wire(reply).to_text()

        asked = [("flat.example.org", "A"), ("mail.example.org", "MX"), ("www.example.net", "A")]
        assert all("192.0.2.99" in texts(*each) for each in asked)
        store.note_timers(name("example.net."), b"", expired=True)
        assert not any("192.0.2.99" in texts(*each) for each in asked)
        assert "192.0.2.1" in texts(*asked[0])
        assert "EDE 24 (Invalid Data)" in texts(*asked[2])
        assert "EDE" not in texts(*asked[0])


# Addresses and names.


def test_addresses_of_clients() -> None:
    for text, expected in ((LOW, 0), (HIGH, 1), ("::1", 0), ("fe80::1%eth0", 1), ("ff00::", 1)):
        assert find_address(HalvesMap(), text) == (expected, 1)


@given(names(), names())
def test_names_below_names(one: dns.name.Name, other: dns.name.Name) -> None:
    lower, apex = wire_of(one.canonicalize()), wire_of(other.canonicalize())
    assert is_below(lower, apex) == one.is_subdomain(other)
    assert is_below(lower, b"\0")
    for count in range(len(one)):
        assert is_below(lower, ancestor(lower, count))
