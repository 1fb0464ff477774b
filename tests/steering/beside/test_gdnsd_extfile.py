"""The file of gdnsd's plugin extfile; gdnsd itself reads it in tests/config/test_beside_gdnsd.py."""

import math

import pytest

from steering.beside.gdnsd_extfile import LONGEST_TTL, GdnsdExtfile, render
from tests.steering.beside.states import origin

EXPORT = GdnsdExtfile(path="/var/lib/gdnsd/extfile/waypost")


def test_a_line_for_each_address_and_alias() -> None:
    origins = [
        origin("one", "192.0.2.1", "2001:db8::1"),
        origin("two", "192.0.2.2", up=False, flip_after=2.9),
        origin("three", aliases=("lb.example.net.",), flip_after=None),
    ]
    content = b"192.0.2.1 => UP/30\n2001:db8::1 => UP/30\n192.0.2.2 => DOWN/2\nlb.example.net. => UP\n"
    assert render(EXPORT, origins) == {EXPORT.path: content}


@pytest.mark.parametrize(
    ("flip_after", "ttl"), [(0.0, 1), (0.9, 1), (1e9, LONGEST_TTL), (math.inf, LONGEST_TTL), (59.99, 59)]
)
def test_the_ttl_never_outlives_the_state(flip_after: float, ttl: int) -> None:
    content = render(EXPORT, [origin("one", "192.0.2.1", flip_after=flip_after)])[EXPORT.path]
    assert content == b"192.0.2.1 => UP/%d\n" % ttl


def test_nothing_to_tell() -> None:
    assert render(EXPORT, []) == {EXPORT.path: b""}
