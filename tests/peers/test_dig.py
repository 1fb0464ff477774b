"""dig, kdig and drill against a waypost that runs. What is not installed is skipped, and said."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.steering.running import DEADLINE, Waypost, running, web_settings, zone_text

BALANCERS = """
steering_policy = "geo"
network_pools = { "198.51.100.0/24" = ["sorry"], "2001:db8:1::/48" = ["sorry"] }

[[geo]]
type = "networks"
path = "own.csv"

[[load_balancer]]
name = "all.example.com"
types = ["A", "AAAA", "MX", "SRV", "HTTPS", "TXT"]
default_pools = ["every"]
fallback_pool = "every"

[[load_balancer]]
name = "alias.example.com"
types = ["CNAME"]
default_pools = ["every"]
fallback_pool = "every"

[[pool]]
name = "every"
[[pool.origin]]
name = "every-1"
address = "192.0.2.7"
[pool.origin.records]
AAAA = "2001:db8::7"
CNAME = "www.example.com."
MX = "10 mx.example.com."
SRV = "1 2 5060 sip.example.com."
HTTPS = "1 . alpn=h2,h3"
TXT = "site=every"
"""

RECORDS = "mx A 192.0.2.25\nsip A 192.0.2.60\nlab NS ns.lab\nns.lab A 192.0.2.54\n" + "\n".join(
    f"big TXT {'x' * 200}{number:02}" for number in range(20)
)


@pytest.fixture(scope="module")
def waypost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waypost]:
    folder = tmp_path_factory.mktemp("dig")
    (folder / "own.csv").write_text("network,country\n192.0.2.0/24,FR\n")
    (folder / "com.zone").write_text(zone_text(7, RECORDS))
    zones = '[[zone]]\nname = "example.com"\nfile = "com.zone"\n'
    with socket.create_server(("127.0.0.1", 0)) as site:
        port: int = site.getsockname()[1]
        with running(folder, web_settings(port, zones=zones, balancers=BALANCERS)) as started:
            yield started


def tell(waypost: Waypost, program: str, *words: str) -> str:
    """What the program says; its exit status must be good."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    told = subprocess.run(
        [program, "@127.0.0.1", "-p", str(waypost.port), *words],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def status_of(text: str) -> str:
    """The RCODE that it shows."""
    found = re.search(r"(?:status: |rcode: )(\w+)", text)
    assert found, text
    return found[1]


DIGS = pytest.mark.parametrize("program", ["dig", "kdig"])
ALL = pytest.mark.parametrize("program", ["dig", "kdig", "drill"])

STEERED = [
    ("A", "192.0.2.7"),
    ("AAAA", "2001:db8::7"),
    ("MX", "10 mx.example.com."),
    ("SRV", "1 2 5060 sip.example.com."),
    ("HTTPS", '1 . alpn="?h2,h3"?'),
    ("TXT", '"site=every"'),
]


@DIGS
@pytest.mark.parametrize(("rrtype", "data"), STEERED, ids=lambda value: value)
def test_every_steered_type(waypost: Waypost, program: str, rrtype: str, data: str) -> None:
    assert re.fullmatch(data, tell(waypost, program, "+short", "all.example.com", rrtype).strip())


@pytest.mark.parametrize(("rrtype", "data"), STEERED[:4] + STEERED[5:], ids=lambda value: value)
def test_every_steered_type_that_drill_knows(waypost: Waypost, rrtype: str, data: str) -> None:
    told = tell(waypost, "drill", "all.example.com", rrtype).expandtabs(1)
    assert f"all.example.com. 30 IN {rrtype} {data}" in told


@ALL
def test_a_steered_alias_is_followed(waypost: Waypost, program: str) -> None:
    told = tell(waypost, program, "alias.example.com", "A").expandtabs(1)
    assert re.search(r"alias\.example\.com\. +30 +IN +CNAME +www\.example\.com\.", told)
    assert re.search(r"www\.example\.com\. +\d+ +IN +A +192\.0\.2\.1\b", told)


@ALL
@pytest.mark.parametrize(
    ("name", "rrtype", "status"),
    [
        ("www.example.com", "A", "NOERROR"),
        ("www.example.com", "MX", "NOERROR"),
        ("nobody.example.com", "A", "NXDOMAIN"),
        ("example.org", "A", "REFUSED"),
    ],
)
def test_status(waypost: Waypost, program: str, name: str, rrtype: str, status: str) -> None:
    assert status_of(tell(waypost, program, name, rrtype)) == status


@DIGS
def test_edns(waypost: Waypost, program: str) -> None:
    for words, expected in (
        (["+edns=0", "+bufsize=1232"], r"[Vv]ersion: 0[;,].*(udp|UDP size): 1232"),
        (["+noedns"], None),
        (["+dnssec"], r"flags:? ?(do|DO)"),
        (["+nsid"], r"[Vv]ersion: 0"),
    ):
        told = tell(waypost, program, *words, "www.example.com")
        assert status_of(told) == "NOERROR"
        assert "192.0.2.1" in told
        found = re.search(expected or "OPT PSEUDOSECTION|EDNS PSEUDOSECTION", told)
        assert (found is not None) == (expected is not None), told


def test_an_edns_version_of_the_future(waypost: Waypost) -> None:
    assert status_of(tell(waypost, "dig", "+edns=1", "+noednsnegotiation", "www.example.com")) == "BADVERS"
    told = tell(waypost, "dig", "+edns=1", "+ednsnegotiation", "www.example.com")
    assert status_of(told) == "NOERROR", "it asks again with the version that we know"


