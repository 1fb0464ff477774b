"""Packets that are no ordinary questions: every header, question, EDNS and record that the RFCs forbid or reserve.

Each has a title. The identifier is left zero: who sends a packet sets it, where it has one.
"""

from typing import Final

from steering.wire import ANY, NS, SOA, TXT, A
from tests.peers.questions import make_opt, make_packet, to_wire

WWW: Final = to_wire("www.parent.test")
APEX: Final = to_wire("parent.test")
QUERY: Final = make_packet(WWW, A)
QUERY_WITH_OPT: Final = make_packet(WWW, A, additional=(make_opt(),))
QUESTION: Final = QUERY[12:]
ADDRESS: Final = WWW + bytes.fromhex("00010001000000000004c0000201")
"""An A record."""
TSIG: Final = (
    b"\3key\0"
    + bytes.fromhex("00fa00ff00000000003d")  # TSIG, class ANY, TTL 0, 61 octets
    + b"\x0bhmac-sha256\0"
    + bytes.fromhex("000065000000012c0020" + "00" * 32 + "000000000000")
)

ECS, NSID, COOKIE, KEEPALIVE, PADDING, EXPIRE = 8, 3, 10, 11, 12, 9


def odd_packets() -> dict[str, bytes]:
    """Title -> packet."""
    return {**_headers(), **_questions(), **_records(), **_edns(), **_options(), **_subnets(), **_cut_short()}


def _headers() -> dict[str, bytes]:
    packets = {
        "a response": make_packet(WWW, A, flags=0x8000),
        "a response with an error": make_packet(WWW, A, flags=0x8001),
        "a response to a notify": make_packet(APEX, SOA, flags=0xA000),
        "a query with an rcode": make_packet(WWW, A, flags=0x0003),
        "no question": QUERY[:4] + bytes(8),
        "no question but its bytes": QUERY[:4] + bytes(8) + QUESTION,
        "no question with OPT": QUERY[:4] + bytes(7) + b"\1" + make_opt(),
        "no question with a client cookie": QUERY[:4] + bytes(7) + b"\1" + make_opt((COOKIE, bytes(8))),
        "two questions": _count(QUERY + QUESTION, questions=2),
        "two different questions": _count(QUERY + APEX + b"\0\1\0\1", questions=2),
        "two questions with OPT": _count(QUERY + QUESTION + make_opt(), questions=2, additional=1),
        "two questions of which one is there": _count(QUERY, questions=2),
        "65535 questions": _count(QUERY, questions=65535),
        "one byte behind": QUERY + b"\0",
        "one byte behind OPT": QUERY_WITH_OPT + b"\0",
        "a hundred bytes behind": QUERY + bytes(100),
        "an OPT that is not counted": QUERY + make_opt(),
        "an additional record that is not there": _count(QUERY, additional=1),
        "65535 additional records that are not there": _count(QUERY, additional=65535),
        "an answer that is not there": _count(QUERY, answers=1),
        "an authority that is not there": _count(QUERY, authorities=1),
    }
    for opcode in range(1, 16):
        packets[f"opcode {opcode}"] = make_packet(APEX, SOA, flags=opcode << 11)
        packets[f"opcode {opcode} with OPT"] = make_packet(APEX, SOA, flags=opcode << 11, additional=(make_opt(),))
        packets[f"opcode {opcode} and nothing else"] = make_packet(APEX, SOA, flags=opcode << 11)[:4] + bytes(8)
    return packets


