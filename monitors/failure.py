"""From an exception to the Result that says it: the operating system's errors and everything else.

Rules for this file: pure, and it knows no kind of check. Exceptions of a library are told apart in the kind
that uses it.
"""

import errno
import os
import socket
import ssl

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
    errno.EADDRNOTAVAIL: Reason.CHECK_ERROR,
}

CERTIFICATE_REASONS = {
    9: Reason.TLS_EXPIRED,  # X509_V_ERR_CERT_NOT_YET_VALID: a certificate has two ends
    10: Reason.TLS_EXPIRED,
    62: Reason.TLS_NAME_MISMATCH,
    64: Reason.TLS_NAME_MISMATCH,  # X509_V_ERR_IP_ADDRESS_MISMATCH
}
"""What verifying a certificate can say (<openssl/x509_vfy.h>); all else makes it untrusted."""

PROTOCOL_WORDS = ("PROTOCOL", "VERSION", "HTTP_REQUEST")
"""Parts of OpenSSL's reasons that mean: no TLS, or none of a version that both speak."""


def explain(error: Exception, step: str = "") -> Result:
    """The failed Result for `error`; `step` ("greeting") says in the evidence what was being done.

    An exception that stands for another one (Trio's for a broken stream) is told as that one, and a group as its
    first. What is no error
    of the network is an error in the check itself, told with the name of the exception.
    """
    before = f"{step}: " if step else ""
    if isinstance(error, socket.gaierror):
        return Result(False, Reason.NAME_UNKNOWN, f"{before}{error.strerror}")
    if isinstance(error, ssl.SSLError):
        # Before the errors of the system: their numbers are others.
        reason, words = _explain_tls(error)
        return Result(False, reason, before + words)
    if isinstance(error, OSError) and error.errno in REASONS:
        # asyncio and Trio put words of their own into strerror; the system's are the ones people search for.
        return Result(False, REASONS[error.errno], before + os.strerror(error.errno))
    if isinstance(error, ExceptionGroup):
        return explain(error.exceptions[0], step)
    if isinstance(error.__cause__, OSError):
        return explain(error.__cause__, step)
    return Result(False, Reason.CHECK_ERROR, f"{before}{type(error).__name__}: {error}")


def _explain_tls(error: ssl.SSLError) -> tuple[Reason, str]:
    """Reason and OpenSSL's words for a failure of TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return CERTIFICATE_REASONS.get(error.verify_code, Reason.TLS_UNTRUSTED), error.verify_message
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Reason.CLOSED_EARLY, "the server closed the connection"
    # One that OpenSSL did not raise has no such attribute.
    said = str(getattr(error, "reason", None) or error)
    is_protocol = any(word in said for word in PROTOCOL_WORDS)
    return Reason.TLS_PROTOCOL if is_protocol else Reason.TLS_HANDSHAKE, said.lower().replace("_", " ")
