"""TRIO: one attempt at a check: whatever becomes of it is a Result."""

from collections.abc import Awaitable, Callable

from monitors.failure import explain
from monitors.monitor import Reason, Result
from monitors.patience import wait_at_most
from monitors.tools import waiting_for


async def attempt(check: Callable[[], Awaitable[Result]], seconds: float) -> Result:
    """What `check` returns, or the failure that its exception, or `seconds` without an end, stands for."""
    waiting_for.set("")
    try:
        with wait_at_most(seconds):
            return await check()
    except Exception as error:
        return explain(error, waiting_for.get())
    step, nothing = waiting_for.get(), f"nothing within {seconds:.4g} s"
    return Result(False, Reason.TIMEOUT, f"{step}: {nothing}" if step else nothing)
