import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest
import trio

from monitors.monitor import EVIDENCE_LENGTH, Reason, Result
from monitors.probes import exec as exec_module
from monitors.probes.exec import ExecMonitor
from tests.monitors.checking import check, open_files


def monitor(*command: str, timeout: float = 10, **fields: object) -> ExecMonitor:
    plain = ExecMonitor(name="m", interval=60, timeout=timeout, retries=0, command=command)
    return msgspec.structs.replace(plain, **fields)


async def run(script: str, patience: float = 10) -> Result:
    return await check(monitor("/bin/sh", "-c", script, timeout=patience), "192.0.2.1")


def is_alive(pid: int) -> bool:
    """A killed process that nobody has reaped is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def ends(pid: int) -> None:
    with trio.fail_after(10):
        while is_alive(pid):  # noqa: ASYNC110  # no event tells the end of a process that is nobody's child
            await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("script", "result"),
    [
        ("exit 0", Result(True, Reason.OK)),
        ("echo all is well; echo so it is >&2", Result(True, Reason.OK, "all is well so it is")),
        ("echo no; exit 2", Result(False, Reason.COMMAND_FAILED, "exit status 2: no")),
        ("exec no-such-program 2>&-", Result(False, Reason.COMMAND_FAILED, "exit status 127:")),
        ("printf '\\033[31m\\377'; exit 1", Result(False, Reason.COMMAND_FAILED, "exit status 1: \\x1b[31m\\xff")),
        ("kill -SEGV $$", Result(False, Reason.COMMAND_FAILED, "killed by SIGSEGV:")),
        ("read line || echo nothing to read", Result(True, Reason.OK, "nothing to read")),
    ],
)
async def test_how_it_ends(script: str, result: Result) -> None:
    assert await run(script) == result


async def test_placeholders_and_no_shell() -> None:
    command = ("/bin/echo", "$HOME;", "{address}", "[{source}]")
    assert (await check(monitor(*command), "192.0.2.1")).evidence == "$HOME; 192.0.2.1 []"
    result = await check(monitor(*command, source="192.0.2.9"), "2001:db8::1")
    assert result.evidence == "$HOME; 2001:db8::1 [192.0.2.9]"


async def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    missing = await check(monitor(str(tmp_path / "missing")), "192.0.2.1")
    assert (missing.up, missing.reason) == (False, Reason.CHECK_ERROR)
    assert missing.evidence.startswith("start of the command: FileNotFoundError")
    (tmp_path / "text").write_text("no program")
    denied = await check(monitor(str(tmp_path / "text")), "192.0.2.1")
    assert denied == Result(False, Reason.NOT_PERMITTED, "start of the command: Permission denied")


async def test_a_timeout_kills_the_command_and_its_children(tmp_path: Path) -> None:
    numbers = tmp_path / "numbers"
    script = (
        f"trap '' TERM; sleep 1000 & (sleep 1000 & echo $! >> {numbers}); echo $! $$ >> {numbers}; echo started; wait"
    )
    result = await run(script, patience=1)
    assert (result.up, result.reason) == (False, Reason.TIMEOUT)
    assert result.evidence == "end of the command, which said 'started\\n': nothing within 1 s"
    pids = [int(word) for word in numbers.read_text().split()]
    assert len(pids) == 3
    for pid in pids:
        await ends(pid)


async def test_children_that_would_outlive_the_command_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold its output open, which would never end."""
    monkeypatch.setattr(exec_module, "GRACE_SECONDS", 1000)
    number = tmp_path / "number"
    result = await run(f"sleep 1000 & echo $! > {number}; echo done")
    assert result == Result(True, Reason.OK, "done")
    await ends(int(number.read_text()))


async def test_a_child_that_leaves_the_group_does_not_hold_up_the_check(tmp_path: Path) -> None:
    number = tmp_path / "number"
    result = await run(
        f"setsid sh -c 'echo $$ > {number}.new; mv {number}.new {number}; sleep 1000' & "
        f"while [ ! -e {number} ]; do :; done; echo done"
    )
    assert result == Result(True, Reason.OK, "done")
    os.kill(int(number.read_text()), signal.SIGKILL)


async def test_it_leads_a_session_without_a_terminal() -> None:
    script = f"import os; print(os.getsid(0) == os.getpgid(0) == os.getpid() != {os.getsid(0)})"
    assert (await check(monitor(sys.executable, "-c", script), "192.0.2.1")).evidence == "True"


async def test_output_is_bounded() -> None:
    result = await run("yes", patience=60)
    assert (result.up, result.reason) == (False, Reason.BAD_REPLY)
    assert result.evidence.startswith("more than 1048576 bytes of output: y y y")
    assert len(result.evidence) <= EVIDENCE_LENGTH
    much = await run("head -c 1000000 /dev/zero")
    assert (much.up, much.reason) == (True, Reason.OK)


async def test_nothing_stays_open() -> None:
    await run("exit 0")
    before = open_files()
    for script, patience in (("exit 0", 10), ("sleep 1000", 0.2), ("yes", 10)):
        await run(script, patience)
    assert open_files() == before
