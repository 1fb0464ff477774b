"""The writer of answers into other servers, with a server that is a table."""
# ruff: noqa: ARG001, ARG002 - pytest-trio finds the clock among the arguments of a test

import errno
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from steering.balance.pools import Health, Verdict
from steering.beside import AnyUpdate, Keys
from steering.beside import updater as room
from steering.beside.update import Change, Rdatas, UpdateError
from steering.beside.updater import Answer, Updater, find_answers
from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.wire import TXT, A
from tests.steering.support import name

SETTINGS = """
[server]
state = "state"
[[monitor]]
name = "web"
type = "tcp"
port = 80
[[pool]]
name = "one"
monitor = "web"
origin = [{ name = "a", address = "192.0.2.1" }, { name = "b", address = "192.0.2.2" }]
[[pool]]
name = "two"
monitor = "web"
origin = [{ name = "a", address = "192.0.2.3", records = { TXT = '"two"' } }]
[[load_balancer]]
name = "www.example.com"
types = ["A"]
ttl = 20
default_pools = ["one", "two"]
fallback_pool = "two"
country_pools = { FR = ["two"] }
[[load_balancer]]
name = "mail.example.com"
types = ["A", "TXT"]
default_pools = ["two"]
fallback_pool = "two"
[[update]]
type = "dns_update"
zone = "example.com"
server = "192.0.2.53"
"""
WWW, MAIL, TEXT = (name("www"), A), (name("mail"), A), (name("mail"), TXT)
FIRST, SECOND, THIRD, OTHER = (bytes((192, 0, 2, each)) for each in (1, 2, 3, 99))
DOWN = Verdict(False, 5.0)


def read(more: str = "") -> Settings:
    return parse_settings(SETTINGS + more, Path("/etc/waypost.toml"))


def both_down() -> dict[tuple[str, str], Verdict]:
    return {("one", "a"): DOWN, ("one", "b"): DOWN}


async def run_here(function: Callable[..., object], *arguments: object) -> object:
    """As trio.to_thread does, where the clock can see it."""
    await trio.lowlevel.checkpoint()
    return function(*arguments)


class Server:
    """A zone at another server; what fails, and what else happens during a write, is set by a test."""

    def __init__(self) -> None:
        self.there: dict[tuple[bytes, int], Rdatas] = {}
        self.messages: list[Sequence[Change]] = []
        self.problem = ""
        self.loses_replies = False

    async def read(self, owner: bytes, rrtype: int) -> Rdatas:
        await trio.lowlevel.checkpoint()
        if self.problem:
            raise UpdateError(self.problem)
        return self.there.get((owner, rrtype), ())

    async def write(self, changes: Sequence[Change]) -> bool:
        await trio.lowlevel.checkpoint()
        if self.problem:
            raise UpdateError(self.problem)
        if any(self.there.get((each.owner, each.rrtype), ()) != each.before for each in changes):
            return False
        self.messages.append(changes)
        self.there |= {(each.owner, each.rrtype): each.after for each in changes}
        if self.loses_replies:
            raise UpdateError("no reply")
        return True


