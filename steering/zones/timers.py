"""When a zone from primaries is compared with them, and when it is given up: the timers of its SOA, and those kept.

What a SOA says counts within bounds, since nothing forbids 0, or 136 years: a primary is asked at least every week and
at most every second, and a zone is not given up before it could be compared again, nor kept for over 24 weeks.
"""

import struct
from typing import NamedTuple

import msgspec

SHORTEST = 1.0
LONGEST = 7 * 86400.0
"""What refresh and retry count as at least and at most, in seconds."""
LONGEST_EXPIRE = 24 * 7 * 86400.0
"""What expire counts as at most, in seconds; at least it is refresh and retry together."""


_unpack_timers = struct.Struct("!3I").unpack


class SoaTimers(NamedTuple):
    """Seconds."""

    refresh: float
    retry: float
    expire: float


class Timers(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a zone; Unix seconds."""

    last_check: float | None = None
    """When a primary last gave a good answer."""
    last_change: float | None = None
    next_try: float = 0.0
    failures: int = 0
    """In a row."""
    error: str = ""
    """Of the last try."""

    def shift(self, seconds: float) -> "Timers":
        """The same after the clock was set forward by so much."""
        return msgspec.structs.replace(
            self,
            last_check=None if self.last_check is None else self.last_check + seconds,
            last_change=None if self.last_change is None else self.last_change + seconds,
            next_try=self.next_try + seconds,
        )

    def expires_at(self, soa: bytes) -> float | None:
        """When the zone that has this SOA is to be given up; None: not known, not yet."""
        return None if self.last_check is None else self.last_check + read_soa_timers(soa).expire


def decode_timers(kept: bytes | None) -> Timers:
    """Timers as the store has them; those of another version say that all is due now."""
    try:
        return Timers() if kept is None else msgspec.msgpack.decode(kept, type=Timers)
    except msgspec.DecodeError:
        return Timers()


def read_soa_timers(soa: bytes) -> SoaTimers:
    """Those in the RDATA of a SOA, within bounds."""
    told = _unpack_timers(soa[-16:-4])
    refresh, retry = (min(max(each, SHORTEST), LONGEST) for each in told[:2])
    return SoaTimers(refresh, retry, min(max(told[2], refresh + retry), LONGEST_EXPIRE))
