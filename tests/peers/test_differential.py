"""waypost beside NSD, Knot DNS and BIND: the same zones, the same packets, every reply compared.

Where the peers agree waypost says the same; where they differ it says what one of them says, or what the RFC says. What
remains is in the tables: ALLOWED with the reason, KNOWN_WRONG until it is repaired. An entry that explains nothing any
more fails, so the tables cannot grow old. tests/README.md sums them up.
"""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from steering.compose import CHAIN_LIMIT
from steering.cookies import CookieSigner
from steering.later import Later
from steering.peers import Peers, is_update
from steering.respond import respond, respond_update
from steering.wire import CNAME, NS
from steering.world import World
from steering.zones.zonefile import read_zone
from tests.peers.oddities import odd_packets
from tests.peers.questions import MANNERS, Question, ask_about, to_wire
from tests.peers.replies import Data, Reply, describe, judge, read_reply
from tests.peers.servers import ZONES, Address, running_peer
from tests.scenarios.scenario import Scenario, Stage
from tests.steering.running import running

PEERS = ("nsd", "knotd", "named")
SAMPLE = 5
"""Of the questions of a zone, one in so many is asked in the manners beside the first."""
FEW = 40
"""Odd packets that one NSD gets."""
SHOWN = 10
"""Differences that a failure shows."""


class Case(msgspec.Struct, frozen=True):
    """A question, what waypost says and what the peers say; and what is wrong with it."""

    zone: str
    manner: str
    question: Question
    reply: Reply
    room: int
    """Octets by which our reply might have been longer."""
    peers: dict[str, Reply]
    problems: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.question} ({self.manner}): {', '.join(self.problems)}", f"    waypost: {self.reply}"]
        return "\n".join([*lines, *(f"    {name}: {reply}" for name, reply in self.peers.items())])


class Difference(msgspec.Struct, frozen=True):
    """Why waypost's replies may, or do, differ from all peers' replies."""

    title: str
    problem: str
    reason: str
    applies: Callable[[Case], bool]


def _chain_is_cut(case: Case) -> bool:
    return sum(record[1] == CNAME for record in case.reply.answer) == CHAIN_LIMIT


def _end_is_another_zones(case: Case) -> bool:
    """NSD answers as we do but for the RCODE; the others stop where the chain leaves the zone."""
    nsd = case.peers["nsd"]
    same = (nsd.answer, nsd.authority) == (case.reply.answer, case.reply.authority)
    return same and case.reply.rcode == "NXDOMAIN" and any(record[1] == CNAME for record in case.reply.answer)


def _additional_is_another_zones(case: Case) -> bool:
    known = frozenset[object]().union(*(peer.additional for peer in case.peers.values()))
    return all(_zone_of(record[0]) != case.zone for record in case.reply.additional - known)


def _glue_does_not_fit(case: Case) -> bool:
    return case.zone == "large.test" and "TC" in case.reply.flags and _has_referral(case.peers["nsd"])


def _compression_would_fit(case: Case) -> bool:
    return case.zone in ("alias.test", "dname.test") and "TC" in case.reply.flags


def _more_would_fit_compressed(case: Case) -> bool:
    """A host of which addresses are missing needs more for them than the room that our reply leaves."""
    sizes: dict[bytes, int] = {}
    ours = {record[:2] for record in case.reply.additional}
    for owner, rrtype, _, rdata in frozenset[Data]().union(*(peer.additional for peer in case.peers.values())):
        if (owner, rrtype) not in ours:
            sizes[owner] = sizes.get(owner, 0) + 12 + len(rdata)
    return case.manner in ("udp plain", "udp 512") and case.room < max(sizes.values(), default=0)


def _has_referral(reply: Reply) -> bool:
    return any(record[1] == NS for record in reply.authority)


