"""Every reason of failure comes from a real fault in some test: a peer that does wrong, or a network."""

from pathlib import Path

import pytest

from monitors.monitor import Reason

HERE = Path(__file__).parent
REAL = [
    *(HERE / "probes").glob("test_*.py"),
    *(HERE / f"{name}.py" for name in ("certificates", "test_fault_network", "test_host")),
]
"""What makes real checks of real peers; the other tests may make up errors."""


@pytest.mark.parametrize("reason", Reason)
def test_a_real_fault_has_this_reason(reason: Reason) -> None:
    assert any(f"Reason.{reason.name}" in path.read_text(encoding="utf-8") for path in REAL)
