"""TSIG (RFC 8945): messages signed with a shared key, and the proof that they are.

A request is verified in the order of section 5.2: the key, the MAC, the time, then how short the MAC is. What fails is
a SignatureError, which signs the answer as section 5.3.2 wants it: not at all when we and the client have no key in
common, or when its MAC is wrong; else with the reason in it.

    request  ──verify_request_untrusted──> Signer ──sign──> the reply, or each message of a transfer
    Signer of a request of ours ──sign──> request; Verifier.verify_untrusted <── each message of the reply

Rules of this file
- Secrets leave it only as MACs: no error and no repr has one.
- MACs are compared in constant time. We sign with whole MACs; of others' we take half of one (section 5.2.2.1), but
  not less than 16 octets: that is our policy, and less is BADTRUNC.
"""

import hmac
import struct
from collections.abc import Mapping
from typing import Final

import msgspec

from steering.wire import FORMERR, HEADER_SIZE, TSIG, BadPacket, name_to_text
from steering.zones.message import ANY_CLASS, Signature

FUDGE: Final = 300
"""Seconds by which clocks may differ; what we sign allows as much."""
BADSIG: Final = 16
BADKEY: Final = 17
BADTIME: Final = 18
BADTRUNC: Final = 22
SHORTEST_MAC: Final = 16
UNSIGNED_LIMIT: Final = 99
"""Messages of a transfer that may go by between two that are signed (section 5.3.1)."""

HASHES: Final = {
    "hmac-sha1": "sha1",
    "hmac-sha224": "sha224",
    "hmac-sha256": "sha256",
    "hmac-sha384": "sha384",
    "hmac-sha512": "sha512",
}
"""Algorithm → what hashlib calls it."""
_ERRORS: Final = {BADSIG: "BADSIG", BADKEY: "BADKEY", BADTIME: "BADTIME", BADTRUNC: "BADTRUNC"}


class Key(msgspec.Struct, frozen=True, array_like=True):
    """A key that we share with another server; the name is wire, lower case."""

    name: bytes
    algorithm: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({name_to_text(self.name)} {self.algorithm})"

    @property
    def algorithm_name(self) -> bytes:
        """The algorithm as a DNS name."""
        return bytes((len(self.algorithm),)) + self.algorithm.encode() + b"\0"

    @property
    def room(self) -> int:
        """Octets by which `Signer.sign` makes a message longer, at most."""
        size = hmac.new(self.secret, digestmod=HASHES[self.algorithm]).digest_size
        return len(self.name) + 10 + len(self.algorithm_name) + 16 + size

    def compute(self, *parts: bytes) -> bytes:
        """The whole MAC."""
        return hmac.new(self.secret, b"".join(parts), HASHES[self.algorithm]).digest()


class SignatureError(Exception):
    """A signature that proves nothing; `error` is the code of section 3, 0 when there is none for it."""

    def __init__(self, error: int, reason: str, signer: "Signer | None" = None) -> None:
        super().__init__(f"{_ERRORS[error]}: {reason}" if error else reason)
        self.error = error
        self._signer = signer

    def sign(self, reply: bytes, signature: Signature, now: float) -> bytes:
        """The error reply to the request that had this signature, with its TSIG record (section 5.3.2)."""
        if self._signer is None:
            return _append(reply, signature.key, signature.algorithm, int(now), b"", self.error, b"")
        if self.error == BADTIME:
            return self._signer.sign(reply, signature.time, BADTIME, int(now).to_bytes(6, "big"))
        return self._signer.sign(reply, now, self.error)


class Signer:
    """Signs messages that belong together: a request; or the reply to one, however many messages it has."""

    def __init__(self, key: Key, request_mac: bytes = b"") -> None:
        """`request_mac` is that of the request that is replied to; empty for a request."""
        self.key = key
        self.mac = request_mac
        """Of the last message."""
        self._first = True

    def sign(self, message: bytes, now: float, error: int = 0, other: bytes = b"") -> bytes:
        """The message with a TSIG record; `now` in Unix seconds."""
        variables = _timers(int(now), FUDGE)
        if self._first:
            variables = _variables(self.key.name, self.key.algorithm_name, variables, error, other)
        self.mac = self.key.compute(_with_length(self.mac), message, variables)
        self._first = False
        return _append(message, self.key.name, self.key.algorithm_name, int(now), self.mac, error, other)


def verify_request_untrusted(packet: bytes, signature: Signature, keys: Mapping[bytes, Key], now: float) -> Signer:
    """What signs the reply to a request with this signature; raises SignatureError, or BadPacket for FORMERR."""
    key = keys.get(signature.key)
    if key is None or key.algorithm_name != signature.algorithm:
        raise SignatureError(BADKEY, f"no key {name_to_text(signature.key)} of this algorithm")
    variables = _variables(
        key.name, key.algorithm_name, _timers(signature.time, signature.fudge), signature.error, signature.other
    )
    _check_mac(key, signature, key.compute(strip(packet, signature), variables))
    signer = Signer(key, signature.mac)
    _check_time(signature, now, signer)
    if len(signature.mac) < SHORTEST_MAC:
        raise SignatureError(BADTRUNC, "a MAC that is too short", signer)
    return signer


