"""Answers without a server: the configuration's world in a temporary folder, a client of one's choice, and the reasons.

Everything is made by the functions that the server uses; only the place of the client may be given instead of looked
up, and the health of origins instead of probed.
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import msgspec

from geodata.classes import PlaceMap, compile_classes
from geodata.place import NOWHERE, Place
from geodata.regions import Regions
from steering.balance.explain import SteeringReason, explain_steering
from steering.balance.pools import Health, Verdict
from steering.balance.rules import DEFAULT_CLASS, Classifier, Rules, name_rule, split_world
from steering.compose import Location, compose
from steering.prepare import load_places
from steering.problems import did_you_mean
from steering.settings import Settings
from steering.wire import TCP_SIZE, parse_query_untrusted
from steering.world import AddressMap, Steering, World, make_world, rules_in_use
from steering.zones.load import LoadReport, stage_zones
from steering.zones.store import Store, StoreReader


class Client(msgspec.Struct, frozen=True):
    """Who asks: an address, or a place without one."""

    address: str | None = None
    place: Place = NOWHERE


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


class OfflineError(Exception):
    """A question that makes no sense for this configuration."""


class FixedClass:
    """A map in which everybody is where one client is."""

    def __init__(self, number: int) -> None:
        self._found = number, 0

    def find4(self, address: int, /) -> tuple[int, int]:  # noqa: ARG002 - the signature of a map
        """The class, with no scope."""
        return self._found

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


def make_client(country: str | None, subdivision: str | None, region: str | None, regions: Regions) -> Client:
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
    return Client(place=Place(region=region or found, country=country, subdivision=subdivision))


def override_health(settings: Settings, down: tuple[str, ...], health: Health) -> Health:
    """The health of a world in which the origins `down` ("origin" or "pool/origin") are down; raises OfflineError."""
    targets: dict[str, set[tuple[str, str]]] = {}
    for pool in settings.pools:
        for origin in pool.origins:
            if pool.monitor is not None:
                for name in (origin.name, f"{pool.name}/{origin.name}"):
                    targets.setdefault(name, set()).add((pool.monitor, origin.address))
    changed: dict[tuple[str, str], Verdict] = {}
    for name in down:
        if name not in targets:
            raise OfflineError(f"no origin with a monitor is called {name!r}" + did_you_mean(name, sorted(targets)))
        changed |= {target: Verdict(False, float("inf")) for target in targets[name]}
    return {**health, **changed}


def locate(client: Client, settings: Settings) -> tuple[Place, str, Mapping[Rules, AddressMap]]:
    """The place of a client, what says so, and the maps with which to answer it; raises GeoError."""
    needed = rules_in_use(settings.load_balancers)
    if client.address is None:
        return client.place, "given", {rules: FixedClass(Classifier(rules)(client.place)) for rules in needed}
    places = load_places(settings)
    maps: dict[Rules, AddressMap] = {
        rules: compile_classes(places, Classifier(rules), rules.networks, unknown=DEFAULT_CLASS) for rules in needed
    }
    place, source = find_place(places, client.address)
    return place, source, maps


def find_place(places: PlaceMap, address: str) -> tuple[Place, str]:
    """Where an address is, and the source that says so with the network for which it does."""
    finding = places.find(address)
    if finding is None:
        return NOWHERE, "no source knows it"
    return finding.place, f"{finding.source}, {finding.prefix}"


def answer_offline(
    settings: Settings,
    zones: StoreReader,
    client: Client,
    name: str,
    rrtype: str,
    health: Health,
    seed: int | None = None,
) -> Told:
    """What the server would answer.

    Raises OfflineError for a question that is none, and GeoError for a database that cannot be used.
    """
    place, source, maps = locate(client, settings)
    world = make_world(settings, zones, maps, health)
    options: list[dns.edns.Option] = (
        [] if client.address is None else [dns.edns.ECSOption(client.address, 128 if ":" in client.address else 32)]
    )
    try:
        question = dns.message.make_query(name, rrtype, use_edns=0, options=options)
    except (dns.exception.DNSException, ValueError) as error:
        raise OfflineError(f"{name} {rrtype}: {error}") from error
    question.flags &= ~dns.flags.RD
    query = parse_query_untrusted(question.to_wire())
    witness = Witness(query, client.address or "0.0.0.0")
    answer = compose(query, witness, random.Random(seed).random, world)
    reply = dns.message.from_wire(answer.render(query, TCP_SIZE, witness.scope))
    return Told(
        question=f"{question.question[0].name} {dns.rdatatype.to_text(question.question[0].rdtype)}",
        client=client.address or describe_place(place),
        place=place,
        place_source=source,
        rcode=dns.rcode.to_text(reply.rcode()),
        answer=_lines(reply.answer),
        authority=_lines(reply.authority),
        additional=_lines(reply.additional),
        scope=None if client.address is None else witness.scope,
        reasons=tuple(_explain(steering, number, place, world) for steering, number in witness.asked.values()),
    )


def _explain(steering: Steering, number: int, place: Place, world: World) -> SteeringReason:
    rules, _ = split_world(steering.balancer)
    # Only a network can contradict the place.
    rule = name_rule(steering.balancer, place) if Classifier(rules)(place) == number else "network_pools"
    return explain_steering(
        steering.balancer,
        steering.rrtype,
        steering.orders[number],
        rule,
        steering.plans[number],
        world.pools,
        world.states,
        world.health,
    )


def describe_place(place: Place) -> str:
    """A place in words: US-CA, US, WNAM, NA."""
    parts = (place.subdivision, place.country, place.region, place.continent)
    text = ", ".join(part for part in parts if part is not None)
    return (text or "nowhere known") + (f", AS{place.asn}" if place.asn is not None else "")


def _lines(section: list["dns.rrset.RRset"]) -> tuple[str, ...]:
    return tuple(line for rrset in section for line in rrset.to_text().splitlines())
