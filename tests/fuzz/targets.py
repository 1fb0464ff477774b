"""What is fuzzed: every parser of bytes that others make.

A target takes any bytes, returns when they are taken or refused as promised, and raises when not. It depends on nothing
but its bytes, so that what was found once is found again. `test_corpus.py` runs the corpus through all of them,
`packets.py` looks for more.
"""

import atexit
import io
import ipaddress
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import dns.message
import dns.name
import dns.rdata
import dns.rdatatype
import h11
import msgspec
import trio

from geodata.errors import GeoError
from geodata.sources.maxmind import read_maxmind
from steering.beside import powerdns_remote
from steering.beside import update as beside
from steering.beside.powerdns_api import ApiTarget, PowerDnsApi
from steering.cookies import CookieSigner
from steering.later import Later
from steering.messages import ToControl, ToWorker
from steering.peers import Peers
from steering.problems import SettingsError
from steering.proxy import ProxyError
from steering.respond import respond
from steering.serve.backend import converse_http, converse_lines
from steering.serve.control_socket import Message, _reply_untrusted
from steering.serve.feed import Connection
from steering.serve.http import make_app
from steering.serve.tcp import StreamServer, TcpLimits
from steering.serve.udp import unwrap_untrusted
from steering.settings import Settings, UpdatePermission, Zone
from steering.settings_file import parse_settings
from steering.values import Peer, Permission
from steering.wire import (
    AAAA,
    CNAME,
    DNAME,
    HEADER_SIZE,
    HTTPS,
    MX,
    NS,
    SOA,
    SRV,
    TCP_SIZE,
    TXT,
    UDP_PAYLOAD,
    A,
    BadPacket,
    is_below,
    parse_query_untrusted,
    render_error,
)
from steering.world import World, make_world
from steering.zones.catalog import CatalogError, read_catalog_untrusted
from steering.zones.inbound import Inbound, TransferError
from steering.zones.load import assign_defaults, read_rrsets, stage_update, stage_zones
from steering.zones.message import parse_message_untrusted
from steering.zones.store import Store, StoreReader, ZoneWriter
from steering.zones.transfer import Transfer
from steering.zones.tsig import Key, SignatureError, Signer, Verifier
from steering.zones.update import (
    RRsets,
    UpdateError,
    apply_update,
    check_prerequisites,
    check_rdata_untrusted,
    check_update_untrusted,
    describe_changes,
)
from steering.zones.zonefile import BESIDE_CNAME, MAX_TTL, Record, ZoneFileError, check_owner, merge_records, read_zone
from tests.fuzz.monitor_targets import fuzz_icmp, fuzz_probes, fuzz_refusals, fuzz_reports
from tests.fuzz.streams import Pieces, run
from tests.steering.serve.test_http import TOKEN, FakeSource
from tests.steering.support import APEX, FIRST, HalvesMaps, write_settings

Incoming = TypeVar("Incoming")

