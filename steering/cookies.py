"""DNS cookies: does this client answer at its address (RFC 7873), made so that servers can share them (RFC 9018)?

A COOKIE option is 8 bytes of Client Cookie and then, in all but a client's first question, 8 to 32 bytes of
Server Cookie. Ours is version 1, three reserved bytes, a timestamp, and SipHash-2-4 over all of that, the
Client Cookie and the client's address. Nothing is kept for a client, and any server that knows the secret
makes and accepts the same.

Rules of this file
- Secrets come in order: the first signs, all verify. A rollover (RFC 9018 section 5) is three versions of the
  file: old, new; then new, old; then new. Servers that share an address take each step before any the next.
- Secrets are in no message and no repr.
- The hash is compared in constant time because that costs nothing here. Safety does not rest on it: a cookie
  counts for one address, and whoever can time our answers to an address gets a good cookie there by asking.
"""

import enum
import re
import struct
from collections.abc import Sequence
from hmac import compare_digest
from typing import Final, NamedTuple

from siphashc import siphash

from steering.problems import Problem, SettingsError
from steering.wire import FORMERR, BadPacket, pack_address

SECRET_SIZE: Final = 16
LIFETIME: Final = 3600
"""Seconds for which a Server Cookie is good (RFC 9018 section 4.3)."""
REFRESH_AGE: Final = 1800
"""Older ones, in seconds, are answered with a fresh one."""
FUTURE: Final = 300
"""Seconds by which the clock of the server that made it may be ahead of ours."""


class Trust(enum.Enum):
    """What a COOKIE option says about the client's address."""

    CLIENT_ONLY = "client_only"
    """No Server Cookie yet: nothing is known (RFC 7873 section 5.2.3)."""
    BAD = "bad"
    """A Server Cookie that is not ours, or not any more; to be treated like none (RFC 7873 section 5.2.4)."""
    GOOD = "good"
    """The client has received an answer at its address within LIFETIME (RFC 7873 section 5.2.5)."""


class Verdict(NamedTuple):
    """`option` is the data of the COOKIE option to answer with: what came, if it is good for long enough yet."""

    trust: Trust
    option: bytes


class CookieSigner:
    """Makes and judges Server Cookies. `secrets` are 16 bytes each, at least one; else ValueError."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Sequence[bytes]) -> None:
        if not secrets or any(len(secret) != SECRET_SIZE for secret in secrets):
            raise ValueError(f"expected one or more secrets of {SECRET_SIZE} bytes")
        self._secrets = tuple(secrets)

    def judge_untrusted(self, option: bytes, address: str, now: float) -> Verdict:
        """Judge the data of a COOKIE option; raises BadPacket (RFC 7873 section 5.2.2).

        `address` is where it came from, as text from the socket (a scope id may follow a %); `now` is in Unix
        seconds.
        """
        size = len(option)
        client = pack_address(address)
        seconds = int(now)
        if size == 24 and option[8] == _VERSION:
            # Serial number arithmetic (RFC 1982): `age` is counted from the latest timestamp that is allowed.
            age = seconds + FUTURE - _unpack_timestamp(option, 12)[0] & 0xFFFFFFFF
            if age <= FUTURE + LIFETIME:
                signed = option[:16] + client
                for secret in self._secrets:
                    if compare_digest(siphash(secret, signed).to_bytes(8, "little"), option[16:]):
                        if age <= FUTURE + REFRESH_AGE and secret is self._secrets[0]:
                            return Verdict(Trust.GOOD, option)
                        return Verdict(Trust.GOOD, self._sign(option[:8], client, seconds))
        elif size < 8 or 8 < size < 16 or size > 40:
            raise BadPacket(FORMERR, "a cookie of the wrong length")
        return Verdict(Trust.CLIENT_ONLY if size == 8 else Trust.BAD, self._sign(option[:8], client, seconds))

    def _sign(self, client_cookie: bytes, client: bytes, seconds: int) -> bytes:
        """The option for a client: its own cookie and a fresh one of ours (RFC 9018 section 4)."""
        head = client_cookie + _pack_fresh(_VERSION, seconds & 0xFFFFFFFF)
        return head + siphash(self._secrets[0], head + client).to_bytes(8, "little")


def read_secrets(text: str, file: str) -> tuple[bytes, ...]:
    """The secrets in the text of `file`, first to last; SettingsError names every bad line.

    A line is 32 hexadecimal digits, as in the cookie secret files of other servers; # starts a comment.
    """
    secrets: list[bytes] = []
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        if not re.fullmatch(r"[0-9A-Fa-f]{32}", word):
            problems.append(Problem(file, number, "", "", "", "expected a secret: 32 hexadecimal digits"))
        elif (secret := bytes.fromhex(word)) in secrets:
            problems.append(Problem(file, number, "", "", "", "the same secret as in an earlier line"))
        else:
            secrets.append(secret)
    if not secrets and not problems:
        problems.append(Problem(file, 0, "", "", "", "no secret; expected lines of 32 hexadecimal digits"))
    if problems:
        raise SettingsError(tuple(problems))
    return tuple(secrets)


def make_secret(dice: bytes) -> str:
    """The line of a secrets file, its newline included, from 16 random bytes."""
    if len(dice) != SECRET_SIZE:
        raise ValueError(f"expected {SECRET_SIZE} random bytes")
    return dice.hex() + "\n"


_VERSION: Final = 1
_unpack_timestamp = struct.Struct("!I").unpack_from
_pack_fresh = struct.Struct("!B3xI").pack
