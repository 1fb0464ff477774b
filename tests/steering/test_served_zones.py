"""What control knows of its zones, from a process whose words are a test's."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from steering import secondaries
from steering import served_zones as room
from steering.messages import FromSecondaries, Members, Secondaries, SecondaryStatus, UpdateDone
from steering.served_zones import ServedZones
from steering.settings_file import parse_settings
from steering.zones.load import LoadReport
from tests.steering.support import name

SERVER = '[server]\nlisten = ["127.0.0.1:53"]\nstate = "state"\n[[zone]]\nname = "example.com"\n'
APEX = name("")
STATUS = SecondaryStatus(APEX, 7, expired=False, last_check=1.0, last_change=1.0, next_try=2.0, error="", expires=9.0)


class Process:
    """Of the zones; what it says is said by a test."""

    def __init__(self, _nursery: trio.Nursery, on_news: Callable[[FromSecondaries], None]) -> None:
        self.say = on_news

    def replace(self, _wanted: Secondaries) -> None:
        """It does nothing."""


@pytest.fixture
async def zones(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> ServedZones:
    monkeypatch.setattr(room, "SecondaryZones", Process)
    return ServedZones(nursery, lambda: None, lambda _: None)


def configure(zones: ServedZones, text: str, serial: int) -> None:
    """With this zone."""
    zones.replace(parse_settings(SERVER + text, Path("/etc/waypost.toml")), [LoadReport(APEX, serial, 3, 3)], ())


def say(zones: ServedZones, news: FromSecondaries) -> None:
    """As the process."""
    assert isinstance(zones._process, Process)
    zones._process.say(news)


async def test_what_is_said_late_of_a_zone_that_is_no_secondary_any_more_does_not_count(zones: ServedZones) -> None:
    configure(zones, 'primaries = ["192.0.2.53"]', 0)
    say(zones, STATUS)
    assert (zones.statuses()[0].next_try, zones.statuses()[0].expires) == (2.0, 9.0)
    configure(zones, 'nameservers = ["ns.example.net"]', 9)
    say(zones, STATUS)
    assert [(each.serial, each.next_try) for each in zones.statuses()] == [(9, None)]


async def test_a_member_of_a_catalog_has_a_status(zones: ServedZones) -> None:
    configure(zones, 'primaries = ["192.0.2.53"]', 0)
    say(zones, Members((msgspec.structs.replace(zones.all[0], name=name("sub")),)))
    say(zones, SecondaryStatus(name("sub"), 5, False, 1.0, 1.0, 2.0, ""))
    assert {each.name: each.serial for each in zones.statuses()} == {"example.com.": None, "sub.example.com.": 5}
    say(zones, Members(()))
    assert [each.name for each in zones.statuses()] == ["example.com."]


async def test_an_update_of_before_a_reload_that_is_told_late_is_no_serial(zones: ServedZones) -> None:
    configure(zones, 'nameservers = ["ns.example.net"]', 7)
    say(zones, UpdateDone(0, 1, 0, APEX, 8, ""))
    assert zones.statuses()[0].serial == 8
    configure(zones, 'nameservers = ["ns.example.net"]', 9)
    say(zones, UpdateDone(0, 1, 0, APEX, 8, ""))
    assert zones.statuses()[0].serial == 9


async def test_a_process_that_cannot_be_started_is_started_later(
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    times: list[float] = []

    async def run_child(*_: object, **_how: object) -> None:
        times.append(autojump_clock.current_time())
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(secondaries, "run_child", run_child)
    zones = ServedZones(nursery, lambda: None, lambda _: None)
    configure(zones, 'primaries = ["192.0.2.53"]', 0)
    await trio.sleep(2.5 * secondaries.RESTART_PAUSE)
    assert len(times) == 3
    assert "cannot be started (Resource temporarily unavailable)" in caplog.text
    nursery.cancel_scope.cancel()
