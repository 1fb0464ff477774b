"""What is checked, and what a check found: Monitor, Target, Reason, Result.

Rules for this file: values only. No clock, no socket, no logging. A kind of check is a subclass of Monitor
beside its probe in `monitors/probes/`; nothing here knows the kinds.

The text in a Result comes from the network and is hostile: it becomes one line of printable characters of
bounded length when the Result is made, so nobody behind it (log, status page, terminal) has to think of that
again.
"""

import enum
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

import msgspec

from monitors.address import Address, join_endpoint

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]

EVIDENCE_LENGTH = 200
"""The longest `Result.evidence`, in characters."""


class Takes(enum.Enum):
    """What a running check takes of the machine: of files and processes there are only so many."""

    NOTHING = enum.auto()
    FILE = enum.auto()
    PROCESS = enum.auto()


class Monitor(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """How to check an address: the part that all kinds share. A kind subclasses it with `tag=` its type name.

    `interval` may be as short as 1 s; products that sell checks start at 10 s. `timeout` is per attempt and
    must not exceed `interval` (the settings check that, as it takes two fields). A timeout, and nothing else,
    is tried again at once up to `retries` times. `consecutive_up` and `consecutive_down` are the results in a
    row that a flip needs; 0 and 1 both mean at once. An address that flips more than `damping_flips` times within
    `damping_window` seconds counts as down until it has not flipped for as long; 0: never. Checks come from `source`,
    an address of this machine; an address of the other family is checked from where the system chooses, as without
    `source`. Of a host name that has several addresses, `addresses` says how many must pass (host.py).
    """

    takes: ClassVar[Takes] = Takes.FILE

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+\Z", max_length=255)]
    interval: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 60.0
    timeout: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 5.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=5)] = 2
    consecutive_up: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    consecutive_down: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    damping_flips: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    damping_window: Annotated[float, msgspec.Meta(ge=10, le=86400)] = 600.0
    source: Address | None = None
    addresses: Literal["any", "all"] = "any"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Fields that contradict each other, as (field, what is wrong): what a kind asks of its fields together."""
        yield from ()

    def towards(self, target: "Target") -> Self:
        """This monitor with what the target has of its own, where the kind has such a field: here, the port."""
        if target.port is None or not hasattr(self, "port"):
            return self
        return msgspec.structs.replace(self, port=target.port)


class Target(msgspec.Struct, frozen=True):
    """One monitor applied to one address, an IP literal in canonical form or a host name: the unit that is scheduled
    and reported. `port` and `host` (that of the Host header) take the place of those of the monitor."""

    monitor: Monitor
    address: str
    port: int | None = None
    host: str | None = None

    @property
    def endpoint(self) -> str:
        """The address, with port and host if there are such: unique among the targets of the monitor."""
        return join_endpoint(self.address, self.port, self.host)

    @property
    def key(self) -> tuple[str, str]:
        """(monitor name, endpoint)"""
        return self.monitor.name, self.endpoint


class Reason(enum.StrEnum):
    """Why a check ended as it did: the whole list. Particulars are in `Result.evidence`."""

    OK = "ok"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    RESET = "reset"
    CLOSED_EARLY = "closed early"
    NO_ROUTE = "no route"
    NETWORK_UNREACHABLE = "network unreachable"
    HOST_UNREACHABLE = "host unreachable"
    PORT_UNREACHABLE = "port unreachable"
    PROHIBITED = "administratively prohibited"
    NOT_PERMITTED = "not permitted"
    TLS_UNTRUSTED = "TLS untrusted"
    TLS_EXPIRED = "TLS certificate expired"
    TLS_NAME_MISMATCH = "TLS name mismatch"
    TLS_PROTOCOL = "TLS protocol"
    TLS_HANDSHAKE = "TLS handshake"
    TLS_NOT_OFFERED = "TLS not offered"
    BAD_REPLY = "bad reply"
    CODE_MISMATCH = "response code mismatch"
    BODY_MISMATCH = "response body mismatch"
    REPLY_MISMATCH = "reply mismatch"
    ANSWER_MISMATCH = "answer mismatch"
    PACKETS_LOST = "packets lost"
    COMMAND_FAILED = "command failed"
    NAME_UNKNOWN = "name unknown"
    REPORTED_DOWN = "reported down"
    TOO_OLD = "too old"
    CHECK_ERROR = "error in the check itself"


class Result(msgspec.Struct, frozen=True):
    """What one check found. `rtt` in seconds, where the kind of check has a round trip; `evidence` and `warning`
    are made safe.

    Of a host name, `addresses` are those that passed and `failed` those that did not, both empty if there was no
    look-up; the addresses may be others when `addresses_ttl` seconds have passed. They are () and None for an IP
    literal.

    `warning` is what does not make the address down yet, and will. `certificate_expires` (Unix seconds) is the
    end of the server's certificate, where one was verified.
    """

    up: bool
    reason: Reason
    evidence: str = ""
    rtt: float | None = None
    warning: str = ""
    certificate_expires: float | None = None
    addresses: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    addresses_ttl: float | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "evidence", one_line(self.evidence))
        msgspec.structs.force_setattr(self, "warning", one_line(self.warning))


def one_line(text: str, length: int = EVIDENCE_LENGTH) -> str:
    """`text` as one printable line of at most `length` characters; what a terminal could obey is shown as an
    escape."""
    if len(text) <= length and text.isprintable() and "  " not in text and text == text.strip():
        return text
    head = " ".join(text[: length + 1].split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in head)
    return line if len(line) <= length and len(text) <= length else line[: length - 1] + "…"
