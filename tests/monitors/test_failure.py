import errno
import socket
import ssl

import pytest
import trio

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


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] whatever")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (tls("WRONG_VERSION_NUMBER"), Result(False, Reason.TLS_PROTOCOL, "wrong version number")),
        (tls("UNSUPPORTED_PROTOCOL"), Result(False, Reason.TLS_PROTOCOL, "unsupported protocol")),
        (tls("HTTP_REQUEST"), Result(False, Reason.TLS_PROTOCOL, "http request")),
        (tls("SSLV3_ALERT_HANDSHAKE_FAILURE"), Result(False, Reason.TLS_HANDSHAKE, "sslv3 alert handshake failure")),
        (ssl.SSLEOFError(8, "EOF"), Result(False, Reason.CLOSED_EARLY, "the server closed the connection")),
        (ssl.SSLError(1, "no reason"), Result(False, Reason.TLS_HANDSHAKE, "no reason")),
    ],
)
def test_tls(error: ssl.SSLError, result: Result) -> None:
    assert explain(error) == result


def test_what_stands_for_another_error_is_told_as_that() -> None:
    broken = trio.BrokenResourceError()
    broken.__cause__ = OSError(errno.ECONNRESET, "x")
    assert explain(broken).reason is Reason.RESET
    # The number of this one is that of "not permitted", and means nothing of the kind.
    broken.__cause__ = tls("WRONG_VERSION_NUMBER")
    assert explain(broken).reason is Reason.TLS_PROTOCOL
    assert explain(trio.BrokenResourceError("x")).reason is Reason.CHECK_ERROR


def test_the_step_stands_before_the_evidence() -> None:
    assert explain(OSError(errno.ECONNRESET, "x"), "EHLO").evidence == "EHLO: Connection reset by peer"