COMPRESSION = (
    "RFC 1035 section 4.1.4: names may be compressed; those in the rdata of CNAME, NS, SOA, PTR and MX are not, because"
    " records are stored ready to send"
)
ALLOWED = (
    Difference(
        "the end of a chain of more than CHAIN_LIMIT links",
        "unlike any",
        "RFC 1034 section 3.6.2 has chains followed, and no number: Knot follows 5 links, BIND 11 and says SERVFAIL,"
        " NSD all, waypost 16; the client goes on from the last target",
        _chain_is_cut,
    ),
    Difference(
        "the RCODE at the end of a chain that ends in another zone of this server",
        "unlike any",
        "RFC 6604 section 3: the RCODE is that of the last name. Knot and BIND do not follow; NSD follows, and has"
        " NODATA where the occluded data of the parent zone has a name that the child zone does not have",
        _end_is_another_zones,
    ),
    Difference(
        "addresses from other zones of this server",
        "additional records of its own",
        "RFC 1034 section 4.3.2 step 6: 'Using local data only, attempt to add other RRs which may be useful'; a load"
        " balancer's addresses are wanted there",
        _additional_is_another_zones,
    ),
    Difference(
        "TC when glue does not fit, at the end of a chain",
        "unlike any",
        "RFC 9471 section 3.1: TC is set when the glue of in-domain name servers does not fit; NSD does not set it"
        " here, the others answer NSEC at an alias itself",
        _glue_does_not_fit,
    ),
    *(
        Difference(
            f"TC where peers fit the answer in 512 octets: {problem}",
            problem,
            f"{COMPRESSION}; the client asks again by TCP",
            _compression_would_fit,
        )
        for problem in ("unlike all", "unlike any")
    ),
    Difference(
        "fewer optional additional records in 512 octets",
        "additional records missing",
        f"{COMPRESSION}; RFC 2181 section 9: optional records are left out without a word",
        _more_would_fit_compressed,
    ),
)
KNOWN_WRONG: tuple[Difference, ...] = ()


class OddDifference(msgspec.Struct, frozen=True):
    """Odd packets (patterns of their titles) to which waypost says what no peer says, and why."""

    titles: tuple[str, ...]
    reason: str

    def applies(self, title: str) -> bool:
        """Whether it is about this packet."""
        return any(fnmatchcase(title, pattern) for pattern in self.titles)


ODD_ALLOWED = (
    OddDifference(
        ("type 128 *", "type 200 *", "type 24? *", "type 250 *"),
        "RFC 6895 section 3.1: 128 to 255 are QTYPEs and meta types, for which an owner has no records; RFC 1035"
        " section 4.1.1: RCODE 4, 'does not support the requested kind of query'. NSD and Knot: NODATA; BIND: FORMERR",
    ),
    OddDifference(
        ("class 255", "class 255 ANY with OPT"),
        "RFC 1035 section 4.1.1, RCODE 5: a policy; a zone has one class. The peers say three things",
    ),
    OddDifference(
        (
            "one byte behind OPT",
            "two OPT",
            "two OPT of different versions",
            "three OPT",
            "OPT longer than the message",
            "OPT without its length",
            "EDNS version 1 with a broken option",
            "an option that is longer than OPT",
            "an option without its length",
            "an option of one byte",
            "an option, then three bytes",
            "a subnet: a scope",
            "a subnet: a scope and source 0",
            *(f"cut after {size}" for size in range(36, 56)),
        ),
        "RFC 6891 section 7: a FORMERR to who sent an OPT record has one, and the question. NSD has neither, Knot and"
        " BIND have the question",
    ),
    OddDifference(
        ("an answer", "an authority", "OPT with a pointer to the root"),
        "RFC 1035 section 4.1.1: FORMERR, as NSD; the question is repeated as in every other FORMERR. Knot and BIND"
        " pass over the record, or follow the pointer",
    ),
    OddDifference(
        ("two subnets",),
        "RFC 7871 section 7.1.2: FORMERR for what does not follow the format, which has one client subnet: the scope"
        " of the answer can be about one only. The peers do not use the option",
    ),
)
ODD_KNOWN_WRONG: tuple[OddDifference, ...] = ()


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Address]]:
    """The peers, running; skips when one is not installed."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(running_peer(name, tmp_path_factory.mktemp(name))) for name in PEERS}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """waypost's world of the same zones."""
    zones = {zone: path.read_text() for zone, path in ZONES.items()}
    stage = Stage(Scenario(zones, "", "", []), tmp_path_factory.mktemp("waypost"))
    made = stage.world()
    nobody = Peers(made.zones.store, (), (), lambda _: None)
    yield replace(made, cookies=CookieSigner([bytes(16)]), peers=nobody)
    stage.close()


