"""Answers without a server: the configuration's world in a temporary folder, a client of one's choice, and the reasons.

Everything is made by the functions that the server uses; only the place of the client may be given instead of looked
up, and the health of origins instead of probed.
"""

import functools
import ipaddress
import itertools
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import msgspec
from msgspec.structs import replace

from geodata.classes import Finding
from geodata.continents import CONTINENT_OF
from geodata.place import NOWHERE, Place
from geodata.regions import REGIONS, REGIONS_FILE, Regions
from steering.balance.explain import SteeringReason, explain_steering
from steering.balance.pools import Draw, Health, Verdict
from steering.balance.rules import Classifier, Rules, name_rule, route_of_class
from steering.compose import Location, compose
from steering.health.judgement import judge_origin, make_verdict
from steering.health.maintenance import concerns, order_maintenance, strictest
from steering.offline.expectations import show_rdata
from steering.offline.surroundings import SurroundingClasses, Surroundings
from steering.offline.traffic import PlaceTraffic, weigh_countries
from steering.prepare import load_places
from steering.problems import did_you_mean
from steering.records import RECORDS_BY_TYPE
from steering.settings import Settings
from steering.trust import make_trust
from steering.wire import CNAME, TCP_SIZE, name_to_text, parse_query_untrusted, split_records
from steering.world import AddressMap, Steering, World, make_world, rules_in_use
from steering.zones.load import LoadReport, stage_zones
from steering.zones.store import Store, StoreReader

NOBODY = "0.0.0.0"
"""Whose packet it is when nobody is named."""


class Client(msgspec.Struct, frozen=True):
    """Who asks: with an address or a subnet, or from a place without one."""

    address: str | None = None
    """Of the client, told as its subnet unless there is another; and of whoever asks, unless a resolver does."""
    place: Place = NOWHERE
    subnet: str | None = None
    """In CIDR notation (RFC 7871)."""
    resolver: str | None = None

    @property
    def is_somewhere(self) -> bool:
        """Whether the place has to be looked up."""
        return self.address is not None or self.subnet is not None or self.resolver is not None


class Told(msgspec.Struct, frozen=True):
    """An answer and why."""

    question: str
    client: str
    place: Place
    place_source: str
    rcode: str
    answer: tuple[str, ...]
    authority: tuple[str, ...]
    additional: tuple[str, ...]
    scope: int | None
    """The ECS scope prefix length; None for a client without an address."""
    reasons: tuple[SteeringReason, ...]
    elsewhere: str | None = None
    """The zone of the name, if only its load balancers are known here: its records are at its primaries."""


Answers = dict[frozenset[str], float]
"""The records of an answer to how often it is given."""


class OfflineError(Exception):
    """A question that makes no sense for this configuration."""


class GivenPlace:
    """The place that is given for the client who asks next, instead of looked up."""

    def __init__(self) -> None:
        self.place = NOWHERE


class GivenClasses:
    """A map in which everybody is at the given place."""

    def __init__(self, rules: Rules, given: GivenPlace) -> None:
        self._classify = Classifier(rules)
        self._given = given

    def find4(self, address: int, /) -> tuple[int, int]:  # noqa: ARG002 - the signature of a map
        """The class of the place, with no scope."""
        return self._classify(self._given.place), 0

    find6 = find4


class Witness(Location):
    """A Location that remembers which load balancers asked it."""

    __slots__ = ("asked",)

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]  # passed through as they came
        self.asked: dict[tuple[bytes, int], tuple[Steering, int]] = {}

    def find_class(self, steering: Steering) -> int:
        """The client's class, noted."""
        number = super().find_class(steering)
        self.asked[steering.balancer.name, steering.rrtype] = steering, number
        return number


@contextmanager
def open_zones(settings: Settings, report: Callable[[LoadReport], None] = lambda _: None) -> Iterator[StoreReader]:
    """The zones of a configuration in a store of their own; raises ZonesError or StoreError.

    `report` is called with each zone that has been read. Of a zone from a primary there are only the load balancers.
    """
    zones = tuple(
        msgspec.structs.replace(zone, primaries=(), nameservers=(zone.name,)) if zone.primaries else zone
        for zone in settings.zones
    )
    settings = msgspec.structs.replace(settings, zones=zones)
    with tempfile.TemporaryDirectory(prefix="waypost-") as directory:
        store = Store(Path(directory), write=True)
        try:
            stage_zones(settings, store, time.time(), report)()
            reader = StoreReader(store)
            reader.begin()
            try:
                yield reader
            finally:
                reader.end()
        finally:
            store.close()


