"""What tests of several kinds of checks ask for."""

from pathlib import Path

import pytest

from tests.monitors.certificates import Certificates


@pytest.fixture(scope="session")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates, whose authority is not trusted."""
    return Certificates(Path(tmp_path_factory.mktemp("certificates")))


@pytest.fixture
def certificates(issued: Certificates, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """Certificates, of whose authority OpenSSL has heard."""
    monkeypatch.setenv("SSL_CERT_FILE", str(issued.trusted))
    return issued