class Stage:
    """An Updater that runs, and its server."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.folder, self.nursery = folder, nursery
        self.server = Server()
        self.health: Health = {}
        self.start()

    def start(self) -> None:
        self.scope = trio.CancelScope()
        self.updater = Updater(self.folder, lambda: self.health)

        async def run() -> None:
            with self.scope:
                await self.updater.run()

        self.nursery.start_soon(run)

    async def replace(self, settings: Settings) -> None:
        self.updater.replace(settings)
        await trio.sleep(10)

    async def change(self, health: Health) -> None:
        self.health = health
        self.updater.mark_changed()
        await trio.sleep(10)

    async def restart(self, settings: Settings) -> None:
        """As after kill -9."""
        self.scope.cancel()
        self.start()
        await self.replace(settings)


@pytest.fixture
async def stage(tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(trio.to_thread, "run_sync", run_here)
    made = Stage(tmp_path, nursery)

    def open_target(_update: AnyUpdate, _keys: Keys) -> Server:
        return made.server

    monkeypatch.setattr(room, "open_target", open_target)
    return made


def test_what_is_written_is_what_may_be_answered_by_default() -> None:
    settings = read()
    (update,) = settings.updates
    assert find_answers(update, settings, {}) == {
        WWW: Answer(20, (FIRST, SECOND)),
        MAIL: Answer(30, (THIRD,)),
        TEXT: Answer(30, (b"\3two",)),
    }
    assert find_answers(update, settings, both_down())[WWW] == Answer(20, (THIRD,))
    (few,) = read('names = ["www.example.com"]').updates
    assert list(find_answers(few, settings, {})) == [WWW]


async def test_all_changes_go_in_one_message_and_nothing_goes_twice(stage: Stage, autojump_clock: MockClock) -> None:
    await stage.replace(read())
    ((first, second, third),) = stage.server.messages
    assert {(each.owner, each.rrtype) for each in (first, second, third)} == {WWW, MAIL, TEXT}
    assert first.before == ()
    await stage.change({("one", "a"): Verdict(True, 1.0)})
    assert len(stage.server.messages) == 1
    await stage.change(both_down())
    assert [list(each) for each in stage.server.messages[1:]] == [[Change(*WWW, 20, (FIRST, SECOND), (THIRD,))]]


async def test_many_flips_in_a_moment_are_one_write(stage: Stage, autojump_clock: MockClock) -> None:
    await stage.replace(read())
    for each in (both_down(), {}, both_down()):
        stage.health = each
        stage.updater.mark_changed()
        await trio.testing.wait_all_tasks_blocked()
    await trio.sleep(10)
    assert len(stage.server.messages) == 2


async def test_what_is_there_already_is_not_written(stage: Stage, autojump_clock: MockClock) -> None:
    stage.server.there = {WWW: (FIRST, SECOND), MAIL: (THIRD,), TEXT: (b"\3two",)}
    await stage.replace(read())
    assert stage.server.messages == []


async def test_a_restart_knows_what_was_written(stage: Stage, autojump_clock: MockClock) -> None:
    await stage.replace(read())
    stage.server.there[WWW] = (OTHER,)
    await stage.restart(read())
    assert len(stage.server.messages) == 1  # nothing of ours has changed
    stage.health = both_down()
    await stage.restart(read())
    assert stage.server.there[WWW] == (OTHER,)
    assert stage.updater.status()[0].conflicts == 1


async def test_a_lost_reply_is_no_conflict(stage: Stage, autojump_clock: MockClock) -> None:
    await stage.replace(read())
    stage.server.loses_replies = True
    stage.updater.mark_changed()
    stage.health = both_down()
    await trio.sleep(1.2)
    assert stage.server.there[WWW] == (THIRD,)
    stage.server.loses_replies = False
    await stage.change({})  # the answer is another one meanwhile
    assert stage.server.there[WWW] == (FIRST, SECOND)
    assert stage.updater.status()[0].conflicts == 0


async def test_a_kill_between_writing_and_noting_it_is_no_conflict(stage: Stage, autojump_clock: MockClock) -> None:
    await stage.replace(read())
    stage.server.loses_replies = True
    stage.health = both_down()
    stage.updater.mark_changed()
    await trio.sleep(1.2)
    stage.server.loses_replies = False
    stage.health = {}
    await stage.restart(read())
    assert stage.server.there[WWW] == (FIRST, SECOND)
    assert stage.updater.status()[0].conflicts == 0


@pytest.mark.parametrize("on_conflict", ["adopt", "stop"])
async def test_what_somebody_else_writes_stays(
    stage: Stage, autojump_clock: MockClock, on_conflict: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = read(f'on_conflict = "{on_conflict}"')
    await stage.replace(settings)
    stage.server.there[WWW] = (OTHER,)
    await stage.change({("two", "a"): DOWN} | both_down())
    assert stage.server.there[WWW] == (OTHER,)
    assert (
        "somebody else has written www.example.com. A 192.0.2.99, where there was 192.0.2.1, 192.0.2.2" in caplog.text
    )
    await stage.change({})
    expected = (FIRST, SECOND) if on_conflict == "adopt" else (OTHER,)
    assert stage.server.there[WWW] == expected
    await stage.replace(settings)
    assert stage.server.there[WWW] == (FIRST, SECOND)
    assert stage.updater.status()[0].conflicts == 1


async def test_a_conflict_of_one_name_does_not_hold_up_the_others(stage: Stage, autojump_clock: MockClock) -> None:
    await stage.replace(read())
    stage.server.there[WWW] = (OTHER,)
    settings = read()
    other = msgspec.structs.replace(settings.load_balancers[1], default_pools=("one",), types=(A,))
    stage.health = both_down()
    await stage.replace(msgspec.structs.replace(settings, load_balancers=(settings.load_balancers[0], other)))
    assert stage.server.there[WWW] == (OTHER,)
    stage.health = {}
    stage.updater.mark_changed()
    await trio.sleep(10)
    assert stage.server.there[MAIL] == (FIRST, SECOND)
    assert stage.server.there[WWW] == (FIRST, SECOND)
    assert stage.updater.status()[0].conflicts == 1


async def test_a_server_that_contradicts_itself_is_asked_later(stage: Stage, autojump_clock: MockClock) -> None:
    async def refuse(changes: Sequence[Change]) -> bool:
        await trio.lowlevel.checkpoint()
        stage.server.messages.append(changes)
        return False

    stage.server.write = refuse  # type: ignore[method-assign] # what this server is about
    await stage.replace(read())
    assert len(stage.server.messages) < 20
    assert "something else is there" in stage.updater.status()[0].problem


async def test_failures_are_logged_once_and_tried_again_later_and_later(
    stage: Stage, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stage.server.problem = "to an update it says REFUSED"
    await stage.replace(read())
    await trio.sleep(300)
    assert (
        caplog.text.count("cannot update example.com. at 192.0.2.53:53; trying again: to an update it says REFUSED")
        == 1
    )
    assert stage.updater.status()[0].problem == stage.server.problem
    stage.server.problem = ""
    await trio.sleep(61)
    assert stage.server.there[WWW] == (FIRST, SECOND)
    assert "example.com. at 192.0.2.53:53 is up to date again" in caplog.text
    assert stage.updater.status()[0].problem == ""


async def test_without_a_place_for_what_it_knows_nothing_is_written(stage: Stage, autojump_clock: MockClock) -> None:
    (stage.folder / ".updates.msgpack.new").mkdir()
    await stage.replace(read())
    assert stage.server.messages == []
    assert "updates.msgpack: Is a directory" in stage.updater.status()[0].problem


class TestThreads:
    """They go on when what waits for them is cancelled."""

    def replace_threads(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Threads that take a second, with what they were given; how many there were at a time for each write."""
        writing: list[int] = []
        running = 0

        async def run_slowly(function: Callable[..., object], *arguments: object) -> object:
            nonlocal running
            is_write = function is room._write_state
            running += is_write
            writing.append(running)
            given = repr(arguments)
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            assert repr(arguments) == given
            running -= is_write
            return function(*arguments)

        monkeypatch.setattr(trio.to_thread, "run_sync", run_slowly)
        return writing

    @pytest.mark.parametrize("moment", range(8))
    async def test_a_reload_without_an_update_may_come_at_any_moment(
        self, stage: Stage, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, moment: int
    ) -> None:
        self.replace_threads(monkeypatch)
        settings = read()
        stage.updater.replace(settings)
        await trio.sleep(moment + 0.5)
        await stage.replace(msgspec.structs.replace(settings, updates=()))
        assert stage.updater.status() == ()
        await stage.replace(settings)
        assert stage.server.there[WWW] == (FIRST, SECOND)

    async def test_two_zones_do_not_write_what_is_known_at_once(
        self, stage: Stage, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writing = self.replace_threads(monkeypatch)
        settings = read()
        (update,) = settings.updates
        other = msgspec.structs.replace(update, names=(name("mail"),), zone=name("mail"))
        await stage.replace(
            msgspec.structs.replace(settings, updates=(msgspec.structs.replace(update, names=(name("www"),)), other))
        )
        await stage.change(both_down())
        assert stage.server.there == {WWW: (THIRD,), MAIL: (THIRD,), TEXT: (b"\3two",)}
        assert max(writing) == 1


async def test_a_full_disk_is_told_once_and_nothing_is_written_that_could_not_be_kept(
    stage: Stage, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, content: bytes, *, durable: bool = False) -> None:
        assert durable
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    await stage.replace(read())
    with monkeypatch.context() as full:
        full.setattr(room, "replace_file", fail)
        await stage.change(both_down())
        await trio.sleep(300)
    assert stage.server.there[WWW] == (FIRST, SECOND)
    assert caplog.text.count("updates.msgpack: No space left on device") == 1
    assert "No space left on device" in stage.updater.status()[0].problem
    await trio.sleep(61)
    assert stage.server.there[WWW] == (THIRD,)
    assert (stage.updater.status()[0].problem, stage.updater.status()[0].conflicts) == ("", 0)
    stage.server.there[WWW] = (OTHER,)
    stage.health = {}
    await stage.restart(read())
    assert stage.server.there[WWW] == (OTHER,), "what it had written is known"


async def test_a_broken_memory_means_to_look(
    stage: Stage, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    (stage.folder / "updates.msgpack").write_bytes(b"\xc1")
    stage.server.there[WWW] = (OTHER,)
    await stage.replace(read())
    assert stage.server.there[WWW] == (FIRST, SECOND)
    assert "looking at what is there" in caplog.text


FLIPS = st.lists(st.sampled_from(["one", "two", "all", "none", "lose", "restart"]), max_size=12)


@given(FLIPS)
def test_whatever_happens_the_answer_arrives_when_nobody_else_writes(
    tmp_path_factory: pytest.TempPathFactory, flips: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("flips")
    states: dict[str, Health] = {
        "one": both_down(),
        "two": {("two", "a"): DOWN},
        "all": both_down() | {("two", "a"): DOWN},
        "none": {},
    }

    async def play() -> tuple[Server, Health]:
        async with trio.open_nursery() as nursery:
            stage = Stage(folder, nursery)
            patched.server = stage.server
            await stage.replace(read())
            for flip in flips:
                if flip in states:
                    stage.health = states[flip]
                    stage.updater.mark_changed()
                    await trio.sleep(1.5)
                elif flip == "lose":
                    stage.server.loses_replies = not stage.server.loses_replies
                else:
                    await stage.restart(read())
            stage.server.loses_replies = False
            await stage.change(stage.health)
            await trio.sleep(120)
            assert stage.updater.status()[0].conflicts == 0
            nursery.cancel_scope.cancel()
        return stage.server, stage.health

    with Patched() as patched:
        server, health = trio.run(play, clock=trio.testing.MockClock(autojump_threshold=0))
    settings = read()
    wanted = find_answers(settings.updates[0], settings, health)
    assert server.there == {place: answer.rdatas for place, answer in wanted.items()}


class Patched:
    """The server that every update goes to."""

    server: Server

    def __enter__(self) -> Self:
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(trio.to_thread, "run_sync", run_here)
        self._patch.setattr(room, "open_target", lambda _update, _keys: self.server)
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()
