import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import trio
import trio.lowlevel

from monitors.notify import AnyNotifier
from monitors.notify.event import Message, label
from monitors.notify.notifications import open_notifications
from monitors.notify.notifier import DeliveryError
from monitors.tools import Tools, open_tools
from tests.monitors.notify.sample import email, event, webhook


class Receiver:
    """Takes messages by the name of their notifier; those in `broken` fail, those in `stuck` hang."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.broken: set[str] = set()
        self.stuck: set[str] = set()

    async def __call__(self, notifier: AnyNotifier, message: Message, _tools: Tools) -> None:
        if notifier.name in self.stuck:
            await trio.sleep_forever()
        if notifier.name in self.broken:
            raise DeliveryError("no")
        self.told += [(notifier.name, label(item), item.origin) for item in message.events]


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - what it waits for is on a disk, or inside
            await trio.sleep(0.002)


async def test_everybody_is_told_what_concerns_them_and_a_stuck_one_holds_up_nobody(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.stuck.add("stuck")
    async with open_tools() as tools, open_notifications(tmp_path, tools, receiver) as notifications:
        notifications.replace(
            [
                webhook(name="stuck", group_for=0.0),
                webhook(name="all", group_for=0.0),
                email(name="web", group_for=0.0, pools=("web",)),
            ]
        )
        notifications.tell(event(origin="a"))
        notifications.tell(event(origin="b", pool="web"))
        await until(lambda: len(receiver.told) == 3)
        await until(lambda: notifications.statistics()["stuck"].waiting > 0)
        statistics = notifications.statistics()
        assert (statistics["stuck"].delivered, statistics["web"].delivered) == (0, 1)
    assert sorted(receiver.told) == [("all", "down", "a"), ("all", "down", "b"), ("web", "down", "b")]


async def test_what_is_changed_goes_on_with_what_its_name_has_kept(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.broken.add("ops")
    async with open_tools() as tools, open_notifications(tmp_path, tools, receiver) as notifications:
        notifications.replace([webhook(group_for=0.0), webhook(name="same", group_for=0.0)])
        notifications.tell(event(origin="failed"))
        await until(lambda: notifications.statistics()["ops"].failed == 1)
        await until(lambda: notifications.statistics()["same"].delivered == 1)
        receiver.broken.clear()
        notifications.replace([email(group_for=0.0), webhook(name="same", group_for=0.0)])
        notifications.tell(event("up", "failed"))
        await until(lambda: len(receiver.told) == 4)
        assert notifications.statistics()["same"].delivered == 2
        notifications.replace([])
        notifications.tell(event(origin="nobody"))
        assert notifications.statistics() == {}
    assert [told[1:] for told in receiver.told if told[0] == "ops"] == [("down", "failed"), ("up", "failed")]


async def test_replacing_again_and_again_loses_nothing(tmp_path: Path) -> None:
    receiver = Receiver()
    async with open_tools() as tools, open_notifications(tmp_path, tools, receiver) as notifications:
        for number in range(20):
            notifications.replace([webhook(group_for=0.0, timeout=5.0 + number)])
            notifications.tell(event(origin=f"o{number}"))
            if number % 3 == 0:
                await trio.lowlevel.checkpoint()
        await until(lambda: len({origin for _, _, origin in receiver.told}) == 20)


CHILD = """
import sys
from pathlib import Path
import trio
from monitors.notify.notifications import open_notifications
from monitors.tools import open_tools
from tests.monitors.notify.sample import event, webhook

async def main(directory):
    port = sys.argv[2]
    hook = f"http://127.0.0.1:{port}/"
    async with open_tools() as tools, open_notifications(directory, tools) as notifications:
        notifications.replace([
            webhook(name="failing", url=hook, group_for=0.0),
            webhook(name="grouping", url=hook, group_for=3600.0),
        ])
        notifications.tell(event(origin="a"))
        while not list(directory.glob("failing/0*.json")):
            await trio.sleep(0.01)
        notifications.tell(event(origin="b"))
        while len(list(directory.glob("failing/0*.json"))) < 2:
            await trio.sleep(0.01)
        while b'"b"' not in (directory / "grouping" / "grouping.json").read_bytes():
            await trio.sleep(0.01)
        print("kept", flush=True)
        await trio.sleep_forever()

trio.run(main, Path(sys.argv[1]))
"""


def run_child_and_kill_it(directory: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, directory, str(unused.getsockname()[1])],
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as child:
            assert child.stdout
            assert child.stdout.readline() == b"kept\n"
            child.send_signal(signal.SIGKILL)


async def test_kill_9_loses_neither_messages_nor_what_was_still_being_grouped(tmp_path: Path) -> None:
    await trio.to_thread.run_sync(run_child_and_kill_it, tmp_path)
    receiver = Receiver()
    async with open_tools() as tools, open_notifications(tmp_path, tools, receiver) as notifications:
        notifications.replace([webhook(name="failing", group_for=0.0), webhook(name="grouping", group_for=0.0)])
        await until(lambda: len(receiver.told) == 4)
    assert sorted(receiver.told) == [(name, "down", origin) for name in ("failing", "grouping") for origin in "ab"]
