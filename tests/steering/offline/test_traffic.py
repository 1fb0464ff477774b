"""Traffic: shares of the world, and what changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodata.classes import compile_places
from geodata.regions import Regions
from geodata.sources.networks import read_networks
from steering.offline.traffic import Change, PlaceTraffic, find_changes, scale, show_shares, sum_shares, weigh_countries

SHARES = st.dictionaries(st.sampled_from("abc"), st.floats(0.01, 1), max_size=3).map(scale)


def gets(place: str, **pools: float) -> PlaceTraffic:
    return PlaceTraffic(place, pools, "", "", {f"record of {name}": share for name, share in pools.items()})


def test_a_country_weighs_as_many_addresses_as_it_has(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("geo") / "own.csv"
    path.write_text(
        "network,country,subdivision\n10.0.0.0/24,FR,\n10.0.1.0/25,US,US-CA\n10.0.2.0/25,US,\n10.0.4.0/23,JP,\n"
    )
    weights = weigh_countries(compile_places([read_networks(path)], Regions.load()))
    assert weights == {"FR": 0.25, "US": 0.25, "JP": 0.5}


def test_what_pools_take() -> None:
    traffic = [gets("FR", paris=0.75, tokyo=0.25), gets("JP", tokyo=1.0), gets("AQ")]
    assert sum_shares(traffic, {"FR": 0.5, "JP": 0.1, "AQ": 0.4}) == {
        "no answer": 0.4,
        "paris": 0.375,
        "tokyo": 0.225,
    }
    assert sum_shares(traffic, {}) == {}


def test_places_that_change_alike_are_one_change() -> None:
    before = [gets("FR", paris=1), gets("DE", paris=1), gets("JP", tokyo=1), gets("BR", oslo=1)]
    after = [gets("FR", tokyo=1), gets("DE", tokyo=1), gets("JP", tokyo=1), gets("BR")]
    weights = {"FR": 0.25, "DE": 0.25, "JP": 0.25, "BR": 0.25}
    assert find_changes("q", before, after, weights) == (
        Change("q", ("FR", "DE"), {"paris": 1}, {"tokyo": 1}, 0.5),
        Change("q", ("BR",), {"oslo": 1}, {}, 0.25),
    )
    [first, _] = find_changes("q", before, after, weights, by_records=True)
    assert (first.before, first.after) == ({"record of paris": 1}, {"record of tokyo": 1})


@given(st.lists(st.tuples(SHARES, SHARES), max_size=6))
def test_a_change_is_told_of_exactly_the_places_that_change(
    pairs: list[tuple[dict[str, float], dict[str, float]]],
) -> None:
    places = [f"P{number}" for number in range(len(pairs))]
    before, after = (
        [gets(place, **pair[which]) for place, pair in zip(places, pairs, strict=True)] for which in (0, 1)
    )
    changes = find_changes("q", before, after, dict.fromkeys(places, 0.1))
    told = sorted(place for change in changes for place in change.places)
    assert told == [
        place for place, (one, two) in zip(places, pairs, strict=True) if one != pytest.approx(two, abs=1e-6)
    ]


def test_shares_in_words() -> None:
    assert show_shares({"tokyo": 0.25, "paris": 0.75}) == "paris 75.0%, tokyo 25.0%"
    assert show_shares({"paris": 1.0}) == "paris"
    assert show_shares({}) == "no answer"