@DIGS
@pytest.mark.parametrize(
    ("subnet", "address", "scope"),
    [
        ("198.51.100.0/24", "192.0.2.99", 24),
        ("198.51.100.128/32", "192.0.2.99", 24),
        ("2001:db8:1::/56", "192.0.2.99", 48),
        ("203.0.113.0/24", "192.0.2.1", None),
        ("0.0.0.0/0", "192.0.2.1", 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_client_subnet(waypost: Waypost, program: str, subnet: str, address: str, scope: int | None) -> None:
    told = tell(waypost, program, f"+subnet={subnet}", "www.example.com", "A")
    assert re.search(rf"\sA\s+{re.escape(address)}\s", told), told
    found = re.search(r"CLIENT-SUBNET: *([0-9a-f.:]+)/(\d+)/(\d+)", told)
    assert found, told
    assert f"{found[1]}/{found[2]}" == subnet
    if scope is not None:
        assert int(found[3]) == scope


@ALL
def test_tcp(waypost: Waypost, program: str) -> None:
    told = tell(waypost, program, "-t" if program == "drill" else "+tcp", "www.example.com", "A")
    assert "192.0.2.1" in told
    assert status_of(told) == "NOERROR"


@DIGS
def test_what_does_not_fit_comes_by_tcp(waypost: Waypost, program: str) -> None:
    told = tell(waypost, program, "big.example.com", "TXT")
    assert len(re.findall(r"x{200}\d\d", told)) == 20
    assert "retrying in TCP mode" in told or "(TCP)" in told


def test_drill_is_told_to_ask_by_tcp(waypost: Waypost) -> None:
    assert re.search(r"flags: qr aa tc", tell(waypost, "drill", "big.example.com", "TXT"))
    assert len(re.findall(r"x{200}\d\d", tell(waypost, "drill", "-t", "big.example.com", "TXT"))) == 20


@DIGS
def test_truncation_when_told_not_to_try_tcp(waypost: Waypost, program: str) -> None:
    told = tell(waypost, program, "+ignore", "+bufsize=512", "big.example.com", "TXT")
    found = re.search(r"[Ff]lags: ([a-z ]+)", told)
    assert found
    assert "tc" in found[1].split()


@DIGS
def test_many_questions_on_one_connection(waypost: Waypost, program: str) -> None:
    names = [f"www.example.com{'' if number % 2 else '.'}" for number in range(20)]
    told = tell(waypost, program, "+tcp", "+keepopen", *names)
    assert len(re.findall(r"\sA\s+192\.0\.2\.1\s", told)) == 20


def test_pipelining(waypost: Waypost) -> None:
    """What kdig does not do by itself: all questions before the first answer, answered in their order."""
    question = b"\x01\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1"
    messages = [number.to_bytes(2, "big") + question for number in range(200)]
    with socket.create_connection(("127.0.0.1", waypost.port), DEADLINE) as client:
        client.sendall(b"".join(len(message).to_bytes(2, "big") + message for message in messages))
        with client.makefile("rb") as stream:
            for number in range(200):
                reply = stream.read(int.from_bytes(stream.read(2), "big"))
                assert reply[:2] == number.to_bytes(2, "big")
                assert reply.endswith(bytes([192, 0, 2, 1]))


@DIGS
def test_a_referral(waypost: Waypost, program: str) -> None:
    told = tell(waypost, program, "+norecurse", "host.lab.example.com", "A").expandtabs(1)
    assert re.search(r"lab\.example\.com\. +300 +IN +NS +ns\.lab\.example\.com\.", told)
    assert re.search(r"ns\.lab\.example\.com\. +300 +IN +A +192\.0\.2\.54", told)
    flags = re.search(r"[Ff]lags: ([a-z ]+)", told)
    assert flags
    assert "aa" not in flags[1].split()


@pytest.mark.parametrize(
    "words",
    [
        ("dig", "+opcode=STATUS"),
        ("dig", "+opcode=UPDATE"),
        ("dig", "-c", "CH", "-t", "TXT"),
        ("kdig", "-c", "CH", "-t", "TXT"),
        ("dig", "-t", "AXFR"),
        ("kdig", "-t", "AXFR"),
    ],
    ids=" ".join,
)
def test_what_is_not_done_is_refused_properly(waypost: Waypost, words: tuple[str, ...]) -> None:
    program, *rest = words
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    command = [program, "@127.0.0.1", "-p", str(waypost.port), *rest, "example.com"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert re.search("NOTIMP|REFUSED|FORMERR|Transfer failed|not implemented", told.stdout + told.stderr, re.IGNORECASE)
    assert "timed out" not in told.stdout
    assert waypost.answer() == "192.0.2.1"


def test_the_case_of_the_question_comes_back(waypost: Waypost) -> None:
    told = tell(waypost, "dig", "wWw.ExAmPlE.cOm", "A")
    assert re.search(r"^;wWw\.ExAmPlE\.cOm\.", told, re.MULTILINE)


def test_cookies(waypost: Waypost) -> None:
    told = tell(waypost, "dig", "+cookie=0123456789abcdef", "www.example.com", "A")
    assert status_of(told) == "NOERROR"
    assert "192.0.2.1" in told
    assert "CLIENT COOKIE MISMATCH" not in told.upper()
