"""Dynamic updates (RFC 2136), the same to waypost, BIND and Knot DNS: random ones must get the same RCODEs and make the
same zones, and each deliberate difference stands in a table."""

import base64
import random
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.xfr
import dns.zone
import msgspec
import pytest

from steering.wire import UPDATE
from steering.zones.tsig import Key, Signer
from tests.config.neighbours import Neighbour
from tests.peers.programs import PATIENCE, need_program
from tests.peers.transfers import KEY_TEXT
from tests.steering.running import Waypost

MESSAGES = 250
KEY = Key(b"\1k\0", "hmac-sha256", base64.b64decode(KEY_TEXT))
ORIGIN = dns.name.from_text("example.com")
ZONE = """\
$TTL 300
@ SOA ns host 1 3600 900 604800 60
@ NS ns.example.net.
@ NS ns2.example.net.
@ TXT "apex"
www A 192.0.2.1
www A 192.0.2.2
www TXT "www"
alias CNAME www
sub NS ns.sub
ns.sub A 192.0.2.3
*.wild MX 10 www
a.deep A 192.0.2.4
"""
IN, NONE, ANY = "IN", "NONE", "ANY"
ALL = ("waypost", "named", "knotd")


class Item(msgspec.Struct, frozen=True):
    """A record of a prerequisite or of an update; its owner is below example.com unless it ends in a dot."""

    owner: str
    rrtype: str
    rrclass: str = IN
    ttl: int = 0
    data: str | bytes = b""
    """Text, or wire."""

    def to_wire(self) -> bytes:
        """As it stands in a message."""
        rrtype, rrclass = dns.rdatatype.from_text(self.rrtype), dns.rdataclass.from_text(self.rrclass)
        data = self.data
        if isinstance(data, str):
            data = dns.rdata.from_text("IN", rrtype, data, ORIGIN, relativize=False).to_wire() or b""
        owner = dns.name.from_text(self.owner, ORIGIN).to_wire() or b""
        return owner + struct.pack("!HHIH", rrtype, rrclass, self.ttl, len(data)) + data


SOA = Item("example.com.", "SOA")


class Message(msgspec.Struct, frozen=True):
    """An update."""

    prerequisites: Sequence[Item] = ()
    updates: Sequence[Item] = ()
    zone: Item = SOA

    def to_wire(self) -> bytes:
        """Signed."""
        counts = 1, len(self.prerequisites), len(self.updates), 0
        records = b"".join(item.to_wire() for item in (*self.prerequisites, *self.updates))
        packet = struct.pack("!HHHHHH", 7, UPDATE << 11, *counts) + self.zone.to_wire()[:-6] + records
        return Signer(KEY).sign(packet, time.time())


class Servers:
    """The three, with the same zone at the start."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._ports = ports

    def update(self, message: Message, names: Sequence[str] = ALL) -> dict[str, str]:
        """The RCODE of each."""
        return {name: send(self._ports[name], message.to_wire()) for name in names}

    def zones(self, names: Sequence[str] = ALL) -> dict[str, set[str]]:
        """The records of each, but for the SOA."""
        return {name: transfer(self._ports[name]) for name in names}


def send(port: int, packet: bytes) -> str:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client, client.makefile("rb") as replies:
        client.sendall(len(packet).to_bytes(2, "big") + packet)
        reply = replies.read(int.from_bytes(replies.read(2), "big"))
    return dns.rcode.to_text(dns.rcode.Rcode(reply[3] & 15))


def transfer(port: int) -> set[str]:
    zone = dns.zone.Zone("example.com", relativize=False)
    query, _ = dns.xfr.make_query(zone)
    dns.query.inbound_xfr("127.0.0.1", zone, query, port=port, timeout=PATIENCE)
    return {
        f"{owner} {ttl} {dns.rdatatype.to_text(rdata.rdtype)} {rdata}".lower()
        for owner, ttl, rdata in zone.iterate_rdatas()
        if rdata.rdtype != dns.rdatatype.SOA
    }


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    for program in ("named", "knotd"):
        need_program(program)
    for name in ALL:
        (tmp_path / name).mkdir()
        (tmp_path / name / "com.zone").write_text(ZONE)
    waypost = Waypost(tmp_path / "waypost", WAYPOST)
    named = Neighbour.configured("named", tmp_path / "named", NAMED)
    knotd = Neighbour.configured("knotd", tmp_path / "knotd", KNOT)
    try:
        waypost.start()
        with named.running("example.com"), knotd.running("example.com"):
            yield Servers({"waypost": waypost.port, "named": named.port, "knotd": knotd.port})
    finally:
        waypost.destroy()


WAYPOST = f"""
[[zone]]
name = "example.com"
file = "com.zone"
allow_transfer = ["127.0.0.1"]
allow_update = [{{ key = "k", names = ["**"] }}]
[[key]]
name = "k"
secret = "{KEY_TEXT}"
"""
NAMED = f"""
options {{
  notify no;
  check-names primary ignore;
  check-integrity no;
  check-mx ignore;
}};
key k {{ algorithm hmac-sha256; secret "{KEY_TEXT}"; }};
zone "example.com" {{
  type primary;
  file "com.zone";
  allow-update {{ key k; }};
  allow-transfer {{ any; }};
}};
"""
KNOT = f"""
key:
  - id: k
    algorithm: hmac-sha256
    secret: {KEY_TEXT}
