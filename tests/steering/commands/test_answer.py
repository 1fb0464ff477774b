"""waypost answer: planned maintenance, pool sets, and places that are given."""

import json
from pathlib import Path

import msgspec
import pytest

from monitors.scheduler import Statistics
from steering.commands import command
from steering.messages import OriginStatus, OverrideStatus, PoolStatus, Status
from tests.steering.running import Run


@pytest.mark.parametrize(
    ("time", "answering", "state", "share"),
    [
        ("2026-12-01T20:00:00Z", {"paris"}, "unmonitored", 1.0),
        ("2026-12-01T20:55:00Z", {"paris", "sorry"}, "up", 0.5),
        ("2026-12-01T22:00:00+01:00", {"sorry"}, "down", 1.0),
        ("2026-12-01T22:59:59.5Z", {"sorry"}, "down", 1.0),
        ("2026-12-01T23:00:00Z", {"paris"}, "unmonitored", 1.0),
    ],
)
def test_at_a_time(waypost: Run, steered: Path, time: str, answering: set[str], state: str, share: float) -> None:
    """Down in the window, less and less before it, and as always at other times."""
    status, out, _ = waypost("answer", steered, "www.example.com", "--country", "DE", "--at", time, "--json")
    assert status == 0
    [reason] = json.loads(out)["reasons"]
    assert {pool["name"] for pool in reason["pools"] if pool["share"]} == answering
    origin = reason["pools"][0]["origins"][0]
    assert (origin["share"], origin["cause"]) == (share, "" if state == "unmonitored" else "maintenance")
    assert origin["state"] in (state, "up")


def test_at_a_time_text_and_what_if(waypost: Run, steered: Path) -> None:
    line = ("answer", steered, "www.example.com", "--country", "DE", "--at", "2026-12-01T22:00:00Z")
    assert "    origin  paris-1 192.0.2.2: down (maintenance)\n" in waypost(*line)[1]
    assert "pool      paris: up, 1 healthy, needs 1 -> answers\n" in waypost(*line, "--up", "paris")[1]


@pytest.mark.parametrize("time", ["tomorrow", "2026-12-01T22:00:00", "2026-12-01", ""])
def test_a_time_that_is_none(waypost: Run, steered: Path, time: str) -> None:
    status, _, error = waypost("answer", steered, "www.example.com", "--at", time)
    assert status == 2
    assert "expected a date and time with its offset, like 2026-12-01T22:00:00Z" in error


def test_planned_and_present_health_exclude_each_other(waypost: Run, steered: Path) -> None:
    status, _, error = waypost("answer", steered, "www.example.com", "--live", "--at", "2026-12-01T22:00:00Z")
    assert status == 2
    assert "not allowed with argument" in error


def test_live_has_what_is_ordered_of_what_nothing_checks(
    waypost: Run, steered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = OverrideStatus("draining", "", "ann", 0.0, None)
    drained = OriginStatus("zurich-1", "192.0.2.3", True, 1.0, share=0.25, cause="forced", override=order)
    fresh = OriginStatus("paris-1", "192.0.2.2", True, 1.0)
    pools = tuple(
        PoolStatus(name, True, True, None, 1, 1, (origin,)) for name, origin in (("zurich", drained), ("paris", fresh))
    )
    told = Status("waypost.toml", 0.0, 1, (), pools, (), (), Statistics(0, 0, 0, 0, 0, 0.0, 0.0))
    monkeypatch.setattr(command, "ask_control", lambda state, request: msgspec.to_builtins(told))  # noqa: ARG005
    line = ("answer", steered, "www.example.com", "--live", "--json", "--country")
    [reason] = json.loads(waypost(*line, "CH")[1])["reasons"]
    assert (reason["pools"][0]["room"], reason["pools"][0]["origins"][0]["cause"]) == (0.25, "forced")
    [reason] = json.loads(waypost(*line, "DE")[1])["reasons"]
    assert reason["pools"][0]["origins"][0]["state"] == "unmonitored"


def test_a_region_is_on_the_continent_of_most_of_its_countries(waypost: Run, steered: Path) -> None:
    rows = json.loads(waypost("answer", steered, "www.example.com", "--every", "region", "--json")[1])
    by_region = {row["place"]: row["rule"] for row in rows}
    assert len(by_region) == 13
    assert [region for region, rule in by_region.items() if rule == "pool_set.europe"] == ["WEU", "EEU"]


@pytest.mark.parametrize("who", [("--from", "192.0.2.1"), ("--country", "FR"), ("--asn", "64500")])
def test_a_table_is_of_all(waypost: Run, steered: Path, who: tuple[str, str]) -> None:
    status, _, error = waypost("answer", steered, "www.example.com", "--every", "country", *who)
    assert (status, error) == (2, "--every says who asks: leave out all that does, too\n")


def test_what_names_lead_to_is_in_the_table(waypost: Run, steered: Path) -> None:
    rows = json.loads(waypost("answer", steered, "example.com", "--every", "country", "--json")[1])
    answers = {row["place"]: row["answers"] for row in rows}
    assert (answers["FR"], answers["DE"]) == ({"198.51.100.2": 1.0}, {"192.0.2.1": 1.0})


def test_names_that_lead_to_themselves(waypost: Run, steered: Path) -> None:
    """Both origins do: their own addresses are the answer, and it does not take long to find that out."""
    again = 'records = { CNAME = "example.com." }'
    second = f'[[pool.origin]]\nname = "oslo-2"\naddress = "192.0.2.44"\n{again}\n'
    text = steered.read_text().replace('country_pools = { FR = ["paris"] }', 'country_pools = { FR = ["oslo"] }')
    text = text.replace('records = { CNAME = "oslo.example.com." }', f"{again}\n{second}")
    steered.write_text(text)
    rows = json.loads(waypost("answer", steered, "example.com", "--every", "country", "--json")[1])
    assert [row["answers"] for row in rows if row["place"] == "FR"] == [{"192.0.2.4 + 192.0.2.44": 1.0}]
    told = json.loads(waypost("answer", steered, "example.com", "--country", "FR", "--json")[1])
    assert sorted(line.split()[-1] for line in told["answer"]) == ["192.0.2.4", "192.0.2.44"]


@pytest.mark.parametrize("number", ["0", "-5", "4294967296", "AS64500", ""])
def test_an_as_number_that_is_none(waypost: Run, steered: Path, number: str) -> None:
    status, _, error = waypost("answer", steered, "www.example.com", f"--asn={number}")
    assert status == 2
    assert "expected a number from 1 to 4294967295" in error


def test_a_pool_that_nothing_checks_can_be_down_too(waypost: Run, steered: Path) -> None:
    """As people can order it with `waypost force`."""
    status, out, _ = waypost("answer", steered, "www.example.com", "--country", "CH", "--down", "zurich")
    assert status == 1
    assert "nobody    answers: all pools are down, and the rule says fail_closed" in out