RECORDS_READ = 2000
"""Of a zone file: a line of $GENERATE makes a million, which finds nothing more."""
PARENT = """\
$TTL 300
@ SOA ns1 host 1 3600 900 604800 60
@ NS ns1
@ NS ns.example.net.
ns1 A 192.0.2.53
www A 192.0.2.1
www AAAA 2001:db8::1
alias CNAME www
loop CNAME loop
dangling CNAME gone
geoalias CNAME geo
mail MX 10 www
mail MX 20 geo
srv SRV 1 1 1 www
svc HTTPS 1 . alpn=h2
svc A 192.0.2.2
*.wild A 192.0.2.3
*.wild MX 1 geo
a.b.c TXT deep
sub NS ns.sub
sub NS ns.child
sub DS 12345 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.sub A 192.0.2.60
child NS ns.child
ns.child A 192.0.2.61
old DNAME new
www.new A 192.0.2.4
grow DNAME xxxxxxxxxx.grow
""" + "".join(f"many MX {host} h{host}\nh{host} A 192.0.2.{host}\nbig TXT {'x' * 250}{host}\n" for host in range(50))
CHILD = "$TTL 300\n@ SOA ns host 1 3600 900 604800 60\n@ NS ns\nns A 192.0.2.61\nup CNAME www.example.com.\n"
STEERED = """
[[pool]]
name = "site"
[[pool.origin]]
name = "site-1"
address = "192.0.2.101"
records = { AAAA = "2001:db8::101", MX = "10 www.example.com.", TXT = "site", HTTPS = "1 ." }
[[pool]]
name = "away"
[[pool.origin]]
name = "away-1"
address = "192.0.2.102"
records = { AAAA = "2001:db8::102", MX = "20 geo.example.com.", TXT = "away", HTTPS = "1 geo.example.com." }
[[load_balancer]]
name = "geo.example.com"
types = ["A", "AAAA", "MX", "TXT", "HTTPS"]
default_pools = ["site"]
fallback_pool = "away"
country_pools = { FR = ["away"] }
[[load_balancer]]
name = "*.any.example.com"
types = ["A"]
default_pools = ["away", "site"]
fallback_pool = "site"
"""


KEY = Key(b"\3key\0", "hmac-sha256", b"secret")


def fuzz_query(data: bytes) -> None:
    """A packet is a Query or a BadPacket."""
    try:
        query = parse_query_untrusted(data)
    except BadPacket:
        return
    if query.name != query.question[:-4].lower() or not data[HEADER_SIZE:].startswith(query.question):
        raise AssertionError("the question is not the one that came")


def fuzz_respond(data: bytes) -> None:
    """A packet gets silence or a reply: to its identifier, of the right size, the same again, readable by others."""
    world = make_fuzz_world()
    query = None
    try:
        query = parse_query_untrusted(data)
        question = query.question
    except BadPacket as bad:
        question = bad.question
    for over_tcp in (False, True):
        world.memo.clear()
        reply = respond(data, "192.0.2.9", over_tcp, 0.0, lambda: FIRST, world)
        if respond(data, "192.0.2.9", over_tcp, 0.0, lambda: FIRST, world) != reply:
            raise AssertionError("a remembered answer differs")
        if reply is None:
            continue
        if len(reply) > (TCP_SIZE if over_tcp else UDP_PAYLOAD):
            raise AssertionError("too long")
        if reply[:2] != data[:2] or not reply[2] & 0x80:
            raise AssertionError("not a reply to this packet")
        if reply[HEADER_SIZE:].startswith(question):
            subnet = query.edns.subnet if query is not None and query.edns is not None else None
            if subnet is None or subnet.version:  # dnspython does not read the family 0, which `dig +subnet=0` sends
                dns.message.from_wire(reply)
        else:
            raise AssertionError("not the question that came")


def fuzz_peers(data: bytes) -> None:
    """What a server asks, signed or not, gets silence or replies to its identifier."""
    world = make_fuzz_world()
    store = world.zones.store
    zones = (
        Zone(APEX, file="-", allow_transfer=(Permission("192.0.2.0/24"),)),
        Zone(b"\5child" + APEX, primaries=(Peer("192.0.2.9", 53),)),
    )
    peers = Peers(store, zones, [KEY], lambda _: None)

    def answer(question: bytes, _: int) -> bytes:
        return render_error(question, 0)

    for packet in (data, _sign(data)):
        replies = [peers.reply_untrusted(packet, "192.0.2.9", 0.0, world.zones, answer)]
        opened = peers.open_transfer_untrusted(packet, "192.0.2.9", 0.0, world.zones)
        if isinstance(opened, Transfer):
            while (message := opened.next_message(0.0)) is not None:
                replies.append(message)
            opened.close()
        else:
            replies.append(opened)
        _check_replies(replies, packet)


