"""The commands as functions: what they print, where, and the exit status. `waypost run` is tested in test_run.py."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitors.monitor import Reason, Result
from monitors.notify.courier import Statistics as NotifierStatistics
from monitors.scheduler import Statistics
from steering.cli import main
from steering.commands import command
from steering.messages import (
    MonitorStatus,
    OriginStatus,
    OverrideStatus,
    PoolStatus,
    Status,
    Unheard,
    WorkerStatus,
    ZoneStatus,
)
from tests.steering.running import PROGRAM, Run, environment, run_command, zone_text

EXAMPLE = Path(__file__).parents[3] / "config" / "waypost.toml"

SETTINGS = """
[server]
listen = ["127.0.0.1:5300"]
state = "state"

[[geo]]
type = "networks"
path = "own.csv"

[[monitor]]
name = "web"
type = "tcp"
port = 80

[[pool]]
name = "paris"
monitor = "web"
[[pool.origin]]
name = "paris-1"
address = "192.0.2.10"
records = { TXT = "[/bold] site=paris" }
[[pool.origin]]
name = "both"
address = "192.0.2.11"

[[pool]]
name = "newyork"
monitor = "web"
[[pool.origin]]
name = "newyork-1"
address = "198.51.100.20"
[[pool.origin]]
name = "both"
address = "198.51.100.21"

[[pool]]
name = "sorry"
[[pool.origin]]
name = "sorry-1"
address = "203.0.113.99"
records = { TXT = "sorry" }

[[zone]]
name = "example.com"
file = "example.com.zone"

[[load_balancer]]
name = "www.example.com"
types = ["A"]
default_pools = ["newyork", "paris"]
fallback_pool = "sorry"
country_pools = { FR = ["paris"] }
region_pools = { WEU = ["paris", "newyork"] }
subdivision_pools = { US-CA = ["sorry"] }
network_pools = { "192.0.2.128/25" = ["sorry"] }

