"""Updates (RFC 2136) as values: form, prerequisites, what each record does, and what random bytes do."""

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.values import parse_pattern
from steering.wire import (
    ANY,
    CNAME,
    FORMERR,
    HTTPS,
    IN,
    MX,
    NOTZONE,
    NS,
    NXDOMAIN,
    NXRRSET,
    REFUSED,
    SOA,
    TXT,
    UPDATE,
    YXDOMAIN,
    YXRRSET,
    A,
    BadPacket,
)
from steering.zones import update as update_module
from steering.zones.message import ANY_CLASS, Message, MessageRecord, parse_message_untrusted
from steering.zones.update import (
    NONE_CLASS,
    RRsets,
    UpdateError,
    apply_update,
    check_prerequisites,
    check_rdata_untrusted,
    check_update_untrusted,
    is_named,
)
from steering.zones.zonefile import record_identity

APEX = b"\7example\3com\0"
WWW = b"\3www" + APEX
ALIAS = b"\5alias" + APEX
NEW = b"\3new" + APEX
OUTSIDE = b"\7example\3net\0"
ONE, TWO, THREE = b"\xc0\0\2\1", b"\xc0\0\2\2", b"\xc0\0\2\3"
NS1, NS2 = b"\3NS1" + OUTSIDE, b"\3ns2" + OUTSIDE

ZONE: dict[bytes, dict[int, tuple[int, list[bytes]]]] = {
    APEX: {SOA: (300, [b"soa"]), NS: (300, [NS1, NS2]), TXT: (300, [b"\1x"])},
    WWW: {A: (300, [ONE, TWO]), TXT: (300, [b"\1x"])},
    ALIAS: {CNAME: (300, [WWW])},
}


def read(owner: bytes) -> RRsets:
    return ZONE.get(owner, {})


def message(*updates: MessageRecord, prerequisites: tuple[MessageRecord, ...] = ()) -> Message:
    return Message(b"id", UPDATE << 11, APEX, SOA, IN, b"", list(prerequisites), list(updates), [], None, None)


def add(owner: bytes, rrtype: int, rdata: bytes, ttl: int = 300) -> MessageRecord:
    return MessageRecord(owner, rrtype, IN, ttl, rdata)


def delete(owner: bytes, rrtype: int, rdata: bytes) -> MessageRecord:
    return MessageRecord(owner, rrtype, NONE_CLASS, 0, rdata)


def delete_all(owner: bytes, rrtype: int = ANY) -> MessageRecord:
    return MessageRecord(owner, rrtype, ANY_CLASS, 0, b"")


def wanted(owner: bytes, rrtype: int, rrclass: int, rdata: bytes = b"", ttl: int = 0) -> MessageRecord:
    return MessageRecord(owner, rrtype, rrclass, ttl, rdata)


