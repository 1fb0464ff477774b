"""Files that are there whole or not at all, whenever the process or the machine dies."""

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes, *, durable: bool = False, mode: int = 0o600) -> None:
    """Write a file and put it in the place of the one before; raises OSError, and then that is still there.

    `durable`: it is on the disk, and not only with the system, when this returns.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.touch(mode=0o600)
        with temporary.open("wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):  # what there is of it takes room on a disk that may be full
            temporary.unlink()
        raise
