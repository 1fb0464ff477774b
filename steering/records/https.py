"""HTTPS: how to reach a web site, before the first connection."""

from steering.records.record import Record


class HTTPS(Record):
    """RFC 9460 sections 2 and 9: a target of "." is the owner itself in ServiceMode, nothing in AliasMode."""

    name = "HTTPS"
    type = 65
    example = "1 . alpn=h2"

    @staticmethod
    def target(rdata: bytes) -> bytes | None:
        """The target, after 2 bytes of priority; b"\\0" (the root) stands for the owner name itself."""
        end = 2
        while length := rdata[end]:
            end += 1 + length
        target = rdata[2 : end + 1].lower()
        in_alias_mode = rdata[:2] == b"\0\0"
        return None if in_alias_mode and target == b"\0" else target
