import ssl

import pytest

from monitors.monitor import Reason, Result
from monitors.tls import DAY, make_context, note_certificate

ENDS = "Jan  5 09:34:43 2030 GMT"
EXPIRES = 1893836083.0
UP = Result(True, Reason.OK, "200 OK", 0.1)


@pytest.mark.parametrize(
    ("days_left", "warn_days", "warning"),
    [
        (15.0, 14, ""),
        (14.0, 14, ""),
        (13.9, 14, f"the certificate expires in 13.9 days, at {ENDS}"),
        (0.04, 14, f"the certificate expires in 0.0 days, at {ENDS}"),
        (-1.0, 14, f"the certificate expires in 0.0 days, at {ENDS}"),
        (0.5, 0, ""),
    ],
)
def test_the_end_of_a_certificate(days_left: float, warn_days: int, warning: str) -> None:
    result = note_certificate(UP, {"notAfter": ENDS}, warn_days, EXPIRES - days_left * DAY)
    assert result == Result(True, Reason.OK, "200 OK", 0.1, warning, EXPIRES)


@pytest.mark.parametrize("certificate", [None, {}, {"subject": ()}])
def test_what_was_not_verified_says_nothing(certificate: dict[str, object] | None) -> None:
    assert note_certificate(UP, certificate, 14, EXPIRES) == UP


def test_the_two_contexts() -> None:
    strict, lax = make_context(False), make_context(True)
    assert (strict.check_hostname, strict.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert (lax.check_hostname, lax.verify_mode) == (False, ssl.CERT_NONE)
    assert strict.minimum_version >= ssl.TLSVersion.TLSv1_2
