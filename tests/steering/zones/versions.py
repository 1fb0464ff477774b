"""Versions of a zone, every record of which says to which version it belongs; and two programs for the tests of faults.

    python -m tests.steering.zones.versions load DIRECTORY NAMES LOADS
    python -m tests.steering.zones.versions read DIRECTORY NAMES

`load` publishes one version after the other, alternately as a whole and as a difference, and says each step. `read`
looks at snapshots until its standard input ends, and stops with an error at the first in which versions are mixed.
"""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from steering.settings import Settings
from steering.settings_file import parse_settings
from steering.wire import SOA, TXT
from steering.zones import store as store_module
from steering.zones.load import ZonesError, stage_zones
from steering.zones.node import find_rrset, key_labels
from steering.zones.store import EXACT, MISSING, Store, StoreError, StoreReader, ZoneTable

APEX = b"\7example\3com\0"
PAUSE = 0.002
"""Seconds between two snapshots of `read`: it must not take the processor from what it watches."""


class Outcome(NamedTuple):
    """What came of killing loads."""

    kills: int
    served: int
    """The version that is served in the end."""
    snapshots: int
    """Snapshots that the reader looked at, in all of which there was one version."""


def has_name(number: int, version: int) -> bool:
    """Whether a version has the owner of this number: each version lacks some."""
    return (number + version) % 7 != 0


def write_version(directory: Path, names: int, version: int) -> Settings:
    """The zone file of a version, and the settings that load it."""
    owners = [f'n{number} TXT "{version}"\n' for number in range(names) if has_name(number, version)]
    head = f"$TTL 60\n@ SOA ns host {version} 1 1 1 1\n@ NS ns.example.net.\n"
    (directory / "example.com.zone").write_text(head + "".join(owners))
    text = '[server]\nlisten = ["127.0.0.1:53"]\nstate = "state"\n'
    text += '[[zone]]\nname = "example.com"\nfile = "example.com.zone"\n'
    return parse_settings(text, directory / "waypost.toml")


def store_of(directory: Path) -> Path:
    """Where the store is."""
    return directory / "state" / "zones"


def open_store(directory: Path) -> Store:
    """The store below a directory, for writing."""
    return Store(store_of(directory), write=True)


def load_versions(store: Store, names: int, loads: int, say: Callable[[str], None] = lambda _: None) -> None:
    """Publish so many versions after the one that is served; raises StoreError."""
    store_module.BATCH = max(names // 20, 1)  # type: ignore[misc] # kills are to fall between transactions
    zones = ZoneTable(store)
    version = zones[APEX].serial if zones else 0
    for _ in range(loads):
        version += 1
        store_module.DIFFERENCE_LIMIT = version % 2 * 10 * names  # type: ignore[misc] # every other load is whole
        settings = write_version(store.directory.parent.parent, names, version)
        say("written")
        publish = stage_zones(settings, store, 0)
        say("staged")
        publish()
        say("published")


def check_snapshot(reader: StoreReader, names: int, dice: random.Random) -> int:
    """The version of the newest snapshot; AssertionError if anything in it is of another."""
    reader.begin()
    try:
        zone = reader.zones[APEX]
        version = zone.serial
        nodes = dict(reader.walk(zone))
        soa = find_rrset(nodes.pop(b""), SOA)
        assert soa is not None
        assert int.from_bytes(soa[2][-20:-16], "big") == version
        expected = {b"n%d\0" % number for number in range(names) if has_name(number, version)}
        assert nodes.keys() == expected
        assert {text_of(node) for node in nodes.values()} == {b"%d" % version}
        for number in dice.sample(range(names), 20):
            label = b"n%d" % number
            found = reader.find(zone, key_labels(bytes((len(label),)) + label + APEX, APEX))
            assert found.kind == (EXACT if has_name(number, version) else MISSING)
            assert found.kind == MISSING or text_of(found.value) == b"%d" % version
        return version
    finally:
        reader.end()


def check_garbage(store: Store, names: int, version: int) -> None:
    """AssertionError if the store holds anything but this version."""
    with store.environment.begin() as transaction:
        assert transaction.stat(store.garbage)["entries"] == 0
        assert transaction.stat(store.nodes)["entries"] == 1 + sum(has_name(each, version) for each in range(names))


def text_of(node: bytes) -> bytes:
    """The text of the TXT record of a node."""
    rrset = find_rrset(node, TXT)
    assert rrset is not None
    return rrset[2][13:]


def watch_versions(directory: Path, names: int) -> int:
    """Look at snapshots until standard input ends; how many there were."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    reader = StoreReader(Store(store_of(directory)))
    dice = random.Random(1)
    snapshots = newest = 0
    while not ended.wait(PAUSE):
        version = check_snapshot(reader, names, dice)
        assert version >= newest, "versions do not go back"
        newest = version
        snapshots += 1
    return snapshots


def start(role: str, *arguments: object) -> "subprocess.Popen[str]":
    """One of the two programs."""
    command = [sys.executable, "-m", __name__, role, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def kill_loads(directory: Path, names: int, kills: int, seed: int) -> Outcome:
    """Kill loads at random moments under the eyes of a reader; AssertionError if that sees anything wrong."""
    dice = random.Random(seed)
    began = time.monotonic()
    load_versions(open_store(directory), names, 2)
    length = time.monotonic() - began
    with start("read", directory, names) as reader:
        for _ in range(kills):
            with start("load", directory, names, 1_000_000) as loader:
                assert loader.stdout is not None
                loader.stdout.readline()
                time.sleep(dice.uniform(0, length))
                loader.send_signal(signal.SIGKILL)
            assert loader.returncode == -signal.SIGKILL, "it did not end by itself"
        with start("load", directory, names, 1) as loader:
            said, complaint = loader.communicate()
            assert loader.returncode == 0, f"the next start needs no repair: {said} {complaint}"
        said, complaint = reader.communicate()
        assert reader.returncode == 0, f"every snapshot is of one version: {complaint}"
    store = Store(store_of(directory))
    served = check_snapshot(StoreReader(store), names, dice)
    check_garbage(store, names, served)
    store.close()
    return Outcome(kills, served, int(said))


def main(role: str, directory: Path, names: int, loads: int = 0) -> str | int:
    def say(word: object) -> None:
        sys.stdout.write(f"{word}\n")
        sys.stdout.flush()

    if role == "read":
        say(watch_versions(directory, names))
        return 0
    try:
        load_versions(open_store(directory), names, loads, say)
    except (StoreError, ZonesError) as error:
        return str(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])))
