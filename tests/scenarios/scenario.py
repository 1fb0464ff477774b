"""Scenarios: text that anyone can read, of what is configured, who asks, and what must be answered.

# Anything after a # at the start of a line explains.
zone example.com                  a zone file, indented
    @ 300 SOA ns1 hostmaster 1 3600 600 86400 60
networks                          who is where: network,country[,subdivision]
    198.18.1.0/24,FR
settings                          TOML: monitors, pools, load balancers
    [[pool]]
    ...
case the title
    down paris-1                  origins that are down (pool/origin where names repeat)
    dice 0.7                      what the next draw gives; 0 if not said
    ask www.example.com A         then: subnet 198.18.1.0/24 | from 198.18.1.9 | plain (no EDNS) | do
    NOERROR aa                    RCODE and flags, of aa tc
    answer www.example.com. 30 A 192.0.2.1      one line for each record, in any order; none means none
    authority ...
    additional ...
    scope 24                      ECS scope
"""

import ipaddress
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
from steering.offline import override_health
from steering.prepare import compile_maps
from steering.settings import Settings, parse_settings
from steering.world import World, make_world
from steering.zones.load import stage_zones
from steering.zones.store import Store, StoreReader

TEXT = Path(__file__).parent / "text"


class Case(msgspec.Struct):
    """One question and its answer."""

    title: str
    down: tuple[str, ...] = ()
    dice: float = 0.0
    ask: str = ""
    status: str = "NOERROR aa"
    answer: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()
    additional: tuple[str, ...] = ()
    scope: int | None = None


class Scenario(msgspec.Struct):
    """What is configured, and the cases."""

    zones: dict[str, str]
    networks: str
    settings: str
    cases: list[Case]


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file; ValueError names the line that is none."""
    scenario = Scenario({}, "", "", [])
    for number, title, lines in _blocks(path):
        kind, _, argument = title.partition(" ")
        body = "\n".join(lines) + "\n"
        match kind:
            case "zone":
                scenario.zones[argument] = body
            case "networks":
                scenario.networks = body
            case "settings":
                scenario.settings = body
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
            case "dice":
                case.dice = float(rest)
            case "ask":
                case.ask = rest
            case "answer" | "authority" | "additional":
                setattr(case, word, (*getattr(case, word), rest))
            case "scope":
                case.scope = int(rest)
            case _ if word.isupper():
                case.status = line.strip()
            case _:
                raise ValueError(f"{place}: {line!r} is no line of a case")
    return case


class Stage:
    """A scenario's configuration, loaded: makes the World of each case."""

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        text = f'[server]\nlisten = ["127.0.0.1:53"]\nstate = "{directory}/state"\n'
        if scenario.networks:
            networks = "".join(f"{line}{',' * (2 - line.count(','))}\n" for line in scenario.networks.splitlines())
            (directory / "networks.csv").write_text("network,country,subdivision\n" + networks)
            text += '[[geo]]\ntype = "networks"\npath = "networks.csv"\n'
        for name, content in scenario.zones.items():
            (directory / f"{name}.zone").write_text(content)
            text += f'[[zone]]\nname = "{name}"\nfile = "{name}.zone"\n'
        self.settings: Settings = parse_settings(text + scenario.settings, directory / "waypost.toml")
        self.maps = {each.rules: ClassMap.open(Path(each.path)) for each in compile_maps(self.settings)}
        self.store = Store(directory / "state" / "zones", write=True)
        stage_zones(self.settings, self.store, 0)()
        self.reader = StoreReader(self.store)
        self._directory = directory

    def world(self, down: tuple[str, ...] = ()) -> World:
        """The world in which these origins are down."""
        return make_world(self.settings, self.reader, self.maps, override_health(self.settings, down, {}))

    def close(self) -> None:
        """Give the store back."""
        self.store.close()
        shutil.rmtree(self._directory)


def make_question(case: Case) -> tuple[dns.message.Message, str]:
    """The query of a case and the address that it comes from."""
    name, rrtype, *extras = case.ask.split()
    source, options, plain, want_dnssec = "192.0.2.250", [], False, False
    words = iter(extras)
    for word in words:
        match word:
            case "subnet":
                network = ipaddress.ip_network(next(words))
                options.append(dns.edns.ECSOption(str(network.network_address), network.prefixlen))
            case "from":
                source = next(words)
            case "plain":
                plain = True
            case "do":
                want_dnssec = True
            case _:
                raise ValueError(f"{case.ask!r}: {word!r}")
    edns: int | bool = False if plain else 0
    query = dns.message.make_query(name, rrtype, use_edns=edns, want_dnssec=want_dnssec, options=options or None)
    query.flags &= ~dns.flags.RD
    return query, source


def describe_reply(reply: dns.message.Message, case: Case) -> Case:
    """A reply in the words of a case, so that the two can be compared as values."""
    flags = [word for word, flag in (("aa", dns.flags.AA), ("tc", dns.flags.TC)) if reply.flags & flag]
    scopes = [option.scopelen for option in reply.options if isinstance(option, dns.edns.ECSOption)]
    return msgspec.structs.replace(
        case,
        status=" ".join([dns.rcode.to_text(reply.rcode()), *flags]),
        answer=_lines(reply.answer),
        authority=_lines(reply.authority),
        additional=_lines(reply.additional),
        scope=scopes[0] if scopes and case.scope is not None else None,
    )


def sort_case(case: Case) -> Case:
    """A case with its records spelt and ordered as `describe_reply` does."""
    return msgspec.structs.replace(
        case, **{section: _spell(getattr(case, section)) for section in ("answer", "authority", "additional")}
    )


def _spell(lines: tuple[str, ...]) -> tuple[str, ...]:
    rrsets = []
    for line in lines:
        owner, ttl, rrtype, rdata = line.split(maxsplit=3)
        rrsets.append(dns.rrset.from_text(owner, int(ttl), "IN", rrtype, rdata))
    return _lines(rrsets)


def _lines(rrsets: list[dns.rrset.RRset]) -> tuple[str, ...]:
    return tuple(sorted(line for rrset in rrsets for line in rrset.to_text().splitlines()))
