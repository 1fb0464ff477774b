"""Response rate limiting: how many like answers a network gets in a second, so that nobody is flooded through us.

Answers count together when they go to the same network (a /24, a /56) and are of the same kind. A kind is the
place in the zones that an answer comes from, so that names made up at random count as one:
    NODE + name of the node     answers and NODATA, of any type; of a wildcard its own name (*.example.com), of
                                a name below a DNAME the DNAME's owner
    REFERRAL + delegation point
    NO_NAME + apex of the zone  NXDOMAIN
    ERROR                       FORMERR, REFUSED, SERVFAIL and the like, all of them
It is a property of the answer, and can be kept with it. An answer over TCP or to a good cookie needs no judging:
its address is not forged.

Rules of this file
- Memory is fixed when a RateLimiter is made, whatever comes. A network and kind has a token bucket in one of two
  slots, chosen by a hash with a secret key; a slot holds one bucket, with the whole 64 bits of the hash.
- Nobody is limited for what others do: no bucket is shared, and whoever has none starts with a full one. A flood
  of addresses can put a bucket out of the table, which only gives its owner a new, full one.
- The flooded stay in the table. A newcomer takes the slot of the fuller bucket of two, so a bucket goes only
  when the other one is emptier yet. A flooded network's is emptier than those that a flood of random addresses
  leaves behind: these are full again after 1 / responses_per_second.
- A client in a flooded network is not cut off: of the limited answers every `slip`-th goes out truncated, upon
  which the client comes back by TCP.
"""

import enum
import ipaddress
import socket
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from siphashc import siphash

from steering.values import Network
from steering.wire import ERROR

SLOTS: Final = 65536
"""17 bytes each. Of Q answers a second at most Q / responses_per_second networks and kinds are at their limit."""
KEY_SIZE: Final = 16


class RateLimit(msgspec.Struct, frozen=True):
    """[server.rate_limit]: what a network may get.

    The default rate is NSD's; BIND has no limit by default, Knot DNS 50 for an address and 1,600 for its /24.
    Lower ones suit zones with long TTLs. Steered names have short ones, and a large resolver asks for them again
    for each subnet of its clients (RFC 7871), all from one network.
    """

    responses_per_second: Annotated[int, Meta(ge=0)] = 200
    """Answers of one kind to one network; 0: no limit."""
    burst_window: Annotated[float, Meta(ge=0, le=60)] = 2.0
    """Seconds whose worth of answers may go out at once after silence; at least one answer may."""
    slip: Annotated[int, Meta(ge=0, le=10)] = 2
    """Every how many limited answers one is sent truncated; 1: all of them, 0: none, all are dropped."""
    ipv4_prefix_length: Annotated[int, Meta(ge=1, le=32)] = 24
    ipv6_prefix_length: Annotated[int, Meta(ge=1, le=128)] = 56
    exempt: tuple[Network, ...] = ("127.0.0.0/8", "::1/128")
    """Networks that are not limited; this machine is not, as nobody forges its loopback addresses from outside."""
    log_only: bool = False
    """Count what would be limited, and limit nothing."""


class Decision(enum.Enum):
    """What to do with an answer."""

    SEND = "send"
    SLIP = "slip"
    """Send it truncated: TC set, and no records (RFC 1035 section 4.1.1)."""
    DROP = "drop"


