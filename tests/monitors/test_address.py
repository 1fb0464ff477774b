import socket

import pytest

from monitors.address import family_of


def test_family_of_a_literal() -> None:
    assert family_of("192.0.2.10") == socket.AF_INET
    assert family_of("2001:db8::1") == socket.AF_INET6


@pytest.mark.parametrize("address", ["localhost", "", "1.2.3", "192.0.2.10:25", "[::1]"])
def test_anything_else_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        family_of(address)
