"""Every country, subdivision and region of regions.csv gets the answer of its region, as a place and by address."""

import csv
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

from geodata.regions import REGIONS, REGIONS_FILE, Regions
from steering.offline.answers import Client, Offline, list_places, make_client, open_zones
from steering.prepare import load_places
from steering.settings_file import parse_settings

SETTINGS = """
[server]
listen = ["127.0.0.1:53"]
state = "state"

[[zone]]
name = "example.com"
nameservers = ["ns.example.net"]

[[pool]]
name = "elsewhere"
origin = [{ name = "one", address = "192.0.2.99" }]
"""
ADDRESSES = {region: f"192.0.2.{number}" for number, region in enumerate(REGIONS, 1)}
WITHOUT_ADDRESSES = 5
"""Countries of which a database may know no IPv4 network, such as uninhabited islands, at most."""

with REGIONS_FILE.open(encoding="utf-8", newline="") as _file:
    ROWS = [(row["region"], row["country"], row["subdivision"]) for row in csv.DictReader(_file)]


@pytest.fixture(scope="module", params=["region_pools", "pool_set"])
def world(request: pytest.FixtureRequest) -> Iterator[Offline]:
    """A pool for each region, by a map or by pool sets."""
    text = SETTINGS
    for region, address in ADDRESSES.items():
        text += f'[[pool]]\nname = "{region}"\norigin = [{{ name = "one", address = "{address}" }}]\n'
    text += '[[load_balancer]]\nname = "www.example.com"\ntypes = ["A"]\ndefault_pools = ["elsewhere"]\n'
    text += 'fallback_pool = "elsewhere"\n'
    if request.param == "region_pools":
        text += "".join(f'region_pools.{region} = ["{region}"]\n' for region in REGIONS)
    else:
        for region in REGIONS:
            text += f'[[load_balancer.pool_set]]\nname = "in-{region}"\nregions = ["{region}"]\npools = ["{region}"]\n'
    settings = parse_settings(text, Path("/etc/waypost.toml"))
    with open_zones(settings) as zones:
        yield Offline(settings, zones, {})


def answers(world: Offline, clients: dict[str, Client]) -> dict[str, str]:
    traffic = world.traffic("www.example.com", "A", clients)
    assert all(len(each.answers) == 1 for each in traffic)
    return {each.place: next(iter(each.answers)) for each in traffic}


def test_every_country(world: Offline) -> None:
    expected = {country: ADDRESSES[region] for region, country, subdivision in ROWS if not subdivision}
    assert len(expected) == 250  # ISO 3166-1 has 249, and XK
    assert answers(world, list_places("country", Regions.load())) == expected


def test_every_subdivision_with_a_region_of_its_own(world: Offline) -> None:
    regions = Regions.load()
    expected = {f"{country}-{part}": ADDRESSES[region] for region, country, part in ROWS if part}
    clients = {name: make_client(None, name, None, regions) for name in expected}
    assert len(expected) > 100
    assert answers(world, clients) == expected


def test_every_region(world: Offline) -> None:
    assert len(REGIONS) == 13
    assert answers(world, list_places("region", Regions.load())) == ADDRESSES


def test_an_address_of_every_country(world: Offline) -> None:
    """Of the widest network that the shipped data has there."""
    places = load_places(world.settings)
    widest: dict[str, tuple[int, int]] = {}
    for start, end, number in places.ranges()[0]:
        country = places.places[number].country
        if country is not None:
            widest[country] = max(widest.get(country, (0, 0)), (end - start, start))
    clients = {country: Client(str(ipaddress.IPv4Address(start))) for country, (_, start) in widest.items()}
    expected = {country: ADDRESSES[region] for region, country, subdivision in ROWS if not subdivision}
    assert len(expected.keys() - clients.keys()) <= WITHOUT_ADDRESSES
    assert answers(world, clients) == {country: expected[country] for country in clients}
