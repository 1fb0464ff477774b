"""Where a client is: one class for each, whatever the rules; and no scope covers anybody who gets another answer."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import dns.edns
import dns.message
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodata.classes import PlaceMap, compile_places, compile_rules
from geodata.place import NOWHERE, Place
from geodata.ranges import Ranges
from geodata.regions import Regions
from geodata.source import Source
from steering.balance.matches import Match
from steering.balance.pools import Verdict
from steering.balance.rules import Classifier, Rules, find_networks, split_world
from steering.respond import respond
from steering.settings import LoadBalancer, Origin, Pool, PoolSet
from steering.wire import A
from steering.world import World
from tests.steering.balance.strategies import OF_SETS
from tests.steering.support import load_world, opened_store, snapshot, write_settings

PLACES = (
    NOWHERE,
    Place("EU", None, "FR"),
    Place("EU", None, "FR", None, 64500),
    Place("EU", None, "DE", None, 64500),
    Place("NA", None, "US", "US-CA", 64501, 37.8, -122.4),
    Place("NA", None, "US", "US-NY"),
    Place("AS", None, "JP"),
    Place(asn=64500),
)
NETWORKS = (
    ("10.0.0.0/10", 1),
    ("10.1.0.0/16", 2),
    ("10.1.128.0/20", 3),
    ("10.64.0.0/12", 4),
    ("10.80.0.0/13", 5),
    ("10.128.0.0/9", 6),
    ("10.200.0.0/16", 7),
)


def placed(networks: tuple[tuple[str, int], ...]) -> PlaceMap:
    nested = [(int(made.network_address), made.prefixlen, number) for made, number in _parsed(networks)]
    source = Source("test", PLACES, Ranges.nested(32, nested, 0), Ranges.uniform(128, 0))
    return compile_places([source], Regions.load())


def _parsed(networks: tuple[tuple[str, int], ...]) -> list[tuple[ipaddress.IPv4Network, int]]:
    return [(ipaddress.IPv4Network(network), number) for network, number in networks]


MAP = placed(NETWORKS)
ADDRESSES = st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="10.1.0.0/16") | st.ip_addresses(v=4)
POOLS = {
    name: Pool(name, (Origin("o", f"192.0.2.{number}"),), latitude=latitude, longitude=longitude)
    for number, (name, latitude, longitude) in enumerate(
        (("a", 48.9, 2.4), ("b", 40.7, -74.0), ("c", 35.7, 139.7), ("d", -33.9, 151.2)), 1
    )
}
names = st.lists(st.sampled_from(list(POOLS)), min_size=1, unique=True).map(tuple)


@st.composite
def sets(draw: st.DrawFn, number: int) -> PoolSet:
    """A pool set for some of the clients."""

    def some(*values: str | int) -> tuple[str | int, ...]:
        return tuple(draw(st.lists(st.sampled_from(values), max_size=2, unique=True)))

    return PoolSet(
        f"set-{number}",
        continents=some("EU", "NA"),  # type: ignore[arg-type] # what is drawn is of the type of the values
        regions=some("WEU", "WNAM", "ENAM"),  # type: ignore[arg-type] # as above
        countries=some("FR", "DE", "US"),  # type: ignore[arg-type] # as above
        subdivisions=some("US-CA"),  # type: ignore[arg-type] # as above
        networks=some("10.0.0.0/9", "10.1.0.0/17", "10.1.128.0/24", "10.64.0.0/11", "10.200.0.0/15"),  # type: ignore[arg-type] # as above
        asns=some(64500, 64501),  # type: ignore[arg-type] # as above
        unknown=draw(st.booleans()),
        pools=draw(names),
        steering_policy=draw(st.sampled_from(OF_SETS)),
    )


@st.composite
def balancers(draw: st.DrawFn) -> LoadBalancer:
    """Any rules."""
    maps = st.dictionaries(st.sampled_from(["10.1.0.0/16", "10.1.0.0/20", "10.128.0.0/12", "11.0.0.0/8"]), names)
    return LoadBalancer(
        b"\3www\7example\3com\0",
        draw(names),
        "a",
        (A,),
        draw(st.sampled_from([*OF_SETS, "geo"])),
        draw(st.dictionaries(st.sampled_from(["WEU", "ENAM"]), names)),
        draw(st.dictionaries(st.sampled_from(["FR", "US"]), names)),
        draw(st.dictionaries(st.sampled_from(["US-CA"]), names)),
        draw(maps),
        pool_sets=tuple(draw(sets(number)) for number in range(draw(st.integers(0, 4)))),
    )


@settings(max_examples=60, deadline=None)
@given(balancers(), st.lists(st.tuples(ADDRESSES, st.integers(0, 2**32 - 1)), min_size=1, max_size=20))
def test_a_client_is_of_the_class_that_the_rules_say_and_so_is_its_whole_scope(
    lb: LoadBalancer, clients: list[tuple[ipaddress.IPv4Address, int]]
) -> None:
    rules, routes = split_world(lb, POOLS)
    classify = Classifier(rules)
    compiled = compile_rules(MAP, classify, rules.networks)

    def class_of(address: ipaddress.IPv4Address) -> int:
        found = MAP.find(str(address))
        return classify(found.place if found else NOWHERE, find_networks(lb, str(address)))

    for client, bits in clients:
        class_, scope = compiled.find4(int(client))
        assert class_ == class_of(client)
        assert len(routes) <= 1 + len(lb.pool_sets) + 9, "no more Routes than rules"
        beside = ipaddress.IPv4Address(int(client) ^ (bits >> scope))
        assert class_of(beside) == class_, "in the scope"
        if scope:
            outside = ipaddress.ip_network((int(client), scope), strict=False).supernet()
            assert not _is_uniform(compiled, outside), "there is no wider one"


def _is_uniform(compiled: object, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether all of a network is of one class, by the runs of the map."""
    ipv4, _ = compiled.ranges()  # type: ignore[attr-defined] # a ClassMap
    return bool(ipv4.find(int(network.network_address)) == ipv4.find(int(network.broadcast_address)))


