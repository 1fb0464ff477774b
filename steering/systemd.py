"""What systemd is told of a service, and asks of it: sd_notify(3) and sd_watchdog_enabled(3) without the library.

Messages are datagrams of `VARIABLE=value` lines to the socket that $NOTIFY_SOCKET names; `render` makes them. Nobody is
told, and nothing fails, where there is no systemd or it does not listen.
"""

import os
import socket
from collections.abc import MutableMapping

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """The systemd that has started this process, if one has."""

    def __init__(self, environment: MutableMapping[str, str], process: int) -> None:
        """Takes what is meant for `process` out of the environment: its children are not the service."""
        values = {name: environment.pop(name, "") for name in VARIABLES}
        self._address = parse_address(values["NOTIFY_SOCKET"])
        self.watchdog = parse_watchdog(values["WATCHDOG_USEC"], values["WATCHDOG_PID"], process)
        """Seconds within which a sign of life must follow another; None if none is asked for."""

    def tell(self, **variables: str | int) -> None:
        """Send a message."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(render(**variables), self._address)
        except OSError:
            pass  # systemd is restarting or gone: it asks nothing then, and this must not cost an answer


def render(**variables: str | int) -> bytes:
    """A message, of lines as `READY=1`; text is made one line."""
    return "".join(f"{name}={' '.join(str(value).split())}\n" for name, value in variables.items()).encode()


def parse_address(text: str) -> str | bytes | None:
    """The address of the socket: a path, or after @ the name of an abstract one; None for any other kind."""
    if text.startswith("@"):
        return b"\0" + os.fsencode(text[1:])
    return text if text.startswith("/") else None


def parse_watchdog(microseconds: str, owner: str, process: int) -> float | None:
    """The seconds of $WATCHDOG_USEC if it is meant for this process ($WATCHDOG_PID says so, or is not there)."""
    if not microseconds.isdecimal() or not int(microseconds) or owner not in ("", str(process)):
        return None
    return int(microseconds) / 1_000_000
