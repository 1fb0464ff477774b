"""Tests of response rate limiting: the bound, what counts together, who is spared, a table under a flood."""

import ipaddress
import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from steering.ratelimit import Decision, RateLimit, RateLimiter
from steering.reading import Document, read_document
from steering.wire import ERROR, NO_NAME, NODE, REFERRAL

KEY = bytes(range(16))
WWW = NODE + b"\3www\7example\3com\0"
LIMIT = RateLimit(responses_per_second=2, burst_window=2.0, slip=0, exempt=())
SEND, SLIP, DROP = Decision.SEND, Decision.SLIP, Decision.DROP

steps = st.lists(
    st.tuples(
        st.sampled_from(["192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8:0:100::1"]),
        st.sampled_from([WWW, NO_NAME + b"\7example\3com\0", ERROR]),
        st.one_of(st.just(0.0), st.floats(0, 0.5), st.floats(0, 10)),
    ),
    max_size=150,
)
"""Address, kind, and seconds since the step before."""
limits = st.builds(
    RateLimit,
    responses_per_second=st.integers(1, 50),
    burst_window=st.floats(0, 3),
    slip=st.integers(0, 10),
    exempt=st.just(()),
)


def limiter(**settings: object) -> RateLimiter:
    """By default four answers at once and two a second, and none that slips."""
    return RateLimiter(msgspec.structs.replace(LIMIT, **settings), KEY, 1024)


def decide(subject: RateLimiter, count: int, address: str = "192.0.2.1", kind: bytes = WWW, now: float = 100.0) -> str:
    """The first letters of `count` decisions: "SSD" is two sent, one dropped; a slip is "t", for truncated."""
    letters = {SEND: "S", SLIP: "t", DROP: "D"}
    return "".join(letters[subject.judge(address, kind, now)] for _ in range(count))


# The bucket.


def test_a_burst_goes_out_and_then_the_rate() -> None:
    subject = limiter()
    assert decide(subject, 6, now=100.0) == "SSSSDD"
    assert decide(subject, 3, now=100.5) == "SDD"
    assert decide(subject, 4, now=101.5) == "SSDD"
    assert decide(subject, 6, now=200.0) == "SSSSDD"


def test_without_a_burst_window_one_answer_goes_out_at_once() -> None:
    assert decide(limiter(burst_window=0.0), 3) == "SDD"


def test_rate_0_is_no_limit() -> None:
    assert decide(limiter(responses_per_second=0), 1000) == "S" * 1000


@given(limit=limits, steps=steps)
def test_in_no_window_more_than_the_rate_and_a_burst_are_sent(
    limit: RateLimit, steps: list[tuple[str, bytes, float]]
) -> None:
    subject = RateLimiter(limit, KEY, 1024)
    now = 0.0
    sent: dict[tuple[str, bytes], list[float]] = {}
    for address, kind, pause in steps:
        now += pause
        if subject.judge(address, kind, now) is SEND:
            sent.setdefault((address, kind), []).append(now)
    assume(not subject.evicted)
    rate = limit.responses_per_second
    burst = max(rate * limit.burst_window, 1)
    for moments in sent.values():
        for first, start in enumerate(moments):
            for last in range(first, len(moments)):
                assert last - first + 1 <= rate * (moments[last] - start) + burst + 1e-6


# What counts together.


