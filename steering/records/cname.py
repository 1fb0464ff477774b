"""CNAME: the canonical name of an alias."""

from steering.records.record import Record


class CNAME(Record):
    """RFC 1035 section 3.3.1.

    Its name is followed in the answer section, so it is no `target` for the additional section.
    """

    name = "CNAME"
    type = 5
    example = "paris.example.net."
    singular = True
