"""The seeds of the corpus: `python -m tests.fuzz.seeds` writes them to corpus/, always the same.

Files there that are not from here were found by fuzzing.
"""

import json
import struct
import tempfile
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rrset
import dns.update
import msgspec

from monitors.notify.event import Event, Message
from monitors.notify.grouping import Grouping
from steering.balance.pools import Verdict
from steering.messages import Configured, Counted, HealthChanged, Hello, OriginHealth, Taken
from steering.serve.feed import encode_frame
from steering.settings import Settings
from steering.zones.tsig import Signer
from tests.fuzz.packets import CORPUS
from tests.fuzz.targets import CHILD, KEY, PARENT, STEERED
from tests.geodata.mmdb import write_networks, write_tree
from tests.steering.serve.test_http import TOKEN
from tests.steering.support import SERVER, write_settings

TREE = Path(__file__).parents[2]


def main() -> None:
    """Write all seeds."""
    with tempfile.TemporaryDirectory() as directory:
        seeds = {
            "query": make_packets(),
            "respond": make_packets(),
            "peers": make_peer_packets(),
            "update": make_updates(),
            "transfer": make_peer_packets(),
            "tcp": make_streams(),
            "powerdns": make_powerdns(),
            "http": make_requests(),
            "probes": make_answers(),
            "reports": make_reports(),
            "refusals": {"reply": b"\2\x2b5.7.1 no\r\n\x1b[31m \xff", "system": b"\0\x70unreachable", "empty": b""},
            "icmp": make_icmp(),
            "feed": make_frames(Path(directory)),
            "zonefile": make_zones(),
            "settings": make_settings(),
            "maxmind": make_databases(Path(directory)),
            "control": {
                "status": b'{"command": "status"}\n',
                "list": b"[1, 2]\n",
                "deep": b"[" * 2000,
                "not-text": b'{"command": "\xff"}\n',
            },
        }
    for target, inputs in seeds.items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (CORPUS / target / name).write_bytes(data)


