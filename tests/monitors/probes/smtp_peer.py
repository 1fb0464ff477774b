"""Run as a program: a real SMTP server (aiosmtpd) in a process of its own.

    python -m tests.monitors.probes.smtp_peer PORT

Prints the port that it listens on, which for PORT 0 is a free one, and serves until its standard input ends.
"""

import asyncio
import sys

from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Sink()), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201  # its one output
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
