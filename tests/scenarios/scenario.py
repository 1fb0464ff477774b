"""Scenarios: text that anyone can read, of what is configured, who asks, and what must be answered.

# Anything after a # at the start of a line explains.
zone example.com                  a zone file, indented; there may be several
    @ 300 SOA ns1 hostmaster 1 3600 600 86400 60
networks                          who is where: network,country[,subdivision[,asn]]
    198.18.1.0/24,FR
server                            TOML: more keys of [server]
    identity = "ns1.example.com"
cookies                           secrets of DNS cookies, as in a file of them; without this block there are no cookies
    e5e973e5a6b2a43f48e7dc849e37bfcf
settings                          TOML: monitors, pools, load balancers
    [[pool]]
    ...
case the title
    down paris-1                  origins that are down (pool/origin where names repeat)
    takes paris-1 0.5             which part of its traffic an origin takes
    rtt paris-1 0.02              the round trip of its checks, in seconds
    dice 0.7                      what the next draw gives; 0 if not said
    now 1559731985                the time, in Unix seconds; 0 if not said
    over udp                      or tcp: a case that is of one transport; if not said, it is asked over both
    ask www.example.com A         then: CH, HS or ANY (the class) | subnet 198.18.1.0/24 | from 198.18.1.9
                                  | plain (no EDNS) | size 1232 (octets that the client takes) | version 1 (of EDNS)
                                  | do | rd | ad | cd | reserved (every flag of header and EDNS that is reserved)
                                  | option nsid (or another name or code) | option cookie:0102030405060708
    raw 1234 0000 03 "www" 00     or, in place of ask, the octets of the packet: hex and "text"; lines join
    NOERROR aa                    RCODE and flags, of aa tc rd ra ad cd; or: silence
    answer www.example.com. 30 A 192.0.2.1      one line for each record, in any order; none means none
    authority ...                 a class other than IN stands before the type
    additional ...
    scope 24                      ECS scope; if not said, any, and none if the question has no subnet
    option cookie:0102...         an EDNS option beside that; one line for each, none means none; ... is any end
    octets c0 0c "www"            what the reply contains somewhere, to show how it is spelt
    broken why                    the case fails today, and has to be taken out of this state once it does not

A reply repeats the identifier, the question as it was spelt, and EDNS exactly if the question has it; over UDP it is no
longer than the client takes. That is checked of every reply to an `ask`, and no case says it.
"""

import ipaddress
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import msgspec

from geodata.classes import ClassMap
from steering.balance.pools import Verdict
from steering.cookies import CookieSigner, read_secrets
from steering.offline.answers import override_health
from steering.prepare import compile_maps
from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.wire import PLAIN_UDP_SIZE, UDP_PAYLOAD
from steering.world import World, make_world
from steering.zones.load import stage_zones
from steering.zones.store import Store, StoreReader

TEXT = Path(__file__).parent / "text"
SILENCE = "silence"
FLAGS = {
    "aa": dns.flags.AA,
    "tc": dns.flags.TC,
    "rd": dns.flags.RD,
    "ra": dns.flags.RA,
    "ad": dns.flags.AD,
    "cd": dns.flags.CD,
}
RESERVED, RESERVED_OF_EDNS = 0x0040, 0x7FFF
OPTIONS = {"nsid": 3, "subnet": 8, "cookie": 10, "keepalive": 11, "padding": 12, "error": 15}


class Case(msgspec.Struct):
    """One question and its answer."""

    title: str
    down: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    rtt: tuple[str, ...] = ()
    dice: float = 0.0
    now: float = 0.0
    over: str = ""
    ask: str = ""
    raw: str = ""
    status: str = "NOERROR aa"
    answer: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()
    additional: tuple[str, ...] = ()
    scope: int | None = None
    options: tuple[str, ...] = ()
    octets: tuple[str, ...] = ()
    broken: str = ""


