"""What tests of several kinds of checks ask for."""

from collections.abc import Callable
from pathlib import Path

import pytest
from trio.testing import MockClock

from monitors import patience
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


HoldUp = Callable[[MockClock, float], None]


class Stopwatch:
    """Stands for the module time where patience measures how long the loop was held up."""

    seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def stopwatch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    """It stands still for a test with a mock clock, whose timeouts are then the same on a busy machine."""
    made = Stopwatch()
    if {"mock_clock", "autojump_clock"} & {*request.fixturenames}:
        monkeypatch.setattr(patience, "time", made)
    return made


@pytest.fixture
def hold_up(stopwatch: Stopwatch) -> HoldUp:
    """Lets so many seconds pass as if something had kept the loop, or the whole process, for as long; the loop sees
    that in its next turn."""

    def hold_up(clock: MockClock, seconds: float) -> None:
        clock.jump(seconds)
        stopwatch.seconds += seconds

    return hold_up
