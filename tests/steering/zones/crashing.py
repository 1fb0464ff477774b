"""A program that publishes two zones again and again and says each step, until it is killed: `test_store.py` runs it.

Arguments: the directory of the store, the first serial.
"""

import itertools
import sys
from pathlib import Path

from steering.zones import store as store_module
from steering.zones.store import Store, Version, ZoneWriter

APEXES = (b"\7example\3com\0", b"\7example\3net\0")


def content(serial: int, place: int) -> dict[bytes, bytes]:
    """The nodes of a zone at a serial, nearly all of which differ from those of the serial before."""
    keys = [b"", *(b"%03d\0" % each for each in range(40 + (serial + place) % 10))]
    return dict.fromkeys(keys, b"\x00\x00%d %d" % (serial, place))


def main(directory: Path, serial: int) -> None:
    """Alternate between full loads and differences."""
    store_module.BATCH = 10  # type: ignore[misc] # many transactions for one load, so that a kill falls between them
    store = Store(directory, write=True)
    for number in itertools.count(serial):
        writer = ZoneWriter(store)
        writer.collect_garbage()
        say("collected", number)
        for place, apex in enumerate(APEXES):
            version = Version(number, bytes(22), 60, b"")
            new, old = content(number, place), content(number - 1, place)
            if number % 2 and apex in writer.served:
                writer.stage_difference(apex, version, {**dict.fromkeys(old), **new})
            else:
                writer.stage(apex, version, new.items())
            say("staged", number)
        writer.publish()
        say("published", number)


def say(step: str, number: int) -> None:
    """One line, at once."""
    sys.stdout.write(f"{step} {number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
