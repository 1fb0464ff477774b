"""TLS as probes need it: the fields of a monitor, the context, and what a certificate says about its own end."""

import ssl
from collections.abc import Mapping
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from monitors.address import HostName, is_host_name
from monitors.monitor import Monitor, Result, Target

DAY = 86400


class TlsMonitor(Monitor, frozen=True, kw_only=True):
    """The part of the kinds that can speak TLS.

    Certificate and name are verified against the authorities of the system unless `allow_insecure`; then nothing
    of the certificate is looked at. One that ends within `certificate_warning_days` gives a warning; 0: never.
    """

    allow_insecure: bool = False
    certificate_warning_days: Annotated[int, Meta(ge=0, le=365)] = 14


class ServerNameMonitor(TlsMonitor, frozen=True, kw_only=True):
    """The part of the kinds whose certificate must be for `server_name`, or else for the address as it is configured,
    which may be a host name."""

    server_name: HostName | None = None

    def towards(self, target: Target) -> Self:
        monitor = super().towards(target)
        if self.server_name is None and is_host_name(target.address):
            return msgspec.structs.replace(monitor, server_name=target.address)
        return monitor


def make_context(allow_insecure: bool, ca_file: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later, trusting the certificates of a file, or else what OpenSSL trusts here, for which SSL_CERT_FILE
    and SSL_CERT_DIR may stand. OSError.

    Reads some hundred certificates: not for every check.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # of a system that would take less, too
    if allow_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def note_certificate(result: Result, certificate: Mapping[str, object] | None, warn_days: int, now: float) -> Result:
    """`result` with the end of `certificate`, as `getpeercert` gives it, and a warning at `now` (Unix seconds) if
    it is near. A certificate that was not verified is empty, and says nothing."""
    ends = (certificate or {}).get("notAfter")
    if not isinstance(ends, str):
        return result
    expires = float(ssl.cert_time_to_seconds(ends))
    warning = result.warning
    if expires - now < warn_days * DAY:
        warning = f"the certificate expires in {max(0.0, expires - now) / DAY:.1f} days, at {ends}"
    return msgspec.structs.replace(result, warning=warning, certificate_expires=expires)
