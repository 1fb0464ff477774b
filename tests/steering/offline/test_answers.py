"""Answers without a server are those of the server."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import dns.edns
import dns.message
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from geodata.classes import ClassMap
from geodata.errors import GeoError
from geodata.place import NOWHERE, Place
from geodata.regions import Regions
from steering.balance.pools import Health, Verdict
from steering.offline.answers import (
    Client,
    Offline,
    OfflineError,
    describe_place,
    make_client,
    open_zones,
    override_health,
    override_weights,
)
from steering.prepare import compile_maps
from steering.respond import respond
from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.world import make_world
from steering.zones.load import ZonesError
from steering.zones.store import StoreReader
from tests.geodata.mmdb import write_networks

INF = float("inf")

SETTINGS = """
[server]
listen = ["127.0.0.1:53"]
state = "state"

[[geo]]
type = "maxmind"
path = "world.mmdb"

[[monitor]]
name = "web"
type = "tcp"
port = 80
[[monitor]]
name = "deep"
type = "tcp"
port = 81

[[pool]]
name = "one"
monitor = "web"
minimum_origins = 2
[[pool.origin]]
name = "a"
address = "192.0.2.1"
[[pool.origin]]
name = "b"
address = "192.0.2.2"
[[pool.origin]]
name = "c"
address = "192.0.2.3"

[[pool]]
name = "two"
monitor = "deep"
[[pool.origin]]
name = "a"
address = "192.0.2.1"
[[pool.origin]]
name = "d"
address = "192.0.2.4"

[[pool]]
name = "last"
[[pool.origin]]
name = "z"
address = "192.0.2.9"

[[zone]]
name = "example.com"
nameservers = ["ns.example.net"]

[[load_balancer]]
name = "www.example.com"
types = ["A"]
default_pools = ["one", "two"]
fallback_pool = "last"
region_pools = { WEU = ["two", "one"], SSAM = ["two"] }
country_pools = { FR = ["one"] }
subdivision_pools = { US-CA = ["two"] }
network_pools = { "10.1.2.128/25" = ["last"], "2001:db8:0:1:8000::/65" = ["last"] }

[[load_balancer]]
name = "*.any.example.com"
types = ["A"]
default_pools = ["two"]
fallback_pool = "last"
country_pools = { JP = ["one", "two"] }
"""

WORLD = {
    "10.1.0.0/16": {"country": {"iso_code": "FR"}},
    "10.2.0.0/17": {"country": {"iso_code": "DE"}},
    "10.2.128.0/17": {"country": {"iso_code": "BR"}},
    "10.3.0.0/24": {"country": {"iso_code": "US"}, "subdivisions": [{"iso_code": "CA"}]},
    "10.3.1.0/24": {"country": {"iso_code": "US"}, "subdivisions": [{"iso_code": "NY"}]},
    "10.4.5.6/32": {"country": {"iso_code": "JP"}},
    "2001:db8::/32": {"country": {"iso_code": "FR"}},
}

ADDRESSES = st.one_of(
    st.ip_addresses(network="10.0.0.0/13"),
    st.ip_addresses(network="10.1.2.0/24"),
    st.ip_addresses(network="10.2.127.0/24"),
    st.sampled_from([ipaddress.ip_address(text) for text in ("10.4.5.6", "10.4.5.7", "10.3.0.255", "10.3.1.0")]),
    st.ip_addresses(network="2001:db8::/63"),
    st.ip_addresses(),
)
DOWN = st.lists(st.sampled_from(["a", "one/a", "two/a", "b", "c", "d", "two/d"]), max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("offline")
    write_networks(made / "world.mmdb", dict(WORLD))
    return made


@pytest.fixture(scope="module")
def configured(folder: Path) -> Settings:
    return parse_settings(SETTINGS, folder / "waypost.toml")


@pytest.fixture(scope="module")
def zones(configured: Settings) -> Iterator[StoreReader]:
    with open_zones(configured) as reader:
        yield reader


@pytest.fixture(scope="module")
def maps(configured: Settings) -> dict[object, ClassMap]:
    return {each.rules: ClassMap.open(Path(each.path)) for each in compile_maps(configured)}


SETS = """
[server]
listen = ["127.0.0.1:53"]
state = "state-of-sets"
location = { prefer_ecs = "listed", trusted_resolvers = ["192.0.2.0/25", "2001:db8::/32"] }

[[geo]]
type = "networks"
path = "own.csv"
[[geo]]
type = "maxmind"
path = "world.mmdb"