def make_packets() -> dict[str, bytes]:
    """Questions of every kind, and what is none."""
    asked = {
        "www-a": ("www.example.com", "A"),
        "mixed-case": ("WwW.eXample.com", "AAAA"),
        "geo-mx": ("geo.example.com", "MX"),
        "any": ("geo.example.com", "ANY"),
        "alias": ("geoalias.example.com", "A"),
        "wildcard": ("x.wild.example.com", "MX"),
        "steered-wildcard": ("x.any.example.com", "A"),
        "missing": ("gone.example.com", "A"),
        "empty": ("b.c.example.com", "TXT"),
        "referral": ("www.sub.example.com", "A"),
        "ds": ("sub.example.com", "DS"),
        "child": ("up.child.example.com", "A"),
        "dname": ("www.old.example.com", "A"),
        "dname-too-long": (".".join(["y" * 60] * 3) + f".{'y' * 38}.grow.example.com", "A"),
        "many": ("many.example.com", "MX"),
        "big": ("big.example.com", "TXT"),
        "loop": ("loop.example.com", "A"),
        "refused": ("example.org", "A"),
        "root": (".", "NS"),
        "axfr": ("example.com", "AXFR"),
    }
    messages: dict[str, dns.message.Message] = {
        name: dns.message.make_query(*question, id=0x1234) for name, question in asked.items()
    }
    options: dict[str, list[dns.edns.Option]] = {
        "ecs-ipv4": [dns.edns.ECSOption("198.51.100.0", 24)],
        "ecs-ipv6": [dns.edns.ECSOption("2001:db8::", 56)],
        "ecs-none": [dns.edns.ECSOption("0.0.0.0", 0)],
        "ecs-family-0": [_option(8, bytes(4))],
        "ecs-bad-scope": [_option(8, b"\0\1\x18\x08\xc6\x33\x64")],
        "ecs-bad-bits": [_option(8, b"\0\1\x17\0\xc6\x33\xff")],
        "cookie": [_option(10, bytes(8))],
        "server-cookie": [_option(10, bytes(8) + b"\1" + bytes(15))],
        "nsid-padding": [_option(3, b""), _option(12, bytes(9))],
        "keepalive": [_option(11, b"")],
    }
    for name, option in options.items():
        messages[name] = dns.message.make_query("geo.example.com", "A", id=7, use_edns=0, payload=4096, options=option)
    messages["do"] = dns.message.make_query("www.example.com", "A", id=7, want_dnssec=True, payload=512)
    messages["badvers"] = dns.message.make_query("www.example.com", "A", id=7, use_edns=1)
    messages["chaos"] = dns.message.make_query("version.bind", "TXT", "CH", id=7)
    messages["notify"] = dns.message.make_query("example.com", "SOA", id=7)
    messages["notify"].set_opcode(dns.opcode.NOTIFY)
    messages["response"] = dns.message.make_response(dns.message.make_query("www.example.com", "A", id=7))
    messages["update"] = dns.message.make_query("example.com", "SOA", id=7)
    messages["update"].set_opcode(dns.opcode.UPDATE)
    messages["with-additional"] = dns.message.make_query("www.example.com", "A", id=7, use_edns=0)
    messages["with-additional"].additional.append(dns.rrset.from_text("x.example.com.", 1, "IN", "A", "192.0.2.1"))
    packets = {name: message.to_wire() for name, message in messages.items()}
    www = packets["www-a"]
    packets["two-questions"] = www[:4] + b"\0\2" + www[6:] + www[12:]
    packets["no-question"] = www[:4] + bytes(8)
    cookie = packets["cookie"]
    packets["cookie-alone"] = cookie[:4] + bytes(6) + b"\0\1" + cookie[-23:]
    packets["trailing"] = www + b"x"
    packets["pointer-loop"] = www[:12] + b"\xc0\x0c\0\1\0\1"
    packets["pointer"] = www[:12] + b"\1x\xc0\x0c\0\1\0\1"
    packets["two-opts"] = www[:10] + b"\0\2" + www[12:] + 2 * (b"\0\0\x29\4\xd0" + bytes(6))
    packets["name-too-long"] = www[:12] + 5 * (b"\x3f" + b"x" * 63) + b"\0\0\1\0\1"
    packets["empty-packet"] = b""
    return packets


def make_peer_packets() -> dict[str, bytes]:
    """What name servers say to each other: requests, signed and not, and messages of transfers."""
    soas = {serial: f"ns1.example.com. host.example.com. {serial} 3600 900 604800 60" for serial in (1, 2)}
    messages = {kind: dns.message.make_query("example.com", kind.upper(), id=7) for kind in ("axfr", "ixfr", "soa")}
    messages["ixfr"].authority.append(dns.rrset.from_text("example.com.", 0, "IN", "SOA", soas[1]))
    messages["notify"] = dns.message.make_query("child.example.com", "SOA", id=7)
    messages["notify"].set_opcode(dns.opcode.NOTIFY)
    packets = {name: message.to_wire() for name, message in messages.items()}
    packets |= {f"signed-{name}": Signer(KEY).sign(packet, 0.0) for name, packet in packets.items()}
    for name, serials in (("whole", (2, 2)), ("changes", (2, 1, 2, 2)), ("current", (1,))):
        transfer = dns.message.make_response(dns.message.make_query("example.com", "IXFR", id=7))
        for serial in serials:
            transfer.answer.append(dns.rrset.from_text("example.com.", 300, "IN", "SOA", soas[serial]))
            transfer.answer.append(dns.rrset.from_text(f"n{serial}.example.com.", 300, "IN", "MX", "5 a.example.com."))
        del transfer.answer[-1]
        packets[f"transfer-{name}"] = transfer.to_wire()
    catalog = dns.message.make_response(dns.message.make_query("example.com", "AXFR", id=7))
    for owner, kind, text in (
        ("example.com.", "SOA", soas[2]),
        ("version.example.com.", "TXT", '"2"'),
        ("a.zones.example.com.", "PTR", "member.example."),
        ("naptr.example.com.", "NAPTR", '1 1 "u" "e" "!a!b!" .'),
    ):
        catalog.answer.append(dns.rrset.from_text(owner, 0, "IN", kind, text))
    packets["transfer-catalog"] = catalog.to_wire()
    head = packets["axfr"][:2] + b"\x84\0\0\1\0\1\0\0\0\0" + packets["axfr"][12:]
    packets["transfer-empty-rdata"] = head + b"\xc0\x0c\0\6\0\1" + bytes(6)
    return packets


