"""SRV: the host and port of a service."""

from steering.records.record import Record


class SRV(Record):
    """RFC 2782; a target of "." says that the service does not exist here, so nothing is added."""

    name = "SRV"
    type = 33
    example = "10 5 5060 sip1.example.com."

    @staticmethod
    def target(rdata: bytes) -> bytes | None:
        """The target, after 2 bytes each of priority, weight and port."""
        host = rdata[6:].lower()
        return None if host == b"\0" else host