@pytest.mark.parametrize(
    ("settings", "address", "near", "far"),
    [
        ({}, "192.0.2.1", "192.0.2.255", "192.0.3.1"),
        ({"ipv4_prefix_length": 32}, "192.0.2.4", "192.0.2.4", "192.0.2.5"),
        ({"ipv4_prefix_length": 31}, "192.0.2.4", "192.0.2.5", "192.0.2.6"),
        ({"ipv4_prefix_length": 17}, "192.0.2.4", "192.0.127.5", "192.0.128.4"),
        ({"ipv4_prefix_length": 1}, "1.2.3.4", "127.0.0.1", "128.0.0.1"),
        ({}, "2001:db8::1", "2001:db8:0:ff::2", "2001:db8:0:100::1"),
        ({"ipv6_prefix_length": 128}, "2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ({"ipv6_prefix_length": 63}, "2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1"),
        ({"ipv6_prefix_length": 1}, "2001:db8::1", "7fff::", "8000::"),
        ({}, "fe80::1%eth0", "fe80::2", "fe80:0:0:100::1%eth0"),
    ],
)
def test_addresses_of_one_prefix_share_a_bucket(settings: dict[str, object], address: str, near: str, far: str) -> None:
    subject = limiter(**settings)
    assert decide(subject, 4, address) == "SSSS"
    assert decide(subject, 1, near) == "D"
    assert decide(subject, 4, far) == "SSSS"


@given(
    length=st.integers(1, 128),
    first=st.ip_addresses(v=6),
    flipped=st.integers(0, 127),
)
def test_just_the_bits_of_the_prefix_count(length: int, first: ipaddress.IPv6Address, flipped: int) -> None:
    other = ipaddress.IPv6Address(int(first) ^ 1 << (127 - flipped))
    subject = limiter(ipv6_prefix_length=length)
    assert decide(subject, 5, str(first)) == "SSSSD"
    assert decide(subject, 1, str(other)) == ("S" if flipped < length else "D")


def test_kinds_have_buckets_of_their_own() -> None:
    subject = limiter()
    zone = b"\7example\3com\0"
    for kind in (NODE + zone, NO_NAME + zone, REFERRAL + zone, ERROR, WWW):
        assert decide(subject, 5, kind=kind) == "SSSSD"


def test_an_address_and_a_kind_cannot_run_into_each_other() -> None:
    """Kind and prefix of the first, one after the other, are the bytes of the second's prefix, or of the third's."""
    subject = limiter(ipv6_prefix_length=32)
    assert decide(subject, 5, "32.1.13.1", b"a") == "SSSSD"
    assert decide(subject, 4, "6120:10d::1", b"") == "SSSS"
    assert decide(subject, 4, "2001:d61::1", b"") == "SSSS"


# Slip.


@pytest.mark.parametrize(
    ("slip", "decisions"),
    [(0, "SSSSDDDDDD"), (1, "SSSStttttt"), (2, "SSSSDtDtDt"), (3, "SSSSDDtDDt"), (10, "SSSSDDDDDDDDDtDDDDDDDDDt")],
)
def test_every_nth_limited_answer_slips(slip: int, decisions: str) -> None:
    assert decide(limiter(slip=slip), len(decisions)) == decisions


def test_each_bucket_counts_its_own_slips() -> None:
    subject = limiter(slip=2)
    assert decide(subject, 5, "192.0.2.1") == "SSSSD"
    assert decide(subject, 6, "198.51.100.1") == "SSSSDt"
    assert decide(subject, 1, "192.0.2.1") == "t"


def test_errors_never_slip() -> None:
    assert decide(limiter(slip=1), 6, kind=ERROR) == "SSSSDD"


# Who is spared.


@pytest.mark.parametrize(
    ("exempt", "inside", "outside"),
    [
        (("192.0.2.64/26",), ("192.0.2.64", "192.0.2.127"), ("192.0.2.63", "192.0.2.128", "2001:db8::1")),
        (("192.0.2.1/32", "192.0.2.0/32"), ("192.0.2.0", "192.0.2.1"), ("192.0.1.255", "192.0.2.2")),
        (
            ("10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/16", "10.255.255.255/32"),
            ("10.0.0.0", "10.255.255.255"),
            ("9.255.255.255", "11.0.0.0"),
        ),
        (("0.0.0.0/1", "240.0.0.0/4"), ("0.0.0.0", "127.0.0.1", "255.255.255.255"), ("128.0.0.0", "239.1.1.1")),
        (("0.0.0.0/0",), ("0.0.0.0", "255.255.255.255"), ("::",)),
        (("::/0",), ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ("0.0.0.0",)),
        (("2001:db8::/33", "fe80::/10"), ("2001:db8::", "2001:db8:7fff::1", "fe80::1%eth0"), ("2001:db8:8000::",)),
    ],
)
def test_exempt_networks_are_not_limited(
    exempt: tuple[str, ...], inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    subject = limiter(exempt=exempt, ipv4_prefix_length=32, ipv6_prefix_length=128)
    for address in inside:
        assert decide(subject, 100, address) == "S" * 100
    assert subject.exempted == 100 * len(inside)
    for address in outside:
        assert decide(subject, 5, address) == "SSSSD"


def test_exempt_addresses_take_nothing_from_their_neighbours() -> None:
    subject = limiter(exempt=("192.0.2.1/32",))
    assert decide(subject, 100, "192.0.2.1") == "S" * 100
    assert decide(subject, 5, "192.0.2.2") == "SSSSD"


@given(
    networks=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=8),
    address=st.ip_addresses(v=4),
)
def test_exempt_is_what_is_in_one_of_the_networks(
    networks: list[tuple[int, int]], address: ipaddress.IPv4Address
) -> None:
    exempt = [ipaddress.IPv4Network((start, length), strict=False) for start, length in networks]
    subject = limiter(exempt=tuple(map(str, exempt)))
    subject.judge(str(address), WWW, 100.0)
    assert subject.exempted == any(address in network for network in exempt)


@given(limit=limits, steps=steps)
def test_log_only_sends_all_and_counts_what_would_have_been(
    limit: RateLimit, steps: list[tuple[str, bytes, float]]
) -> None:
    earnest = RateLimiter(limit, KEY, 1024)
    lenient = RateLimiter(msgspec.structs.replace(limit, log_only=True), KEY, 1024)
    now = 0.0
    decisions: Counter[Decision] = Counter()
    for address, kind, pause in steps:
        now += pause
        decision = earnest.judge(address, kind, now)
        assert lenient.judge(address, kind, now) is SEND
        assert earnest.latest == lenient.latest
        assert decision is SEND or earnest.latest == (address, kind)
        decisions[decision] += 1
    for subject in (earnest, lenient):
        assert (subject.sent, subject.slipped, subject.dropped) == (decisions[SEND], decisions[SLIP], decisions[DROP])


# The table.


@given(
    flood=st.lists(st.tuples(st.ip_addresses(), st.integers(0, 20)), max_size=200),
    own=st.lists(st.floats(0, 0.3), min_size=1, max_size=50),
    slots=st.sampled_from([2, 4, 16]),
    key=st.binary(min_size=16, max_size=16),
)
def test_whoever_keeps_to_the_rate_is_never_limited_whatever_the_others_do(
    flood: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]], own: list[float], slots: int, key: bytes
) -> None:
    """Also in a table far too small: the innocent sends at most a burst of 4 and 2 a second, by its own bucket."""
    subject = RateLimiter(LIMIT, key, slots)
    innocent = "192.0.2.1"
    now, full_at = 100.0, 0.0
    others = [(str(address), count) for address, count in flood if address.packed[:3] != b"\xc0\0\2"]
    for turn, pause in enumerate(own):
        now += pause
        for address, count in others[turn :: len(own)]:
            decide(subject, count, address, now=now)
        if full_at > now + 1.5:
            continue
        full_at = max(full_at, now) + 0.5
        assert subject.judge(innocent, WWW, now) is SEND