[[zone]]
name = "example.com"
nameservers = ["ns.example.net"]

[[load_balancer]]
name = "www.example.com"
types = ["A"]
default_pools = ["one"]
fallback_pool = "one"
network_pools = { "10.1.2.128/25" = ["three"], "2001:db8:0:1:8000::/65" = ["two"] }
region_pools = { SSAM = ["two"] }
[[load_balancer.pool_set]]
name = "carrier"
asns = [64500]
countries = ["FR", "DE"]
pools = ["two", "three"]
steering_policy = "hash"
[[load_balancer.pool_set]]
name = "labs"
networks = ["10.1.128.0/17", "2001:db8:0:1::/64"]
continents = ["EU"]
pools = ["three"]
[[load_balancer.pool_set]]
name = "nobody-knows"
unknown = true
pools = ["four"]

[[load_balancer]]
name = "near.example.com"
types = ["A"]
default_pools = ["one", "two", "three"]
fallback_pool = "one"
steering_policy = "proximity"

[[load_balancer]]
name = "hashed.example.com"
types = ["A"]
default_pools = ["one", "two", "four"]
fallback_pool = "one"
steering_policy = "hash"

[[load_balancer]]
name = "example.com"
types = ["A"]
flatten = true
default_pools = ["three"]
fallback_pool = "three"
country_pools = { FR = ["two"] }
"""
POINTS = {"one": (40.7, -74.0), "two": (48.9, 2.4), "three": (35.7, 139.7), "four": (-23.5, -46.6)}
TARGETS = {"two": "hashed.example.com.", "three": "www.example.com."}


def cut_off(address: ipaddress.IPv4Address | ipaddress.IPv6Address, part: float) -> str:
    """The subnet of an address with a part of its bits."""
    length = max(1, round(part * address.max_prefixlen))
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))


@pytest.fixture(scope="module")
def sets(folder: Path) -> Iterator[tuple[Settings, StoreReader, dict[object, ClassMap]]]:
    """A configuration of everything that rules can have, its zones, and its maps."""
    (folder / "own.csv").write_text("network,country,subdivision,asn\n10.2.2.0/23,FR,,64500\n10.6.0.0/16,US,US-CA,\n")
    text = SETS
    for number, (name, (latitude, longitude)) in enumerate(POINTS.items(), 1):
        records = f'records = {{ CNAME = "{TARGETS[name]}" }}\n' if name in TARGETS else ""
        text += f'[[pool]]\nname = "{name}"\nlatitude = {latitude}\nlongitude = {longitude}\n'
        text += "".join(
            f'[[pool.origin]]\nname = "{letter}"\naddress = "192.0.2.{number}{place}"\n{records}'
            for place, letter in enumerate("ab")
        )
        text += '[pool.origin_steering]\npolicy = "hash"\n' if name == "two" else ""
    configured = parse_settings(text, folder / "waypost.toml")
    maps: dict[object, ClassMap] = {each.rules: ClassMap.open(Path(each.path)) for each in compile_maps(configured)}
    with open_zones(configured) as zones:
        yield configured, zones, maps


class TestTheSameAsTheServer:
    @example(ipaddress.ip_address("10.1.2.128"), [], "www.example.com")
    @given(ADDRESSES, DOWN, st.sampled_from(["www.example.com", "x.any.example.com"]))
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_for_every_client_and_health(
        self,
        configured: Settings,
        zones: StoreReader,
        maps: dict[object, ClassMap],
        address: ipaddress.IPv4Address | ipaddress.IPv6Address,
        down: list[str],
        name: str,
    ) -> None:
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            return  # no client has such an address
        health = override_health(configured, tuple(down), {})
        told = Offline(configured, zones, health).tell(Client(str(address)), name, "A")
        world = make_world(configured, zones, maps, health)  # type: ignore[arg-type] # keyed by Rules
        reply = respond(dns.message.make_query(name, "A").to_wire(), str(address), True, 0.0, lambda: 0.0, world)
        assert reply is not None
        expected = [line for rrset in dns.message.from_wire(reply).answer for line in rrset.to_text().splitlines()]
        assert list(told.answer) == expected
        [reason] = told.reasons
        assert sum(pool.share for pool in reason.pools) == pytest.approx(1)
        assert f" {reason.ttl} " in told.answer[0]

    @example("10.2.3.0/24", "192.0.2.1", "www.example.com")
    @example("10.4.5.6/32", "192.0.2.200", "www.example.com")
    @given(
        st.builds(lambda address, part: cut_off(address, part), ADDRESSES, st.floats(0.01, 1)),
        st.sampled_from(["192.0.2.1", "192.0.2.200", "2001:db8::53", "10.2.3.4"]),
        st.sampled_from(["www.example.com", "near.example.com", "hashed.example.com", "example.com"]),
    )
    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    def test_for_every_subnet_and_resolver(
        self, sets: tuple[Settings, StoreReader, dict[object, ClassMap]], subnet: str, resolver: str, name: str
    ) -> None:
        """Pool sets, networks, AS numbers, ranking, hashing, flattening and trust; the scope too."""
        configured, zones, maps = sets
        told = Offline(configured, zones, {}).tell(Client(subnet=subnet, resolver=resolver), name, "A")
        world = make_world(configured, zones, maps, {})  # type: ignore[arg-type] # keyed by Rules
        address, _, length = subnet.partition("/")
        option = dns.edns.ECSOption(address, int(length))
        query = dns.message.make_query(name, "A", use_edns=0, options=[option])
        reply = respond(query.to_wire(), resolver, True, 0.0, lambda: 0.0, world)
        assert reply is not None
        message = dns.message.from_wire(reply)
        assert list(told.answer) == [line for rrset in message.answer for line in rrset.to_text().splitlines()]
        [scope] = [option.scopelen for option in message.options if isinstance(option, dns.edns.ECSOption)]
        assert told.scope == scope

    def test_all_in_one_scope_get_the_same(self, configured: Settings, zones: StoreReader) -> None:
        for first, second in (("10.1.2.127", "10.1.2.128"), ("10.2.127.255", "10.2.128.0"), ("10.3.0.255", "10.3.1.0")):
            one, two = (
                Offline(configured, zones, {}).tell(Client(address), "www.example.com", "A")
                for address in (first, second)
            )
            assert one.scope is not None
            if ipaddress.ip_address(second) in ipaddress.ip_network(f"{first}/{one.scope}", strict=False):
                assert one.answer == two.answer

    def test_the_rule_is_named(self, configured: Settings, zones: StoreReader) -> None:
        for address, rule in (
            ("10.1.2.200", "network_pools.10.1.2.128/25"),
            ("10.1.9.9", "country_pools.FR"),
            ("10.2.0.1", "region_pools.WEU"),
            ("10.2.200.1", "region_pools.SSAM"),
            ("10.3.0.1", "subdivision_pools.US-CA"),
            ("10.3.1.1", "default_pools"),
            ("172.16.0.1", "default_pools"),
        ):
            told = Offline(configured, zones, {}).tell(Client(address), "www.example.com", "A")
            assert [reason.rule for reason in told.reasons] == [rule], address

    def test_the_wildcard_is_named(self, configured: Settings, zones: StoreReader) -> None:
        told = Offline(configured, zones, {}).tell(Client(), "deep.x.any.example.com", "A")
        assert told.answer
        assert [reason.load_balancer for reason in told.reasons] == ["*.any.example.com."]

    def test_without_an_address_there_is_no_scope(self, configured: Settings, zones: StoreReader) -> None:
        client = Client(place=Place(country="FR", region="WEU"))
        told = Offline(configured, zones, {}).tell(client, "www.example.com", "A")
        assert (told.scope, told.place_source) == (None, "given")
        assert [reason.rule for reason in told.reasons] == ["country_pools.FR"]

    def test_an_unusable_database(self, folder: Path, zones: StoreReader) -> None:
        broken = parse_settings(SETTINGS.replace("world.mmdb", "none.mmdb"), folder / "waypost.toml")
        with pytest.raises(GeoError, match=r"none\.mmdb"):
            Offline(broken, zones, {}).tell(Client("10.0.0.1"), "www.example.com", "A")
        place = Client(place=NOWHERE)
        assert Offline(broken, zones, {}).tell(place, "www.example.com", "A").answer, "not needed for a given place"

    @pytest.mark.parametrize("name", ["", "..", "a..b", "a" * 64, ".".join(["a" * 63] * 5)])
    def test_names_that_are_none(self, configured: Settings, zones: StoreReader, name: str) -> None:
        if name:
            with pytest.raises(OfflineError):
                Offline(configured, zones, {}).tell(Client(), name, "A")
        else:
            assert Offline(configured, zones, {}).tell(Client(), name, "A").question == ". A"


class TestMakeClient:
    @pytest.mark.parametrize(
        ("country", "subdivision", "region", "place"),
        [
            (None, None, None, NOWHERE),
            ("FR", None, None, Place("EU", "WEU", "FR")),
            (None, None, "OC", Place("OC", "OC")),
            (None, None, "WEU", Place("EU", "WEU")),
            (None, "US-CA", None, Place("NA", "WNAM", "US", "US-CA")),
            ("US", "US-CA", "WNAM", Place("NA", "WNAM", "US", "US-CA")),
        ],
    )
    def test_a_place(self, country: str | None, subdivision: str | None, region: str | None, place: Place) -> None:
        assert make_client(country, subdivision, region, Regions.load()) == Client(place=place)

    @pytest.mark.parametrize(
        ("country", "subdivision", "region"),
        [("FR", "US-CA", None), ("FR", None, "OC"), (None, "US-CA", "ENAM")],
    )
    def test_a_contradiction(self, country: str | None, subdivision: str | None, region: str | None) -> None:
        with pytest.raises(OfflineError):
            make_client(country, subdivision, region, Regions.load())


class TestOverrideHealth:
    def test_a_name_is_every_origin_of_that_name(self, configured: Settings) -> None:
        down = Verdict(False, INF)
        assert override_health(configured, ("a",), {}) == {("one", "a"): down, ("two", "a"): down}
        assert override_health(configured, ("two/a",), {}) == {("two", "a"): down}

    def test_a_pool_is_all_of_its_origins(self, configured: Settings) -> None:
        down, up = Verdict(False, INF), Verdict(True, INF)
        assert override_health(configured, ("two",), {}) == {("two", "a"): down, ("two", "d"): down}
        assert override_health(configured, ("two/d",), {}, ("two",)) == {("two", "a"): up, ("two", "d"): down}

    def test_weights(self, configured: Settings) -> None:
        changed = override_weights(configured, {"one/a": 0.5, "d": 0.0})
        weights = {(pool.name, origin.name): origin.weight for pool in changed.pools for origin in pool.origins}
        assert (weights["one", "a"], weights["two", "a"], weights["two", "d"]) == (0.5, 1.0, 0.0)
        with pytest.raises(OfflineError, match="no origin or pool is called"):
            override_weights(configured, {"x": 0.5})

    def test_what_is_not_overridden_stays(self, configured: Settings) -> None:
        seen: Health = {("one", "b"): Verdict(False, 3.0), ("one", "a"): Verdict(True, 3.0)}
        assert override_health(configured, (), seen) == seen
        overridden = override_health(configured, ("one/a",), seen)
        assert overridden == {("one", "a"): Verdict(False, INF), ("one", "b"): Verdict(False, 3.0)}

    @pytest.mark.parametrize(("name", "hint"), [("aa", "a"), ("one/bb", "one/b"), ("", "")])
    def test_an_unknown_name(self, configured: Settings, name: str, hint: str) -> None:
        with pytest.raises(OfflineError, match=f'no origin or pool is called .*(did you mean "{hint}")?'):
            override_health(configured, (name,), {})


def test_open_zones_leaves_nothing(configured: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_zones(configured) as reader:
        assert list(reader.zones) == [b"\7example\3com\0"]
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
    (tmp_path / "bad.zone").write_text("nonsense")
    bad = parse_settings(
        SETTINGS.replace('nameservers = ["ns.example.net"]', 'file = "bad.zone"'), tmp_path / "waypost.toml"
    )
    with pytest.raises(ZonesError), open_zones(bad):
        raise AssertionError("it opened")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.zone"]


def test_locate_says_who_knows(configured: Settings, folder: Path) -> None:
    with open_zones(configured) as zones:
        world = Offline(configured, zones, {})
        place, source = world.locate(Client("10.3.0.7"))
        assert world.locate(Client(subnet="172.16.0.0/24")) == (NOWHERE, "no source knows it")
        assert world.locate(Client(place=place)) == (place, "given")
    assert (place.country, place.subdivision, place.region) == ("US", "US-CA", "WNAM")
    assert str(folder / "world.mmdb") in source
    assert "10.3.0.0/24" in source


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (NOWHERE, "nowhere known"),
        (Place(asn=64500), "nowhere known, AS64500"),
        (Place(continent="NA", region="WNAM", country="US", subdivision="US-CA", asn=1), "US-CA, US, WNAM, NA, AS1"),
    ],
)
def test_describe_place(place: Place, text: str) -> None:
    assert describe_place(place) == text
