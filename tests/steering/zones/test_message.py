"""Messages between servers: what dnspython writes is read alike, and no octets do anything but raise BadPacket."""

import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.wire import IXFR, NOTIFY, QUERY, SOA, BadPacket
from steering.zones.message import parse_message_untrusted, render_request
from tests.steering.support import APEX, SOA_RDATA

RECORDS = [
    ("a", "A", "192.0.2.1"),
    ("a", "AAAA", "2001:db8::1"),
    ("b", "NS", "ns.example.com."),
    ("c", "CNAME", "Www.Example.com."),
    ("d", "MX", "10 mx.example.com."),
    ("e", "SRV", "1 2 3 sip.example.com."),
    ("f", "NAPTR", '1 2 "s" "SIP+D2U" "" sip.example.com.'),
    ("g", "HTTPS", "1 . alpn=h2"),
    ("h", "TXT", '"one" "two"'),
    ("i", "RP", "a.example.com. b.example.com."),
    ("j", "TYPE65280", "\\# 3 010203"),
    ("@", "SOA", "ns.example.com. host.example.com. 1 2 3 4 5"),
]


def answer() -> dns.message.Message:
    message = dns.message.make_response(dns.message.make_query("example.com", "AXFR", use_edns=0))
    for owner, rrtype, text in RECORDS:
        name = dns.name.from_text(owner, dns.name.from_text("example.com"))
        message.answer.append(dns.rrset.from_text(name, 300, "IN", rrtype, text))
    return message


def test_every_kind_of_record_is_read_with_its_names_written_out() -> None:
    read = parse_message_untrusted(answer().to_wire())
    assert (read.name, read.rrtype, read.rrclass, read.edns_size) == (APEX, 252, 1, 8192)
    expected = [
        (rrset.name.to_digestable(), rrset.rdtype, 1, rrset.ttl, rdata.to_wire())
        for rrset in answer().answer
        for rdata in rrset
    ]
    assert [(*record[:4], record.rdata.lower()) for record in read.answers] == [
        (*record[:4], record[4].lower()) for record in expected
    ], "dnspython compresses whatever the case"


@pytest.mark.parametrize("opcode", [QUERY, NOTIFY])
def test_a_request_is_what_dnspython_reads(opcode: int) -> None:
    rrtype = SOA if opcode == NOTIFY else IXFR
    packet = render_request(b"\1\2", opcode, APEX, rrtype, soa=SOA_RDATA)
    message = dns.message.from_wire(packet)
    section = message.answer if opcode == NOTIFY else message.authority
    assert (message.id, message.opcode(), message.question[0].rdtype) == (0x0102, opcode, rrtype)
    assert section[0][0].to_wire() == SOA_RDATA
    assert parse_message_untrusted(packet).opcode == opcode


@given(st.binary(max_size=200))
def test_any_octets_are_a_message_or_a_bad_packet(packet: bytes) -> None:
    try:
        parse_message_untrusted(packet)
    except BadPacket:
        pass


@given(st.data())
def test_a_message_with_octets_changed_is_a_message_or_a_bad_packet(data: st.DataObject) -> None:
    packet = bytearray(answer().to_wire())
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = parse_message_untrusted(bytes(packet[: data.draw(st.integers(0, len(packet)))]))
    except BadPacket:
        return
    assert all(len(record.owner) <= 255 for record in read.answers)


@pytest.mark.parametrize(
    ("rrtype", "rdata"),
    [
        *((1, b"\1\2\3"), (28, bytes(15)), (2, b"\3www"), (6, b"\0\0\1"), (15, b"\0\1\0\0"), (16, b"\5ab")),
        (35, bytes(5)),
        *((rrtype, b"") for rrtype in (1, 2, 6, 12, 16, 35)),
    ],
)
def test_rdata_of_the_wrong_form_is_refused(rrtype: int, rdata: bytes) -> None:
    header = bytes(6) + b"\0\1\0\0\0\0"
    record = APEX + rrtype.to_bytes(2, "big") + b"\0\1\0\0\0\0" + len(rdata).to_bytes(2, "big") + rdata
    with pytest.raises(BadPacket):
        parse_message_untrusted(header + record)


def test_a_chain_of_pointers_is_cut() -> None:
    chain = b"".join((0xC000 | 12 + max(0, 2 * number - 2)).to_bytes(2, "big") for number in range(2000))
    with pytest.raises(BadPacket):
        parse_message_untrusted(bytes(4) + b"\0\0\0\1\0\0\0\0" + b"\0" + chain)