def make_client(
    country: str | None, subdivision: str | None, region: str | None, regions: Regions, asn: int | None = None
) -> Client:
    """A client of a place; raises OfflineError for a contradiction."""
    if subdivision is not None:
        if country not in (None, subdivision[:2]):
            raise OfflineError(f"{subdivision} is not in {country}")
        country = subdivision[:2]
    found = regions.region_of(country, subdivision) if country is not None else None
    if region is not None and country is not None:
        parts = {member for member in regions.members(region) if member[:2] == country}
        if not parts or (subdivision is not None and region != found):
            raise OfflineError(f"{subdivision or country} is in {found}, not in {region}")
    if country is not None or region is None:
        return Client(place=Place(CONTINENT_OF.get(country or ""), found, country, subdivision, asn))
    return Client(place=Place(_continent_of(region, regions), region, asn=asn))


def override_health(settings: Settings, down: Sequence[str], health: Health, up: Sequence[str] = ()) -> Health:
    """The health of a world in which these are down or up: "origin", "pool/origin", or "pool" for all of its origins.

    As with `waypost force`, a monitor is not needed for that. Raises OfflineError for a name that nothing has.
    """
    named = _name_origins(settings)
    changed: dict[tuple[str, str], Verdict] = {}
    for names, healthy in ((up, True), (down, False)):
        for name in names:
            changed |= {origin: Verdict(healthy, math.inf) for origin in _find_named(named, name)}
    return {**health, **changed}


def plan_health(settings: Settings, moment: float) -> Health:
    """The health of a world at a moment (Unix seconds) that only windows of maintenance change."""
    planned: dict[tuple[str, str], Verdict] = {}
    for pool in settings.pools:
        for origin in pool.origins:
            windows = [each for each in settings.maintenance if concerns(each, pool.name, origin.name)]
            orders = (order_maintenance(each, moment) for each in windows)
            state = judge_origin(None, strictest(order for order in orders if order is not None))
            if state is not None:
                planned[pool.name, origin.name] = make_verdict(state, None)
    return planned


def override_weights(settings: Settings, weights: Mapping[str, float]) -> Settings:
    """The settings with other weights of origins, named as in `override_health`; raises OfflineError."""
    named = _name_origins(settings)
    given = {origin: weight for name, weight in weights.items() for origin in _find_named(named, name)}
    pools = tuple(
        replace(
            pool,
            origins=tuple(
                replace(origin, weight=given.get((pool.name, origin.name), origin.weight)) for origin in pool.origins
            ),
        )
        for pool in settings.pools
    )
    return replace(settings, pools=pools)


Named = Mapping[str, set[tuple[str, str]]]
"""What people may call an origin or several -> (pool, origin)."""


def _name_origins(settings: Settings) -> Named:
    named: dict[str, set[tuple[str, str]]] = {}
    for pool in settings.pools:
        for origin in pool.origins:
            for name in (origin.name, f"{pool.name}/{origin.name}", pool.name):
                named.setdefault(name, set()).add((pool.name, origin.name))
    return named


def _find_named(named: Named, name: str) -> set[tuple[str, str]]:
    if name not in named:
        raise OfflineError(f"no origin or pool is called {name!r}" + did_you_mean(name, sorted(named)))
    return named[name]


def describe_finding(finding: Finding | None) -> tuple[Place, str]:
    """Where an address is, and the source that says so with the network for which it does."""
    if finding is None:
        return NOWHERE, "no source knows it"
    return finding.place, f"{finding.source}, {finding.prefix}"