def fuzz_update(data: bytes) -> None:
    """An update gets a reply or is passed on; it makes a zone that can be served, or is refused as a whole."""
    settings, world = make_fuzz_settings(), make_fuzz_world()
    store = world.zones.store
    zone, defaults = next(each for each in assign_defaults(settings) if each[0].name == APEX)
    allowed = msgspec.structs.replace(zone, allow_update=(UpdatePermission(KEY.name, (b"\2**" + APEX,)),))
    replies: list[bytes | None] = []

    def ask(_packet: bytes, _client: str, later: Later) -> bool:
        later.send = replies.append
        later.finish(0)
        return True

    peers = Peers(store, (allowed,), [KEY], lambda _: None, ask)
    for packet in (data, _sign(data)):
        reply = peers.update_untrusted(packet, "192.0.2.9", 0.0, world.zones)
        replies += [] if isinstance(reply, Later) else [reply]
        _check_replies(replies, packet)
    writer = ZoneWriter(store)
    try:
        message = parse_message_untrusted(data)
        check_update_untrusted(message)
        check_rdata_untrusted(message)
        if message.name != APEX:
            return
        with writer.open_served(APEX) as served:

            def read(owner: bytes) -> RRsets:
                return read_rrsets(APEX, owner, served)

            check_prerequisites(message, read)
            owners = apply_update(message, read)
            told = describe_changes(owners, read)
        stage_update(allowed, defaults, writer, owners)
    except (BadPacket, UpdateError, ZoneFileError):
        return
    if len(told) > 10_000 or not ((told.isascii() and told.isprintable()) or not told):
        raise AssertionError("not a line of a log")
    for owner, rrsets in owners.items():
        if not is_below(owner, APEX) or (CNAME in rrsets and rrsets.keys() - BESIDE_CNAME):
            raise AssertionError("not an owner of the zone")
        if owner == APEX and not (rrsets[SOA][1] and rrsets[NS][1]):
            raise AssertionError("not an apex")
        for rrtype, (ttl, rdatas) in rrsets.items():
            if not 0 <= ttl <= MAX_TTL or not rdatas:
                raise AssertionError("not an RRset")
            for rdata in rdatas:
                dns.rdata.from_wire("IN", dns.rdatatype.RdataType.make(rrtype), rdata, 0, len(rdata))


def fuzz_transfer(data: bytes) -> None:
    """What a primary says is verified or not, used or refused; the catalog in it lists names, or is none."""
    try:
        message = parse_message_untrusted(data)
    except BadPacket:
        return
    request = Signer(KEY)
    request.sign(bytes(HEADER_SIZE), 0.0)
    with suppress(SignatureError):
        Verifier(request).verify_untrusted(data, message.signature, 0.0)
    for serial in (None, 1):
        inbound = Inbound(APEX, serial, io.BytesIO())
        with suppress(TransferError):
            inbound.take_untrusted(message)
            _check_records(record for _, record in inbound.changes)
            records = list(inbound.records())
            _check_records(records)
            with suppress(CatalogError):
                for name in read_catalog_untrusted(APEX, records):
                    dns.name.from_wire(name, 0)


def fuzz_tcp(data: bytes) -> None:
    """A connection, a proxy's or not, is messages and then the end, the same however its bytes come."""
    for is_proxy in (False, True):
        whole = trio.run(_serve_tcp, [data], is_proxy)
        if whole != trio.run(_serve_tcp, [data[position : position + 1] for position in range(len(data))], is_proxy):
            raise AssertionError("the pieces in which messages come make a difference")
    try:
        packet, client = unwrap_untrusted(data, "192.0.2.9")
    except ProxyError:
        return
    ipaddress.ip_address(client)
    if not data.endswith(packet):
        raise AssertionError("not the packet that came")