def make_updates() -> dict[str, bytes]:
    """Updates of every kind, and what is none."""
    made = {name: dns.update.UpdateMessage("example.com", id=7) for name in ("add", "delete", "wanted", "cuts", "form")}
    for owner, rrtype, data in (
        ("new", "A", "192.0.2.1"),
        ("new", "HTTPS", "1 . alpn=h2 port=53"),
        ("new", "CAA", '0 issue "ca.example"'),
        ("alias", "CNAME", "www"),
        ("www", "CNAME", "svc"),
        ("\\000\\010.www", "TXT", '"x" "y"'),
        ("@", "NS", "ns.example.org."),
        ("x", "TYPE65280", "\\# 2 0102"),
    ):
        made["add"].add(owner, 60, rrtype, data)
    made["delete"].delete("www")
    made["delete"].delete("mail", "MX")
    made["delete"].delete("many", "MX", "7 h7")
    made["delete"].delete("@")
    made["delete"].delete("@", "NS", "NS1")
    made["wanted"].present("www")
    made["wanted"].present("www", "A")
    made["wanted"].present("www", "A", "192.0.2.1")
    made["wanted"].absent("gone")
    made["wanted"].absent("mail", "A")
    made["wanted"].add("gone", 2**31 + 1, "A", "192.0.2.1")
    made["cuts"].add("a", 60, "NS", "ns")
    made["cuts"].add("c", 60, "DNAME", "www")
    made["cuts"].delete("sub")
    made["cuts"].delete("old", "DNAME")
    made["form"].add("geo", 60, "A", "192.0.2.1")
    made["form"].add("x", 60, "TYPE252", "\\# 1 00")
    packets = {name: message.to_wire() for name, message in made.items()}
    made["add"].use_tsig(dns.tsig.Key("key.", b"secret", "hmac-sha256"))
    packets["signed"] = made["add"].to_wire()
    packets["bad-rdata"] = packets["cuts"][:8] + b"\0\1\0\0" + packets["cuts"][12:29]
    packets["bad-rdata"] += b"\xc0\x0c" + struct.pack("!HHIH", 257, 1, 0, 1) + b"\0"
    empty = make_peer_packets()["soa"]
    packets["nothing"] = empty[:2] + b"\x28" + empty[3:]
    packets["empty-rdata"] = packets["nothing"][:8] + b"\0\1\0\0" + empty[12:] + b"\xc0\x0c\0\1\0\1" + bytes(6)
    return packets


def make_streams() -> dict[str, bytes]:
    """What comes over TCP, or over UDP from a proxy: headers of every kind, and messages behind them."""
    packet = make_packets()["www-a"]
    message = len(packet).to_bytes(2, "big") + packet
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    ports = b"\x30\x39\0\x35"
    ipv4 = signature + b"\x21\x11\0\x0c" + bytes((192, 0, 2, 1, 192, 0, 2, 2)) + ports
    ipv6 = signature + b"\x21\x21\0\x28" + 2 * (b"\x20\1\x0d\xb8" + bytes(12)) + ports + b"\4\0\1x"
    local = signature + b"\x20\0\0\0"
    return {
        "plain": message + message,
        "short": message + b"\0\3abc",
        "ipv4": ipv4 + message,
        "ipv6": ipv6 + message,
        "local": local + message,
        "packet": ipv4 + packet,
        "no-version": signature + b"\x11\x11\0\0",
        "too-long": signature + b"\x21\x11\xff\xff",
        "too-short": signature + b"\x21\x11\0\4abcd",
        "no-family": signature + b"\x21\x31\0\4abcd",
    }


