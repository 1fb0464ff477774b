"""TXT: text."""

from steering.records.record import Record


class TXT(Record):
    """RFC 1035 section 3.3.14."""

    name = "TXT"
    type = 16
    example = '"site=paris"'
