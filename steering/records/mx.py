"""MX: mail exchangers."""

from steering.records.record import Record


class MX(Record):
    """RFC 1035 section 3.3.9; the null MX of RFC 7505 has no target."""

    name = "MX"
    type = 15
    example = "10 mx1.example.com."

    @staticmethod
    def target(rdata: bytes) -> bytes | None:
        """The exchange, after 2 bytes of preference."""
        exchange = rdata[2:].lower()  # a length byte is below 64, so never a letter
        return None if exchange == b"\0" else exchange
