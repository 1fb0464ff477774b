"""Events and settings for the tests."""

from typing import Any

from monitors.notify.email import EmailNotifier
from monitors.notify.event import Event, Kind, Message
from monitors.notify.webhook import WebhookNotifier

MORNING = 1_795_600_800.0
"""2026-11-25 10:00:00 UTC"""


def event(kind: Kind = "down", origin: str = "mx1", since: float = MORNING, pool: str = "mail", **more: Any) -> Event:
    up = kind in ("up", "freed", "steady", "warning")
    return Event(**{"kind": kind, "since": since, "pool": pool, "origin": origin, "up": up} | more)


def message(*events: Event, **more: Any) -> Message:
    fields: dict[str, Any] = {"identifier": "0a1b", "notifier": "ops", "made": MORNING, "events": events or (event(),)}
    return Message(**fields | more)


def email(**more: Any) -> EmailNotifier:
    fields: dict[str, Any] = {
        "name": "ops",
        "server": "127.0.0.1",
        "sender": "waypost@example.com",
        "to": ("ops@example.com",),
    }
    return EmailNotifier(**fields | more)


def webhook(**more: Any) -> WebhookNotifier:
    return WebhookNotifier(**{"name": "ops", "url": "http://127.0.0.1:9/"} | more)