def make_powerdns() -> dict[str, bytes]:
    """Requests of PowerDNS, and what its API says."""
    asked: dict[str, dict[str, object]] = {
        "initialize": {"timeout": "2000"},
        "lookup": {"qname": "geo.example.com.", "qtype": "ANY", "remote": "192.0.2.9", "real-remote": "192.0.2.0/24"},
        "getAllDomains": {"include_disabled": True},
        "getDomainInfo": {"name": "child.example.com."},
        "list": {"zonename": "child.example.com.", "domain_id": -1},
        "getDomainMetadata": {"name": "example.com.", "kind": "PRESIGNED"},
    }
    requests = {name: json.dumps({"method": name, "parameters": each}).encode() for name, each in asked.items()}
    body = requests["lookup"]
    empty = {"qname": "b.c.example.com.", "qtype": "ANY", "zone-id": 0, "remote": "::1", "real-remote": "::/0"}
    rrsets = [
        {"name": "www.example.com.", "type": kind, "records": [{"content": each}, {"content": "x", "disabled": True}]}
        for kind, each in (("A", "192.0.2.1"), ("HTTPS", "1 . alpn=h2"), ("TXT", '"a\\\\b"'))
    ]
    return requests | {
        "empty-non-terminal": json.dumps({"method": "lookup", "parameters": empty}).encode(),
        "lines": requests["initialize"] + b"\n" + body + b"\n",
        "http": b"POST /dns HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
        "http-chunks": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "api": json.dumps({"rrsets": rrsets}).encode(),
        "deep": b'{"method":' + b"[" * 2000,
    }


def make_requests() -> dict[str, bytes]:
    """A request for every path, as `fuzz_http` reads them."""
    return {
        "metrics": b"GET /metrics",
        "health": b"GET /health\nAuthorization: Bearer x",
        "history": b"GET /history?origin=paris/one",
        "probe": b"GET /probe?monitor=web&address=2001:DB8::1&debug=true",
        "external": b'PUT /external/web/192.0.2.1\nAuthorization: Bearer %b\n\n{"up": false}' % TOKEN.encode(),
        "no-token": b"PUT /external/web/192.0.2.1\nAuthorization: Bearer \xff\n\n{}",
        "ready": b"GET /-/ready",
        "no-path": b"GET /%ff%00?\xff=%",
    }


def make_answers() -> dict[str, bytes]:
    """What sites answer: over HTTP, and name servers."""
    query = dns.message.make_query("example.com", "MX", id=7)
    query.flags |= dns.flags.RD
    replies: dict[str, bytes] = {}
    for name, text in (("good", "10 mx.example.com."), ("other", "10 other.example.com.")):
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text("example.com.", 300, "IN", "MX", text))
        replies[name] = reply.to_wire()
    refused = dns.message.make_response(query)
    refused.set_rcode(dns.rcode.REFUSED)
    elsewhere = b"Location: http://192.0.2.1:80/ready?x#y\r\nContent-Length: 0\r\n\r\n"
    return replies | {
        "refused": refused.to_wire(),
        "no-question": b"\0\7\x81\1" + bytes(8),
        "http": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready",
        "http-chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nready\r\n0\r\n\r\n",
        "http-elsewhere": b"HTTP/1.1 301 Moved\r\n" + elsewhere,
        "http-broken": b"HTTP/9 what",
        "http-early": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nre",
    }