class Verifier:
    """Verifies the messages of the reply to a request of ours, in their order."""

    def __init__(self, request: Signer) -> None:
        """`request` has signed it."""
        self._key = request.key
        self._mac = request.mac
        self._first = True
        self._unsigned: list[bytes] = []

    def verify_untrusted(self, packet: bytes, signature: Signature | None, now: float) -> None:
        """Take the next message; raises SignatureError."""
        if signature is None:
            if self._first or len(self._unsigned) >= UNSIGNED_LIMIT:
                raise SignatureError(0, "a reply without a signature")
            self._unsigned.append(packet)
            return
        key = self._key
        if signature.error in (BADKEY, BADSIG) and not signature.mac:
            wrong = f"knows no {key.algorithm} key" if signature.error == BADKEY else "has another secret for the key"
            raise SignatureError(0, f"the server says {_ERRORS[signature.error]}: it {wrong} {name_to_text(key.name)}")
        if signature.key != key.name or signature.algorithm != key.algorithm_name:
            raise SignatureError(0, "a reply signed with another key")
        variables = _timers(signature.time, signature.fudge)
        if self._first:
            variables = _variables(key.name, key.algorithm_name, variables, signature.error, signature.other)
        computed = key.compute(_with_length(self._mac), *self._unsigned, strip(packet, signature), variables)
        try:
            _check_mac(key, signature, computed)
        except BadPacket as bad:
            raise SignatureError(0, str(bad)) from None
        if signature.error:
            raise SignatureError(0, f"the server says {_ERRORS.get(signature.error, signature.error)}")
        _check_time(signature, now, None)
        if len(signature.mac) < SHORTEST_MAC:
            raise SignatureError(BADTRUNC, "a MAC that is too short")
        self._mac, self._first, self._unsigned = signature.mac, False, []

    def finish(self) -> None:
        """No message follows; raises SignatureError unless the last one was signed."""
        if self._first or self._unsigned:
            raise SignatureError(0, "the end of the reply is not signed")


def strip(packet: bytes, signature: Signature) -> bytes:
    """The message as it was before it was signed."""
    count = (packet[10] << 8 | packet[11]) - 1
    return b"%b%b%b%b" % (
        signature.original_identifier,
        packet[2:10],
        count.to_bytes(2, "big"),
        packet[HEADER_SIZE : signature.start],
    )


def _check_mac(key: Key, signature: Signature, computed: bytes) -> None:
    """Section 5.2.2.1: raises BadPacket for a length that no MAC has, SignatureError for a wrong one."""
    size = len(signature.mac)
    if size > len(computed) or size < max(10, len(computed) // 2):
        if not size:
            raise SignatureError(BADSIG, f"no MAC for key {name_to_text(key.name)}")
        raise BadPacket(FORMERR, f"a MAC of {size} octets")
    if not hmac.compare_digest(signature.mac, computed[:size]):
        raise SignatureError(BADSIG, f"a MAC that key {name_to_text(key.name)} does not make")


def _check_time(signature: Signature, now: float, signer: Signer | None) -> None:
    if abs(int(now) - signature.time) > signature.fudge:
        raise SignatureError(BADTIME, f"signed {int(now) - signature.time} s ago by the clock here", signer)


def _timers(time: int, fudge: int) -> bytes:
    return struct.pack("!HIH", time >> 32 & 0xFFFF, time & 0xFFFFFFFF, fudge)


def _variables(name: bytes, algorithm: bytes, timers: bytes, error: int, other: bytes) -> bytes:
    """Section 4.3.3."""
    return b"%b%b%b%b%b%b" % (
        name,
        struct.pack("!HI", ANY_CLASS, 0),
        algorithm,
        timers,
        struct.pack("!HH", error, len(other)),
        other,
    )


def _with_length(mac: bytes) -> bytes:
    return len(mac).to_bytes(2, "big") + mac if mac else b""


def _append(message: bytes, name: bytes, algorithm: bytes, time: int, mac: bytes, error: int, other: bytes) -> bytes:
    """The message with the TSIG record behind it."""
    count = (message[10] << 8 | message[11]) + 1
    rdata = b"%b%b%b%b%b%b%b" % (
        algorithm,
        _timers(time, FUDGE),
        len(mac).to_bytes(2, "big"),
        mac,
        message[:2],
        struct.pack("!HH", error, len(other)),
        other,
    )
    record = name + struct.pack("!HHIH", TSIG, ANY_CLASS, 0, len(rdata)) + rdata
    return message[:10] + count.to_bytes(2, "big") + message[HEADER_SIZE:] + record
