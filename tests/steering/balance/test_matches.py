"""Tests of matches: which rules no client can reach. How they match is in test_rules.py."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodata.place import NOWHERE, Place
from geodata.regions import Regions
from steering.balance.matches import Match, find_unreachable
from steering.balance.rules import Classifier, Rules

REGIONS = Regions.load()


def unreachable(*matches: Match, covering: int = 99) -> list[tuple[int, tuple[int, ...]]]:
    return list(find_unreachable(matches, REGIONS, covering))


WEU, EU, FR = Match(regions=("WEU",)), Match(continents=("EU",)), Match(countries=("FR",))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (FR, FR),
        (WEU, FR),
        (EU, FR),
        (EU, Match(countries=("FR",), asns=(1,))),
        (EU, Match(countries=("FR",), networks=("10.0.0.0/8",))),
        (Match(countries=("US",)), Match(subdivisions=("US-CA",))),
        (Match(regions=("WNAM",)), Match(subdivisions=("US-CA", "US-WA"))),
        (Match(networks=("10.0.0.0/8",)), Match(networks=("10.1.0.0/16", "10.0.0.0/8"))),
        (Match(networks=("2001:db8::/32",)), Match(networks=("2001:db8:1::/48",), countries=("FR",))),
        (Match(asns=(1, 2)), Match(asns=(2,), continents=("EU",))),
        (Match(unknown=True), Match(unknown=True, networks=("10.0.0.0/8",))),
        (Match(countries=("FR", "DE"), asns=(1,)), Match(countries=("FR",), asns=(1,), networks=("10.0.0.0/8",))),
    ],
)
def test_a_rule_that_an_earlier_one_covers(earlier: Match, later: Match) -> None:
    assert unreachable(Match(asns=(99,)), earlier, later) == [(2, (1,))]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (FR, EU),
        (FR, WEU),
        (Match(countries=("FR",), asns=(1,)), FR),
        (Match(countries=("FR",), networks=("10.0.0.0/8",)), FR),
        (Match(subdivisions=("US-CA",)), Match(countries=("US",))),
        (Match(networks=("10.1.0.0/16",)), Match(networks=("10.0.0.0/8",))),
        (Match(networks=("10.0.0.0/8",)), Match(networks=("10.0.0.0/8", "192.0.2.0/24"))),
        (Match(asns=(1,)), Match(asns=(1, 2))),
        (Match(unknown=True), Match(networks=("10.0.0.0/8",))),
        (EU, Match(unknown=True)),
        (Match(networks=("10.0.0.0/9", "10.128.0.0/9")), Match(networks=("10.0.0.0/8",))),
    ],
)
def test_a_rule_that_can_be_reached(earlier: Match, later: Match) -> None:
    assert unreachable(earlier, later) == []


def test_several_cover_together() -> None:
    assert unreachable(WEU, Match(regions=("EEU",)), Match(countries=("FR", "PL"))) == [(2, (0, 1))]
    halves = Match(asns=(1,), continents=("EU",)), Match(asns=(1,), countries=("US",))
    assert unreachable(*halves, Match(asns=(1,), countries=("FR", "US"))) == [(2, (0, 1))]
    assert unreachable(*halves, Match(asns=(1,), countries=("FR", "US", "JP"))) == []


@pytest.mark.parametrize(
    "match",
    [
        Match(regions=("WEU",), countries=("JP",)),
        Match(countries=("FR",), subdivisions=("US-CA",)),
        Match(unknown=True, countries=("FR",)),
        Match(continents=("AS",), regions=("WEU",)),
    ],
)
def test_lists_that_exclude_each_other(match: Match) -> None:
    assert unreachable(FR, match) == [(1, ())]


def test_only_the_first_count_as_covering() -> None:
    assert unreachable(WEU, FR, FR, covering=1) == [(1, (0,)), (2, (0,))]
    assert unreachable(FR, FR, covering=0) == []


def test_many_rules_take_no_time() -> None:
    dice = random.Random(1)
    countries = REGIONS.countries
    matches = [Match(countries=tuple(dice.sample(countries, 5)), asns=(number,)) for number in range(1, 500)]
    matches += [Match(networks=(f"10.{number // 256}.{number % 256}.0/24",)) for number in range(2000)]
    assert unreachable(*matches) == []


COUNTRIES = ("FR", "DE", "US", "JP")
made_matches = st.builds(
    Match,
    continents=st.lists(st.sampled_from(["EU", "NA"]), max_size=1).map(tuple),
    regions=st.lists(st.sampled_from(["WEU", "ENAM", "NEAS"]), max_size=2, unique=True).map(tuple),
    countries=st.lists(st.sampled_from(COUNTRIES), max_size=3, unique=True).map(tuple),
    asns=st.lists(st.sampled_from([1, 2]), max_size=2, unique=True).map(tuple),
    networks=st.lists(st.sampled_from(["10.0.0.0/8", "10.1.0.0/16"]), max_size=1).map(tuple),
    unknown=st.booleans(),
)
NESTED = (frozenset[str](), frozenset({"10.0.0.0/8"}), frozenset({"10.0.0.0/8", "10.1.0.0/16"}))


@given(st.lists(made_matches, min_size=1, max_size=5), st.sampled_from([*COUNTRIES, "GB", None]), st.integers(1, 3))
def test_nobody_is_of_a_rule_that_cannot_be_reached(matches: list[Match], country: str | None, asn: int) -> None:
    """Whatever the client: a country of the table with its continent and region, or one of whom nothing is known."""
    dead = {index for index, _ in unreachable(*matches)}
    place = NOWHERE
    if country is not None:
        continent = {"FR": "EU", "DE": "EU", "GB": "EU", "US": "NA", "JP": "AS"}[country]
        place = Place(continent, REGIONS.region_of(country), country, None, asn)
    numbered = [
        Match(each.continents, each.regions, each.countries, (), each.networks, each.asns, each.unknown, number)
        for number, each in enumerate(matches, 1)
    ]
    for inside in NESTED:
        assert Classifier(Rules(tuple(numbered)))(place, inside) - 1 not in dead