class Scenario(msgspec.Struct):
    """What is configured, and the cases."""

    zones: dict[str, str]
    networks: str
    settings: str
    cases: list[Case]
    server: str = ""
    cookies: str = ""


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file; ValueError names the line that is none."""
    scenario = Scenario({}, "", "", [])
    for number, title, lines in _blocks(path):
        kind, _, argument = title.partition(" ")
        body = "\n".join(lines) + "\n"
        match kind:
            case "zone":
                scenario.zones[argument] = body
            case "networks" | "server" | "cookies" | "settings":
                setattr(scenario, kind, body)
            case "case":
                scenario.cases.append(_read_case(argument, lines, f"{path.name}:{number}"))
            case _:
                raise ValueError(f"{path.name}:{number}: {title!r} is no block of a scenario")
    return scenario


def _blocks(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    title, start, lines = "", 0, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith("    "):
            lines.append(line[4:])
        else:
            if title:
                yield start, title, lines
            title, start, lines = line.strip(), number, []
    if title:
        yield start, title, lines


def _read_case(title: str, lines: list[str], place: str) -> Case:
    case = Case(title)
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        match word:
            case "down":
                case.down += tuple(rest.split())
            case "dice" | "now":
                setattr(case, word, float(rest))
            case "ask" | "broken":
                setattr(case, word, rest)
            case "over" if rest in ("udp", "tcp"):
                case.over = rest
            case "raw":
                case.raw += f" {rest}"
            case "answer" | "authority" | "additional" | "takes" | "rtt":
                setattr(case, word, (*getattr(case, word), rest))
            case "scope":
                case.scope = int(rest)
            case "option":
                case.options += (rest,)
            case "octets":
                case.octets += (rest,)
            case _ if word.isupper() or line.strip() == SILENCE:
                case.status = line.strip()
            case _:
                raise ValueError(f"{place}: {line!r} is no line of a case")
    if bool(case.ask) == bool(case.raw):
        raise ValueError(f"{place}: a case has either a line ask or lines raw")
    return case


class Stage:
    """A scenario's configuration, loaded: makes the World of each case."""

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        text = f'[server]\nlisten = ["127.0.0.1:53"]\nstate = "{directory}/state"\n{scenario.server}'
        if scenario.networks:
            networks = "".join(f"{line}{',' * (3 - line.count(','))}\n" for line in scenario.networks.splitlines())
            (directory / "networks.csv").write_text("network,country,subdivision,asn\n" + networks)
            text += '[[geo]]\ntype = "networks"\npath = "networks.csv"\n'
        for name, content in scenario.zones.items():
            (directory / f"{name}.zone").write_text(content)
            text += f'[[zone]]\nname = "{name}"\nfile = "{name}.zone"\n'
        self.settings: Settings = parse_settings(text + scenario.settings, directory / "waypost.toml")
        self.maps = {each.rules: ClassMap.open(Path(each.path)) for each in compile_maps(self.settings)}
        self.store = Store(directory / "state" / "zones", write=True)
        stage_zones(self.settings, self.store, 0)()
        self.reader = StoreReader(self.store)
        self._cookies = CookieSigner(read_secrets(scenario.cookies, "cookies")) if scenario.cookies else None
        self._directory = directory

    def world(self, case: Case | None = None) -> World:
        """The world of a case; without one, the world in which all is well."""
        case = case or Case("")
        health = dict(override_health(self.settings, case.down, {}))
        for field, lines in (("share", case.takes), ("rtt", case.rtt)):
            for name, number in map(str.split, lines):
                for origin in override_health(self.settings, (name,), {}):
                    verdict = health.get(origin, Verdict(True, math.inf))
                    health[origin] = msgspec.structs.replace(verdict, **{field: float(number)})
        return make_world(self.settings, self.reader, self.maps, health, self._cookies)

    def close(self) -> None:
        """Give the store back."""
        self.store.close()
        shutil.rmtree(self._directory)


class Question(msgspec.Struct, frozen=True):
    """What a case sends."""

    packet: bytes
    source: str
    size: int
    """Octets that a reply over UDP has at most."""
    repeated: bytes = b""
    """The identifier, and the question section as it is spelt; empty for a raw packet."""
    edns: bool = False