def make_reports() -> dict[str, bytes]:
    """Reports of other checkers, and the spool of a notifier."""
    event = Event(kind="down", since=1e9, pool="p", origin="o", address="192.0.2.1", reason="refused", evidence="x")
    message = Message(identifier="1", notifier="n", made=1e9, events=(event,), omitted={"up": 1}, dropped=1)
    return {
        "report": b'{"up": true, "evidence": "a\\u001bb", "rtt": 0.5}',
        "message": msgspec.json.encode(message),
        "grouping": msgspec.json.encode(Grouping(waiting=(event,), opened=1e9)),
        "deep": b"[" * 2000,
        "not-text": b'{"up": true, "evidence": "\xff"}',
    }


def _option(code: int, data: bytes) -> dns.edns.GenericOption:
    return dns.edns.GenericOption(dns.edns.OptionType.make(code), data)


def make_icmp() -> dict[str, bytes]:
    """Echo replies and errors of both families, with the request that an error quotes."""
    echo4, echo6 = (bytes((kind, 0)) + bytes(2) + struct.pack("!HH", 7, 9) for kind in (8, 128))
    ipv4 = b"\x45\0\0\x1c\0\0\0\0\x40\1\0\0\x7f\0\0\1\x7f\0\0\2"
    ipv6 = b"\x60\0\0\0\0\x08\x3a\x40" + bytes(15) + b"\1" + bytes(15) + b"\2"
    return {
        "reply-ipv4": b"\0\0\0\0\0\7\0\x09payload",
        "reply-ipv6": b"\x81\0\0\0\0\7\0\x09payload",
        "packet-ipv4": ipv4 + b"\0\0\0\0\0\7\0\x09payload",
        "packet-with-options": b"\x46" + ipv4[1:] + b"\1\1\1\0" + b"\0\0\0\0\0\7\0\x09",
        "unreachable-ipv4": b"\3\1" + bytes(6) + ipv4 + echo4,
        "expired-ipv4": b"\x0b\0" + bytes(6) + ipv4 + echo4,
        "quoted-options": b"\3\3" + bytes(6) + b"\x46" + ipv4[1:] + bytes(4) + echo4,
        "unreachable-ipv6": b"\1\4" + bytes(6) + ipv6 + echo6,
        "expired-ipv6": b"\3\0" + bytes(6) + ipv6 + echo6,
        "cut-short": b"\3\1" + bytes(6) + ipv4,
    }


def make_frames(folder: Path) -> dict[str, bytes]:
    """Each message, several in a row, and lengths that are none."""
    written = msgspec.json.encode(write_settings(folder, STEERED, {"example.com": ""}))
    settings = msgspec.json.decode(written.replace(str(folder).encode(), b"/fuzz"), type=Settings)
    verdict = OriginHealth("one", "one-1", Verdict(True, 4.0))
    messages = {
        "configured": Configured(settings, (), (verdict,), (bytes(16),)),
        "health": HealthChanged((verdict,)),
        "hello": Hello(1, 4711),
        "taken": Taken(),
        "counted": Counted(1 << 40, 5),
    }
    frames = {name: encode_frame(message) for name, message in messages.items()}
    frames["several"] = frames["hello"] + frames["counted"] + frames["health"][:-3]
    frames["no-message"] = _frame(b"\xc1")
    frames["deep"] = _frame(b"\x91" * 600)
    frames["not-text"] = _frame(b"\x83\xa4type\xa5Hel\xa6o\xa6number\1\xa3pid\1")
    frames["deep-unknown"] = _frame(b"\x82\xa4type\xa5Hello\xa1x" + b"\x91" * 2000)
    frames["empty"] = bytes(8)
    frames["too-long"] = b"\xff\xff\xff\xff1234"
    return frames


def _frame(body: bytes) -> bytes:
    return struct.pack("!I", len(body)) + body


