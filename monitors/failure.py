"""From an exception to the Result that says it: the operating system's errors and everything else.

Rules for this file: pure, and it knows no kind of check. Exceptions of a library are told apart in the kind
that uses it.
"""

import errno
import os
import socket

from monitors.monitor import Reason, Result

REASONS = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ECONNRESET: Reason.RESET,
    errno.ECONNABORTED: Reason.RESET,
    errno.EPIPE: Reason.CLOSED_EARLY,
    errno.ETIMEDOUT: Reason.TIMEOUT,
    errno.ENETUNREACH: Reason.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Reason.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: Reason.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Reason.HOST_UNREACHABLE,
    errno.EAFNOSUPPORT: Reason.NO_ROUTE,
    errno.EACCES: Reason.NOT_PERMITTED,
    errno.EPERM: Reason.NOT_PERMITTED,
}


def explain(error: Exception, step: str = "") -> Result:
    """The failed Result for `error`; `step` ("greeting") says in the evidence what was being done.

    What is no error of the network is an error in the check itself, told with the name of the exception.
    """
    before = f"{step}: " if step else ""
    if isinstance(error, socket.gaierror):
        return Result(False, Reason.NAME_UNKNOWN, f"{before}{error.strerror}")
    if isinstance(error, OSError) and error.errno in REASONS:
        # asyncio and Trio put words of their own into strerror; the system's are the ones people search for.
        return Result(False, REASONS[error.errno], before + os.strerror(error.errno))
    if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        return explain(error.exceptions[0], step)
    return Result(False, Reason.CHECK_ERROR, f"{before}{type(error).__name__}: {error}")
