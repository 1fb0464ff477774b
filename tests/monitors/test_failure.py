import errno
import socket

import pytest

from monitors.failure import explain
from monitors.monitor import Reason, Result


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (OSError(errno.ECONNREFUSED, "x"), Result(False, Reason.REFUSED, "Connection refused")),
        (OSError(errno.ECONNRESET, "x"), Result(False, Reason.RESET, "Connection reset by peer")),
        (
            OSError(errno.ENETUNREACH, "x"),
            Result(False, Reason.NETWORK_UNREACHABLE, "Network is unreachable"),
        ),
        (OSError(errno.EHOSTUNREACH, "x"), Result(False, Reason.HOST_UNREACHABLE, "No route to host")),
        (OSError(errno.ETIMEDOUT, "x"), Result(False, Reason.TIMEOUT, "Connection timed out")),
        (OSError(errno.EPERM, "x"), Result(False, Reason.NOT_PERMITTED, "Operation not permitted")),
        (socket.gaierror(-2, "unknown"), Result(False, Reason.NAME_UNKNOWN, "unknown")),
        (
            OSError(errno.EMFILE, "Too many open files"),
            Result(False, Reason.CHECK_ERROR, "OSError: [Errno 24] Too many open files"),
        ),
        (ZeroDivisionError("by\nzero"), Result(False, Reason.CHECK_ERROR, "ZeroDivisionError: by zero")),
        (
            ExceptionGroup("", [OSError(errno.ECONNRESET, "x")]),
            Result(False, Reason.RESET, "Connection reset by peer"),
        ),
    ],
)
def test_every_exception_has_a_reason(error: Exception, result: Result) -> None:
    assert explain(error) == result


def test_the_step_stands_before_the_evidence() -> None:
    assert explain(OSError(errno.ECONNRESET, "x"), "EHLO").evidence == "EHLO: Connection reset by peer"