def fuzz_powerdns(data: bytes) -> None:
    """A request of PowerDNS gets one line of JSON, over a socket or HTTP; what its API says is records or an error."""
    world = make_fuzz_world()

    def reply(request: bytes) -> bytes:
        said = powerdns_remote.reply_untrusted(request, lambda: FIRST, world)
        if "result" not in msgspec.json.decode(said) or b"\n" in said:
            raise AssertionError("not a line with a result")
        return said

    reply(data)
    for converse in (converse_lines, converse_http):
        with suppress(h11.RemoteProtocolError):
            trio.run(converse, Pieces([data]), reply)
    for rrtype in (A, HTTPS, TXT):
        with suppress(beside.UpdateError):
            for rdata in run(_Api(data).read(b"\3www" + APEX, rrtype)):
                dns.rdata.from_wire("IN", dns.rdatatype.RdataType.make(rrtype), rdata, 0, len(rdata))


def fuzz_feed(data: bytes) -> None:
    """What a peer sends is messages and then the end, the same however its bytes come."""
    for decoder in _DECODERS:
        whole = run(_receive(decoder, [data]))
        if whole != run(_receive(decoder, [data[position : position + 1] for position in range(len(data))])):
            raise AssertionError("the pieces in which frames come make a difference")


def fuzz_zonefile(data: bytes) -> None:
    """A zone file is records inside the zone, of data that others can read, or a ZoneFileError."""
    owners: dict[bytes, list[Record]] = {}
    with _as_file(data) as path:
        try:
            for record in islice(read_zone(path, APEX), RECORDS_READ):
                owners.setdefault(record[0], []).append(record)
        except ZoneFileError as error:
            str(error)
    for owner, records in owners.items():
        if not is_below(owner, APEX) or owner != owner.lower() or len(owner) > 255:
            raise AssertionError("not a name of the zone")
        for _, rrtype, ttl, rdata in records:
            if not 0 <= ttl <= MAX_TTL:
                raise AssertionError("not a TTL")
            dns.rdata.from_wire("IN", dns.rdatatype.RdataType.make(rrtype), rdata, 0, len(rdata))
        check_owner(owner, owner == APEX, merge_records(records))


def fuzz_settings(data: bytes) -> None:
    """A configuration is Settings, which survive the way to a worker, or a SettingsError, which can be shown."""
    try:
        settings = parse_settings(data.decode("utf-8-sig"), Path("/fuzz/waypost.toml"))
    except UnicodeError:  # load_settings reports it
        return
    except SettingsError as error:
        str(error)
        return
    if msgspec.msgpack.decode(msgspec.msgpack.encode(settings), type=Settings) != settings:
        raise AssertionError("what a worker would get differs")


def fuzz_maxmind(data: bytes) -> None:
    """A database is a Source or a GeoError."""
    with _as_file(data) as path:
        try:
            read_maxmind(path)
        except GeoError:
            return


def fuzz_control(data: bytes) -> None:
    """A request line gets one line of JSON, an object."""
    line = data.partition(b"\n")[0]
    reply = run(_reply_untrusted(bytearray(line), _echo))
    if not isinstance(msgspec.json.decode(reply), dict) or reply.count(b"\n") != 1:
        raise AssertionError("not a line with an object")


def fuzz_http(data: bytes) -> None:
    """A request (a line with method and target, lines of its header, an empty line, the body) gets an answer."""
    status = trio.run(_ask_http, data)
    if not 200 <= status < 500:
        raise AssertionError(f"the status is {status}")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "query": fuzz_query,
    "respond": fuzz_respond,
    "peers": fuzz_peers,
    "update": fuzz_update,
    "transfer": fuzz_transfer,
    "tcp": fuzz_tcp,
    "powerdns": fuzz_powerdns,
    "http": fuzz_http,
    "probes": fuzz_probes,
    "reports": fuzz_reports,
    "refusals": fuzz_refusals,
    "icmp": fuzz_icmp,
    "feed": fuzz_feed,
    "zonefile": fuzz_zonefile,
    "settings": fuzz_settings,
    "maxmind": fuzz_maxmind,
    "control": fuzz_control,
}


