"""exec: a command of the operator's, up when it ends with exit status 0.

It runs without a shell, in a session and process group of its own, with nothing on its standard input, and with
the environment and the rights of waypost. Whatever the outcome, the whole group is killed at the end: by the time
that there is a Result, no child of the command runs any more, unless it has left the group.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Annotated, ClassVar

import trio
from msgspec import Meta

from monitors.monitor import Monitor, Reason, Result, Takes
from monitors.payload import REPLY_BYTES, show
from monitors.tools import Tools, waiting_for

MOST_BYTES = 1 << 20
"""Of output, after which the command is killed."""

GRACE_SECONDS = 1.0
"""How long a killed command, and the end of its output, are waited for: what the kernel does not let go, and a
child that has left the group with the pipe, must not hold up the check."""


class ExecMonitor(Monitor, frozen=True, kw_only=True, tag="exec"):
    """`command` is the program and its arguments, in which {address} and {source} stand for the address that is
    checked and the `source` of the monitor, empty if there is none."""

    takes: ClassVar[Takes] = Takes.PROCESS

    command: Annotated[tuple[str, ...], Meta(min_length=1)]

    def problems(self) -> Iterator[tuple[str, str]]:
        if not self.command[0]:
            yield "command", "the program has no name"
        if any("\0" in argument for argument in self.command):
            yield "command", "no argument can hold a zero byte"


async def probe(address: str, monitor: ExecMonitor, _tools: Tools) -> Result:
    """The evidence is the beginning of what the command writes, on standard output and standard error. OSError
    if it cannot be started."""
    replacements = {"{address}": address, "{source}": monitor.source or ""}
    command = []
    for argument in monitor.command:
        for placeholder, value in replacements.items():
            argument = argument.replace(placeholder, value)
        command.append(argument)
    waiting_for.set("start of the command")
    process = await trio.lowlevel.open_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    output = bytearray()
    try:
        flooded = await _read_until_exit(process, output)
    finally:
        waiting_for.set(f"end of the command, which said {show(bytes(output[:100]))!r}")
        with trio.CancelScope(shield=True):
            await _kill(process)
    said = show(bytes(output))
    if flooded:
        return Result(False, Reason.BAD_REPLY, f"more than {MOST_BYTES} bytes of output: {said}")
    if process.returncode == 0:
        return Result(True, Reason.OK, said)
    return Result(False, Reason.COMMAND_FAILED, f"{_ending(process.returncode)}: {said}")


async def _read_until_exit(process: trio.Process, output: bytearray) -> bool:
    """Collect the beginning of the output until the command ends; True if it writes too much instead.

    The command is not reaped, so that its number still stands for its group alone.
    """
    assert process.stdout is not None
    stdout = process.stdout
    received = 0

    async def read() -> None:
        nonlocal received
        while received <= MOST_BYTES and (data := await stdout.receive_some(65536)):
            received += len(data)
            output.extend(data[: REPLY_BYTES - len(output)])
        if received > MOST_BYTES:
            nursery.cancel_scope.cancel()

    exited = os.pidfd_open(process.pid)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.lowlevel.wait_readable(exited)
            # What the command wrote is in the pipe, which children may hold open: without them, it ends.
            _kill_group(process)
            nursery.cancel_scope.deadline = trio.current_time() + GRACE_SECONDS
    finally:
        os.close(exited)
    return received > MOST_BYTES


async def _kill(process: trio.Process) -> None:
    """End the command with its group, and reap it."""
    assert process.stdout is not None
    _kill_group(process)
    with trio.move_on_after(GRACE_SECONDS):
        await process.wait()
    await process.stdout.aclose()


def _kill_group(process: trio.Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _ending(status: int | None) -> str:
    """How a command ended, in words."""
    if status is None or status >= 0:
        return f"exit status {status}"
    known = {number.value: number.name for number in signal.Signals}
    return f"killed by {known.get(-status, f'signal {-status}')}"
