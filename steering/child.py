"""TRIO: the children of control: processes that run a module of ours, for what must not delay a probe."""

import os
import sys
from pathlib import Path
from typing import Any

import trio

import geodata


async def run_child(module: str, *arguments: str, task_status: trio.TaskStatus[trio.Process], **options: Any) -> None:
    """Run a module in a process until that ends, however it ends; `options` are those of trio.run_process.

    It imports what this process does, wherever that was started and found.
    """
    paths = filter(None, (str(Path(geodata.__file__).parent.parent), os.environ.get("PYTHONPATH")))
    await trio.run_process(
        [sys.executable, "-P", "-m", module, *arguments],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        task_status=task_status,
        **options,
    )
