"""waypost impact: who goes where when something is down."""

import json
from pathlib import Path

import pytest

from tests.steering.running import Run


def test_a_pool_that_is_down(waypost: Run, example: Path) -> None:
    status, out, error = waypost("impact", example, "--down", "paris", "--name", "www.example.com")
    assert (status, error) == (0, "")
    heading, _, *table, change = out.splitlines()
    assert heading == "www.example.com. A AAAA HTTPS"
    assert {line.split()[0] for line in table} == {"newyork", "paris", "tokyo"}
    [paris] = [line.split() for line in table if "paris" in line]
    assert paris[2] == "0.0%"
    assert "of the traffic: paris -> newyork: AD AL AT" in change


def test_who_lands_on_a_fallback_pool(waypost: Run, example: Path) -> None:
    arguments = ("impact", example, "--down", "tokyo-1", "--name", "WWW.example.com.", "--weight-by", "equal", "--json")
    status, out, _ = waypost(*arguments)
    [impact] = json.loads(out)
    assert (status, impact["fallback"]) == (1, ["JP"])
    assert impact["after"]["sorry"] == impact["before"]["tokyo"]
    assert 1 / 260 < impact["before"]["tokyo"] < 1 / 240
    assert [change["places"] for change in impact["changes"]] == [["JP"]]


def test_what_pool_sets_do_when_their_pools_are_down(waypost: Run, steered: Path) -> None:
    """Each has its own way: it falls back, it answers all the same, or nobody does."""
    pools = ("paris", "zurich", "oslo")
    options = [word for pool in pools for word in ("--down", pool)]
    arguments = ("impact", steered, *options, "--name", "www.example.com", "--weight-by", "equal")
    status, out, _ = waypost(*arguments, "--json")
    [impact] = json.loads(out)
    assert status == 1
    assert (impact["fail_open"], impact["fail_closed"]) == (["NO"], ["CH"])
    assert {"FR", "DE"} < set(impact["fallback"])
    assert not {"NO", "CH", "US"} & set(impact["fallback"])
    assert impact["after"]["no answer"] == impact["before"]["zurich"]
    assert impact["after"]["oslo"] == impact["before"]["oslo"]
    for part in ("before", "after"):
        assert sum(impact[part].values()) == pytest.approx(1)
    shown = waypost(*arguments)[1]
    assert "  on pools that are down (fail_open) now: NO\n" in shown
    assert "  without an answer (fail_closed) now: CH\n" in shown
    assert waypost("impact", steered, "--down", "zurich", "--name", "www.example.com")[0] == 1


def test_the_operator_says_how_much_traffic_a_country_is(waypost: Run, example: Path, tmp_path: Path) -> None:
    weights = tmp_path / "traffic.csv"
    weights.write_text("country,traffic\nFR,3\nJP,1\n")
    arguments = ("impact", example, "--down", "paris", "--name", "www.example.com", "--weight-by", weights, "--json")
    [impact] = json.loads(waypost(*arguments)[1])
    assert (impact["before"], impact["after"]) == ({"paris": 0.75, "tokyo": 0.25}, {"newyork": 0.75, "tokyo": 0.25})
    for text, message in (
        ("FR,-1", "no amount of traffic"),
        ("XX,1", "no such country"),
        ("FR,x", "could not convert"),
    ):
        weights.write_text(f"country,traffic\n{text}\n")
        status, _, error = waypost(*arguments)
        assert status == 2
        assert error.startswith(f"{weights}:2: ")
        assert message in error


def test_what_makes_no_sense(waypost: Run, example: Path) -> None:
    for arguments, message in (
        ((), "nothing is otherwise"),
        (("--down", "pairs"), 'did you mean "paris"'),
        (("--down", "paris", "--name", "ww.example.com"), "no load balancer is called ww.example.com"),
        (("--weight", "paris-1"), "expected ORIGIN=WEIGHT"),
    ):
        status, _, error = waypost("impact", example, *arguments)
        assert (status, message in error) == (2, True), error