[[load_balancer]]
name = "txt.example.com"
types = ["TXT"]
default_pools = ["paris"]
fallback_pool = "sorry"
"""

WORDS = st.text(st.characters(exclude_characters="\0"), max_size=12)  # what a command line can hold


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "own.csv").write_text(
        "network,country,subdivision\n192.0.2.0/24,FR,\n198.51.100.0/24,US,US-CA\n2001:db8::/32,FR,\n"
    )
    (tmp_path / "example.com.zone").write_text(zone_text(1, "static A 192.0.2.7\nlab NS ns.lab\nns.lab A 192.0.2.8"))
    path = tmp_path / "waypost.toml"
    path.write_text(SETTINGS)
    return path


def test_the_script_is_this_function() -> None:
    [script] = entry_points(group="console_scripts", name="waypost")
    assert script.load() is main


class TestUsage:
    @pytest.mark.parametrize(
        "line",
        [
            [],
            ["nonsense"],
            ["run"],
            ["check"],
            ["status"],
            ["check", "CONFIG", "more"],
            ["check", "CONFIG", "--nonsense"],
            ["run", "CONFIG", "--quiet"],
            ["answer", "CONFIG"],
            ["answer", "CONFIG", "www.example.com", "A", "more"],
            *(
                ["answer", "CONFIG", "www.example.com", "A", *wrong]
                for wrong in (
                    ["--from"],
                    ["--from", ""],
                    ["--from", "nonsense"],
                    ["--from", "192.0.2.300"],
                    ["--from", "192.0.2.0/24"],
                    ["--country", "ZZ"],
                    ["--country", "France"],
                    ["--country", ""],
                    ["--subdivision", "CA"],
                    ["--subdivision", "ZZ-1"],
                    ["--region", "weu"],
                    ["--region", "EUROPE"],
                    ["--down"],
                    ["--live", "yes"],
                )
            ),
        ],
        ids=lambda line: " ".join(line[4:] or line) or "nothing",
    )
    def test_2(self, config: Path, waypost: Run, line: Sequence[str]) -> None:
        status, out, error = waypost(*(config if word == "CONFIG" else word for word in line))
        assert (status, out) == (2, "")
        assert error.startswith("usage: waypost")

    @pytest.mark.parametrize(
        "line",
        [
            ["www.example.com", "NONSENSE"],
            ["www.example.com", "TYPE65536"],
            ["www..example.com", "A"],
            ["a" * 64 + ".example.com", "A"],
            ["www.example.com", "A", "--country", "FR", "--from", "192.0.2.1"],
            ["www.example.com", "A", "--country", "FR", "--subdivision", "US-CA"],
            ["www.example.com", "A", "--down", "nobody"],
        ],
        ids=" ".join,
    )
    def test_what_makes_no_sense_for_this_configuration_is_one_line(
        self, config: Path, waypost: Run, line: Sequence[str]
    ) -> None:
        status, out, error = waypost("answer", config, *line)
        assert status == 2
        assert (out, len(error.splitlines())) == ("", 1)

    def test_the_message_names_no_function_of_ours(self, config: Path, waypost: Run) -> None:
        assert "_address" not in waypost("answer", config, "www.example.com", "A", "--from", "nonsense")[2]

    @pytest.mark.parametrize(
        "line", [["--help"], ["run", "--help"], ["check", "-h"], ["answer", "-h"], ["status", "-h"]]
    )
    def test_help(self, waypost: Run, line: Sequence[str]) -> None:
        status, out, error = waypost(*line)
        assert (status, error) == (0, "")
        assert out.startswith("usage: waypost")

    @given(st.lists(WORDS | st.sampled_from(["answer", "check", "--from", "--down", "--json"]), max_size=6))
    @settings(max_examples=60)
    def test_no_line_ends_in_anything_but_a_status(self, line: list[str]) -> None:
        try:
            status = main(["--", *line] if line[:1] == ["run"] else line)
        except SystemExit as end:
            assert end.code in (0, 2)
        else:
            assert status in (0, 1)


class TestCheck:
    def test_good(self, config: Path, waypost: Run) -> None:
        status, out, error = waypost("check", config)
        assert (status, error) == (0, "")
        assert out.startswith(f"{config}: good (1 zones, 2 load balancers, 3 pools")

    def test_the_example_is_good(self, waypost: Run) -> None:
        assert waypost("check", EXAMPLE)[0] == 0

    def test_it_leaves_nothing_behind(self, config: Path, waypost: Run) -> None:
        before = sorted(config.parent.iterdir())
        waypost("check", config)
        assert sorted(config.parent.iterdir()) == before

    def test_every_problem_of_every_kind_at_once(self, config: Path, waypost: Run) -> None:
        own, zone = config.parent / "own.csv", config.parent / "example.com.zone"
        own.write_text("network,country\n192.0.2.0/24,Atlantis\n192.0.2.0/99,FR\n")
        zone.write_text(zone_text(1, "bad A 1.2.3\nworse AAAA 1.2.3.4"))
        status, out, error = waypost("check", config)
        assert (status, out) == (1, "")
        for place in (f"{own}:2: ", f"{own}:3: ", f"{zone}:4: ", f"{zone}:5: "):
            assert place in error

    def test_every_problem_of_the_settings(self, config: Path, waypost: Run) -> None:
        text = SETTINGS.replace("203.0.113.99", "203.0.113.999").replace('monitor = "web"', 'monitor = "wbe"')
        config.write_text(text)
        status, _, error = waypost("check", config)
        assert status == 1
        lines = [number for number, line in enumerate(text.splitlines(), 1) if "wbe" in line or "999" in line]
        assert [line.split(":")[1] for line in error.splitlines()] == [str(number) for number in lines]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "cannot be read: No such file or directory"),
            (b"\xff\xfe", "it is not UTF-8 text"),
            (b"", "server"),
            (b"[server", "not TOML"),
        ],
        ids=["missing", "binary", "empty", "broken"],
    )
    def test_a_file_that_is_no_configuration(
        self, config: Path, waypost: Run, content: bytes | None, message: str
    ) -> None:
        config.unlink()
        if content is not None:
            config.write_bytes(content)
        for words in (["check"], ["run"], ["status"], ["answer"]):
            more = ["www.example.com"] if words == ["answer"] else []
            status, out, error = waypost(*words, config, *more)
            assert (status, out) == (1, "")
            assert str(config) in error
            assert message in error

    def test_a_directory_and_an_endless_name(self, config: Path, waypost: Run) -> None:
        assert waypost("check", config.parent)[0] == 1
        assert waypost("check", "x" * 5000)[0] == 1

    def test_a_missing_zone_file_geo_source_and_regions(self, config: Path, waypost: Run) -> None:
        config.write_text('regions = "none.csv"\n' + SETTINGS)
        (config.parent / "own.csv").unlink()
        (config.parent / "example.com.zone").unlink()
        status, _, error = waypost("check", config)
        assert status == 1
        assert "example.com.zone" in error
        assert "own.csv" in error or "none.csv" in error

    def test_a_secret_file_that_is_missing_or_no_secret(self, config: Path, waypost: Run) -> None:
        allow = 'file = "example.com.zone"\nallow_transfer = ["key:transfer"]'
        text = SETTINGS.replace('file = "example.com.zone"', allow)
        config.write_text(text + '\n[[key]]\nname = "transfer"\nsecret_file = "transfer.key"\n')
        secret = config.parent / "transfer.key"
        for content, reason in ((None, "No such file or directory"), ("no secret!", "not Base64")):
            if content:
                secret.write_text(content)
            status, _, error = waypost("check", config)
            assert (status, error) == (1, f"{config}: secret_file of key transfer.: {secret}: {reason}\n")
        secret.write_text("c2VjcmV0\n")
        assert waypost("check", config)[0] == 0


class TestAnswer:
    @pytest.mark.parametrize(
        ("who", "address", "rule"),
        [
            ([], "198.51.100.20 198.51.100.21", "default_pools"),
            (["--country", "FR"], "192.0.2.10 192.0.2.11", "country_pools.FR"),
            (["--country", "fr"], "192.0.2.10 192.0.2.11", "country_pools.FR"),
            (["--country", "DE"], "192.0.2.10 192.0.2.11", "region_pools.WEU"),
            (["--region", "WEU"], "192.0.2.10 192.0.2.11", "region_pools.WEU"),
            (["--country", "FR", "--region", "WEU"], "192.0.2.10 192.0.2.11", "country_pools.FR"),
            (["--subdivision", "US-CA"], "203.0.113.99", "subdivision_pools.US-CA"),
            (
                ["--country", "US", "--subdivision", "US-CA", "--region", "WNAM"],
                "203.0.113.99",
                "subdivision_pools.US-CA",
            ),
            (["--from", "192.0.2.1"], "192.0.2.10 192.0.2.11", "country_pools.FR"),
            (["--from", "192.0.2.200"], "203.0.113.99", "network_pools.192.0.2.128/25"),
            (["--from", "198.51.100.1"], "203.0.113.99", "subdivision_pools.US-CA"),
            (["--from", "2001:db8::1"], "192.0.2.10 192.0.2.11", "country_pools.FR"),
            (["--from", "10.0.0.1"], "198.51.100.20 198.51.100.21", "default_pools"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_the_client(self, config: Path, waypost: Run, who: list[str], address: str, rule: str) -> None:
        status, out, error = waypost("answer", config, "www.example.com", "A", *who, "--json")
        assert (status, error) == (0, "")
        told = json.loads(out)
        assert sorted(line.split()[-1] for line in told["answer"]) == address.split()
        assert told["reasons"][0]["rule"].startswith(rule)

    @pytest.mark.parametrize(
        ("down", "addresses", "answering"),
        [
            ([], "198.51.100.20 198.51.100.21", "newyork"),
            (["newyork-1"], "198.51.100.21", "newyork"),
            (["newyork/both", "newyork/newyork-1"], "192.0.2.10 192.0.2.11", "paris"),
            (["both"], "198.51.100.20", "newyork"),
            (["both", "newyork-1"], "192.0.2.10", "paris"),
            (["both", "newyork-1", "paris-1"], "203.0.113.99", "sorry"),
            (["both", "both"], "198.51.100.20", "newyork"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_what_if(self, config: Path, waypost: Run, down: list[str], addresses: str, answering: str) -> None:
        options = [word for origin in down for word in ("--down", origin)]
        status, out, _ = waypost("answer", config, "www.example.com", *options, "--json")
        told = json.loads(out)
        assert status == 0
        assert sorted(line.split()[-1] for line in told["answer"]) == addresses.split()
        [reason] = told["reasons"]
        assert [pool["name"] for pool in reason["pools"] if pool["share"]] == [answering]
        assert reason["fallback"] == (answering == "sorry")

    def test_text(self, config: Path, waypost: Run) -> None:
        status, out, error = waypost(
            "answer", config, "www.example.com", "A", "--from", "192.0.2.1", "--down", "paris-1"
        )
        assert (status, error) == (0, "")
        assert out.splitlines() == [
            ";; www.example.com. A for 192.0.2.1: NOERROR",
            "www.example.com. 30 IN A 192.0.2.11",
            "",
            f"client      FR, WEU, EU ({config.parent}/own.csv, 192.0.2.0/24)",
            "scope       /25: every client inside this prefix gets the same",
            "steered     www.example.com. A by geo, rule country_pools.FR",
            "  pool      paris: up, 1 healthy, needs 1 -> answers",
            "    origin  paris-1 192.0.2.10: down",
            "    origin  both 192.0.2.11: up",
            "  ttl       30 s: ttl of the load balancer",
        ]

    def test_text_of_sets_and_policies(self, config: Path, waypost: Run) -> None:
        text = config.read_text().replace('name = "paris"\n', 'name = "paris"\nlatitude = 48.9\nlongitude = 2.4\n', 1)
        text = text.replace('name = "newyork"\n', 'name = "newyork"\nlatitude = 40.7\nlongitude = -74.0\n', 1)
        text += """