def _questions() -> dict[str, bytes]:
    tail = b"\0\1\0\1"
    names = {
        "a pointer to itself": b"\xc0\x0c",
        "a pointer ahead": b"\xc0\x10",
        "a pointer into the header": b"\xc0\x04",
        "a pointer behind the message": b"\xff\xff",
        "a label, then a pointer to it": b"\3www\xc0\x0c",
        "a label, then a pointer to itself": b"\3www\xc0\x10",
        "a label of type 01": b"\x41" + b"a" * 65 + b"\0",
        "a label of type 10": b"\x81" + b"a" * 129 + b"\0",
        "a label of 64": b"\x40" + b"a" * 64 + b"\0",
        "a name of 255": (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0",
        "a name of 256": (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0",
        "a name of 1000": (b"\x3f" + b"a" * 63) * 15 + b"\x27" + b"a" * 39 + b"\0",
        "127 labels": b"\1a" * 127 + b"\0",
        "128 labels": b"\1a" * 128 + b"\0",
        "a name of 255 in a zone": b"\x3f"
        + b"a" * 63
        + b"\x3f"
        + b"b" * 63
        + b"\x3f"
        + b"c" * 63
        + b"\x31"
        + b"d" * 49
        + APEX,
        "a name without end": b"\3www",
        "the root": b"\0",
        "a name of nobody's": to_wire("www.example.org"),
        "a name beside ours": to_wire("www.parent.tesu"),
        "the parent of ours": to_wire("test"),
    }
    packets = {f"the question is {title}": QUERY[:12] + name + tail for title, name in names.items()}
    for rrtype in (0, 10, 41, 46, 50, 100, 127, 128, 200, 248, 249, 250, 251, 252, 253, 254, 256, 32769, 65279, 65535):
        packets[f"type {rrtype} of a host"] = make_packet(WWW, rrtype)
        packets[f"type {rrtype} of an apex"] = make_packet(APEX, rrtype)
        packets[f"type {rrtype} of nobody's"] = make_packet(to_wire("example.org"), rrtype)
    for rrclass in (0, 2, 3, 4, 254, 255, 256, 65535):
        packets[f"class {rrclass}"] = make_packet(WWW, A, rrclass=rrclass)
        packets[f"class {rrclass} ANY with OPT"] = make_packet(APEX, ANY, rrclass=rrclass, additional=(make_opt(),))
        packets[f"class {rrclass} of nobody's"] = make_packet(to_wire("example.org"), A, rrclass=rrclass)
    for name in ("version.bind", "version.server", "hostname.bind", "id.server", "authors.bind", "nothing.bind"):
        packets[f"CH {name}"] = make_packet(to_wire(name), TXT, rrclass=3)
        packets[f"CH {name} ANY"] = make_packet(to_wire(name), ANY, rrclass=3)
        packets[f"IN {name}"] = make_packet(to_wire(name), TXT)
    return packets


def _records() -> dict[str, bytes]:
    bad = ADDRESS[:-6] + b"\0\x50" + ADDRESS[-4:]
    return {
        "an answer": _count(QUERY + ADDRESS, answers=1),
        "an authority": _count(QUERY + ADDRESS, authorities=1),
        "an additional record": _count(QUERY + ADDRESS, additional=1),
        "an additional record, then OPT": _count(QUERY + ADDRESS + make_opt(), additional=2),
        "OPT, then an additional record": _count(QUERY + make_opt() + ADDRESS, additional=2),
        "an additional record that is longer than the message": _count(QUERY + bad, additional=1),
        "an additional record with a pointer to the question": _count(
            QUERY + b"\xc0\x0c" + ADDRESS[len(WWW) :], additional=1
        ),
        "an additional record with a pointer to itself": _count(
            QUERY + (0xC000 + len(QUERY)).to_bytes(2, "big") + ADDRESS[len(WWW) :], additional=1
        ),
        "an additional record with a label of 64": _count(QUERY + b"\x40" + bytes(64) + ADDRESS, additional=1),
        "a TSIG of an unknown key": _count(QUERY + TSIG, additional=1),
        "OPT, then a TSIG of an unknown key": _count(QUERY + make_opt() + TSIG, additional=2),
        "a TSIG, then OPT": _count(QUERY + TSIG + make_opt(), additional=2),
        "a TSIG that is cut short": _count(QUERY + TSIG[:-4], additional=1),
    }


def _edns() -> dict[str, bytes]:
    opt = make_opt()

    def edns(*records: bytes) -> bytes:
        return make_packet(WWW, A, additional=records)

    return {
        "EDNS": QUERY_WITH_OPT,
        **{f"EDNS version {version}": edns(make_opt(version=version)) for version in (1, 2, 255)},
        "EDNS version 1 with DO": edns(make_opt(version=1, flags=0x8000)),
        "EDNS version 1 with an option": edns(make_opt((65001, b"abc"), version=1)),
        "EDNS version 1 with a broken option": edns(b"\0\0\x29\4\xd0\0\1\0\0\0\5\0\x0a\0\x50\0"),
        "EDNS version 1 of a name of nobody's": make_packet(
            to_wire("example.org"), A, additional=(make_opt(version=1),)
        ),
        "EDNS version 1 with opcode 2": make_packet(WWW, A, flags=2 << 11, additional=(make_opt(version=1),)),
        "EDNS version 1 of class CH": make_packet(WWW, A, rrclass=3, additional=(make_opt(version=1),)),
        "EDNS of a name of nobody's": make_packet(to_wire("example.org"), A, additional=(opt,)),
        **{f"EDNS flags {flags:x}": edns(make_opt(flags=flags)) for flags in (0x8000, 0x4000, 0x0001, 0x7FFF, 0xFFFF)},
        **{f"EDNS size {size}": edns(make_opt(size=size)) for size in (0, 1, 511, 512, 65535)},
        "EDNS with an extended rcode": edns(make_opt(extended=255)),
        "two OPT": edns(opt, opt),
        "two OPT of different versions": edns(opt, make_opt(version=1)),
        "three OPT": edns(opt, opt, opt),
        "OPT with an owner": edns(make_opt(owner=b"\3www\0")),
        "OPT with a pointer for an owner": edns(make_opt(owner=b"\xc0\x0c")),
        "OPT with a pointer to the root": edns(make_opt(owner=(12 + len(WWW) - 1 | 0xC000).to_bytes(2, "big"))),
        "OPT in the answer": _count(QUERY + opt, answers=1),
        "OPT in the authority": _count(QUERY + opt, authorities=1),
        "OPT in the answer and in its place": _count(QUERY + opt + opt, answers=1, additional=1),
        "OPT longer than the message": edns(opt[:-2] + b"\0\x08"),
        "OPT without its length": edns(opt[:-2]),
    }


def _options() -> dict[str, bytes]:
    def option(*options: tuple[int, bytes]) -> bytes:
        return make_packet(WWW, A, additional=(make_opt(*options),))

    def raw(data: bytes) -> bytes:
        return make_packet(WWW, A, additional=(make_opt()[:-2] + len(data).to_bytes(2, "big") + data,))

    return {
        "an unknown option": option((65001, b"abc")),
        "an unknown option, empty": option((65001, b"")),
        "option 0": option((0, b"")),
        "option 65535": option((65535, b"x" * 100)),
        "a hundred unknown options": option(*((65001 + n, b"x") for n in range(100))),
        "an option that is longer than OPT": raw(b"\xfd\xe9\0\x08abc"),
        "an option without its length": raw(b"\xfd\xe9\0"),
        "an option of one byte": raw(b"\xfd"),
        "an option, then three bytes": raw(b"\xfd\xe9\0\1a\0\0\0"),
        "NSID": option((NSID, b"")),
        "NSID with content": option((NSID, b"abc")),
        **{f"a cookie of {size}": option((COOKIE, b"c" * size)) for size in (0, 1, 7, 8, 9, 15, 16, 24, 40, 41)},
        "two cookies": option((COOKIE, b"c" * 8), (COOKIE, b"d" * 8)),
        "keepalive": option((KEEPALIVE, b"")),
        "keepalive with a time": option((KEEPALIVE, b"\0\x64")),
        "keepalive of three bytes": option((KEEPALIVE, b"\0\0\0")),
        "padding": option((PADDING, bytes(64))),
        "padding that is not zero": option((PADDING, b"x" * 64)),
        "expire": option((EXPIRE, b"")),
        "expire with a time": option((EXPIRE, b"\0\0\0\1")),
        "DAU": option((5, b"\x08\x0d")),
        "key tag": option((14, b"\0\1\0\2")),
        "key tag of three bytes": option((14, b"\0\1\0")),
        "an extended error": option((15, b"\0\0")),
    }


def _subnets() -> dict[str, bytes]:
    subnets = {
        "192.0.2.0/24": "00011800c00002",
        "192.0.2.1/32": "00012000c0000201",
        "192.0.0.0/15": "00010f00c000",
        "0.0.0.0/0": "00010000",
        "2001:db8::/32": "0002200020010db8",
        "2001:db8::1/128": "0002800020010db8000000000000000000000001",
        "::/0": "00020000",
        "no family, source 0": "00000000",
        "no family, source 8": "0000080001",
        "family 3": "00031800c00002",
        "family 3, source 0": "00030000",
        "family 65535": "ffff1800c00002",
        "a scope": "00011818c00002",
        "a scope and source 0": "00010018",
        "source 33": "00012100c000020100",
        "source 129": "0002810020010db800000000000000000000000100",
        "source 255": "0001ff00" + "00" * 32,
        "an address too short": "00011800c000",
        "an address too long": "00011800c0000200",
        "a whole address for /24": "00011800c0000201",
        "no address": "00011800",
        "an address for source 0": "00010000c0",
        "bits behind the prefix": "00011700c00003",
        "bits behind an IPv6 prefix": "0002210020010db8ff",
        "nothing": "",
        "one byte": "00",
        "two bytes": "0001",
        "three bytes": "000118",
    }
    packets = {
        f"a subnet: {title}": make_packet(WWW, A, additional=(make_opt((ECS, bytes.fromhex(data))),))
        for title, data in subnets.items()
    }
    one, other = bytes.fromhex(subnets["192.0.2.0/24"]), bytes.fromhex(subnets["2001:db8::/32"])
    packets["two subnets"] = make_packet(WWW, A, additional=(make_opt((ECS, one), (ECS, other)),))
    packets["two subnets, one of them broken"] = make_packet(WWW, A, additional=(make_opt((ECS, one), (ECS, b"")),))
    packets["a subnet of a name of nobody's"] = make_packet(
        to_wire("example.org"), A, additional=(make_opt((ECS, one)),)
    )
    packets["a broken subnet of a name of nobody's"] = make_packet(
        to_wire("example.org"), A, additional=(make_opt((ECS, b"")),)
    )
    packets["a broken subnet in version 1"] = make_packet(WWW, A, additional=(make_opt((ECS, b""), version=1),))
    return packets


def _cut_short() -> dict[str, bytes]:
    """A query with EDNS and options, cut off at every place."""
    whole = make_packet(WWW, NS, additional=(make_opt((COOKIE, b"c" * 8)),))
    return {f"cut after {size}": whole[:size] for size in range(2, len(whole))}


def _count(packet: bytes, *, questions: int = 1, answers: int = 0, authorities: int = 0, additional: int = 0) -> bytes:
    """The packet with other counts in its header."""
    counts = b"".join(number.to_bytes(2, "big") for number in (questions, answers, authorities, additional))
    return packet[:4] + counts + packet[12:]