@cache
def make_fuzz_settings() -> Settings:
    """Two zones with something of every kind, and load balancers; the files are there as long as the process."""
    directory = tempfile.TemporaryDirectory(prefix="waypost-fuzz-")
    atexit.register(directory.cleanup)
    return write_settings(Path(directory.name), STEERED, {"example.com": PARENT, "child.example.com": CHILD})


@cache
def make_fuzz_world() -> World:
    """What they make; stays until the process ends."""
    settings = make_fuzz_settings()
    with tempfile.TemporaryDirectory(prefix="waypost-fuzz-") as directory:
        store = Store(Path(directory) / "store", write=True)
        stage_zones(settings, store, 1_800_000_000)()
        reader = StoreReader(store)
        reader.begin()
        return make_world(settings, reader, HalvesMaps(), {}, CookieSigner((bytes(16),)))


@contextmanager
def _as_file(data: bytes) -> Iterator[Path]:
    descriptor = os.memfd_create("fuzz")
    try:
        os.write(descriptor, data)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _sign(data: bytes) -> bytes:
    """A packet with a good signature, if it has the header for any."""
    can = len(data) >= HEADER_SIZE and data[10:12] != b"\xff\xff"
    return Signer(KEY).sign(data, 0.0) if can else data


def _check_replies(replies: Iterable[bytes | None], packet: bytes) -> None:
    for reply in replies:
        if reply is not None and (reply[:2] != packet[:2] or not reply[2] & 0x80):
            raise AssertionError("not a reply to this packet")


def _check_records(records: Iterable[Record]) -> None:
    """Names that are some, and RDATA that has the form of what an answer looks into."""
    for owner, rrtype, ttl, rdata in records:
        dns.name.from_wire(owner, 0)
        if not 0 <= ttl <= MAX_TTL:
            raise AssertionError("not a TTL")
        if rrtype in (A, AAAA, CNAME, DNAME, MX, NS, 12, SOA, SRV, TXT):
            dns.rdata.from_wire("IN", dns.rdatatype.RdataType.make(rrtype), rdata, 0, len(rdata))


async def _serve_tcp(pieces: list[bytes], is_proxy: bool) -> list[tuple[bytes, str]]:
    """What was asked on a connection that sends these pieces, and by whom."""
    asked: list[tuple[bytes, str]] = []

    def answer(query: bytes, address: tuple[str, int]) -> bytes:
        asked.append((query, address[0]))
        return query

    server = StreamServer(answer, TcpLimits(), lambda _: is_proxy)
    await server.serve(Pieces(pieces), ("192.0.2.9", 4711))
    return asked


async def _ask_http(data: bytes) -> int:
    """The status of the answer, given what an HTTP server makes of a request."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.partition(b" ")
    path, _, query = target.partition(b"?")
    scope = {
        "type": "http",
        "method": method.decode("ascii", "replace"),
        "path": unquote(path.decode("ascii", "replace")),
        "raw_path": path,
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await make_app(FakeSource(), TOKEN.encode(), False)(scope, receive, send)
    status: int = sent[0]["status"]
    return status


class _Api(ApiTarget):
    """The API of a PowerDNS that says this."""

    def __init__(self, said: bytes) -> None:
        super().__init__(PowerDnsApi(zone=APEX, url="http://127.0.0.1/", api_key="key"))
        self._said = said

    async def _request(self, *_: object) -> bytes:
        return self._said


async def _receive(decoder: msgspec.msgpack.Decoder[Incoming], pieces: list[bytes]) -> list[Incoming]:
    return [message async for message in Connection(Pieces(pieces), decoder)]


async def _echo(request: Message) -> Message:
    return request


_DECODERS: tuple[msgspec.msgpack.Decoder[ToWorker | ToControl], ...] = (
    msgspec.msgpack.Decoder(ToWorker),
    msgspec.msgpack.Decoder(ToControl),
)
