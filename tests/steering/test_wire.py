"""Tests of the wire: hostile bytes, and dnspython as the oracle of names, queries and replies."""

import struct

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering import wire
from steering.wire import (
    BADVERS,
    FORMERR,
    NOERROR,
    NOTAUTH,
    NOTIMP,
    OWNER,
    PLAIN_UDP_SIZE,
    UDP_PAYLOAD,
    A,
    Answer,
    BadPacket,
    ClientSubnet,
    Query,
    name_to_text,
    parent_name,
    parse_query_untrusted,
    render_error,
    render_option,
    render_record,
    render_rrset,
    skip_name_untrusted,
    split_labels,
    split_records,
)
from tests.steering.support import names, parsed, spelt, subnets, wire_of

HEADER = b"\x12\x34\x01\x00"
QUESTION = b"\3www\7example\3com\0\0\1\0\1"
PLAIN = HEADER + b"\0\1\0\0\0\0\0\0" + QUESTION
WITH_OPT = HEADER + b"\0\1\0\0\0\0\0\1" + QUESTION


def opt(*options: tuple[int, bytes], owner: bytes = b"\0", version: int = 0, cut: int = 0) -> bytes:
    """An OPT record; its RDLENGTH is `cut` octets too long."""
    rdata = b"".join(struct.pack("!HH", code, len(data)) + data for code, data in options)
    return owner + struct.pack("!HHBBHH", 41, 1400, 0, version, 0, len(rdata) + cut) + rdata


RECORD = b"\0" + struct.pack("!HHIH", 65280, 255, 0, 5) + b"12345"
"""One of a type that means nothing to us."""
COOKIE = (10, bytes(8))
SUBNET = (8, b"\0\1\x18\0\xc0\0\2")
TWO_RECORDS = HEADER + b"\0\1\0\0\0\0\0\2" + QUESTION


def tsig() -> bytes:
    """A TSIG record."""
    return b"\3key\xc0\x10" + struct.pack("!HHIH", 250, 255, 0, 5) + b"12345"


def refused(packet: bytes) -> BadPacket:
    """Why a packet is no query."""
    with pytest.raises(BadPacket) as caught:
        parse_query_untrusted(packet)
    return caught.value


def refusal(packet: bytes) -> int | None:
    """The RCODE with which a packet is refused; None for silence."""
    return refused(packet).rcode


# Hostile bytes.


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda rest: PLAIN[:12] + rest))
def test_any_bytes_are_a_query_or_bad(packet: bytes) -> None:
    try:
        query = parse_query_untrusted(packet)
    except BadPacket as bad:
        assert bad.rcode in (None, FORMERR, NOTIMP, NOTAUTH)
    else:
        assert packet[12:].startswith(query.question)
        assert query.question[:-4].lower() == query.name