@pytest.mark.parametrize(
    ("update", "owner", "expected"),
    [
        # 3.4.2.2: add to an RRset
        ([add(NEW, A, ONE, 60)], NEW, {A: (60, [ONE])}),
        ([add(WWW, A, THREE)], WWW, ZONE[WWW] | {A: (300, [ONE, TWO, THREE])}),
        ([add(WWW, A, ONE)], WWW, None),
        ([add(WWW, A, ONE, 60)], WWW, ZONE[WWW] | {A: (60, [ONE, TWO])}),
        ([add(APEX, NS, NS1.lower())], APEX, None),
        ([add(NEW, A, ONE, 2**31)], NEW, {A: (0, [ONE])}),
        # 3.4.2.2: a CNAME stands alone, and there is one
        ([add(WWW, CNAME, NEW)], WWW, None),
        ([add(ALIAS, A, ONE)], ALIAS, None),
        ([add(ALIAS, CNAME, NEW)], ALIAS, {CNAME: (300, [NEW])}),
        ([delete_all(ALIAS), add(ALIAS, A, ONE)], ALIAS, {A: (300, [ONE])}),
        # 3.4.2.3: delete an RRset, or all of a name
        ([delete_all(WWW, A)], WWW, {TXT: (300, [b"\1x"])}),
        ([delete_all(WWW, MX)], WWW, None),
        ([delete_all(WWW)], WWW, {}),
        ([delete_all(NEW)], NEW, None),
        ([delete_all(APEX)], APEX, {SOA: (300, [b"soa"]), NS: (300, [NS1, NS2])}),
        ([delete_all(APEX, NS)], APEX, None),
        # 3.4.2.4: delete a record
        ([delete(WWW, A, ONE)], WWW, ZONE[WWW] | {A: (300, [TWO])}),
        ([delete(WWW, A, ONE), delete(WWW, A, TWO)], WWW, {TXT: (300, [b"\1x"])}),
        ([delete(WWW, A, THREE)], WWW, None),
        ([delete(APEX, NS, NS1.lower()), delete(APEX, NS, NS2)], APEX, ZONE[APEX] | {NS: (300, [NS2])}),
        # in their order
        ([add(NEW, A, ONE), delete_all(NEW)], NEW, None),
        ([delete_all(WWW, A), add(WWW, A, THREE)], WWW, ZONE[WWW] | {A: (300, [THREE])}),
    ],
)
def test_updates(update: list[MessageRecord], owner: bytes, expected: RRsets | None) -> None:
    before = repr(ZONE)
    check_update_untrusted(message(*update))
    check_rdata_untrusted(message(*update))
    assert apply_update(message(*update), read) == ({} if expected is None else {owner: expected})
    assert repr(ZONE) == before


@pytest.mark.parametrize(
    ("prerequisites", "rcode"),
    [
        # 3.2.1: an RRset exists
        ([wanted(WWW, A, ANY_CLASS)], None),
        ([wanted(WWW, MX, ANY_CLASS)], NXRRSET),
        # 3.2.2: with these records, whatever their TTL
        ([wanted(WWW, A, IN, TWO), wanted(WWW, A, IN, ONE)], None),
        ([wanted(WWW, A, IN, ONE)], NXRRSET),
        ([wanted(WWW, A, IN, ONE), wanted(WWW, A, IN, TWO), wanted(WWW, A, IN, THREE)], NXRRSET),
        ([wanted(APEX, NS, IN, NS1.lower()), wanted(APEX, NS, IN, NS2)], None),
        # 3.2.3: an RRset does not exist
        ([wanted(WWW, MX, NONE_CLASS)], None),
        ([wanted(WWW, A, NONE_CLASS)], YXRRSET),
        # 3.2.4: a name is in use
        ([wanted(WWW, ANY, ANY_CLASS)], None),
        ([wanted(NEW, ANY, ANY_CLASS)], NXDOMAIN),
        # 3.2.5: a name is not in use
        ([wanted(NEW, ANY, NONE_CLASS)], None),
        ([wanted(WWW, ANY, NONE_CLASS)], YXDOMAIN),
        # all of them count
        ([wanted(WWW, ANY, ANY_CLASS), wanted(NEW, ANY, ANY_CLASS)], NXDOMAIN),
    ],
)
def test_prerequisites(prerequisites: list[MessageRecord], rcode: int | None) -> None:
    asked = message(prerequisites=tuple(prerequisites))
    check_update_untrusted(asked)
    check_rdata_untrusted(asked)
    if rcode is None:
        check_prerequisites(asked, read)
        return
    with pytest.raises(UpdateError) as caught:
        check_prerequisites(asked, read)
    assert caught.value.rcode == rcode
    assert not re.search(r"type \d", str(caught.value)), "types have names"


@pytest.mark.parametrize(
    ("prerequisite", "rcode"),
    [
        (wanted(WWW, A, ANY_CLASS, ttl=1), FORMERR),
        (wanted(OUTSIDE, A, ANY_CLASS), NOTZONE),
        (wanted(WWW, A, ANY_CLASS, ONE), FORMERR),
        (wanted(WWW, A, NONE_CLASS, ONE), FORMERR),
        (wanted(WWW, ANY, IN, ONE), FORMERR),
        (wanted(WWW, 252, ANY_CLASS), FORMERR),
        (wanted(WWW, A, 3, ONE), FORMERR),
    ],
)
def test_prerequisites_that_are_none(prerequisite: MessageRecord, rcode: int) -> None:
    with pytest.raises(UpdateError) as caught:
        check_update_untrusted(message(prerequisites=(prerequisite,)))
    assert caught.value.rcode == rcode


