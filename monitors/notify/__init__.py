"""TRIO: the ways of telling people. One file per kind, one line per kind in the table NOTIFIERS.

A kind renders a message without waiting, and delivers it once: it sets no timeout around the whole delivery and does
not try again; `monitors.notify.notifications` does. When it is cancelled, nothing that it opened stays open.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from monitors.notify import email, webhook
from monitors.notify.email import EmailNotifier
from monitors.notify.event import Message
from monitors.notify.webhook import WebhookNotifier
from monitors.tools import Tools

AnyNotifier = EmailNotifier | WebhookNotifier


class Kind(NamedTuple):
    """A way of telling people: its settings, its delivery, which raises DeliveryError."""

    notifier: type[AnyNotifier]
    deliver: Callable[[Any, Message, Tools], Awaitable[None]]


NOTIFIERS = {
    "email": Kind(EmailNotifier, email.deliver),
    "webhook": Kind(WebhookNotifier, webhook.deliver),
}


async def deliver(notifier: AnyNotifier, message: Message, tools: Tools) -> None:
    """Deliver a message once, by the kind of the notifier. DeliveryError if it was not taken."""
    await NOTIFIERS[str(notifier.__struct_config__.tag)].deliver(notifier, message, tools)