[[load_balancer]]
name = "near.example.com"
types = ["A"]
default_pools = ["newyork", "paris"]
fallback_pool = "sorry"
steering_policy = "proximity"
[[load_balancer.pool_set]]
name = "home"
subdivisions = ["US-CA"]
steering_policy = "hash"
[[load_balancer.pool_set]]
name = "closed"
countries = ["DE"]
pools = ["paris"]
when_down = "fail_closed"
[[load_balancer.pool_set]]
name = "open"
countries = ["IT"]
pools = ["paris"]
when_down = "fail_open"
"""
        config.write_text(
            text.replace("[[pool.origin]]", "load_shedding = { default_percent = 40 }\n[[pool.origin]]", 1)
        )

        def said(*arguments: str, expected: int = 0) -> list[str]:
            status, out, error = waypost("answer", config, "near.example.com", *arguments)
            assert (status, error) == (expected, "")
            return [line for line in out.splitlines() if line.startswith(("steered", "  hash", "  pool", "  nobody"))]

        [steered, *pools] = said("--country", "FR")
        assert steered == "steered     near.example.com. A by proximity, rule default_pools"
        near, far = sorted(pools, key=lambda line: "km" not in line or "newyork" in line)
        assert re.fullmatch(r"  pool      paris: up, 2 healthy, needs 1, 32\d km away.* -> answers.*", near)
        assert re.fullmatch(r"  pool      newyork: up, \d healthy, needs 1, 5,9\d\d km away.*", far)
        assert "takes 60.0% of its traffic" in near + far
        assert said("--subdivision", "US-CA")[:2] == [
            "steered     near.example.com. A by hash, rule pool_set.home",
            "  hash      the client's /24 (IPv6: /48) decides which of several it gets",
        ]
        down = ("--down", "paris-1", "--down", "paris/both")
        assert said("--country", "DE", *down, expected=1)[-1] == (
            "  nobody    answers: all pools are down, and the rule says fail_closed"
        )
        assert said("--country", "IT", *down)[-1].endswith(" -> answers although it is down")

    def test_what_is_not_steered(self, config: Path, waypost: Run) -> None:
        status, out, _ = waypost("answer", config, "static.example.com")
        assert status == 0
        assert "static.example.com. 300 IN A 192.0.2.7" in out
        assert "steered     no: the same answer for every client" in out

    @pytest.mark.parametrize(
        ("question", "rcode"),
        [
            (["nobody.example.com", "A"], "NXDOMAIN"),
            (["static.example.com", "AAAA"], "NOERROR"),
            (["example.org", "A"], "REFUSED"),
            (["www.lab.example.com", "A"], "NOERROR"),
            (["www.example.com", "AXFR"], "NOTIMP"),
            ([".", "NS"], "REFUSED"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else value,
    )
    def test_no_data_is_1(self, config: Path, waypost: Run, question: list[str], rcode: str) -> None:
        status, out, error = waypost("answer", config, *question)
        assert (status, error) == (1, "")
        assert out.splitlines()[0].endswith(rcode)

    def test_data_and_names_that_look_like_markup(self, config: Path, waypost: Run) -> None:
        assert '"[/bold]" "site=paris"' in waypost("answer", config, "txt.example.com", "TXT")[1]
        status, out, _ = waypost("answer", config, "[/bold].example.com", "A")
        assert status == 1
        assert out.startswith(";; [/bold].example.com. A for ")

    def test_octets_that_are_no_text(self, config: Path) -> None:
        for line in (["answer", str(config), "\udcff.example.com"], ["check", "\udcff"]):
            told = run_command(*line)
            assert (told.returncode in (1, 2), "Traceback" in told.stderr) == (True, False)

    def test_an_address_with_a_scope(self, config: Path, waypost: Run) -> None:
        assert waypost("answer", config, "www.example.com", "A", "--from", "fe80::1%eth0")[0] in (0, 2)

    @given(st.text(max_size=30), st.sampled_from(["A", "TXT", "ANY", "SOA", "OPT", "TYPE0", "IXFR", "TSIG", ""]))
    @settings(max_examples=25)
    def test_any_name_is_answered_or_refused(self, name: str, rrtype: str) -> None:
        assert main(["answer", str(EXAMPLE), "--", name, rrtype]) in (0, 1, 2)

    def test_bad_zones_and_sources_are_told(self, config: Path, waypost: Run) -> None:
        (config.parent / "example.com.zone").write_text("nonsense")
        status, _, error = waypost("answer", config, "www.example.com", "A", "--from", "192.0.2.1")
        assert status == 1
        assert "example.com.zone:1:" in error


STATUS = Status(
    configuration="waypost.toml",
    since=0.0,
    pid=1,
    listen=("127.0.0.1:5300",),
    pools=(
        PoolStatus(
            "paris",
            True,
            False,
            "web",
            1,
            0,
            (
                OriginStatus(
                    "paris-1", "192.0.2.10", True, 1.0, False, 0.0, 0.0123, "bad reply", "554 go " + "away " * 30, 60.0
                ),
                OriginStatus("paris-2", "192.0.2.11", True, 1.0),
                OriginStatus("paris-3", "192.0.2.12", False, 1.0),
            ),
        ),
        PoolStatus("off", False, False, None, 1, 0, (OriginStatus("off-1", "2001:db8::1", True, 1.0),)),
    ),
    zones=(
        ZoneStatus("failing.test.", 8, error="192.0.2.54:53: Connection refused", expires=1e12),
        ZoneStatus("example.com.", 7, unheard=(Unheard("192.0.2.53:53", 0.0, "REFUSED"),)),
    ),
    workers=(WorkerStatus(1, 77, 5, 6),),
    probes=Statistics(1, 0, 2, 0, 0, 0.0, 0.0),
)


class TestStatus:
    @pytest.fixture(autouse=True)
    def _runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(command, "ask_control", lambda state, request: msgspec.to_builtins(STATUS))  # noqa: ARG005

    def test_text(self, config: Path, waypost: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "300")
        status, out, error = waypost("status", config)
        assert (status, error) == (1, "")
        rows = [line.split() for line in out.splitlines()]
        assert ["paris", "down", "0", "of", "3,", "needs", "1"] in rows
        assert next(row for row in rows if "paris-1" in row)[:3] == ["paris-1", "192.0.2.10", "down"]
        assert ["paris-2", "192.0.2.11", "no", "result", "yet"] in rows
        assert ["paris-3", "192.0.2.12", "disabled"] in rows
        assert ["off-1", "2001:db8::1", "unmonitored"] in rows
        assert re.match(r"waypost\.toml: in force for \d+ d \(pid 1\)\n", out)
        assert "zone example.com. serial 7" in out
        assert re.search(r"^zone failing.test. serial 8, expires in \d+ d: 192.0.2.54:53: Conn", out, re.MULTILINE)
        assert re.search(r"^  NOTIFY to 192\.0\.2\.53:53: REFUSED, for \d+ d$", out, re.MULTILINE)
        assert "worker 1 (pid 77): 5 packets by UDP, 6 messages by TCP" in out
        assert "12.3 ms" in out

    def test_a_pipe_has_one_line_for_each_origin(
        self, config: Path, waypost: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("COLUMNS", raising=False)
        out = waypost("status", config)[1]
        assert "554 go " + "away " * 29 in next(line for line in out.splitlines() if "paris-1" in line)

    def test_who_has_ordered_what_and_why_something_counts_otherwise(
        self, config: Path, waypost: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paris, off = STATUS.pools
        first, second, third = paris.origins
        order = OverrideStatus("draining", "new disks", "ann", 0.0, 1_800_000_000.0, "paris-1", 1)
        planned = OverrideStatus("planned", "", "maintenance weekly", 1_900_000_000.0, 1_900_003_600.0)
        members = (
            MonitorStatus("web", "must be healthy", True, "ok", "", 0.01, 5.0),
            MonitorStatus("ping", "only watches"),
        )
        origins = (
            msgspec.structs.replace(first, cause="forced", share=0.25, override=order),
            msgspec.structs.replace(second, up=False, cause="damped", monitors=members),
            msgspec.structs.replace(
                third, up=True, share=0.6, warning="the certificate ends in 3 days", override=planned
            ),
        )
        told = msgspec.structs.replace(
            STATUS,
            pools=(msgspec.structs.replace(paris, origins=origins), off),
            held="9 of 10 targets fail at once",
            overrides=(order,),
            notifiers={"ops": NotifierStatistics(0, 2, 5, 1, 0, 0, "refused")},
        )
        monkeypatch.setattr(command, "ask_control", lambda state, request: msgspec.to_builtins(told))  # noqa: ARG005
        lines = waypost("status", config)[1].splitlines()

        def line(name: str) -> str:
            return next(line for line in lines if name in line)

        assert line("STATES ARE HELD").endswith("9 of 10 targets fail at once")
        assert line("paris-1").rstrip().endswith("draining 25% by ann until 2027-01-15 08:00:00 UTC: new disks")
        assert line("paris-2").rstrip().endswith("damped")
        assert ["web", "up", "10.0", "ms", "ok", "must", "be", "healthy"] in [line.split() for line in lines]
        assert ["ping", "no", "result", "yet", "only", "watches"] in [line.split() for line in lines]
        assert "takes 60% of its traffic; planned by maintenance weekly from 2030-03-17 17:46:40 UTC until" in line(
            "paris-3"
        )
        assert line("paris-3").rstrip().endswith("warning: the certificate ends in 3 days")
        assert "paris-1 draining by ann until 2027-01-15 08:00:00 UTC: new disks" in lines
        assert "notifier ops: 5 delivered, 2 waiting, in trouble: refused" in lines

    def test_json(self, config: Path, waypost: Run) -> None:
        status, out, error = waypost("status", config, "--json")
        assert (status, error) == (1, "")
        assert msgspec.json.decode(out, type=Status) == STATUS

    def test_0_when_every_enabled_pool_is_up(self, config: Path, waypost: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        paris, off = STATUS.pools
        up = msgspec.structs.replace(STATUS, pools=(msgspec.structs.replace(paris, up=True), off))
        monkeypatch.setattr(command, "ask_control", lambda state, request: msgspec.to_builtins(up))  # noqa: ARG005
        assert waypost("status", config)[0] == 0

    def test_a_reply_of_another_version(self, config: Path, waypost: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(command, "ask_control", lambda state, request: {"pools": 7})  # noqa: ARG005
        status, out, error = waypost("status", config)
        assert (status, out, len(error.splitlines())) == (1, "", 1)

    @given(st.text(max_size=20) | st.sampled_from(["[/bold]", "[red]no[/red]", "[/]", "[link=x]", ":smile:", "[1:2]"]))
    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_what_a_server_said_is_shown_as_it_is(self, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
        paris = STATUS.pools[0]
        origin = msgspec.structs.replace(paris.origins[0], evidence=Result(False, Reason.BAD_REPLY, said).evidence)
        status = msgspec.structs.replace(STATUS, pools=(msgspec.structs.replace(paris, origins=(origin,)),))
        monkeypatch.setattr(command, "ask_control", lambda state, request: msgspec.to_builtins(status))  # noqa: ARG005
        monkeypatch.setenv("COLUMNS", "500")
        with redirect_stdout(io.StringIO()) as out:
            assert main(["status", str(EXAMPLE)]) == 1
        if said.isascii():
            assert origin.evidence in out.getvalue()


class TestProcess:
    """What only a real process shows."""

    def test_the_package_is_the_command(self, config: Path) -> None:
        for zone, status in (("example.com.zone", 0), ("gone.zone", 1)):
            config.write_text(config.read_text().replace("example.com.zone", zone))
            command = [sys.executable, "-P", "-m", "steering", "check", str(config)]
            told = subprocess.run(command, capture_output=True, env=environment(), text=True, check=False)
            meant = run_command("check", str(config))
            assert (told.returncode, told.stdout, told.stderr) == (status, meant.stdout, meant.stderr)

    def test_nobody_reads(self, config: Path) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        try:
            told = subprocess.run(
                [*PROGRAM, "answer", str(config), "www.example.com"],
                stdout=writer,
                stderr=subprocess.PIPE,
                env=environment(),
                check=False,
            )
        finally:
            os.close(writer)
        assert (told.returncode, told.stderr) == (1, b"")

    def test_ctrl_c(self, config: Path) -> None:
        fifo = config.parent / "example.com.zone"
        fifo.unlink()
        os.mkfifo(fifo)
        with subprocess.Popen(
            [*PROGRAM, "check", str(config)], stderr=subprocess.PIPE, env=environment(), start_new_session=True
        ) as process:
            with fifo.open("w"):  # it is reading now
                process.send_signal(signal.SIGINT)
                process.wait(20)
            assert process.stderr
            assert b"Traceback" not in process.stderr.read()
        assert process.returncode in (1, 130, -signal.SIGINT)

    def test_no_colours_in_a_pipe(self, config: Path) -> None:
        told = run_command("answer", str(config), "www.example.com", "--down", "newyork-1")
        assert told.returncode == 0
        assert "\x1b" not in told.stdout