@pytest.mark.parametrize(
    ("update", "rcode"),
    [
        (add(OUTSIDE, A, ONE), NOTZONE),
        (add(WWW, ANY, ONE), FORMERR),
        (add(WWW, 252, ONE), FORMERR),
        (add(WWW, 41, ONE), FORMERR),
        (MessageRecord(WWW, A, 3, 0, ONE), FORMERR),
        (MessageRecord(WWW, A, ANY_CLASS, 1, b""), FORMERR),
        (MessageRecord(WWW, A, ANY_CLASS, 0, ONE), FORMERR),
        (MessageRecord(WWW, 252, ANY_CLASS, 0, b""), FORMERR),
        (MessageRecord(WWW, A, NONE_CLASS, 1, ONE), FORMERR),
        (MessageRecord(WWW, ANY, NONE_CLASS, 0, ONE), FORMERR),
        (add(APEX, SOA, b"soa"), REFUSED),
        (delete_all(APEX, SOA), REFUSED),
    ],
)
def test_updates_that_are_none(update: MessageRecord, rcode: int) -> None:
    with pytest.raises(UpdateError) as caught:
        check_update_untrusted(message(add(WWW, A, ONE), update))
    assert caught.value.rcode == rcode


def test_the_work_grows_with_the_message_and_with_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 1000
    steps = 0

    def identify(rrtype: int, rdata: bytes) -> tuple[int, bytes]:
        nonlocal steps
        steps += 1
        return record_identity(rrtype, rdata)

    def read_many(_: bytes) -> RRsets:
        nonlocal steps
        steps += count
        return {A: (300, [struct.pack("!I", number) for number in range(count)])}

    monkeypatch.setattr(update_module, "record_identity", identify)
    rdatas = [struct.pack("!I", number) for number in range(count)]
    asked = message(
        *(add(WWW, A, rdata) for rdata in rdatas),
        *(delete(WWW, A, rdata) for rdata in rdatas),
        *(add(WWW, A, rdata) for rdata in rdatas),
        prerequisites=(
            *(wanted(WWW, A, IN, rdata) for rdata in rdatas),
            *(wanted(WWW, rrtype, ANY_CLASS) for rrtype in (A, ANY) for _ in rdatas),
        ),
    )
    check_update_untrusted(asked)
    check_prerequisites(asked, read_many)
    assert apply_update(asked, read_many) == {}
    assert steps < 20 * count


def test_a_name_gets_no_more_types_than_are_good_for_it() -> None:
    many = [add(NEW, 1000 + number, b"") for number in range(101)]
    assert len(apply_update(message(*many[1:]), read)[NEW]) == 100
    with pytest.raises(UpdateError) as caught:
        apply_update(message(*many), read)
    assert caught.value.rcode == REFUSED
    full: RRsets = {record.rrtype: (300, [b""]) for record in many}
    less = apply_update(message(delete_all(NEW, many[0].rrtype)), lambda _: full)
    assert len(less[NEW]) == 100
    assert apply_update(message(add(NEW, 1000, b"more")), lambda _: full)[NEW][1000] == (300, [b"", b"more"])


def test_an_update_of_names_with_too_many_records_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_module, "RECORDS_LIMIT", 5)
    assert apply_update(message(delete_all(WWW), delete_all(NEW)), read) == {WWW: {}}
    with pytest.raises(UpdateError) as caught:
        apply_update(message(delete_all(WWW), delete_all(APEX)), read)
    assert caught.value.rcode == REFUSED