@pytest.fixture(scope="session")
def compare(peers: dict[str, Address], world: World) -> Callable[[str, str], list[Case]]:
    """Asks everybody the questions of a zone in a manner, once; gives the cases in which something is wrong."""

    @functools.cache
    def compare_all(zone: str, manner: str) -> list[Case]:
        questions = ask_about(zone, read_owners(zone))
        if manner != next(iter(MANNERS)):
            questions = questions[::SAMPLE]
        how = MANNERS[manner]
        packets = [question.packet(number, how) for number, question in enumerate(questions)]
        ours = answer(world, packets, over_tcp=how.tcp)
        limit = 65535 if how.tcp else min(how.size or 512, 1232)
        theirs = {
            name: address.ask_tcp(packets) if how.tcp else address.ask_udp(packets) for name, address in peers.items()
        }
        cases = []
        for number, question in enumerate(questions):
            sent, reply = packets[number], ours[number]
            assert reply is not None, f"waypost is silent on {question}"
            assert len(reply) <= limit, f"{len(reply)} octets on {question}"
            assert reply[:2] == sent[:2]
            others = {name: read_reply(replies[number] or b"") for name, replies in theirs.items()}
            mine = read_reply(reply)
            if problems := judge(mine, sent[12 : 16 + len(question.name)], list(others.values())):
                cases.append(Case(zone, manner, question, mine, limit - len(reply), others, problems))
        return cases

    return compare_all


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("zone", ZONES)
def test_zone(zone: str, manner: str, compare: Callable[[str, str], list[Case]]) -> None:
    unexplained = [case for case in compare(zone, manner) if not all(explain(case))]
    shown = "\n".join(map(str, unexplained[:SHOWN]))
    assert not unexplained, f"{len(unexplained)} replies differ without a reason:\n{shown}"


@pytest.mark.parametrize("difference", (*ALLOWED, *KNOWN_WRONG), ids=lambda each: each.title)
def test_difference_is_there(difference: Difference, compare: Callable[[str, str], list[Case]]) -> None:
    """What a table says is still so; else its entry must go."""
    cases = (case for zone in ZONES for manner in MANNERS for case in compare(zone, manner))
    assert any(difference.problem in case.problems and difference.applies(case) for case in cases)


@pytest.fixture(scope="session")
def compare_odd(
    peers: dict[str, Address], world: World, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[bool], dict[str, str]]:
    """Sends everybody the odd packets; gives, by title, what was said where waypost says what no peer says."""

    def ask(address: Address, packets: list[bytes], over_tcp: bool) -> list[bytes | None]:
        return [address.ask_tcp([packet])[0] for packet in packets] if over_tcp else address.ask_udp(packets)

    def ask_nsd(packets: list[bytes], over_tcp: bool) -> list[bytes | None]:
        """NSD sends a hundred errors a second and no more, so each few packets get an NSD of their own."""
        replies = []
        for start in range(0, len(packets), FEW):
            with running_peer("nsd", tmp_path_factory.mktemp("nsd")) as address:
                replies += ask(address, packets[start : start + FEW], over_tcp)
        return replies

    @functools.cache
    def compare_all(over_tcp: bool) -> dict[str, str]:
        odd = {title: n.to_bytes(2, "big") + packet[2:] for n, (title, packet) in enumerate(odd_packets().items())}
        packets = list(odd.values())
        replies = {name: ask(peers[name], packets, over_tcp) for name in PEERS if name != "nsd"}
        replies["nsd"] = ask_nsd(packets, over_tcp)
        differences = {}
        for number, (title, ours) in enumerate(zip(odd, answer(world, packets, over_tcp=over_tcp), strict=True)):
            said = describe(ours)
            others = {name: describe(replies[name][number]) for name in PEERS}
            if said not in others.values():
                differences[title] = f"{title}: waypost: {said}; " + "; ".join(f"{n}: {o}" for n, o in others.items())
        return differences

    return compare_all


