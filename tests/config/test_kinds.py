"""Every kind of check as it is written in the configuration."""

from pathlib import Path

import msgspec
import pytest

from monitors.monitor import Monitor
from monitors.probes import PROBES
from monitors.probes.dns import DnsMonitor
from monitors.probes.exec import ExecMonitor
from monitors.probes.external import ExternalMonitor
from monitors.probes.http import HttpMonitor
from monitors.probes.https import HttpsMonitor
from monitors.probes.icmp import IcmpMonitor
from monitors.probes.smtp import SmtpMonitor
from monitors.probes.tcp import TcpMonitor
from monitors.probes.udp_icmp import UdpIcmpMonitor
from steering.problems import SettingsError
from steering.settings import Settings
from steering.settings_file import parse_settings

AROUND = """
[server]
listen = ["127.0.0.1:53"]
state = "state"
[[pool]]
name = "p"
monitor = "m"
[[pool.origin]]
name = "o"
address = "192.0.2.1"
[[monitor]]
name = "m"
"""


def read(text: str) -> Settings:
    return parse_settings(AROUND + text, Path("/etc/waypost.toml"))


WRITTEN: dict[str, tuple[str, Monitor]] = {
    "dns": (
        """
        transport = "tcp"
        query_name = "WWW.example"
        query_type = "MX"
        expected_rcode = "NOERROR"
        expected_answer = ["10 mx.example.com."]
        """,
        DnsMonitor(
            name="m",
            transport="tcp",
            query_name=b"\3www\7example\0",
            query_type=15,
            expected_answer=("10 mx.example.com.",),
        ),
    ),
    "exec": ('command = ["/bin/check", "{address}"]', ExecMonitor(name="m", command=("/bin/check", "{address}"))),
    "external": (
        'max_age = "2m"\nwhen_too_old = "up"',
        ExternalMonitor(name="m", max_age=120, when_too_old="up"),
    ),
    "http": (
        r"""
        source = "2001:DB8::1"
        method = "HEAD"
        path = "/health?deep=1"
        headers = { Host = "www.example.com", X-Check = "a \" b" }
        expected_codes = "2xx,301-302"
        follow_redirects = true
        """,
        HttpMonitor(
            name="m",
            source="2001:db8::1",
            method="HEAD",
            path="/health?deep=1",
            headers=(("Host", "www.example.com"), ("X-Check", 'a " b')),
            expected_codes=((200, 299), (301, 302)),
            follow_redirects=True,
        ),
    ),
    "https": (
        'expected_body = "all is well"\ncertificate_warning_days = 30',
        HttpsMonitor(name="m", port=443, expected_body="all is well", certificate_warning_days=30),
    ),
    "icmp": ("count = 5\nmax_loss = 2\nsize = 1400", IcmpMonitor(name="m", count=5, max_loss=2, size=1400)),
    "smtp": (
        'starttls = "required"\nserver_name = "mx1.example.com"\nmail_from = ""\nrcpt_to = "a@example.com"',
        SmtpMonitor(
            name="m", starttls="required", server_name="mx1.example.com", mail_from="", rcpt_to="a@example.com"
        ),
    ),
    "tcp": (
        "port = 6379\nsend = 'PING\\r\\n'\nexpect = \"+PONG\"",
        TcpMonitor(name="m", port=6379, send=b"PING\r\n", expect=b"+PONG"),
    ),
    "udp_icmp": (
        "port = 27015\nsend = '\\xff\\xffT'\nexpect = '\\xff'",
        UdpIcmpMonitor(name="m", port=27015, send=b"\xff\xffT", expect=b"\xff"),
    ),
}


@pytest.mark.parametrize("kind", PROBES)
def test_what_is_written_is_what_is_checked(kind: str) -> None:
    text, monitor = WRITTEN[kind]
    settings = read(f'type = "{kind}"\n{text}')
    assert settings.monitors == (monitor,)
    # Monitors are keys of tables, and travel with the settings.
    assert hash(settings.monitors[0]) == hash(monitor)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(settings), type=Settings) == settings


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('type = "http"\nexpected_codes = "ok"', 'expected_codes = "ok" (monitor "m"): expected status codes'),
        ('type = "http"\nexpected_codes = 200', 'expected_codes = 200 (monitor "m"): expected status codes'),
        ('type = "http"\nheaders = ["Host: a"]', "expected a table of header fields"),
        ('type = "http"\nheaders = { Host = "a b" }', 'headers.Host = (secret) (monitor "m"): expected a host name'),
        ('type = "http"\nheaders = { X-Check = 1 }', 'headers.X-Check = (secret) (monitor "m"): expected text'),
        ('type = "http"\nheaders = { Connection = "x" }', "is set by the check itself"),
        ('type = "http"\nheaders = { a = "1", A = "2" }', "one of them is there twice"),
        ('type = "http"\npath = "health"', 'expected a path that begins with "/"'),
        ('type = "http"\nmethod = "HEAD"\nexpected_body = "x"', "the response to HEAD has no body"),
        ('type = "http"\nsource = "eth0"', 'source = "eth0" (monitor "m"): expected an IPv4 or IPv6 address'),
        ('type = "icmp"\nmax_loss = 1', "must be less than count, 1"),
        ('type = "smtp"\nstarttls = "yes"', 'expected one of "off", "offered", "required"'),
        ('type = "smtp"\nserver_name = "a"', "only with tls or starttls"),
        ('type = "smtp"\nmail_from = "<a@example.com>"', "expected a mail address, without < and >"),
        ('type = "smtp"\nmail_from = "a\\r\\nDATA"', "expected a mail address, without < and >"),
        ('type = "tcp"\nport = 1\nserver_name = "a..b"\ntls = true', "expected a host name"),
        ('type = "tcp"\nport = 1\nsend = ""', "expected text, not empty"),
        ('type = "tcp"\nport = 1\nsend = "\\\\q"', "a backslash begins one of"),
        ('type = "dns"', 'query_name (monitor "m"): missing; expected a DNS name'),
        ('type = "dns"\nquery_name = "a"\nquery_type = "FOO"', "no such record type"),
        ('type = "dns"\nquery_name = "a"\nexpected_rcode = "FOO"', "no such RCODE"),
        ('type = "dns"\nquery_name = "a"\nexpected_answer = ["x"]', "is no data of a record of query_type"),
        ('type = "exec"\ncommand = ["", "x"]', "the program has no name"),
        ('type = "exec"\ncommand = ["/bin/echo", "a\\u0000b"]', "no argument can hold a zero byte"),
        ('type = "exec"\ncommand = []', "expected a list, not empty"),
        ('type = "exec"\ncommand = "/bin/true"', "expected a list, not empty"),
    ],
)
def test_what_is_wrong_is_told(text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text)
    (told,) = caught.value.problems
    assert problem in str(told)
