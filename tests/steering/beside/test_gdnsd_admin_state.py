"""The file admin_state of gdnsd; gdnsd itself reads it in tests/config/test_beside_gdnsd.py."""

from steering.beside.gdnsd_admin_state import GdnsdAdminState, render
from tests.steering.beside.states import origin

PATH = "/var/lib/gdnsd/admin_state"
ORIGINS = [
    origin("one", "192.0.2.1"),
    origin("two", "192.0.2.2", up=False, aliases=("two.example.net.",)),
    origin("three", "192.0.2.3", enabled=False),
    origin("four", "192.0.2.4", up=None),
]


def test_what_is_down_is_named() -> None:
    content = b"192.0.2.2/* => DOWN\ntwo.example.net./* => DOWN\n192.0.2.3/* => DOWN\n"
    assert render(GdnsdAdminState(path=PATH), ORIGINS) == {PATH: content}


def test_one_service_type() -> None:
    content = render(GdnsdAdminState(path=PATH, service_type="http_www"), ORIGINS[:2])[PATH]
    assert content == b"192.0.2.2/http_www => DOWN\ntwo.example.net./http_www => DOWN\n"


def test_when_all_is_well_the_file_is_empty() -> None:
    assert render(GdnsdAdminState(path=PATH), ORIGINS[:1]) == {PATH: b""}
