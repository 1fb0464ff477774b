import socket

import pytest

from monitors.monitor import Reason
from monitors.ping import PingNotPermitted, check_ping_permission
from monitors.probes.icmp import IcmpMonitor
from tests.monitors.checking import check

MONITOR = IcmpMonitor(name="m", timeout=5, retries=0)


@pytest.fixture(autouse=True)
def _needs_ping() -> None:
    try:
        check_ping_permission([socket.AF_INET])
    except PingNotPermitted as error:
        pytest.skip(str(error))


async def test_an_address_that_answers_is_up() -> None:
    result = await check(MONITOR, "127.0.0.77")
    assert (result.up, result.reason) == (True, Reason.OK)
    assert result.rtt is not None
    assert 0 <= result.rtt < 5


async def test_an_address_that_may_not_be_pinged_says_so() -> None:
    # The broadcast address of loopback: the system refuses to send, unless it is asked in a special way.
    result = await check(MONITOR, "127.255.255.255")
    assert (result.up, result.reason, result.evidence) == (False, Reason.NOT_PERMITTED, "Permission denied")


async def test_a_name_is_an_error_of_the_check() -> None:
    result = await check(MONITOR, "localhost")
    assert (result.up, result.reason) == (False, Reason.CHECK_ERROR)
