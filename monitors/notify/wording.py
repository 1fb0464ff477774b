"""The words for people: titles, lines, times. Every kind of notifier says them, each with its own markup.

Rules for this file: pure. What comes from the network (`seen`) is kept apart from what we say, so that a kind can
quote it.
"""

from collections import Counter
from datetime import UTC, datetime

from monitors.monitor import one_line
from monitors.notify.event import Event, Message, label, subject

SUBJECTS_IN_TITLE = 3


def title(message: Message) -> str:
    """One line of at most 200 characters: "down: mail-paris/mx1 (192.0.2.10): refused" or
    "19 down, 1 up: mail-paris/mx1, mail-paris/mx2, mail-paris/mx3 and 17 more"."""
    counts = Counter(label(event) for event in message.events) + Counter(message.omitted)
    if counts.total() == 1:
        event = message.events[0]
        where = f" ({event.address})" if event.address else ""
        why = f": {event.reason}" if event.reason else ""
        return one_line(f"{label(event)}: {subject(event)}{where}{why}")
    numbers = ", ".join(f"{count} {name}" for name, count in counts.items())
    subjects = list(dict.fromkeys(subject(event) for event in message.events))
    named = ", ".join(subjects[:SUBJECTS_IN_TITLE])
    others = max(0, len(subjects) - SUBJECTS_IN_TITLE) + sum(message.omitted.values())
    return one_line(f"{numbers}: {named} and {others} more" if others > 0 else f"{numbers}: {named}")


def describe(event: Event) -> tuple[str, str]:
    """What we say of an event, and what was seen (possibly "")."""
    said = f"{label(event)}: {subject(event)}"
    if event.address:
        said += f" ({event.address})"
    if event.kind == "forced":
        said += " to be up" if event.up else " to be down"
    if event.monitor:
        said += f", monitor {event.monitor}"
    said += f", since {time_in_words(event.since)}"
    if event.lasted is not None:
        said += f", after {duration_in_words(event.lasted)}"
    if event.reason:
        said += f": {event.reason}"
    return said, event.evidence


def footnotes(message: Message, shown: int) -> list[str]:
    """What must be said besides the first `shown` events."""
    hidden = Counter(label(event) for event in message.events[shown:]) + Counter(message.omitted)
    notes = [f"and {count} more {name}" for name, count in hidden.items()]
    if message.dropped:
        notes.append(f"{message.dropped} events before this were dropped: more came than could be taken in")
    if message.given_up:
        notes.append(f"{message.given_up} messages before this were given up: they could not be delivered")
    return notes


def time_in_words(seconds: float) -> str:
    """Unix seconds as "2026-11-24 10:00:05 UTC"."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration_in_words(seconds: float) -> str:
    """ "45 s", "12 min", "3 h 5 min", "2 d 4 h": two units at most, rounded down."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"
    if hours:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"