@pytest.mark.parametrize(
    ("rrtype", "good", "bad"),
    [
        (A, ONE, b""),
        (TXT, b"\1x", b""),
        (42, b"", b"\0"),  # APL
        (65280, b"", None),
        (44, b"\1\1" + bytes(20), b"\1"),  # SSHFP
        (46, bytes(18) + b"\1x\0" + bytes(64), bytes(18) + b"\1x\xc0\0" + bytes(64)),  # RRSIG, with a pointer
        (52, b"\3\1\1" + bytes(32), b"\3"),  # TLSA
        (HTTPS, b"\0\1\0\0\1\0\3\2h2", b"\0\1\0\0\1\0\\9\2h2"),
        (257, b"\0\5issueca.example", b"\0\xffissue"),  # CAA
    ],
)
def test_rdata_is_what_its_type_prescribes(rrtype: int, good: bytes, bad: bytes | None) -> None:
    def records(rdata: bytes) -> list[Message]:
        deleted = message(delete(WWW, rrtype, rdata))
        return [message(add(WWW, rrtype, rdata)), deleted, message(prerequisites=(wanted(WWW, rrtype, IN, rdata),))]

    for each in records(good):
        check_rdata_untrusted(each)
    for each in records(bad) if bad is not None else ():
        with pytest.raises(UpdateError) as caught:
            check_rdata_untrusted(each)
        assert caught.value.rcode == FORMERR


@pytest.mark.parametrize(
    ("pattern", "named", "others"),
    [
        ("www.example.com", ["www.example.com"], ["example.com", "a.www.example.com", "wwx.example.com"]),
        ("*.example.com", ["www.example.com", "*.example.com"], ["example.com", "a.www.example.com"]),
        ("**.example.com", ["example.com", "www.example.com", "a.www.example.com"], ["example.net"]),
        ("_acme-challenge.**", ["_acme-challenge.example.com", "_acme-challenge.a.example.com"], ["a.example.com"]),
        ("a.**.b.example.com", ["a.b.example.com", "a.c.d.b.example.com"], ["a.example.com", "b.example.com"]),
        ("*.**.example.com", ["a.example.com", "a.b.example.com"], ["example.com"]),
        ("**", ["example.com"], []),
    ],
)
def test_patterns(pattern: str, named: list[str], others: list[str]) -> None:
    patterns = [parse_pattern("other.example.org"), parse_pattern(pattern)]
    assert [name for name in (*named, *others) if is_named(parse_pattern(name), patterns)] == named


records = st.builds(
    MessageRecord,
    st.sampled_from([APEX, WWW, ALIAS, NEW]),
    st.sampled_from([A, NS, TXT, CNAME, MX, SOA, ANY]),
    st.sampled_from([IN, ANY_CLASS, NONE_CLASS]),
    st.sampled_from([0, 300]),
    st.sampled_from([b"", ONE, TWO, NS1, NS2]),
)


@given(st.lists(records, max_size=12))
def test_whatever_is_updated_the_apex_keeps_what_it_needs_and_a_cname_stands_alone(update: list[MessageRecord]) -> None:
    try:
        check_update_untrusted(message(*update))
    except UpdateError:
        return
    for owner, rrsets in apply_update(message(*update), read).items():
        assert all(rdatas for _, rdatas in rrsets.values())
        assert CNAME not in rrsets or (len(rrsets) == 1 and len(rrsets[CNAME][1]) == 1)
        if owner == APEX:
            assert rrsets[SOA] == ZONE[APEX][SOA]
            assert rrsets[NS][1]


@given(st.binary(max_size=100), st.integers(0, 3), st.integers(0, 3))
def test_any_bytes_are_an_update_or_an_error(tail: bytes, prerequisites: int, updates: int) -> None:
    question = APEX + struct.pack("!HH", SOA, IN)
    packet = b"id" + struct.pack("!HHHHH", UPDATE << 11, 1, prerequisites, updates, 0) + question + tail
    try:
        parsed = parse_message_untrusted(packet)
        check_update_untrusted(parsed)
        check_rdata_untrusted(parsed)
        check_prerequisites(parsed, read)
        apply_update(parsed, read)
    except (BadPacket, UpdateError):
        pass
