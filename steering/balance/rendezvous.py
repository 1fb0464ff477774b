"""Rendezvous: a client's key to one of several names, by weight, so that what is removed moves only its own clients.

Highest random weight: each name draws a number from the key and itself, and the highest score -weight ÷ ln(number)
wins, which gives each name its weight's share of the keys. Nobody needs to remember anything, and every server comes to
the same. Names become seeds when a plan is made; a look-up is a few multiplications a name.
"""

import hashlib
from collections.abc import Sequence
from math import log

KEY_LENGTH4 = 24
KEY_LENGTH6 = 48
"""Bits of a client's address that make its key: those behind it say little about where it is, and change often."""

_MASK = (1 << 64) - 1


class Rendezvous:
    """Names with weights above 0."""

    __slots__ = ("_scale", "_seeds")

    def __init__(self, names: Sequence[str], weights: Sequence[float]) -> None:
        self._seeds = tuple(map(seed_of, names))
        self._scale = tuple(-weight for weight in weights)

    def choose(self, key: int) -> int:
        """The index of the name for a key of 64 bits."""
        best, highest = 0, -1.0
        for index, seed in enumerate(self._seeds):
            score = self._scale[index] / log(draw_number(key, seed))
            if score > highest:
                best, highest = index, score
        return best


def key_of(address: int, version: int, source: int) -> tuple[int, int]:
    """The key of the client at an address of which `source` bits are known, and how many of them it depends on.

    An IPv4-mapped address is the IPv4 address.
    """
    bits, longest = (32, KEY_LENGTH4) if version == 4 else (128, KEY_LENGTH6)
    if version == 6 and source > 96 and address >> 32 == 0xFFFF:
        key, length = key_of(address & 0xFFFFFFFF, 4, source - 96)
        return key, length + 96
    return address >> bits - longest, min(source, longest)


def seed_of(name: str) -> int:
    """64 bits for a name, the same everywhere."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def draw_number(key: int, seed: int) -> float:
    """A number above 0 and below 1 that looks random: of no other key or seed can it be told from this one."""
    return ((mix(key ^ seed) >> 12) + 0.5) / (1 << 52)


def mix(number: int) -> int:
    """64 bits well stirred: each bit depends on all (the last steps of splitmix64)."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _MASK
    return number ^ number >> 31
