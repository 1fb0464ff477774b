"""What is fuzzed of `monitors`: functions that take bytes, and raise AssertionError where a promise is broken."""

import re
import ssl
from contextlib import suppress
from socket import AF_INET, AF_INET6

import aiosmtplib
import h11
import msgspec

from monitors.http_client import BadResponse, _exchange
from monitors.http_message import PATH, first_place, follow_untrusted, header_of, judge
from monitors.icmp_message import Echo, Unreachable, parse_icmp_untrusted, strip_ipv4_header_untrusted
from monitors.mailbox import ReportError, parse_report_untrusted
from monitors.monitor import Reason, Result
from monitors.notify import email, webhook
from monitors.notify.event import Message
from monitors.notify.grouping import Grouping
from monitors.notify.notifier import DeliveryError
from monitors.notify.spool import _decode_untrusted
from monitors.probes.dns import BadReply, DnsMonitor, compile_question, judge_untrusted, parse_reply_untrusted
from monitors.probes.http import HttpMonitor
from tests.fuzz.streams import Pieces, run
from tests.steering.support import APEX

MAILER = email.EmailNotifier(name="e", server="mail.example.com", sender="w@example.com", to=("x@example.com",))
TLS = ssl.create_default_context()
ASKED = (
    DnsMonitor(name="a", query_name=b"\3www" + APEX),
    DnsMonitor(name="mx", query_name=APEX, query_type=15, expected_answer=("10 mx.example.com.",)),
)
"""What the checks of the kind dns ask."""


def fuzz_icmp(data: bytes) -> None:
    """Any message is an Echo, an Unreachable or nothing."""
    stripped = strip_ipv4_header_untrusted(data)
    for message, family in ((data, AF_INET), (stripped, AF_INET), (data, AF_INET6)):
        found = parse_icmp_untrusted(message, family)
        if found is not None and not isinstance(found, Echo | Unreachable):
            raise AssertionError(found)


def fuzz_probes(data: bytes) -> None:
    """What a site answers is a result or a bad reply; a redirection leads to the same host."""
    monitor = HttpMonitor(name="m", expected_body="ready", follow_redirects=True)
    place = first_place("http", "192.0.2.1", 80, monitor)
    request = h11.Request(method="GET", target="/", headers=header_of(place, monitor, True))
    with suppress(BadResponse):
        response = run(_exchange(Pieces([data]), request, True))
        _check_result(judge(response, monitor, Result(True, Reason.OK)))
        following = follow_untrusted(response, place, 80)
        if following is not None and (following.host != place.host or not re.match(PATH, following.path)):
            raise AssertionError("a redirection that is not to be followed")
    for asked in ASKED:
        question = compile_question(asked)
        with suppress(BadReply):
            reply = parse_reply_untrusted(data, data[:2] + question.wire, question)
            if reply is not None:
                _check_result(judge_untrusted(reply, asked, question, 0.1))


def fuzz_reports(data: bytes) -> None:
    """What others tell, and what was kept on the disk, is a value that can be shown, or one error."""
    with suppress(ReportError):
        report = parse_report_untrusted(data)
        if not report.evidence.isprintable():
            raise AssertionError("not a printable line")
    with suppress(msgspec.DecodeError):
        _decode_untrusted(data, Grouping)
    with suppress(msgspec.DecodeError):
        told = _decode_untrusted(data, Message)
        email.render(told, MAILER)
        for style in ("json", "slack"):
            msgspec.json.decode(webhook.render(told, webhook.WebhookNotifier(name="w", url="http://w", format=style)))


def fuzz_refusals(data: bytes) -> None:
    """What a server says of our message is an error of one printable line."""
    text = data[2:].decode("utf-8", "surrogateescape")
    code = int.from_bytes(data[:2], "big") - 1
    refused = aiosmtplib.SMTPRecipientRefused(code, text, "x@example.com")
    session = email._Session(MAILER, b"", TLS, "")
    for error in (
        aiosmtplib.SMTPDataError(code, text),
        aiosmtplib.SMTPRecipientsRefused([refused]),
        aiosmtplib.SMTPServerDisconnected(text),
    ):
        explained = session.explain_untrusted(error)
        is_about_the_mail = isinstance(error, aiosmtplib.SMTPDataError) and code >= 500
        if not str(explained).isprintable() or explained.refused != is_about_the_mail:
            raise AssertionError("not what the server said")
    for cause in (OSError(code, text), ValueError(text), ExceptionGroup(text or "-", [OSError(code, text)])):
        failure = RuntimeError(text)
        failure.__cause__ = cause
        if not str(DeliveryError(webhook._explain_untrusted(failure))).isprintable():
            raise AssertionError("not a printable line")


def _check_result(result: Result) -> None:
    if not result.evidence.isprintable():
        raise AssertionError("not a printable line")