def make_zones() -> dict[str, bytes]:
    """A whole zone, and the corners of the format."""
    apex = CHILD.splitlines(keepends=True)
    head = "".join(apex[:3])
    corners = {
        "generate": "$GENERATE 1-20/3 h${0,3,x}.n A 192.0.2.$\n$GENERATE 1-2 $ PTR ${1,4,n}.ip6.arpa.\n",
        "parentheses": 'x TXT ( a ; comment\n "b;c" \\\n)\ny MX (\n10 ns )\n',
        "escapes": '\\000\\.a\\ b TXT \\065"\\"\\\\"\n\\*.z A 192.0.2.1\n',
        "unknown": "x TYPE65280 \\# 4 01020304\ny A \\# 4 c0000201\n",
        "ttls": "x 1h30m IN A 192.0.2.1\nx IN 5 A 192.0.2.2\n  A 192.0.2.3\n$TTL 2147483647\ny TXT a\n",
        "origins": "$ORIGIN sub\nx A 192.0.2.1\n$ORIGIN .\nx.example.com A 192.0.2.1\n$INCLUDE nowhere other\n",
        "rare": 'x CAA 0 issue "ca.example"\nx NAPTR 1 1 "u" "e" "!a!b!" .\nx LOC 1 N 1 E 1m\n@ DNSKEY 257 3 13 AAAA\n',
        "wrong": 'x A 1.2.3\nx CNAME a b\n@ SOA a b 1 2 3 4 5\nx.other. A 192.0.2.1\ny\nz TTL\n) TXT "open\n$FOO\n',
        "cname": "x CNAME ns\nx A 192.0.2.1\nx CNAME other\n",
    }
    zones = {name: (head + text).encode() for name, text in corners.items()}
    zones["complete"] = PARENT.partition("many")[0].encode()
    return zones


def make_settings() -> dict[str, bytes]:
    """The example, the good one of the tests, and some broken ones."""
    texts = {
        "example": (TREE / "config" / "waypost.toml").read_text(),
        "good": (TREE / "tests" / "steering" / "good_settings.toml").read_text(),
        "steered": SERVER + STEERED + '[[zone]]\nname = "example.com"\nnameservers = ["ns1.example.com"]\n',
        "wrong-types": '[server]\nlisten = 5\nstate = [{ a = 1 }]\n[[monitor]]\ntype = 7\n[pool]\nname = "x"\n',
        "numbers": '[server]\nlisten = ["127.0.0.1:0"]\nstate = "s"\nworkers = 1e400\n[[monitor]]\nname = "m"\n'
        'type = "tcp"\nport = 99999999999999999999999\ninterval = "9999w"\ntimeout = nan\n',
        "deep": "a = " + "[" * 300,
    }
    return {name: text.encode() for name, text in texts.items()}


def make_databases(folder: Path) -> dict[str, bytes]:
    """Every record size, both IP versions, and trees that no honest writer makes."""
    city = {"country": {"iso_code": "US"}, "subdivisions": [{"iso_code": "CA"}], "continent": {"code": "NA"}}
    flat = {"country_code": "jp", "autonomous_system_number": 64500}
    networks: dict[str, object] = {"192.0.2.0/25": city, "2001:db8::/32": flat}
    paths = {
        f"records-{size}": write_networks(folder / str(size), networks, record_size=size, aliases=("2002::/16",))
        for size in (24, 28, 32)
    }
    paths["ipv4"] = write_tree(folder / "ipv4", [[("data", 0), None]], [city], ip_version=4)
    paths["loop"] = write_tree(folder / "loop", [[("node", 0), ("node", 0)]], [])
    paths["no-tree"] = write_tree(folder / "no-tree", [], [], metadata={"node_count": b"\xc4\xff\xff\xff\xff"})
    map_as_key = b"\xe1\xe5" + b"\x41a" * 11
    paths["map-as-key"] = write_tree(folder / "map-as-key", [[("data", 0), None]], [map_as_key])
    return {name: path.read_bytes() for name, path in paths.items()}


if __name__ == "__main__":
    main()
