"""Transfers in: every good sequence is taken, and every bad one is a TransferError that has changed nothing."""

import io
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.wire import IN, REFUSED, SOA, A
from steering.zones import inbound as inbound_module
from steering.zones.inbound import Inbound, Kind, TransferError, apply_changes
from steering.zones.message import Message, MessageRecord
from tests.steering.support import APEX, name


def soa(serial: int, owner: bytes = APEX) -> MessageRecord:
    rdata = b"\2ns\0\4host\0" + serial.to_bytes(4, "big") + bytes(16)
    return MessageRecord(owner, SOA, IN, 300, rdata)


def address(owner: str, last: int = 1, ttl: int = 300) -> MessageRecord:
    return MessageRecord(name(owner), A, IN, ttl, bytes((192, 0, 2, last)))


def message(records: Iterable[MessageRecord], flags: int = 0x8400) -> Message:
    return Message(b"\0\1", flags, APEX, 251, IN, b"", list(records), [], [], None, None)


def feed(records: list[MessageRecord], serial: int | None = None, cut: Iterable[int] = ()) -> Inbound:
    """What a transfer makes of records, in messages that are cut at these places."""
    made = Inbound(APEX, serial, io.BytesIO())
    start = 0
    for end in [*sorted(set(cut) - {0}), len(records)]:
        if start < end <= len(records) or not records:
            made.take_untrusted(message(records[start:end]))
        start = max(start, end)
    return made


WHOLE = [soa(5), address("a"), address("b"), soa(5)]
CHANGES = [soa(7), soa(5), address("a"), soa(6), address("a", 2), soa(6), soa(7), address("c"), soa(7)]


@given(st.sets(st.integers(0, 4)))
def test_a_whole_zone(cut: set[int]) -> None:
    for serial in (None, 3):
        made = feed(WHOLE, serial, cut)
        assert (made.done, made.kind, made.serial) == (True, Kind.WHOLE, 5)
        assert list(made.records()) == [(each.owner, each.rrtype, each.ttl, each.rdata) for each in WHOLE[:-1]]


@given(st.sets(st.integers(0, 9)))
def test_changes(cut: set[int]) -> None:
    made = feed(CHANGES, 5, cut)
    assert (made.done, made.kind, made.serial) == (True, Kind.CHANGES, 7)
    assert [(adding, record[0], record[3][-1]) for adding, record in made.changes] == [
        (False, name("a"), 1),
        (True, name("a"), 2),
        (True, name("c"), 1),
    ]


@pytest.mark.parametrize("serial", [5, 6, 0x7FFFFFFF])
def test_who_is_up_to_date(serial: int) -> None:
    made = feed([soa(5)], serial)
    assert (made.done, made.kind) == (True, Kind.UP_TO_DATE)


@given(st.integers(1, len(CHANGES) - 1))
def test_half_a_transfer_is_not_done(size: int) -> None:
    assert not feed(CHANGES[:size], 5).done
    assert not feed(WHOLE[: min(size, len(WHOLE) - 1)]).done


@pytest.mark.parametrize(
    ("records", "serial"),
    [
        ([], None),
        ([address("a")], None),
        ([soa(5), address("a"), soa(6)], None),
        ([*WHOLE, address("c")], None),
        ([*CHANGES, soa(8)], 5),
        ([soa(5), MessageRecord(b"\7example\3net\0", A, IN, 1, bytes(4)), soa(5)], None),
        ([soa(5), MessageRecord(b"\5xexam\3com\0", A, IN, 1, bytes(4)), soa(5)], None),
        ([soa(5), MessageRecord(name("a"), A, 3, 1, bytes(4)), soa(5)], None),
        ([soa(5), MessageRecord(name("a"), 250, IN, 1, bytes(4)), soa(5)], None),
        ([soa(5), MessageRecord(name("a"), 0, IN, 1, bytes(4)), soa(5)], None),
        ([soa(5), soa(5, name("a")), soa(5)], None),
        ([soa(7), soa(5), soa(4), soa(7)], 5),
        ([soa(7), soa(5), soa(6), soa(5), soa(7)], 5),
    ],
)
def test_what_nobody_should_send(records: list[MessageRecord], serial: int | None) -> None:
    with pytest.raises(TransferError):
        feed(records, serial)


def test_an_error_has_the_name_of_its_rcode() -> None:
    with pytest.raises(TransferError, match="REFUSED"):
        Inbound(APEX, None, io.BytesIO()).take_untrusted(message([], 0x8000 | REFUSED))


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound_module, "WHOLE_LIMIT", 50)
    monkeypatch.setattr(inbound_module, "CHANGES_LIMIT", 50)
    for records, serial in ((WHOLE, None), (CHANGES, 5)):
        with pytest.raises(TransferError, match="MiB"):
            feed(records, serial)


def test_a_ttl_with_the_highest_bit_is_zero() -> None:
    made = feed([soa(5), address("a", ttl=1 << 31), soa(5)])
    assert list(made.records())[1][2] == 0


def test_changes_of_an_owner() -> None:
    one, two, other = ((APEX, A, ttl, bytes((last,))) for ttl, last in ((300, 1), (300, 2), (60, 1)))
    assert apply_changes([one], [(False, one), (True, two)]) == [two]
    assert apply_changes([one], [(False, one), (True, other)]) == [other]
    assert apply_changes([one], [(True, one)]) == [one]
    with pytest.raises(TransferError):
        apply_changes([one], [(False, two)])


@given(st.lists(st.sampled_from([*WHOLE, *CHANGES]), max_size=12), st.sampled_from([None, 4, 5, 6]))
def test_any_sequence_is_done_or_not_or_the_one_error(records: list[MessageRecord], serial: int | None) -> None:
    try:
        made = feed(records, serial)
    except TransferError:
        return
    if made.done and made.kind is Kind.CHANGES:
        assert made.serial == 7
