"""The health directory of geodns."""

import json

from steering.beside.geodns import Geodns, render
from tests.steering.beside.states import origin


def test_a_file_for_each_pool() -> None:
    files = render(
        Geodns(path="/etc/geodns/health"),
        [
            origin("one", "192.0.2.1", "2001:db8::1", pool="web"),
            origin("two", "192.0.2.2", pool="web", up=False),
            origin("three", "192.0.2.3", pool="web", up=None),
            origin("four", "192.0.2.4", pool="web", enabled=False),
            origin("mx", "192.0.2.5", pool="mail", exchangers=("mx.example.com.",)),
        ],
    )
    assert {path: json.loads(content) for path, content in files.items()} == {
        "/etc/geodns/health/web.json": {
            "192.0.2.1": 2,
            "2001:db8::1": 2,
            "192.0.2.2": 1,
            "192.0.2.3": 0,
            "192.0.2.4": 1,
        },
        "/etc/geodns/health/mail.json": {"192.0.2.5": 2, "mx.example.com.": 2},
    }


def test_of_equal_items_the_worst_counts() -> None:
    states = [True, None, False, True]
    for number in range(1, 5):
        origins = [origin(f"o{place}", "192.0.2.1", up=up) for place, up in enumerate(states[:number])]
        (content,) = render(Geodns(path="/d"), origins).values()
        assert json.loads(content) == {"192.0.2.1": [2, 0, 1, 1][number - 1]}
