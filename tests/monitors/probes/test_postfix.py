"""The kind smtp against a real Postfix."""

from collections.abc import Iterator

import msgspec
import pytest

from monitors.monitor import Reason
from monitors.probes.smtp import SmtpMonitor
from tests.monitors.certificates import NAME, Certificates
from tests.monitors.checking import check
from tests.monitors.probes.postfix import running_postfix, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture(scope="module")
def ports(issued: Certificates) -> Iterator[dict[str, int]]:
    with running_postfix(issued) as ports:
        yield ports


def monitor(port: int, fields: dict[str, object]) -> SmtpMonitor:
    return msgspec.structs.replace(SmtpMonitor(name="m", port=port, server_name=NAME, timeout=10, retries=0), **fields)


@pytest.mark.usefixtures("certificates")
@pytest.mark.parametrize(
    ("port", "fields"),
    [
        ("plain", {}),
        ("plain", {"starttls": "offered"}),
        ("plain", {"mail_from": "", "rcpt_to": "postmaster@example.com"}),
        ("plain", {"mail_from": "", "rcpt_to": "nobody@example.com", "expected_code": 550}),
        ("starttls", {}),
        ("starttls", {"starttls": "required"}),
        ("starttls", {"starttls": "required", "mail_from": "", "rcpt_to": "postmaster@example.com"}),
        ("tls", {"tls": True}),
        ("expired", {"starttls": "required", "allow_insecure": True}),
    ],
)
async def test_it_is_up(port: str, fields: dict[str, object], ports: dict[str, int]) -> None:
    result = await check(monitor(ports[port], fields), "127.0.0.1")
    assert (result.up, result.reason, result.evidence) == (True, Reason.OK, "")
    assert result.rtt is not None


@pytest.mark.usefixtures("certificates")
@pytest.mark.parametrize(
    ("port", "fields", "reason", "evidence"),
    [
        ("plain", {"starttls": "required"}, Reason.TLS_NOT_OFFERED, "EHLO: STARTTLS is not offered"),
        ("plain", {"tls": True}, Reason.TLS_PROTOCOL, "TLS handshake or greeting: "),
        ("plain", {"mail_from": "", "rcpt_to": "nobody@example.com"}, Reason.BAD_REPLY, "RCPT TO: 550 5.1.1 "),
        (
            "plain",
            {"mail_from": "", "rcpt_to": "a@example.net", "expected_code": 250},
            Reason.CODE_MISMATCH,
            "RCPT TO: 454 4.7.1 ",
        ),
        ("expired", {"starttls": "offered"}, Reason.TLS_EXPIRED, "STARTTLS: certificate has expired"),
        (
            "starttls",
            {"starttls": "offered", "server_name": "mx.example.com"},
            Reason.TLS_NAME_MISMATCH,
            "STARTTLS: Hostname mismatch",
        ),
        ("tls", {"timeout": 0.5}, Reason.TIMEOUT, "greeting: nothing within 0.5 s"),
    ],
)
async def test_it_is_down(
    port: str, fields: dict[str, object], reason: Reason, evidence: str, ports: dict[str, int]
) -> None:
    result = await check(monitor(ports[port], fields), "127.0.0.1")
    assert (result.up, result.reason) == (False, reason)
    assert result.evidence.startswith(evidence)


@pytest.mark.usefixtures("ports")
async def test_an_authority_that_is_not_trusted(ports: dict[str, int]) -> None:
    result = await check(monitor(ports["starttls"], {"starttls": "required"}), "127.0.0.1")
    assert (result.up, result.reason) == (False, Reason.TLS_UNTRUSTED)