class RateLimiter:
    """The buckets of one process, and counters of what became of its answers.

    `key` is 16 secret random bytes, which keep anyone from choosing networks that meet in the same slots. `slots`
    is a power of two. With `log_only`, `slipped` and `dropped` count what would have been.
    """

    __slots__ = (
        "_fingerprints",
        "_full_at",
        "_interval",
        "_ipv4",
        "_ipv6",
        "_key",
        "_limited",
        "_log_only",
        "_mask",
        "_slip",
        "_tolerance",
        "dropped",
        "evicted",
        "exempted",
        "latest",
        "sent",
        "slipped",
    )

    def __init__(self, limit: RateLimit, key: bytes, slots: int = SLOTS) -> None:
        if len(key) != KEY_SIZE or slots < 2 or slots & (slots - 1):
            raise ValueError(f"expected a key of {KEY_SIZE} bytes, and as many slots as a power of two")
        rate = limit.responses_per_second
        self._key = key
        self._interval = 1 / rate if rate else 0.0
        self._tolerance = max(limit.burst_window - self._interval, 0.0)
        self._slip = limit.slip
        self._log_only = limit.log_only
        self._ipv4 = _Family(4, limit.ipv4_prefix_length, limit.exempt)
        self._ipv6 = _Family(6, limit.ipv6_prefix_length, limit.exempt)
        self._mask = slots - 1
        self._fingerprints = array("Q", bytes(8 * slots))
        self._full_at = array("d", bytes(8 * slots))
        """When the bucket is full again: it lacks an answer for each `_interval` that this is ahead of now."""
        self._limited = array("B", bytes(slots))
        """Limited answers since the last that slipped."""
        self.sent = 0
        self.slipped = 0
        self.dropped = 0
        self.exempted = 0
        self.evicted = 0
        """Buckets put out of the table before they were full again: when these grow, it is too small."""
        self.latest: tuple[str, bytes] | None = None
        """Address and kind of the latest limited answer. Looked at now and then, it is mostly the worst's."""

    def judge(self, address: str, kind: bytes, now: float) -> Decision:
        """Decide on one answer over UDP, and count it.

        `address` is the client's, as text from the socket (a scope id may follow a %); `now` is monotonic seconds.
        """
        if ":" in address:
            family = self._ipv6
            packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
        else:
            family = self._ipv4
            packed = socket.inet_aton(address)
        if bisect_right(family.exempt, packed) & 1:
            self.exempted += 1
            return Decision.SEND
        octets = family.octets
        fingerprint = siphash(self._key, kind + packed[:octets] + family.endings[packed[octets]])
        fingerprints, full_at = self._fingerprints, self._full_at
        slot = fingerprint & self._mask
        if fingerprints[slot] != fingerprint:
            other = fingerprint >> 32 & self._mask
            if fingerprints[other] == fingerprint:
                slot = other
            else:
                if full_at[other] < full_at[slot]:
                    slot = other
                if full_at[slot] > now:
                    self.evicted += 1
                fingerprints[slot] = fingerprint
                full_at[slot] = now
                self._limited[slot] = 0
        full = full_at[slot]
        if full <= now + self._tolerance:
            if full < now:
                full = now
            full_at[slot] = full + self._interval
            self.sent += 1
            return Decision.SEND
        return self._limit(slot, address, kind, now)

    def _limit(self, slot: int, address: str, kind: bytes, now: float) -> Decision:
        """Drop or slip. An error never slips: truncated it is no smaller, and TCP would bring no other answer."""
        if self._full_at[slot] > now + self._tolerance + 2 * self._interval:  # the clock was set back
            self._full_at[slot] = now
            return Decision.SEND
        self.latest = address, kind
        decision = Decision.DROP
        if self._slip and kind != ERROR:
            limited = self._limited[slot] + 1
            if limited >= self._slip:
                limited = 0
                decision = Decision.SLIP
            self._limited[slot] = limited
        if decision is Decision.SLIP:
            self.slipped += 1
        else:
            self.dropped += 1
        return Decision.SEND if self._log_only else decision


class _Family:
    """How addresses of one IP version are told apart.

    A network, as bytes, is the first `octets` of the address and then one of `endings`: that for the next octet,
    which has just the bits of the prefix, followed by the IP version.
    """

    __slots__ = ("endings", "exempt", "octets")

    def __init__(self, version: int, prefix_length: int, exempt: Iterable[str]) -> None:
        self.octets = (prefix_length - 1) // 8
        bits = 0xFF00 >> (prefix_length - 8 * self.octets) & 0xFF
        self.endings = tuple(bytes((octet & bits, version)) for octet in range(256))
        networks = (ipaddress.ip_network(text) for text in exempt)
        edges: list[int] = []
        for start, end in sorted(
            (int(network.network_address), int(network.broadcast_address) + 1)
            for network in networks
            if network.version == version
        ):
            if edges and start <= edges[-1]:
                edges[-1] = max(edges[-1], end)
            else:
                edges += (start, end)
        size = 4 if version == 4 else 16
        self.exempt = [edge.to_bytes(size, "big") for edge in edges if edge < 1 << 8 * size]
        """Where exempt networks begin and end, sorted: after an odd number of these an address is exempt."""