def make_question(case: Case) -> Question:
    """The packet of a case and what it asks of every reply."""
    if case.raw:
        return Question(read_octets(case.raw), "192.0.2.250", UDP_PAYLOAD)
    name, rrtype, *extras = case.ask.split()
    source, rrclass, plain, size, version, flags, edns_flags = "192.0.2.250", "IN", False, UDP_PAYLOAD, 0, 0, 0
    options: list[dns.edns.Option] = []
    words = iter(extras)
    for word in words:
        match word:
            case "CH" | "HS" | "ANY":
                rrclass = word
            case "subnet":
                network = ipaddress.ip_network(next(words))
                options.append(dns.edns.ECSOption(str(network.network_address), network.prefixlen))
            case "option":
                code, _, data = next(words).partition(":")
                options.append(dns.edns.GenericOption(_option_type(code), read_octets(data)))
            case "from":
                source = next(words)
            case "plain":
                plain = True
            case "size":
                size = int(next(words))
            case "version":
                version = int(next(words))
            case "do":
                edns_flags |= dns.flags.DO
            case "rd" | "ad" | "cd":
                flags |= FLAGS[word]
            case "reserved":
                flags |= RESERVED
                edns_flags |= RESERVED_OF_EDNS
            case _:
                raise ValueError(f"{case.ask!r}: {word!r}")
    query = dns.message.make_query(name, rrtype, rrclass, id=0x1234)
    query.flags = dns.flags.Flag(flags)
    if plain:
        size = PLAIN_UDP_SIZE
    else:
        query.use_edns(version, edns_flags, size, options=options)
    packet = query.to_wire(max_size=65535)
    repeated = packet[:2] + packet[12 : 12 + sum(len(label) + 1 for label in query.question[0].name.labels) + 4]
    return Question(packet, source, min(max(size, PLAIN_UDP_SIZE), UDP_PAYLOAD), repeated, not plain)


def read_octets(text: str) -> bytes:
    """Octets written as hex and "text"; spaces only part them."""
    return b"".join(
        part[1:-1].encode() if part[0] == '"' else bytes.fromhex(part) for part in re.findall(r'"[^"]*"|[^\s"]+', text)
    )


def describe_reply(packet: bytes | None, case: Case) -> Case:
    """A reply in the words of a case, so that the two can be compared as values."""
    if packet is None:
        sections = dict.fromkeys(("answer", "authority", "additional", "options", "octets"), ())
        return msgspec.structs.replace(case, status=SILENCE, scope=None, **sections)
    reply = dns.message.from_wire(packet, one_rr_per_rrset=True)
    flags = [word for word, flag in FLAGS.items() if reply.flags & flag]
    scopes = [option.scopelen for option in reply.options if isinstance(option, dns.edns.ECSOption)]
    options = [_describe_option(option, case) for option in reply.options if option.otype != dns.edns.OptionType.ECS]
    return msgspec.structs.replace(
        case,
        status=" ".join([dns.rcode.to_text(reply.rcode()), *flags]),
        answer=_lines(reply.answer),
        authority=_lines(reply.authority),
        additional=_lines(reply.additional),
        scope=scopes[0] if scopes and (case.scope is not None or "subnet" not in case.ask) else None,
        options=tuple(sorted(options)),
        octets=tuple(octets for octets in case.octets if read_octets(octets) in packet),
    )


def _describe_option(option: dns.edns.Option, case: Case) -> str:
    """An option as the case has it, if that is right."""
    data = option.to_wire() or b""
    for expected in case.options:
        code, _, octets = expected.partition(":")
        start = read_octets(octets.removesuffix("..."))
        is_right = data.startswith(start) if octets.endswith("...") else data == start
        if _option_type(code) == option.otype and is_right:
            return expected
    return f"{int(option.otype)}:{data.hex()}"


def _option_type(code: str) -> dns.edns.OptionType:
    return dns.edns.OptionType.make(OPTIONS.get(code) or int(code))


def sort_case(case: Case) -> Case:
    """A case with its records spelt and ordered as `describe_reply` does."""
    sections = {section: _spell(getattr(case, section)) for section in ("answer", "authority", "additional")}
    return msgspec.structs.replace(case, **sections, options=tuple(sorted(case.options)))


def _spell(lines: tuple[str, ...]) -> tuple[str, ...]:
    rrsets = []
    for line in lines:
        owner, ttl, rrclass, rest = line.split(maxsplit=3)
        if rrclass not in ("CH", "HS"):
            rrclass, rest = "IN", f"{rrclass} {rest}"
        rrtype, _, rdata = rest.partition(" ")
        rrsets.append(dns.rrset.from_text(owner, int(ttl), rrclass, rrtype, rdata))
    return _lines(rrsets)


def _lines(rrsets: list[dns.rrset.RRset]) -> tuple[str, ...]:
    return tuple(sorted(line for rrset in rrsets for line in rrset.to_text().splitlines()))