@pytest.mark.parametrize("over_tcp", [False, True], ids=["udp", "tcp"])
def test_odd_packets(over_tcp: bool, compare_odd: Callable[[bool], dict[str, str]]) -> None:
    tables = (*ODD_ALLOWED, *ODD_KNOWN_WRONG)
    unexplained = [
        line for title, line in compare_odd(over_tcp).items() if not any(each.applies(title) for each in tables)
    ]
    assert not unexplained, "\n".join(unexplained)


@pytest.mark.parametrize("difference", (*ODD_ALLOWED, *ODD_KNOWN_WRONG), ids=lambda each: each.titles[0])
def test_odd_difference_is_there(difference: OddDifference, compare_odd: Callable[[bool], dict[str, str]]) -> None:
    """Every pattern of a table is still needed; else it must go."""
    titles = {*compare_odd(False), *compare_odd(True)}
    unneeded = [pattern for pattern in difference.titles if not any(fnmatchcase(title, pattern) for title in titles)]
    assert not unneeded


def test_network(world: World, tmp_path: Path) -> None:
    """What `respond` answers here is to the octet what `waypost run` sends, over UDP and TCP; but for cookies and
    signatures, which have the time of day in them."""
    for zone, path in ZONES.items():
        (tmp_path / f"{zone}.zone").write_bytes(path.read_bytes())
    settings = "[server.rate_limit]\nresponses_per_second = 0\n"
    settings += "".join(f'[[zone]]\nname = "{zone}"\nfile = "{zone}.zone"\n' for zone in ZONES)
    with running(tmp_path, settings) as waypost:
        address = Address(waypost.port)
        for zone in ZONES:
            questions = ask_about(zone, read_owners(zone))[:: SAMPLE * SAMPLE]
            for manner in MANNERS.values():
                packets = [question.packet(number, manner) for number, question in enumerate(questions)]
                replies = address.ask_tcp(packets) if manner.tcp else address.ask_udp(packets)
                assert replies == answer(world, packets, over_tcp=manner.tcp)
        packets = [packet for title, packet in odd_packets().items() if not re.search("cookie|TSIG", title)]
        odd = [number.to_bytes(2, "big") + packet[2:] for number, packet in enumerate(packets)]
        assert address.ask_udp(odd) == answer(world, odd, over_tcp=False)
        assert [address.ask_tcp([packet])[0] for packet in odd] == answer(world, odd, over_tcp=True)


def explain(case: Case) -> list[bool]:
    """Whether each problem of a case has an entry in a table."""
    return [
        any(each.problem == problem and each.applies(case) for each in (*ALLOWED, *KNOWN_WRONG))
        for problem in case.problems
    ]


def read_owners(zone: str) -> list[tuple[bytes, frozenset[int]]]:
    """The names of a zone with their types."""
    types: dict[bytes, set[int]] = {}
    for owner, rrtype, _, _ in read_zone(ZONES[zone], to_wire(zone)):
        types.setdefault(owner, set()).add(rrtype)
    return [(owner, frozenset(found)) for owner, found in types.items()]


def answer(world: World, packets: list[bytes], *, over_tcp: bool) -> list[bytes | None]:
    """What waypost answers, in this process."""
    world.zones.begin()
    try:
        return [_answer(packet, over_tcp, world) for packet in packets]
    finally:
        world.zones.end()


def _answer(packet: bytes, over_tcp: bool, world: World) -> bytes | None:
    if not is_update(packet):
        return respond(packet, "127.0.0.1", over_tcp, 0.0, lambda: 0.0, world)
    reply = respond_update(packet, "127.0.0.1", over_tcp, 0.0, world)
    assert not isinstance(reply, Later), "nobody may update"
    return reply


def _zone_of(name: bytes) -> str:
    """The zone of ours that a name (lower case) is in; empty if there is none."""
    return max((zone for zone in ZONES if name.endswith(to_wire(zone))), key=len, default="")
