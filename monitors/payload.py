"""Bytes to send and to look for, as text in the configuration: Payload. Pure."""

import re
from typing import Annotated

from msgspec import Meta

REPLY_BYTES = 10_240
"""How much of a reply is looked at."""

ESCAPES = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


def parse_payload(text: str) -> bytes:
    r"""UTF-8, in which \r \n \t \0 \\ and \xHH stand for a byte; ValueError."""
    if re.fullmatch(r"(?:[^\\]|\\[rnt0\\]|\\x[0-9A-Fa-f]{2})+", text) is None:
        raise ValueError(r"expected text, not empty, in which a backslash begins one of \r \n \t \0 \\ \xHH")
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"expected text that is Unicode: {error.reason}") from None
    payload = re.sub(
        rb"\\(?:x(..)|(.))", lambda found: bytes.fromhex(found[1].decode()) if found[1] else ESCAPES[found[2]], encoded
    )
    if len(payload) > 1024:
        raise ValueError("expected at most 1024 bytes")
    return payload


def show(reply: bytes) -> str:
    """A reply as text, for the evidence."""
    return reply[:REPLY_BYTES].decode("utf-8", "backslashreplace")


Payload = Annotated[bytes, Meta(extra={"parse": parse_payload}, description=r"text; \r \n \t \0 \\ \xHH are bytes")]
