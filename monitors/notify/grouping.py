"""From events to messages: `group` filters, gathers what happens together, and reminds of what is still so.

Rules for this file: pure. Time comes in as an argument, every function returns a new value. A Grouping knows what it
has been told, so a feed may repeat itself: what is down already is no news when it is said to be down again, nor is
"up" of what was never down. So a feed may begin with all that it knows, and says it again after events were lost.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from monitors.notify.event import ENDS, Event, Message, UnixTime, label
from monitors.notify.notifier import Notifier, concerns

EVENTS_PER_MESSAGE = 200
"""The others are only counted."""

REMINDED = ("down", "held")


class Condition(msgspec.Struct, frozen=True):
    """What is so at present: the event that began it, and when it was told last (None: not yet, or not asked for)."""

    event: Event
    told: UnixTime | None = None


class Grouping(msgspec.Struct, frozen=True):
    """The memory of one notifier; it can be kept as JSON."""

    waiting: tuple[Event, ...] = ()
    """The news of the next message."""
    omitted: dict[str, int] = {}
    opened: UnixTime | None = None
    """When the first of it came in."""
    conditions: dict[str, Condition] = {}
    """By kind, pool and origin."""


def group(
    grouping: Grouping,
    events: Iterable[Event],
    notifier: Notifier,
    now: float,
    dropped: int = 0,
    given_up: int = 0,
) -> tuple[Grouping, Message | None]:
    """The grouping after `events`, which came in at `now` (Unix seconds), and the message that is due, if one is.

    `dropped` and `given_up` go into the message: how many events and messages were lost since the last.
    """
    grouping = _take(grouping, events, notifier, now)
    news, omitted = grouping.waiting, Counter(grouping.omitted)
    conditions = dict(grouping.conditions)
    if grouping.opened is not None and _has_passed(grouping.opened + notifier.group_for, grouping.opened, now):
        grouping = Grouping()
        for key, condition in conditions.items():
            if condition.told is None and condition.event.kind in notifier.events:
                conditions[key] = Condition(condition.event, now)
    else:
        news, omitted = (), Counter()
    for key in _to_remind(conditions, notifier, now):
        event = msgspec.structs.replace(conditions[key].event, reminder=True)
        conditions[key] = Condition(conditions[key].event, now)
        if len(news) < EVENTS_PER_MESSAGE:
            news = (*news, event)
        else:
            omitted[label(event)] += 1
    grouping = msgspec.structs.replace(grouping, conditions=conditions)
    if not news:
        return grouping, None
    content = msgspec.json.encode((notifier.name, now, news))
    identifier = hashlib.blake2b(content, digest_size=10).hexdigest()
    return grouping, Message(
        identifier=identifier,
        notifier=notifier.name,
        made=now,
        events=news,
        omitted=dict(omitted),
        dropped=dropped,
        given_up=given_up,
    )


def next_due(grouping: Grouping, notifier: Notifier) -> float | None:
    """When `group` should be called again if nothing happens before (Unix seconds); None: not at all."""
    moments = [] if grouping.opened is None else [grouping.opened + notifier.group_for]
    if notifier.repeat_every is not None:
        reminders = _reminders(grouping.conditions)
        moments += [condition.told + notifier.repeat_every for _, condition in reminders if condition.told is not None]
    return min(moments, default=None)


def restrict(grouping: Grouping, notifier: Notifier) -> Grouping:
    """What a notifier remembers once its settings have changed: nothing of what no longer concerns it."""
    return msgspec.structs.replace(
        grouping,
        waiting=tuple(event for event in grouping.waiting if concerns(notifier, event)),
        conditions={key: known for key, known in grouping.conditions.items() if concerns(notifier, known.event)},
    )


def _take(grouping: Grouping, events: Iterable[Event], notifier: Notifier, now: float) -> Grouping:
    conditions, omitted = dict(grouping.conditions), Counter(grouping.omitted)
    waiting, opened = list(grouping.waiting), grouping.opened
    for event in events:
        if not concerns(notifier, event):
            continue
        if event.kind == "removed":
            for kind in ENDS.values():
                conditions.pop(_key(kind, event), None)
            continue
        key = _key(ENDS.get(event.kind, event.kind), event)
        known = conditions.get(key)
        if event.kind in ENDS:
            if known is None:
                continue
            del conditions[key]
            lasted = max(0.0, event.since - known.event.since)
            event = msgspec.structs.replace(event, lasted=lasted)
        elif known is not None and known.event.up == event.up:
            continue
        else:
            conditions[key] = Condition(event)
        if event.kind not in notifier.events:
            continue
        opened = now if opened is None else opened
        if len(waiting) < EVENTS_PER_MESSAGE:
            waiting.append(event)
        else:
            omitted[label(event)] += 1
    return Grouping(tuple(waiting), dict(omitted), opened, conditions)


def _to_remind(conditions: dict[str, Condition], notifier: Notifier, now: float) -> list[str]:
    """Everything to be reminded of, once something is: also what would be within the time of grouping."""
    if notifier.repeat_every is None:
        return []
    soon, is_due = [], False
    early = min(notifier.group_for, notifier.repeat_every / 2)
    for key, condition in _reminders(conditions):
        if condition.told is not None:
            due = condition.told + notifier.repeat_every
            is_due |= _has_passed(due, condition.told, now)
            if _has_passed(due - early, condition.told, now):
                soon.append(key)
    return soon if is_due else []


def _reminders(conditions: dict[str, Condition]) -> Iterator[tuple[str, Condition]]:
    """What may be told again: not what an operator has taken in hand."""
    for key, condition in conditions.items():
        if condition.event.kind in REMINDED and _key("forced", condition.event) not in conditions:
            yield key, condition


def _has_passed(moment: float, start: float, now: float) -> bool:
    """Also when the clock was set back behind `start`: nothing may wait for hours because of that."""
    return now >= moment or now < start


def _key(kind: str, event: Event) -> str:
    return f"{kind}\n{event.pool}\n{event.origin}"