def test_the_same_rules_are_the_same_map_whatever_pools_are_called() -> None:
    one = Rules((Match(countries=("FR",), networks=("10.0.0.0/9",), route=1),))
    assert compile_rules(MAP, Classifier(one), one.networks).digest == (
        compile_rules(MAP, Classifier(msgspec.structs.replace(one)), one.networks).digest
    )


# Over the wire.

SETTINGS = """
[[monitor]]
name = "tcp"
type = "tcp"
port = 80
[[pool]]
name = "one"
monitor = "tcp"
[[pool.origin]]
name = "one-1"
address = "192.0.2.1"
[[pool.origin]]
name = "one-2"
address = "192.0.2.2"
[[pool]]
name = "two"
origin_steering = { policy = "hash" }
[[pool.origin]]
name = "two-1"
address = "192.0.2.3"
[[pool.origin]]
name = "two-2"
address = "192.0.2.4"
[[load_balancer]]
name = "www.example.com"
types = ["A"]
default_pools = ["one", "two"]
fallback_pool = "one"
steering_policy = "hash"
country_pools = {}
[[load_balancer.pool_set]]
name = "half"
continents = ["EU"]
pools = ["one"]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("location")
    made = write_settings(directory, SETTINGS, {"example.com": ""})
    with opened_store(directory / "zones") as store:
        world = load_world(made, store)
        with snapshot(world.zones):
            yield world


def ask(world: World, subnet: str, dice: float) -> tuple[list[str], int]:
    """Answer and scope."""
    network = ipaddress.ip_network(subnet)
    option = dns.edns.ECSOption(str(network.network_address), network.prefixlen)
    query = dns.message.make_query("www.example.com", "A", use_edns=0, options=[option])
    packet = respond(query.to_wire(), "203.0.113.1", True, 0.0, lambda: dice, world)
    assert packet is not None
    reply = dns.message.from_wire(packet)
    [scope] = [each.scopelen for each in reply.options if isinstance(each, dns.edns.ECSOption)]
    return sorted(str(rdata) for rrset in reply.answer for rdata in rrset), scope


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.ip_addresses(), st.integers(1, 128), st.integers(0, 2**128 - 1), st.booleans())
def test_the_scope_of_an_answer_by_hash_covers_nobody_who_gets_another(
    world: World, client: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int, bits: int, remembered: bool
) -> None:
    if isinstance(client, ipaddress.IPv6Address) and client.ipv4_mapped:
        return
    if not remembered:
        world.memo.clear()
    network = ipaddress.ip_network((int(client), min(length, client.max_prefixlen)), strict=False)
    answer, scope = ask(world, str(network), 0.1)
    in_scope = min(scope, network.prefixlen)
    outer = ipaddress.ip_network((int(network.network_address), in_scope), strict=False)
    other = type(client)(int(outer.network_address) | bits % 2 ** (client.max_prefixlen - in_scope))
    longest = 24 if client.version == 4 else 48
    upper_half = int(network.network_address) >> client.max_prefixlen - 1 == 1
    if upper_half:
        assert (answer, scope) == (["192.0.2.1", "192.0.2.2"], 1), "it does not depend on the key"
    else:
        assert scope == min(longest, network.prefixlen)
    if upper_half or scope == longest:
        same, _ = ask(world, str(ipaddress.ip_network((int(other), client.max_prefixlen))), 0.9)
        assert same == answer


def test_a_plan_that_depends_on_nobody_has_the_scope_of_its_class(world: World) -> None:
    down = world.with_health({("one", f"one-{number}"): Verdict(False, 60.0) for number in (1, 2)})
    assert ask(down, "10.0.0.0/24", 0.5)[1] == 24, "the origins of the other pool are drawn by hash"
