"""Checks over both families in a network where packets are dropped, delayed and rejected."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from monitors.monitor import Reason
from tests.monitors.fault_network import DELAY

Seen = dict[str, tuple[bool, str, str, float | None]]
"""Check and address → up, reason, evidence, rtt."""

UP = (True, Reason.OK)
PING = {
    1: (UP, UP),
    2: ((False, Reason.TIMEOUT), (False, Reason.TIMEOUT)),
    3: (UP, UP),
    4: (UP, UP),
    5: ((False, Reason.HOST_UNREACHABLE), (False, Reason.HOST_UNREACHABLE)),
    6: ((False, Reason.NETWORK_UNREACHABLE), (False, Reason.NO_ROUTE)),
    7: ((False, Reason.PROHIBITED), (False, Reason.PROHIBITED)),
    8: ((False, Reason.NO_ROUTE), (False, Reason.NO_ROUTE)),
    10: (UP, UP),
    11: (UP, UP),
}
"""What the hosts of `fault_network.FATES` come to, over IPv4 and IPv6, when they are pinged."""
CLOSED = {4: ((False, Reason.PORT_UNREACHABLE), (False, Reason.PORT_UNREACHABLE))}
SILENT = ((False, Reason.TIMEOUT), (False, Reason.TIMEOUT))
EXPECTED = {
    "icmp": PING,
    "icmp, 4 requests": PING | {9: ((False, Reason.PACKETS_LOST), (False, Reason.PACKETS_LOST))},
    "udp_icmp": PING | CLOSED,
    "udp_icmp, reply expected": PING | CLOSED | {10: SILENT, 11: SILENT},
    "tcp": {
        2: SILENT,
        4: ((False, Reason.REFUSED), (False, Reason.REFUSED)),
        5: ((False, Reason.HOST_UNREACHABLE), (False, Reason.HOST_UNREACHABLE)),
        6: ((False, Reason.NETWORK_UNREACHABLE), (False, Reason.NETWORK_UNREACHABLE)),
    },
}


@pytest.fixture(scope="module", params=["unprivileged", "raw"])
def seen(request: pytest.FixtureRequest) -> Seen:
    run = subprocess.run(
        [sys.executable, "-m", "tests.monitors.fault_network", request.param],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 77:
        pytest.skip(run.stdout or "this process may not make a network namespace")
    assert run.stderr == ""
    found: Seen = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("check", EXPECTED)
def test_every_fault_has_its_reason(check: str, seen: Seen) -> None:
    expected = {
        f"{check} {address}": list(outcome)
        for number, outcomes in EXPECTED[check].items()
        for address, outcome in zip((f"192.0.2.{number}", f"2001:db8::{number:x}"), outcomes, strict=True)
    }
    assert {key: list(seen[key][:2]) for key in expected} == expected


def test_a_delay_is_in_the_round_trip(seen: Seen) -> None:
    for check in ("icmp", "icmp, 4 requests", "udp_icmp"):
        for address in ("192.0.2.3", "2001:db8::3"):
            rtt = seen[f"{check} {address}"][3]
            assert rtt is not None
            assert rtt >= DELAY


def test_the_evidence(seen: Seen) -> None:
    evidence = {key: value[2] for key, value in seen.items()}
    assert evidence["udp_icmp 192.0.2.1"] == "the port replied"
    assert evidence["udp_icmp 2001:db8::a"] == "the port is silent"
    assert evidence["udp_icmp, reply expected 2001:db8::a"] == "reply to the datagram: nothing within 1 s"
    assert evidence["udp_icmp 192.0.2.2"] == "reply to the ping: nothing within 1 s"
    assert evidence["icmp, 4 requests 192.0.2.9"] == "2 of 4 replies"
    assert evidence["icmp 2001:db8::7"].startswith("ICMP type 1 code 1: administratively prohibited")
