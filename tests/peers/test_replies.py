"""The comparison itself: it sees what it is there to see, and nothing else."""

import dns.flags
import dns.message
import dns.rrset
import msgspec
import pytest

from tests.peers.questions import ask_about, make_packet, to_wire
from tests.peers.replies import Reply, judge, read_reply

WWW = "www.parent.test."
QUESTION = make_packet(to_wire(WWW), 1)[12:]


def make_reply(*records: str, edns: bool = False, flags: int = dns.flags.AA) -> Reply:
    """A reply with records like "answer www.example.com. 300 A 192.0.2.1"."""
    message = dns.message.make_response(dns.message.make_query(WWW, "A", use_edns=edns))
    message.flags |= flags
    for record in records:
        section, owner, ttl, rrtype, rdata = record.split(maxsplit=4)
        getattr(message, section).append(dns.rrset.from_text(owner, int(ttl), "IN", rrtype, rdata))
    return read_reply(message.to_wire())


ADDRESS = "answer www.parent.test. 300 A 192.0.2.1"
REPLY = make_reply(ADDRESS)


@pytest.mark.parametrize(
    "other",
    [
        make_reply(),
        make_reply("answer www.parent.test. 301 A 192.0.2.1"),
        make_reply("answer www.parent.test. 300 A 192.0.2.2"),
        make_reply("answer ww2.parent.test. 300 A 192.0.2.1"),
        make_reply("authority www.parent.test. 300 A 192.0.2.1"),
        make_reply(ADDRESS, "answer www.parent.test. 300 A 192.0.2.2"),
        make_reply(ADDRESS, edns=True),
        make_reply(ADDRESS, flags=0),
        make_reply(ADDRESS, flags=dns.flags.AA | dns.flags.TC),
        make_reply(ADDRESS, flags=dns.flags.AA | dns.flags.RA),
        msgspec.structs.replace(REPLY, rcode="NXDOMAIN"),
    ],
    ids=str,
)
def test_a_difference_is_seen(other: Reply) -> None:
    assert judge(other, QUESTION, [REPLY, REPLY, REPLY]) == ("unlike all",)
    assert judge(other, QUESTION, [REPLY, make_reply(ADDRESS, flags=dns.flags.CD), REPLY]) == ("unlike any",)
    assert judge(other, QUESTION, [REPLY, other, REPLY]) == ()


def test_order_case_compression_and_own_name_servers_are_no_difference() -> None:
    one = make_reply("answer www.parent.test. 3 NS a.b.", "answer www.parent.test. 3 NS parent.test.")
    other = make_reply(
        "answer WWW.parent.test. 3 NS Parent.Test.",
        "answer www.parent.test. 3 NS A.b.",
        "authority parent.test. 5 NS ns.parent.test.",
        "additional ns.parent.test. 5 A 192.0.2.1",
    )
    assert one == other


def test_additional_records() -> None:
    one, other = "additional a.parent.test. 1 A 192.0.2.1", "additional b.parent.test. 1 A 192.0.2.2"
    missing, own = ("additional records missing",), ("additional records of its own",)
    assert judge(make_reply(ADDRESS), QUESTION, [make_reply(ADDRESS, one), make_reply(ADDRESS, one, other)]) == missing
    assert judge(make_reply(ADDRESS, one), QUESTION, [make_reply(ADDRESS), make_reply(ADDRESS, one)]) == ()
    assert judge(make_reply(ADDRESS, one), QUESTION, [make_reply(ADDRESS), make_reply(ADDRESS, other)]) == own


def test_a_record_twice_and_another_question() -> None:
    assert judge(make_reply(ADDRESS, ADDRESS), QUESTION, [REPLY]) == ("a record twice",)
    assert judge(REPLY, QUESTION.upper(), [REPLY]) == ("another question",)


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_malformed_reply_is_an_error(cut: int) -> None:
    message = dns.message.make_response(dns.message.make_query(WWW, "A"))
    message.answer.append(dns.rrset.from_text(WWW, 1, "IN", "A", "192.0.2.1"))
    packet = message.to_wire()
    with pytest.raises((AssertionError, IndexError)):
        read_reply(packet[:-cut])
    with pytest.raises(AssertionError):
        read_reply(packet + b"\0")


def test_questions_are_the_same_each_time_and_cover_what_is_around_a_name() -> None:
    owner = to_wire("Host.parent.test")
    questions = ask_about("parent.test", [(owner, frozenset({17}))])
    assert questions == ask_about("parent.test", [(owner, frozenset({17}))])
    names = {question.name for question in questions}
    expected = ("parent.test", "below.Host.parent.test", "beside.parent.test", "*.parent.test", "Host.parent.test")
    assert names >= set(map(to_wire, expected))
    assert any(name != owner and name.lower() == owner.lower() for name in names)
    assert {question.rrtype for question in questions if question.name == owner} >= {1, 17, 255, 65280}
