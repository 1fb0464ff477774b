"""Certificates of every quality, made for one run of the tests, and contexts of servers that show them."""

import datetime
import ssl
from pathlib import Path

import trustme

from monitors.monitor import Reason

NAME = "www.example.com"
DAY = datetime.timedelta(days=1)


class Certificates:
    """An authority of our own; `trusted` is the file for SSL_CERT_FILE."""

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self._directory = directory
        self.trusted = directory / "trusted.pem"
        self._authority.cert_pem.write_to_path(self.trusted)

    def issue(self, quality: str) -> tuple[Path, Path]:
        """The files of chain and key of a certificate that is good, or bad as `quality` says."""
        now = datetime.datetime.now(datetime.UTC)
        chain, key = self._directory / f"{quality}.pem", self._directory / f"{quality}.key"
        match quality:
            case "good":
                issued = self._authority.issue_cert(NAME, "127.0.0.1", "::1")
            case "soon":
                issued = self._authority.issue_cert(NAME, not_after=now + 5 * DAY)
            case "expired":
                issued = self._authority.issue_cert(NAME, not_before=now - 9 * DAY, not_after=now - DAY)
            case "not yet valid":
                issued = self._authority.issue_cert(NAME, not_before=now + DAY, not_after=now + 9 * DAY)
            case "wrong name":
                issued = self._authority.issue_cert("other.example.com")
            case "untrusted":
                issued = trustme.CA().issue_cert(NAME)
            case "self-signed":
                authority = trustme.CA()
                authority.cert_pem.write_to_path(chain)
                authority.private_key_pem.write_to_path(key)
                return chain, key
            case _:
                raise KeyError(quality)
        issued.private_key_pem.write_to_path(key)
        chain.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        return chain, key

    def server_context(self, quality: str = "good") -> ssl.SSLContext:
        """The context of a server with such a certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.issue(quality))
        return context


UNTRUSTED = {
    "expired": (Reason.TLS_EXPIRED, "certificate has expired"),
    "not yet valid": (Reason.TLS_EXPIRED, "certificate is not yet valid"),
    "wrong name": (Reason.TLS_NAME_MISMATCH, "Hostname mismatch, certificate is not valid for 'www.example.com'."),
    "untrusted": (Reason.TLS_UNTRUSTED, "unable to get local issuer certificate"),
    "self-signed": (Reason.TLS_UNTRUSTED, "self-signed certificate"),
}
"""What is wrong with a certificate → the reason and OpenSSL's words for it."""
