from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.notify import AnyNotifier
from monitors.notify.event import Event
from monitors.notify.notifier import LONGEST_WISH, DeliveryError, backoff, concerns
from tests.monitors.notify.sample import email, event, webhook


@pytest.mark.parametrize(
    ("pools", "origins", "about", "expected"),
    [
        (("*",), ("*",), event(), True),
        (("mail*",), ("mx?",), event(), True),
        (("web*", "mail"), ("*",), event(), True),
        (("web*",), ("*",), event(), False),
        (("*",), ("mx2",), event(), False),
        (("MAIL",), ("*",), event(), False),
        (("mail",), ("mx2",), event(origin=""), True),
        (("web",), ("mx2",), event(origin=""), False),
        (("web",), ("mx2",), event("held", pool="", origin=""), True),
    ],
)
def test_globs_choose_pools_and_origins_where_an_event_has_them(
    pools: tuple[str, ...], origins: tuple[str, ...], about: Event, expected: bool
) -> None:
    assert concerns(webhook(pools=pools, origins=origins), about) is expected


def test_backoff_doubles_up_to_a_limit() -> None:
    assert [backoff(failures, 1.0) for failures in (1, 2, 3, 6, 7, 1000)] == [5, 10, 20, 160, 300, 300]
    assert backoff(1, 0.0) == 2.5


@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(0, LONGEST_WISH))
def test_backoff_is_bounded_and_never_less_than_asked_for(failures: int, dice: float, wish: float) -> None:
    assert max(2.5, wish) <= backoff(failures, dice, wish) <= max(300, wish)


def test_a_receiver_can_neither_write_lines_nor_ask_for_days() -> None:
    error = DeliveryError("500 a\r\nb\x1b[31m" + "x" * 1000, retry_after=1e9)
    assert str(error).isprintable()
    assert len(str(error)) <= 200
    assert error.retry_after == LONGEST_WISH


GOOD_EMAIL = {"type": "email", "name": "ops", "server": "mail.example.com", "from": "a@example.com", "to": ["b@x.org"]}
GOOD_WEBHOOK = {"type": "webhook", "name": "ops", "url": "https://example.com/hook"}


@pytest.mark.parametrize(
    "settings",
    [
        GOOD_EMAIL,
        GOOD_WEBHOOK,
        GOOD_EMAIL | {"events": ["down", "up"], "pools": ["mail-*"], "group_for": 0.0, "repeat_every": 3600.0},
        GOOD_EMAIL | {"server": "2001:db8::1", "port": 587, "username": "u", "password_file": "p"},
        GOOD_WEBHOOK | {"headers": {"Authorization": "Bearer a b"}, "format": "slack", "proxy": "http://p:3128"},
    ],
)
def test_settings_that_are_good(settings: dict[str, Any]) -> None:
    notifier: AnyNotifier = msgspec.convert(settings, AnyNotifier)
    assert list(notifier.problems()) == []


@pytest.mark.parametrize(
    "settings",
    [
        GOOD_EMAIL | {"to": []},
        GOOD_EMAIL | {"to": ["a@b\nBcc: c@d"]},
        GOOD_EMAIL | {"from": "Ops <a@example.com>"},
        GOOD_EMAIL | {"helo": "a b"},
        GOOD_EMAIL | {"events": ["removed"]},
        GOOD_EMAIL | {"events": []},
        GOOD_EMAIL | {"repeat_every": 1.0},
        GOOD_EMAIL | {"name": "../x"},
        GOOD_EMAIL | {"pools": ["a/b"]},
        GOOD_EMAIL | {"url": "https://example.com"},
        GOOD_WEBHOOK | {"url": "ftp://example.com"},
        GOOD_WEBHOOK | {"url": "https://example.com/a b"},
        GOOD_WEBHOOK | {"headers": {"A": "b\r\nC: d"}},
        GOOD_WEBHOOK | {"headers": {"A:": "b"}},
        GOOD_WEBHOOK | {"type": "pager"},
    ],
)
def test_settings_that_are_not(settings: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, AnyNotifier)


@pytest.mark.parametrize(
    ("notifier", "keys"),
    [
        (email(username="u"), ["username"]),
        (email(password_file="p"), ["password_file"]),
        (email(username="u", password_file="p", starttls="offered"), ["starttls"]),
        (email(username="u", password_file="p", starttls="off", tls=True), []),
        (webhook(url=None), ["url"]),
        (webhook(url_file="x"), ["url"]),
        (webhook(url=None, url_file="x"), []),
    ],
)
def test_keys_that_contradict_each_other(notifier: AnyNotifier, keys: list[str]) -> None:
    assert [key for key, _ in notifier.problems()] == keys