def test_a_flood_of_random_prefixes_spares_the_innocent_does_not_free_the_flooded_and_takes_no_memory() -> None:
    """100,000 answers in a second to as many networks, in a table of 4,096."""
    subject = RateLimiter(RateLimit(responses_per_second=200, burst_window=2.0), KEY, 4096)
    dice = random.Random(1)
    decide(subject, 1000, "203.0.113.1")
    size = memory(subject)
    innocent, flooded = 0, 0
    for turn in range(100_000):
        now = 100 + turn / 100_000
        subject.judge(str(ipaddress.IPv4Address(dice.randrange(1 << 24, 223 << 24))), WWW, now)
        if turn % 1000 == 0:
            assert subject.judge("2001:db8::1", WWW, now) is SEND
            innocent += 1
        if turn % 20 == 0:
            flooded += subject.judge("192.0.2.1", WWW, now) is SEND
    assert innocent == 100
    assert flooded <= 200 * 1 + 400
    assert subject.evicted > 500
    assert memory(subject) == size


def test_a_bucket_is_found_in_either_of_its_slots() -> None:
    subject = limiter()
    networks = [f"198.51.{third}.1" for third in range(60)]
    for address in networks:
        assert decide(subject, 5, address) == "SSSSD"
    assert not subject.evicted
    for address in networks:
        assert decide(subject, 1, address) == "D"


def test_a_newcomer_inherits_nothing_from_the_bucket_whose_slot_it_takes() -> None:
    subject = RateLimiter(msgspec.structs.replace(LIMIT, slip=2), KEY, 2)
    for third in range(20):
        assert decide(subject, 5, f"198.51.{third}.1", now=100.0 * third) == "SSSSD"


@pytest.mark.parametrize(("key", "slots"), [(bytes(15), 16), (bytes(17), 16), (KEY, 0), (KEY, 1), (KEY, 12)])
def test_a_key_or_a_number_of_slots_that_cannot_be_is_refused(key: bytes, slots: int) -> None:
    with pytest.raises(ValueError, match="expected a key"):
        RateLimiter(RateLimit(), key, slots)


def memory(subject: RateLimiter) -> int:
    """Bytes of all that a limiter holds in sequences."""
    return sum(part.__sizeof__() for name in subject.__slots__ if hasattr(part := getattr(subject, name), "__len__"))


# Settings.


def test_settings_are_read_with_their_limits() -> None:
    content: dict[str, object] = {"responses_per_second": 20, "slip": 1, "exempt": ["192.0.2.0/24"], "log_only": True}
    document = Document(Path("waypost.toml"), content)
    assert read_document(RateLimit, document) == RateLimit(20, slip=1, exempt=("192.0.2.0/24",), log_only=True)
    content = {"responses_per_second": -1, "slip": 11, "ipv4_prefix_length": 33, "exempt": ["192.0.2.1/33"]}
    document = Document(Path("waypost.toml"), content)
    assert read_document(RateLimit, document) is None
    assert [key for key, _ in document.problems] == [
        ("responses_per_second",),
        ("slip",),
        ("ipv4_prefix_length",),
        ("exempt", 0),
    ]
