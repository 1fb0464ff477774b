"""One check as it is really made: by the scheduler, with the probe of its kind, against a real peer."""

import socket
from pathlib import Path

from monitors.monitor import Monitor, Result, Target
from monitors.scheduler import open_scheduler
from monitors.tools import traced


async def check(monitor: Monitor, address: str) -> Result:
    return await check_target(Target(monitor, address))


async def check_target(target: Target, name_server: int | None = None) -> Result:
    """`name_server` is the port of the one on 127.0.0.1 that looks up names."""
    results: list[Result] = []
    async with open_scheduler(lambda _, result: results.append(result)) as scheduler:
        if name_server is not None:
            scheduler.tools.resolver.nameservers = (("127.0.0.1", name_server),)
        scheduler.replace([target])
        assert await scheduler.wait_first_results([target], 10) == set()
    return results[0]


async def steps(monitor: Monitor, address: str) -> list[str]:
    """What a check of it is traced to do."""
    async with open_scheduler(lambda *_: None) as scheduler:
        with traced() as trace:
            await scheduler.try_out(Target(monitor, address))
    return [step for _, step in trace]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
            bound.bind(("::1", 0))
    except OSError:
        return False
    return True


def open_files() -> int:
    """How many file descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