@given(
    names().flatmap(spelt),
    st.lists(subnets(), max_size=1),
    st.data(),
)
def test_a_damaged_query_is_a_query_or_bad(
    asked: dns.name.Name, options: list[dns.edns.Option], data: st.DataObject
) -> None:
    packet = bytearray(dns.message.make_query(asked, "A", use_edns=0, options=options or None).to_wire())
    for _ in range(data.draw(st.integers(1, 3))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    packet = packet[: data.draw(st.integers(0, len(packet)))]
    try:
        parse_query_untrusted(bytes(packet))
    except BadPacket as bad:
        assert bad.rcode in (None, FORMERR, NOTIMP, NOTAUTH)


@given(st.integers(0, len(WITH_OPT) + 30))
def test_every_beginning_of_a_query_is_bad(length: int) -> None:
    whole = WITH_OPT + opt((8, b"\0\1\x18\0\xc0\0\2"), (10, bytes(8)))
    if length < len(whole):
        assert refusal(whole[:length]) == (None if length < 12 else FORMERR)


@pytest.mark.parametrize(
    ("packet", "rcode"),
    [
        pytest.param(b"", None, id="nothing"),
        pytest.param(PLAIN[:11], None, id="shorter than a header"),
        pytest.param(b"\x12\x34\x81" + PLAIN[3:], None, id="a response"),
        pytest.param(b"\x12\x34\xff" + PLAIN[3:], None, id="a response of an unknown opcode"),
        *[
            pytest.param(b"\x12\x34" + bytes((opcode << 3,)) + PLAIN[3:], NOTIMP, id=f"opcode {opcode}")
            for opcode in range(1, 16)
        ],
        pytest.param(PLAIN + b"\0", FORMERR, id="an octet too many"),
        pytest.param(HEADER + bytes(8), FORMERR, id="no question"),
        pytest.param(HEADER + bytes(7) + b"\1" + opt(), FORMERR, id="no question and no cookie"),
        pytest.param(HEADER + bytes(7) + b"\1" + opt(COOKIE) + b"\0", FORMERR, id="no question, an octet too many"),
        pytest.param(HEADER + bytes(7) + b"\1" + QUESTION + opt(COOKIE), FORMERR, id="a question not counted"),
        pytest.param(HEADER + bytes(7) + b"\2" + opt(COOKIE) + RECORD, FORMERR, id="no question, but a record"),
        pytest.param(HEADER + b"\0\2\0\0\0\0\0\0" + QUESTION * 2, FORMERR, id="two questions"),
        pytest.param(HEADER + b"\0\1\0\1\0\0\0\0" + QUESTION + opt(), FORMERR, id="an answer"),
        pytest.param(HEADER + b"\0\1\0\0\0\1\0\0" + QUESTION + opt(), FORMERR, id="an authority"),
        pytest.param(HEADER + b"\0\1\0\0\0\0\0\0" + b"\xc0\x0c\0\1\0\1", FORMERR, id="a pointer to itself"),
        pytest.param(HEADER + b"\0\1\0\0\0\0\0\0" + b"\x40a\0\0\1\0\1", FORMERR, id="a label of an unknown kind"),
        pytest.param(PLAIN[:12] + b"\x3f" + bytes(63), FORMERR, id="a name without an end"),
        pytest.param(PLAIN[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", FORMERR, id="a name of 257 octets"),
        pytest.param(WITH_OPT, FORMERR, id="the OPT record is missing"),
        pytest.param(PLAIN + opt(), FORMERR, id="the OPT record is not counted"),
        pytest.param(WITH_OPT + opt(cut=1), FORMERR, id="RDLENGTH too long"),
        pytest.param(WITH_OPT + opt((10, b"x"), cut=-1), FORMERR, id="RDLENGTH too short"),
        pytest.param(WITH_OPT + opt()[:-2] + b"\0\3abc", FORMERR, id="half an option's head"),
        pytest.param(WITH_OPT + opt()[:-2] + b"\0\4\0\x0a\0\1", FORMERR, id="an option that ends early"),
        pytest.param(WITH_OPT + opt(owner=b"\1a\0"), FORMERR, id="an OPT record with an owner"),
        pytest.param(WITH_OPT + opt(owner=b"\xc0\x0c"), FORMERR, id="an OPT record with a pointer as owner"),
        pytest.param(HEADER + b"\0\1\0\0\0\0\0\2" + QUESTION + opt() * 2, FORMERR, id="two OPT records"),
        pytest.param(HEADER + b"\0\1\0\0\0\0\xff\xff" + QUESTION + opt(), FORMERR, id="records that are not there"),
        pytest.param(WITH_OPT + opt(SUBNET, SUBNET), FORMERR, id="two client subnets"),
        pytest.param(WITH_OPT + opt(SUBNET, (10, bytes(8)), (8, b"")), FORMERR, id="two client subnets, one broken"),
        pytest.param(WITH_OPT + b"\xc0\x21" + RECORD[1:], FORMERR, id="an owner that is a pointer to itself"),
        pytest.param(WITH_OPT + b"\xc0\x22" + RECORD[1:], FORMERR, id="an owner that is a pointer forwards"),
        pytest.param(WITH_OPT + tsig(), NOTAUTH, id="a TSIG record"),
        pytest.param(HEADER + b"\0\1\0\0\0\0\0\2" + QUESTION + opt() + tsig(), NOTAUTH, id="OPT, then TSIG"),
        pytest.param(HEADER + b"\0\1\0\0\0\0\0\2" + QUESTION + tsig() + opt(), FORMERR, id="TSIG, then OPT"),
        pytest.param(HEADER + b"\0\1\0\0\0\0\0\2" + QUESTION + tsig() * 2, FORMERR, id="two TSIG records"),
    ],
)
def test_what_is_no_query(packet: bytes, rcode: int | None) -> None:
    assert refusal(packet) == rcode


@pytest.mark.parametrize(
    ("packet", "question", "edns"),
    [
        pytest.param(PLAIN + b"\0", QUESTION, False, id="without EDNS"),
        pytest.param(WITH_OPT + opt() + b"\0", QUESTION, True, id="behind the OPT record"),
        pytest.param(WITH_OPT + opt((8, b"")), QUESTION, True, id="in an option"),
        pytest.param(WITH_OPT + opt(cut=1), QUESTION, True, id="in the length of the OPT record"),
        pytest.param(WITH_OPT + opt()[:5], QUESTION, True, id="an OPT record that ends early"),
        pytest.param(TWO_RECORDS + opt() + opt(), QUESTION, True, id="in a second OPT record"),
        pytest.param(TWO_RECORDS + RECORD + opt((8, b"")), QUESTION, True, id="in the OPT record behind another one"),
        pytest.param(TWO_RECORDS + opt() + RECORD[:-9], QUESTION, True, id="in a record behind the OPT record"),
        pytest.param(TWO_RECORDS + opt() + tsig(), QUESTION, True, id="a TSIG record behind the OPT record"),
        pytest.param(TWO_RECORDS + tsig() + opt(), QUESTION, False, id="a TSIG record before the OPT record"),
        pytest.param(HEADER + b"\0\1\0\1\0\0\0\0" + QUESTION + opt(), QUESTION, False, id="an answer"),
        pytest.param(HEADER + b"\0\2\0\0\0\0\0\0" + QUESTION * 2, b"", False, id="two questions"),
        pytest.param(HEADER + bytes(7) + b"\1" + opt(), b"", True, id="no question"),
        pytest.param(PLAIN[:-1], b"", False, id="in the question"),
        pytest.param(PLAIN[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", b"", False, id="in the name"),
    ],
)
def test_what_can_be_read_of_it_can_be_repeated(packet: bytes, question: bytes, edns: bool) -> None:
    """RFC 6891 section 7: an error to who sent an OPT record has one, and the question."""
    bad = refused(packet)
    assert (bad.question, bad.edns) == (question, edns)


def test_a_cookie_without_a_question() -> None:
    """RFC 7873 section 5.4."""
    query = parse_query_untrusted(HEADER + bytes(7) + b"\1" + opt(COOKIE))
    assert (query.identifier, query.question, query.recursion_desired) == (b"\x12\x34", b"", 1)
    assert query.edns is not None
    assert query.edns.options == dict([COOKIE])


def test_the_longest_name() -> None:
    longest = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    assert parse_query_untrusted(PLAIN[:12] + longest + b"\0\1\0\1").name == longest
    too_long = (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0"
    assert refusal(PLAIN[:12] + too_long + b"\0\1\0\1") == FORMERR


@pytest.mark.parametrize(
    "option",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0\1\x18", id="three octets"),
        pytest.param(b"\0\1\x18\x18\xc0\0\2", id="a scope in a query"),
        pytest.param(b"\0\1\x18\0\xc0\0", id="too few octets"),
        pytest.param(b"\0\1\x18\0\xc0\0\2\0", id="too many octets"),
        pytest.param(b"\0\1\x17\0\xc0\0\3", id="a bit behind the prefix"),
        pytest.param(b"\0\1\0\0\0", id="an octet for a prefix of none"),
        pytest.param(b"\0\1\x21\0\xc0\0\2\1\0", id="IPv4 longer than 32"),
        pytest.param(b"\0\2\x81\0" + bytes(17), id="IPv6 longer than 128"),
        pytest.param(b"\0\2\x2f\0\x20\1\x0d\xb8\0\1", id="IPv6 with a bit behind the prefix"),
        pytest.param(b"\0\0\x18\0\xc0\0\2", id="no family, but a prefix"),
        pytest.param(b"\0\0\0\1", id="no family, but a scope"),
        pytest.param(b"\0\3\x18\0\xc0\0\2", id="an unknown family"),
        pytest.param(b"\1\1\x18\0\xc0\0\2", id="an unknown family, low octet of IPv4"),
    ],
)
def test_malformed_client_subnets(option: bytes) -> None:
    """RFC 7871 section 7.1.2: what does not follow the format gets FORMERR."""
    assert refusal(WITH_OPT + opt((8, option))) == FORMERR


def test_options_of_a_later_edns_version_are_not_read() -> None:
    """RFC 6891 section 6.1.3: BADVERS is the answer, whatever else is in there."""
    edns = parse_query_untrusted(WITH_OPT + opt((8, b""), version=1)).edns
    assert edns is not None
    assert (edns.version, edns.subnet) == (1, None)


def test_no_family_at_all() -> None:
    edns = parse_query_untrusted(WITH_OPT + opt((8, bytes(4)))).edns
    assert edns is not None
    assert edns.subnet is not None
    assert (edns.subnet.version, edns.subnet.source) == (0, 0)


def test_records_beside_the_opt_record_are_passed_over() -> None:
    named = b"\3key\xc0\x10" + RECORD[1:]
    for record in (RECORD, named):
        for rest in (record + opt(), opt() + record):
            query = parse_query_untrusted(TWO_RECORDS + rest)
            assert query.edns is not None
            assert query.edns.size == 1400
        assert parse_query_untrusted(WITH_OPT + record).edns is None


# What dnspython makes and sees.

OTHER_OPTIONS = [
    dns.edns.GenericOption(dns.edns.OptionType.NSID, b""),
    dns.edns.GenericOption(dns.edns.OptionType.COOKIE, bytes(8)),
    dns.edns.GenericOption("65001", b"xy"),
]


@given(
    asked=names().flatmap(spelt),
    rrtype=st.integers(1, 65535).filter(lambda number: number not in (41, 250, 251, 252)),
    rrclass=st.sampled_from([dns.rdataclass.IN, dns.rdataclass.CH, dns.rdataclass.ANY]),
    identifier=st.integers(0, 65535),
    recursion=st.booleans(),
    payload=st.integers(0, 65535),
    dnssec=st.booleans(),
    subnet=st.none() | subnets(),
    others=st.lists(st.sampled_from(OTHER_OPTIONS), max_size=3),
    first=st.booleans(),
    with_edns=st.booleans(),
)
def test_queries_of_dnspython(
    *,
    asked: dns.name.Name,
    rrtype: int,
    rrclass: dns.rdataclass.RdataClass,
    identifier: int,
    recursion: bool,
    payload: int,
    dnssec: bool,
    subnet: dns.edns.ECSOption | None,
    others: list[dns.edns.Option],
    first: bool,
    with_edns: bool,
) -> None:
    message = dns.message.make_query(asked, dns.rdatatype.RdataType.make(rrtype), rrclass)
    message.id = identifier
    message.flags = dns.flags.Flag(dns.flags.RD if recursion else 0)
    options = others if subnet is None else [subnet, *others] if first else [*others, subnet]
    if with_edns:
        message.use_edns(0, dns.flags.DO if dnssec else 0, payload, options=options)
    query = parse_query_untrusted(message.to_wire())
    assert query.identifier == identifier.to_bytes(2, "big")
    assert query.recursion_desired == recursion
    assert query.question == wire_of(asked) + struct.pack("!HH", rrtype, rrclass)
    assert query.name == wire_of(asked.canonicalize())
    assert (query.rrtype, query.rrclass) == (rrtype, rrclass)
    if not with_edns:
        assert query.edns is None
        return
    edns = query.edns
    assert edns is not None
    assert (edns.size, edns.version, edns.dnssec_ok) == (payload, 0, dnssec)
    assert edns.options == {int(option.otype): option.to_wire() for option in others}
    if subnet is None:
        assert edns.subnet is None
    else:
        assert_same_subnet(edns.subnet, subnet)


def assert_same_subnet(ours: ClientSubnet | None, theirs: dns.edns.ECSOption) -> None:
    assert ours is not None
    assert ours.version == {1: 4, 2: 6}[theirs.family]
    assert ours.source == theirs.srclen
    full = theirs.addrdata.ljust(4 if theirs.family == 1 else 16, b"\0")
    assert ours.address == int.from_bytes(full, "big")
    assert ours.option == theirs.to_wire()


# Names.


@given(names())
def test_names(made: dns.name.Name) -> None:
    encoded = wire_of(made)
    assert split_labels(encoded) == list(made.labels[:-1])
    assert name_to_text(encoded) == made.to_text()
    assert parent_name(encoded) == (wire_of(made.parent()) if len(made) > 1 else b"")
    assert skip_name_untrusted(b"xx" + encoded + b"y", 2) == 2 + len(encoded)


def test_names_in_a_record_may_end_in_a_pointer() -> None:
    packet = bytes(12) + b"\7example\0\3www\xc0\x0c!"
    assert skip_name_untrusted(packet, 21) == len(packet) - 1
    for start in (12, 21):  # RFC 1035 section 4.1.4: it leads to a prior occurrence
        for target in (start, start + 1, 0x3FFF):
            with pytest.raises(BadPacket):
                skip_name_untrusted(packet[:start] + (0xC000 | target).to_bytes(2, "big"), start)


@given(st.binary(max_size=20), st.integers(0, 30))
def test_skipping_a_name_ends(packet: bytes, position: int) -> None:
    try:
        assert position < skip_name_untrusted(packet, position) <= len(packet) + 1
    except BadPacket as bad:
        assert bad.rcode == FORMERR


# Replies.

answers = st.builds(
    lambda rcode, authoritative, needed, optional: make_answer(rcode, authoritative, needed, optional),
    st.sampled_from([0, 2, 3, 5, BADVERS]),
    st.booleans(),
    st.integers(0, 120),
    st.integers(0, 120),
)


def make_answer(rcode: int, authoritative: bool, needed: int, optional: int) -> Answer:
    """An Answer of some address records of 16 octets, and more of them that may be left out, one by one."""
    records = [render_record(OWNER, A, 30, number.to_bytes(4, "big")) for number in range(needed + optional)]
    ends = tuple((16 * (needed + count), count) for count in range(optional + 1))
    return Answer(rcode, authoritative, (needed, 0, optional), b"".join(records), ends, kind=b"!")


queries = st.builds(
    lambda asked, edns, subnet, recursion: _ask(asked, edns, subnet, recursion),
    names().flatmap(spelt),
    st.booleans(),
    st.none() | subnets(),
    st.booleans(),
)


def _ask(asked: dns.name.Name, edns: bool, subnet: dns.edns.ECSOption | None, recursion: bool) -> Query:
    message = dns.message.make_query(
        asked, "A", use_edns=0 if edns else False, options=[subnet] if subnet and edns else None
    )
    message.flags = dns.flags.Flag(dns.flags.RD if recursion else 0)
    return parse_query_untrusted(message.to_wire())


@given(
    answers,
    queries,
    st.sampled_from([PLAIN_UDP_SIZE, 700, UDP_PAYLOAD, 65535]),
    st.integers(0, 32),
    st.sampled_from([b"", render_option(3, b"ns1"), render_option(3, b"ns1") + render_option(10, bytes(24))]),
)
def test_replies_parse_and_fit(answer: Answer, query: Query, size: int, scope: int, options: bytes) -> None:
    packet = answer.render(query, size, scope, options)
    assert len(packet) <= size
    reply = dns.message.from_wire(packet)
    assert packet[:2] == query.identifier
    assert packet[12 : 12 + len(query.question)] == query.question, "the question as it was spelt"
    assert bool(reply.flags & dns.flags.RD) == bool(query.recursion_desired)
    assert not reply.flags & (dns.flags.RA | dns.flags.AD | dns.flags.CD)
    assert (reply.edns >= 0) == (query.edns is not None)
    answered, added = (sum(len(rrset) for rrset in section) for section in (reply.answer, reply.additional))
    if reply.flags & dns.flags.TC:
        assert (answered, added) == (0, 0)
        assert len(packet) + answer.ends[0][0] > size, "cut although it would have fitted"
    else:
        assert answered * 16 == answer.ends[0][0]
        assert answered + added == len(answer.body) // 16 or len(packet) + 16 > size, "left out although it would fit"
    if query.edns is not None:
        assert reply.payload == UDP_PAYLOAD
        assert bool(reply.ednsflags & dns.flags.DO) == query.edns.dnssec_ok
        scopes = [option for option in reply.options if isinstance(option, dns.edns.ECSOption)]
        assert len(scopes) == (query.edns.subnet is not None)
        for echoed in scopes:
            assert_same_subnet(query.edns.subnet, dns.edns.ECSOption(echoed.address, echoed.srclen, 0))
            assert echoed.scopelen == scope
        sent = b"".join(
            render_option(option.otype, option.to_wire())
            for option in reply.options
            if option.otype != dns.edns.OptionType.ECS
        )
        assert sent == options
    truncated = answer.render_truncated(query, scope, options)
    if reply.flags & dns.flags.TC:
        assert packet == truncated
    else:
        assert dns.message.from_wire(truncated).flags & dns.flags.TC


@pytest.mark.parametrize(("rcode", "edns"), [(0, True), (3, True), (5, False), (BADVERS, True)])
@pytest.mark.parametrize("authoritative", [True, False])
def test_rcode_and_authority(rcode: int, edns: bool, authoritative: bool) -> None:
    answer = Answer(rcode, authoritative, (0, 0, 0), b"", kind=b"!")
    reply = dns.message.from_wire(answer.render(parsed("x.", "A", use_edns=0 if edns else False), 512, 0))
    assert reply.rcode() == rcode
    assert bool(reply.flags & dns.flags.AA) == authoritative
    assert reply.flags & dns.flags.QR


def test_optional_records_go_before_the_reply_is_cut() -> None:
    """RFC 2181 section 9: TC is for what had to be there."""
    answer = make_answer(NOERROR, True, 20, 20)
    query = parsed("x.", "A", use_edns=False)
    assert not dns.message.from_wire(answer.render(query, 512, 0)).flags & dns.flags.TC
    assert dns.message.from_wire(answer.render(query, 300, 0)).flags & dns.flags.TC


def test_glue_that_is_needed_is_not_left_out() -> None:
    records = [render_record(OWNER, A, 30, bytes(4))] * 3
    answer = Answer(NOERROR, False, (0, 0, 3), b"".join(records), ((16, 1), (32, 2)), kind=b">")
    query = parsed("x.", "A", use_edns=False)
    head = len(query.question) + 12
    for size, count in ((head + 48, 3), (head + 47, 2), (head + 32, 2), (head + 31, 1), (head + 16, 1), (head + 15, 0)):
        packet = answer.render(query, size, 0)
        assert struct.unpack_from("!H", packet, 10)[0] == count
        assert bool(packet[2] & 2) == (count == 0)


@given(
    st.binary(min_size=12, max_size=40),
    st.integers(0, 15),
    st.sampled_from([b"", QUESTION]),
    st.sampled_from([None, b"", render_option(10, bytes(24))]),
)
def test_an_error_has_what_is_repeated_and_nothing_else(
    packet: bytes, rcode: int, question: bytes, options: bytes | None
) -> None:
    reply = render_error(packet, rcode, question, options)
    message = dns.message.from_wire(reply) if packet[2] & 0x78 != 0x28 else None
    assert len(reply) == 12 + len(question) + (0 if options is None else 11 + len(options))
    assert reply[:2] == packet[:2]
    assert reply[2] & 0x86 == 0x80, "it is a response, neither authoritative nor truncated"
    assert reply[2] & 0x79 == packet[2] & 0x79, "with the opcode and RD of the query"
    assert reply[3] == rcode
    assert reply[12:].startswith(question)
    if message is not None:
        assert len(message.question) == bool(question)
        assert (message.edns, message.payload) == ((-1, 0) if options is None else (0, UDP_PAYLOAD))
        assert len(message.options) == bool(options)
        assert not (message.answer or message.authority or message.additional)


@given(st.lists(st.sampled_from([b"a", b"b", b"", b"c" * 300]), min_size=1))
def test_equal_records_are_one(rdatas: list[bytes]) -> None:
    """RFC 2181 section 5."""
    rrtype, count, records = render_rrset(A, 30, rdatas)
    distinct = list(dict.fromkeys(rdatas))
    assert (rrtype, count) == (A, len(distinct))
    assert split_records(records) == [render_record(OWNER, A, 30, rdata) for rdata in distinct]


@given(st.lists(st.binary(max_size=300)))
def test_split_records(rdatas: list[bytes]) -> None:
    records = [render_record(OWNER, 16, 5, rdata) for rdata in rdatas]
    assert split_records(b"".join(records)) == records


def test_types_are_those_of_dns() -> None:
    for word in ("A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA", "SRV", "DNAME", "OPT", "DS", "HTTPS", "TSIG", "ANY"):
        assert getattr(wire, word) == dns.rdatatype.from_text(word)
    words = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "NOTAUTH", "BADVERS")
    for word in words:
        assert getattr(wire, word) == dns.rcode.from_text(word)