class Offline:
    """The answers of a configuration, without a server."""

    def __init__(self, settings: Settings, zones: StoreReader, health: Health, seed: int | None = None) -> None:
        """`zones` as `open_zones` gives them; the same `seed` draws the same answers."""
        self.settings = settings
        self._zones = zones
        self._health = health
        self._dice = random.Random(seed).random
        self._elsewhere = {zone.name for zone in settings.zones if zone.primaries and not zone.catalog}
        self._given = GivenPlace()
        self._trusts = make_trust(settings.server.location)
        self._surroundings = Surroundings(lambda part: load_places(settings, part=part))

    def tell(self, client: Client, name: str, rrtype: str) -> Told:
        """What the server would answer, and why.

        Raises OfflineError for a question that is none, and GeoError for a database that cannot be used.
        """
        place, source = self.locate(client)
        reply, witness, world = self._answer(client, name, rrtype)
        question = reply.question[0]
        return Told(
            question=f"{question.name} {dns.rdatatype.to_text(question.rdtype)}",
            client=client.subnet or client.address or describe_place(place),
            place=place,
            place_source=source,
            rcode=dns.rcode.to_text(reply.rcode()),
            answer=_lines(reply.answer),
            authority=_lines(reply.authority),
            additional=_lines(reply.additional),
            scope=witness.scope if client.is_somewhere else None,
            reasons=tuple(
                _explain(steering, number, self._seen(client), place, world)
                for steering, number in witness.asked.values()
            ),
            elsewhere=self._zone_elsewhere(question.name),
        )

    def _zone_elsewhere(self, name: dns.name.Name) -> str | None:
        zone = self._zones.find_zone(name.to_digestable())
        return name_to_text(zone.apex) if zone is not None and zone.apex in self._elsewhere else None

    def ask(self, client: Client, name: str, rrtype: str) -> tuple[dns.message.Message, int | None]:
        """A reply and its ECS scope; raises as `tell`."""
        reply, witness, _ = self._answer(client, name, rrtype)
        return reply, witness.scope if client.is_somewhere else None

    def explain(self, client: Client, name: str, rrtype: str) -> tuple[SteeringReason, ...]:
        """Why the load balancers that were asked give what they give; raises as `tell`."""
        place, _ = self.locate(client)
        _, witness, world = self._compose(client, name, rrtype)
        return tuple(
            _explain(steering, number, self._seen(client), place, world) for steering, number in witness.asked.values()
        )

    def traffic(self, name: str, rrtype: str, clients: Mapping[str, Client]) -> list[PlaceTraffic]:
        """What clients get, by what they are called; raises as `tell`."""
        return [self._traffic(label, client, name, rrtype) for label, client in clients.items()]

    def _traffic(self, label: str, client: Client, name: str, rrtype: str) -> PlaceTraffic:
        place, _ = self.locate(client)
        reply, witness, world = self._compose(client, name, rrtype)
        if not witness.asked:
            records = " + ".join(sorted(_lines(dns.message.from_wire(reply).answer)))
            return PlaceTraffic(label, {}, "", "", {records: 1.0} if records else {})
        steering, number = next(iter(witness.asked.values()))
        reason = _explain(steering, number, self._seen(client), place, world)
        pools = {pool.name: pool.share for pool in reason.pools if pool.share}
        answers = {" + ".join(sorted(each)): share for each, share in self._answers(client, steering, number).items()}
        return PlaceTraffic(label, pools, reason.rule, reason.when_down if reason.fallback else "", answers)

    def _answers(self, client: Client, steering: Steering, number: int, path: tuple[bytes, ...] = ()) -> Answers:
        """The records of each answer of a class, and how often it is given."""
        plan = steering.plans[number]
        bounds = plan.bounds or (1.0,) * len(plan.rrsets)
        answers: Answers = {}
        for rrset, draw, low, high in zip(plan.rrsets, plan.draws, (0.0, *bounds), bounds, strict=False):
            if steering.flatten:
                drawn = self._flattened(client, draw, steering.rrtype, path)
            else:
                drawn = {_records(rrset[0], (record[12:] for record in split_records(rrset[2]))): 1.0}
            for records, share in drawn.items():
                answers[records] = answers.get(records, 0.0) + share * (high - low) / bounds[-1]
        return answers

    def _flattened(self, client: Client, draw: Draw, rrtype: int, path: tuple[bytes, ...]) -> Answers:
        """What becomes of one draw whose origins are names: each of the addresses of each, with each of the next."""
        answers: Answers = {frozenset(): 1.0}
        for origin in draw.origins:
            target = origin.records.get(CNAME)
            found = self._addresses(client, target[0].lower(), rrtype, path) if target is not None else {}
            found = found or {_records(rrtype, origin.records[rrtype]): 1.0}
            joined: Answers = {}
            for (one, part), (two, share) in itertools.product(answers.items(), found.items()):
                joined[one | two] = joined.get(one | two, 0.0) + part * share
            answers = joined
        return answers

    def _addresses(self, client: Client, name: bytes, rrtype: int, path: tuple[bytes, ...]) -> Answers:
        """Those of a name of ours; nothing of another, or where the path there goes round in a circle."""
        if name in path:
            return {}
        reply, witness, _ = self._answer(client, name_to_text(name), RECORDS_BY_TYPE[rrtype].name)
        for steering, number in witness.asked.values():
            if steering.rrtype == rrtype:
                return self._answers(client, steering, number, (*path, name))
        records = frozenset(show_rdata(rdata) for rrset in reply.answer if rrset.rdtype == rrtype for rdata in rrset)
        return {records: 1.0} if records else {}

    @property
    def weights(self) -> dict[str, float]:
        """The part of the known IPv4 addresses that each country has; raises GeoError."""
        return weigh_countries(self._surroundings.whole)

    def find_client(self, place: Place) -> Client | None:
        """A client with an address at a place, as far as that is given; None if nobody is known there."""
        places = self._surroundings.whole
        wanted = [(name, value) for name in place.__struct_fields__ if (value := getattr(place, name)) is not None]
        numbers = {
            number
            for number, each in enumerate(places.places)
            if all(getattr(each, name) == value for name, value in wanted)
        }
        ipv4, _ = places.ranges()
        runs = ((end - start, start) for start, end, number in ipv4 if number in numbers)
        size, start = max(runs, default=(0, 0))
        return Client(str(ipaddress.IPv4Address(start + size // 2))) if size else None

    def locate(self, client: Client) -> tuple[Place, str]:
        """Where a client is and what says so; raises GeoError."""
        address = self._seen(client)
        return (client.place, "given") if address is None else describe_finding(self._surroundings.find(address))

    def _seen(self, client: Client) -> str | None:
        """The address that a client is at, as far as the server believes what it is told; None for a given place."""
        source = client.resolver or client.address
        believed = self._trusts is None or self._trusts(source or NOBODY)
        seen = (client.subnet or client.address or source) if believed else source or NOBODY
        return seen.partition("/")[0] if seen is not None and client.is_somewhere else None

    def _answer(self, client: Client, name: str, rrtype: str) -> tuple[dns.message.Message, Witness, World]:
        reply, witness, world = self._compose(client, name, rrtype)
        return dns.message.from_wire(reply), witness, world

    def _compose(self, client: Client, name: str, rrtype: str) -> tuple[bytes, Witness, World]:
        """The reply as it is sent, which takes longer to read than to make."""
        self._given.place = client.place
        world = self._world_of_addresses if client.is_somewhere else self._world_of_places
        subnet = client.subnet or client.address
        options: list[dns.edns.Option] = []
        if subnet is not None:
            address, _, length = subnet.partition("/")
            options.append(dns.edns.ECSOption(address, int(length or (128 if ":" in address else 32))))
        try:
            question = dns.message.make_query(name, rrtype, use_edns=0, options=options)
        except (dns.exception.DNSException, ValueError) as error:
            raise OfflineError(f"{name} {rrtype}: {error}") from error
        question.flags &= ~dns.flags.RD
        query = parse_query_untrusted(question.to_wire())
        witness = Witness(query, client.resolver or client.address or NOBODY, world.trusts)
        answer = compose(query, witness, self._dice, world)
        return answer.render(query, TCP_SIZE, witness.scope), witness, world

    @functools.cached_property
    def _world_of_addresses(self) -> World:
        needed = rules_in_use(self.settings)
        maps: dict[Rules, AddressMap] = {rules: SurroundingClasses(rules, self._surroundings) for rules in needed}
        return make_world(self.settings, self._zones, maps, self._health)

    @functools.cached_property
    def _world_of_places(self) -> World:
        needed = rules_in_use(self.settings)
        maps = {rules: GivenClasses(rules, self._given) for rules in needed}
        return make_world(self.settings, self._zones, maps, self._health)


def _explain(steering: Steering, number: int, address: str | None, place: Place, world: World) -> SteeringReason:
    return explain_steering(
        steering.balancer,
        steering.rrtype,
        route_of_class(steering.routes, number),
        name_rule(steering.balancer, place, address),
        steering.plans[number],
        place,
        world.pools,
        world.states,
        world.health,
    )


def _records(rrtype: int, rdatas: Iterable[bytes]) -> frozenset[str]:
    return frozenset(show_record(rrtype, rdata) for rdata in rdatas)


@functools.lru_cache(maxsize=1024)  # commands show the records of every country, which are the same few
def show_record(rrtype: int, rdata: bytes) -> str:
    """Rdata as `show_rdata` gives it."""
    kind = dns.rdatatype.RdataType.make(rrtype)
    return show_rdata(dns.rdata.from_wire("IN", kind, rdata, 0, len(rdata)))


def list_places(kind: str, regions: Regions) -> dict[str, Client]:
    """A client of every country ("country"), or of every region ("region"), by its name."""
    if kind == "region":
        return {region: make_client(None, None, region, regions) for region in REGIONS}
    return {country: make_client(country, None, None, regions) for country in regions.countries}


def _continent_of(region: str, regions: Regions) -> str | None:
    """The continent of most countries of a region; None if it has none."""
    members = regions.members(region)
    found = Counter(CONTINENT_OF.get(member[:2]) for member in [each for each in members if "-" not in each] or members)
    return found.most_common(1)[0][0] if found else None


def load_regions(settings: Settings) -> Regions:
    """The table of regions that the configuration uses; raises GeoError."""
    return Regions.load(Path(settings.regions) if settings.regions else REGIONS_FILE)


def describe_place(place: Place) -> str:
    """A place in words: US-CA, US, WNAM, NA."""
    parts = (place.subdivision, place.country, place.region, place.continent)
    text = ", ".join(part for part in parts if part is not None)
    return (text or "nowhere known") + (f", AS{place.asn}" if place.asn is not None else "")


def _lines(section: list["dns.rrset.RRset"]) -> tuple[str, ...]:
    return tuple(line for rrset in section for line in rrset.to_text().splitlines())
