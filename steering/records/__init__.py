"""The record types that can be steered: one file each, one line each in the table below."""

from steering.records.a import A
from steering.records.aaaa import AAAA
from steering.records.cname import CNAME
from steering.records.https import HTTPS
from steering.records.mx import MX
from steering.records.record import Record, RecordError
from steering.records.srv import SRV
from steering.records.txt import TXT

__all__ = ["RECORDS", "RECORDS_BY_TYPE", "Record", "RecordError"]

RECORDS: dict[str, type[Record]] = {
    "A": A,
    "AAAA": AAAA,
    "CNAME": CNAME,
    "HTTPS": HTTPS,
    "MX": MX,
    "SRV": SRV,
    "TXT": TXT,
}

RECORDS_BY_TYPE: dict[int, type[Record]] = {kind.type: kind for kind in RECORDS.values()}
