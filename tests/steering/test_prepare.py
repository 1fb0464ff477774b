"""Preparing in a child: nothing is served before it is published, and every way to fail leaves all as it was."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import trio

from geodata.classes import ClassMap
from geodata.errors import GeoError
from steering.prepare import (
    MAP_LIFETIME,
    Failed,
    Prepared,
    PrepareError,
    Reply,
    compile_maps,
    load_places,
    prepare,
)
from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.zones.store import Store, ZoneTable
from tests.geodata.mmdb import write_networks
from tests.steering.running import DEADLINE, environment, eventually, list_processes, parent_of, web_settings, zone_text

NETWORKS = """
country_pools = { FR = ["sorry"] }

[[load_balancer]]
name = "ftp.example.com"
types = ["A"]
default_pools = ["site"]
fallback_pool = "sorry"
country_pools = { DE = ["sorry"], FR = ["sorry"] }

[[geo]]
type = "networks"
path = "own.csv"
"""
SERVER = '[server]\nlisten = ["127.0.0.1:53"]\nstate = "state"\n'
ZONE = '[[zone]]\nname = "example.com"\nfile = "com.zone"\n'
APEX = b"\7example\3com\0"


@pytest.fixture
def configured(tmp_path: Path) -> Settings:
    (tmp_path / "own.csv").write_text("network,country\n127.0.0.0/8,FR\n")
    (tmp_path / "com.zone").write_text(zone_text(1))
    return parse_settings(SERVER + web_settings(80, zones=ZONE, balancers=NETWORKS), tmp_path / "waypost.toml")


@pytest.fixture
def plain(tmp_path: Path) -> Settings:
    """Without any map."""
    (tmp_path / "com.zone").write_text(zone_text(1))
    return parse_settings(SERVER + web_settings(80, zones=ZONE), tmp_path / "waypost.toml")


def served(settings: Settings) -> dict[bytes, int]:
    """The serial of each zone that is served."""
    store = Store(Path(settings.server.state) / "zones")
    try:
        return {apex: zone.serial for apex, zone in ZoneTable(store).items()}
    finally:
        store.close()


class TestMaps:
    def test_one_for_each_split_of_the_world_and_none_twice(self, configured: Settings) -> None:
        first = compile_maps(configured)
        assert len({each.path for each in first}) == 2
        files = {each.path: Path(each.path).stat().st_ino for each in first}
        assert compile_maps(configured) == first
        assert {path: Path(path).stat().st_ino for path in files} == files
        [class_number] = {
            ClassMap.open(Path(each.path)).find4(0x7F000001)[0]
            for each in first
            if each.rules.matches[0].countries == ("FR",)
        }
        assert class_number == 1

    def test_no_rules_no_maps(self, plain: Settings, tmp_path: Path) -> None:
        assert compile_maps(plain) == ()
        assert not (tmp_path / "state").exists()

    def test_a_source_that_was_written_makes_new_ones(self, configured: Settings, tmp_path: Path) -> None:
        first = compile_maps(configured)
        own = tmp_path / "own.csv"
        own.write_text("network,country\n127.0.0.0/8,GB\n")
        os.utime(own, (1, 1))
        second = compile_maps(configured)
        assert {each.path for each in first}.isdisjoint(each.path for each in second)
        assert all(Path(each.path).exists() for each in first), "a worker may be about to open one"

    def test_a_database_of_as_numbers_does_not_replace_the_country_data(
        self, configured: Settings, tmp_path: Path
    ) -> None:
        write_networks(tmp_path / "asn.mmdb", {"8.8.8.0/24": {"autonomous_system_number": 15169}})
        asn = msgspec.structs.replace(configured.geo[0], type="maxmind", path=str(tmp_path / "asn.mmdb"))
        finding = load_places(msgspec.structs.replace(configured, geo=(*configured.geo, asn))).find("8.8.8.8")
        assert finding is not None
        assert (finding.place.country, finding.place.asn) == ("US", 15169)
        assert load_places(configured).find("8.8.8.8") is not None
        write_networks(tmp_path / "asn.mmdb", {"8.8.8.0/24": {"country": {"iso_code": "FR"}}})
        assert load_places(msgspec.structs.replace(configured, geo=(asn,))).find("9.9.9.9") is None

    def test_a_part_has_the_sources_of_the_whole(self, configured: Settings, tmp_path: Path) -> None:
        part = (32, 9 << 24, 8)
        path = tmp_path / "a.mmdb"
        database = msgspec.structs.replace(configured.geo[0], type="maxmind", path=str(path))
        settings = msgspec.structs.replace(configured, geo=(*configured.geo, database))
        write_networks(path, {"8.8.8.0/24": {"country": {"iso_code": "FR"}}})
        assert load_places(settings, part=part).find("9.9.9.9") is None, "it has countries, if none here"
        write_networks(path, {"9.9.9.0/24": {"autonomous_system_number": 19281}})
        finding = load_places(settings, part=part).find("9.9.9.9")
        assert finding == load_places(settings).find("9.9.9.9")
        assert finding is not None
        assert (finding.place.country, finding.place.asn) == ("US", 19281)
        assert load_places(settings, part=part).find("127.0.0.1") is None, "it is elsewhere"

    def test_those_that_nobody_needs_any_more_go(self, configured: Settings, tmp_path: Path) -> None:
        first = compile_maps(configured)
        (tmp_path / "own.csv").write_text("network,country\n127.0.0.0/8,GB\n127.0.0.1/32,FR\n")
        old = time.time() - MAP_LIFETIME - 60
        for each in first:
            os.utime(each.path, (old, old))
        second = compile_maps(configured)
        assert not any(Path(each.path).exists() for each in first)
        for each in second:
            os.utime(each.path, (old, old))
        assert all(Path(each.path).exists() for each in compile_maps(configured)), "what is in use is never old"

    def test_one_that_is_damaged_is_made_again(self, configured: Settings) -> None:
        for each in compile_maps(configured):
            Path(each.path).write_bytes(Path(each.path).read_bytes()[:100])
        for each in compile_maps(configured):
            ClassMap.open(Path(each.path))

    def test_a_bad_source_makes_none(self, configured: Settings, tmp_path: Path) -> None:
        (tmp_path / "own.csv").write_text("network,country\nnonsense,FR\n127.0.0.1/32,nonsense\n")
        with pytest.raises(GeoError) as caught:
            compile_maps(configured)
        assert [problem.split(": ")[0] for problem in caught.value.problems] == [
            f"{tmp_path}/own.csv:2",
            f"{tmp_path}/own.csv:3",
        ]
        assert not list((tmp_path / "state" / "maps").glob("*"))


class TestChild:
    async def test_nothing_is_served_before_it_is_published(self, configured: Settings) -> None:
        with trio.fail_after(DEADLINE):
            async with trio.open_nursery() as nursery:
                preparation = await prepare(configured, nursery)
                assert [(report.apex, report.serial) for report in preparation.prepared.zones] == [(APEX, 1)]
                assert len(preparation.prepared.maps) == 2
                assert served(configured) == {}
                await preparation.publish()
                assert served(configured) == {APEX: 1}
        assert children() == []

    async def test_a_changed_zone_waits_as_well(self, plain: Settings, tmp_path: Path) -> None:
        with trio.fail_after(DEADLINE):
            async with trio.open_nursery() as nursery:
                await (await prepare(plain, nursery)).publish()
                (tmp_path / "com.zone").write_text(zone_text(2, "new A 192.0.2.1"))
                preparation = await prepare(plain, nursery)
                assert served(plain) == {APEX: 1}
                await preparation.publish()
                assert served(plain) == {APEX: 2}

    async def test_bad_zones_are_told_with_their_lines(self, plain: Settings, tmp_path: Path) -> None:
        (tmp_path / "com.zone").write_text(zone_text(1, "a A nonsense\nb A 192.0.2.1\nc AAAA nonsense"))
        problems = await problems_of(plain)
        assert [problem.split(": ")[0] for problem in problems] == [
            f"{tmp_path}/com.zone:4",
            f"{tmp_path}/com.zone:6",
        ]

    async def test_bad_sources_and_bad_zones_are_told_together(self, configured: Settings, tmp_path: Path) -> None:
        (tmp_path / "com.zone").write_text("nonsense")
        (tmp_path / "own.csv").write_text("nonsense")
        told = "\n".join(await problems_of(configured))
        assert "com.zone" in told
        assert "own.csv" in told

    @pytest.mark.parametrize("name", ["zones", "maps"])
    async def test_a_state_that_cannot_be_written(self, configured: Settings, tmp_path: Path, name: str) -> None:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / name).write_text("")
        [problem] = await problems_of(configured)
        assert str(tmp_path / "state" / name) in problem

    async def test_a_store_that_is_none(self, plain: Settings, tmp_path: Path) -> None:
        (tmp_path / "state" / "zones").mkdir(parents=True)
        (tmp_path / "state" / "zones" / "data.mdb").write_bytes(b"garbage" * 10_000)
        [problem] = await problems_of(plain)
        assert str(tmp_path / "state" / "zones") in problem

    async def test_its_death_is_an_error_and_not_a_wait(self, plain: Settings) -> None:
        with trio.fail_after(DEADLINE):
            async with trio.open_nursery() as nursery:
                preparation = await prepare(plain, nursery)
                for process in children():
                    os.kill(process, signal.SIGKILL)
                eventually(lambda: not children(), "it does not die")
                with pytest.raises(PrepareError, match="ended: status -9"):
                    await preparation.publish()
        assert served(plain) == {}

    async def test_one_that_cannot_be_started_is_an_error(
        self, plain: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def run_child(*_: object, **_how: object) -> None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        monkeypatch.setattr("steering.prepare.run_child", run_child)
        assert await problems_of(plain) == (
            "the process that prepares zones and maps cannot be started: Resource temporarily unavailable",
        )

    async def test_it_goes_with_whoever_asked(self, plain: Settings) -> None:
        with trio.fail_after(DEADLINE):
            async with trio.open_nursery() as nursery:
                await prepare(plain, nursery)
                assert len(children()) == 1
                nursery.cancel_scope.cancel()
        assert children() == []

    def test_end_of_file_instead_of_the_word_publishes_nothing(self, plain: Settings) -> None:
        body = msgspec.msgpack.encode(plain)
        told = subprocess.run(
            [sys.executable, "-P", "-m", "steering.prepare"],
            input=len(body).to_bytes(4, "big") + body,
            capture_output=True,
            env=environment(),
            timeout=DEADLINE,
            check=True,
        )
        assert isinstance(msgspec.msgpack.decode(told.stdout[4:], type=Reply), Prepared)
        assert told.stderr == b""
        assert served(plain) == {}

    def test_what_it_says_on_its_output_is_frames_alone(self, plain: Settings, tmp_path: Path) -> None:
        (tmp_path / "com.zone").unlink()
        body = msgspec.msgpack.encode(plain)
        told = subprocess.run(
            [sys.executable, "-P", "-m", "steering.prepare"],
            input=len(body).to_bytes(4, "big") + body,
            capture_output=True,
            env=environment(),
            timeout=DEADLINE,
            check=True,
        )
        assert len(told.stdout) == 4 + int.from_bytes(told.stdout[:4], "big")
        assert isinstance(msgspec.msgpack.decode(told.stdout[4:], type=Reply), Failed)


async def problems_of(settings: Settings) -> tuple[str, ...]:
    """What a failing preparation says; nothing is served then, and no child is left."""
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            with pytest.raises(PrepareError) as caught:
                await prepare(settings, nursery)
    assert children() == []
    return caught.value.problems


def children() -> list[int]:
    """The processes that prepare for this one and that have not ended."""
    found = []
    for process, _, state in list_processes():
        try:
            command = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if parent_of(process) == os.getpid() and state != "Z" and b"steering.prepare" in command:
            found.append(process)
    return found