acl:
  - id: update
    key: k
    action: update
  - id: transfer
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example.com
    file: com.zone
    zonefile-sync: -1
    acl: [update, transfer]
"""

OWNERS = ["www", "new", "alias", "sub", "a.sub", "a.deep", "deep", "*.wild", "other", "@"]
DATA = {
    "A": ["192.0.2.1", "192.0.2.2", "192.0.2.5"],
    "TXT": ['"www"', '"other" "text"'],
    "MX": ["10 www", "20 WWW"],
    "CNAME": ["www", "other"],
    "NS": ["ns.example.net.", "ns.sub", "NS2.example.net."],
    "CAA": ['0 issue "ca.example"'],
    "TYPE65280": ["\\# 2 0102"],
}


def make_message(dice: random.Random, *, is_plain: bool) -> Message:
    """A few changes, now and then with prerequisites."""
    prerequisites = [make_prerequisite(dice) for _ in range(dice.choice([0, 0, 1, 1, 2, 3]))]
    return Message(prerequisites, [make_change(dice, is_plain=is_plain) for _ in range(dice.choice([1, 1, 2, 3, 5]))])


def make_prerequisite(dice: random.Random) -> Item:
    owner, rrtype = dice.choice(OWNERS), dice.choice([*DATA])
    kind = dice.randrange(5)
    if kind == 0:
        return Item(owner, "ANY", dice.choice([ANY, NONE]))
    if kind < 4:
        return Item(owner, rrtype, dice.choice([ANY, NONE]))
    return Item(owner, rrtype, IN, 0, dice.choice(DATA[rrtype]))


def make_change(dice: random.Random, *, is_plain: bool) -> Item:
    owner, rrtype = dice.choice(OWNERS), dice.choice([*DATA])
    if owner.startswith("*") and rrtype == "NS":
        rrtype = "MX"  # see the table
    kind = dice.randrange(10)
    if kind == 0:
        return Item(owner, "ANY", ANY)
    if kind < 3:
        return Item(owner, rrtype, ANY)
    if kind < 5:
        return Item(owner, rrtype, NONE, 0, dice.choice(DATA[rrtype]))
    return Item(owner, rrtype, IN, 300 if is_plain else dice.choice([300, 300, 60]), dice.choice(DATA[rrtype]))


@pytest.mark.parametrize("others", [("named", "knotd"), ("named",)])
def test_the_same_updates_make_the_same_zones(servers: Servers, others: tuple[str, ...]) -> None:
    """With BIND also for other TTLs, of which Knot DNS thinks otherwise (see the table)."""
    dice = random.Random(2136)
    asked = ("waypost", *others)
    seen = set()
    zones = servers.zones(asked)
    for number in range(MESSAGES):
        message = make_message(dice, is_plain="knotd" in others)
        rcodes = servers.update(message, asked)
        before = zones["waypost"]
        if rcodes["waypost"] == "NOERROR":
            zones = servers.zones(asked)
        told = f"message {number}: {message}, before: {sorted(before)}"
        assert rcodes == dict.fromkeys(asked, rcodes["waypost"]), told
        assert zones == dict.fromkeys(asked, zones["waypost"]), told
        seen.add(rcodes["waypost"])
    assert seen == {"NOERROR", "NXDOMAIN", "YXDOMAIN", "NXRRSET", "YXRRSET"}


ADDRESS = "192.0.2.9"
ERRORS: tuple[tuple[str, Message], ...] = (
    ("FORMERR", Message(zone=Item("example.com.", "A"))),
    ("NOTAUTH", Message(zone=Item("example.org.", "SOA"))),
    ("NOTAUTH", Message(zone=Item("www.example.com.", "SOA"))),
    # RFC 2136 section 3.2: prerequisites
    ("FORMERR", Message([Item("www", "A", ANY, 1)])),
    ("NOTZONE", Message([Item("www.example.net.", "A", ANY)])),
    ("FORMERR", Message([Item("www", "A", ANY, 0, ADDRESS)])),
    ("FORMERR", Message([Item("www", "A", NONE, 0, ADDRESS)])),
    ("FORMERR", Message([Item("www", "A")])),
    ("FORMERR", Message([Item("www", "A", "CH", 0, ADDRESS)])),
    # section 3.4.1: updates
    ("NOTZONE", Message(updates=[Item("www.example.net.", "A", ANY)])),
    ("FORMERR", Message(updates=[Item("www", "A", "CH", 0, ADDRESS)])),
    ("FORMERR", Message(updates=[Item("www", "ANY")])),
    ("FORMERR", Message(updates=[Item("www", "ANY", NONE)])),
    *(("FORMERR", Message(updates=[Item("www", "AXFR", each)])) for each in (IN, NONE, ANY)),
    ("FORMERR", Message(updates=[Item("www", "OPT")])),
    ("FORMERR", Message(updates=[Item("www", "A", ANY, 0, ADDRESS)])),
    ("FORMERR", Message(updates=[Item("www", "A", NONE, 1, ADDRESS)])),
    ("FORMERR", Message(updates=[Item("www", "A")])),
    ("FORMERR", Message(updates=[Item("www", "A", data=b"123")])),
    # section 3.4.2: what is ignored
    ("NOERROR", Message()),
    ("NOERROR", Message(updates=[Item("@", "CNAME", data="www")])),
    ("NOERROR", Message(updates=[Item("@", "ANY", ANY), Item("@", "NS", ANY), Item("@", "TXT", IN, 300, '"apex"')])),
)
DIFFERENCES: tuple[tuple[str, Message, str, str], ...] = (
    ("the SOA is ours", Message(updates=[Item("@", "SOA", data="n h 9 9 9 9 9")]), "REFUSED NOERROR NOERROR", ""),
    ("and is not there to be deleted", Message(updates=[Item("@", "SOA", ANY)]), "REFUSED NOERROR NOERROR", ""),
    (
        "form before prerequisites: a worker judges it alone",
        Message([Item("gone", "A", ANY)], [Item("x", "A", ANY, 5)]),
        "FORMERR FORMERR NXRRSET",
        "",
    ),
    ("no zone of another class is ours", Message(zone=Item("example.com.", "SOA", "CH")), "NOTAUTH NOTIMP NOTIMP", ""),
    ("a type that no zone has", Message([Item("www", "AXFR", ANY)]), "FORMERR NXRRSET NXRRSET", ""),
    ("a type that no zone has", Message(updates=[Item("www", "MAILA", ANY)]), "FORMERR FORMERR NOERROR", ""),
    ("a type that no zone has", Message(updates=[Item("x", "TYPE128", data=b"1")]), "FORMERR FORMERR NOERROR", "knotd"),
    ("a TTL", Message(updates=[Item("www", "A", ANY, 1)]), "FORMERR FORMERR NOERROR", "knotd"),
    ("no RDATA", Message(updates=[Item("www", "A", NONE)]), "FORMERR FORMERR NOERROR", ""),
    ("not CAA", Message([Item("www", "CAA", data=b"\0")]), "FORMERR FORMERR NXRRSET", ""),
    (
        "the new TTL counts for the same record, too (section 3.4.2.2)",
        Message(updates=[Item("www", "TXT", ttl=60, data='"www"')]),
        "NOERROR NOERROR NOERROR",
        "waypost named",
    ),
    (
        "NS at a wildcard, which nothing forbids",
        Message(updates=[Item("*.wild", "NS", data="ns.example.net.")]),
        "NOERROR NOERROR NOERROR",
        "waypost knotd",
    ),
    (
        "a DNAME above other names, which it hides",
        Message(updates=[Item("deep", "DNAME", data="other")]),
        "NOERROR NOERROR REFUSED",
        "waypost named",
    ),
    (
        "DNSSEC's records are kept as they come: waypost signs nothing itself",
        Message(updates=[Item("www", "NSEC", data="www A")]),
        "NOERROR REFUSED NOERROR",
        "waypost knotd",
    ),
)
"""Why; what; the RCODEs of waypost, BIND and Knot DNS; whose zone changes."""


def test_errors_and_deliberate_differences(servers: Servers) -> None:
    before = servers.zones()
    for rcode, message in ERRORS:
        assert servers.update(message) == dict.fromkeys(ALL, rcode), message
    assert servers.zones() == before
    for why, message, rcodes, changed in DIFFERENCES:
        assert servers.update(message) == dict(zip(ALL, rcodes.split(), strict=True)), why
        after = servers.zones()
        assert [name for name in ALL if after[name] != before[name]] == changed.split(), why
        before = after
