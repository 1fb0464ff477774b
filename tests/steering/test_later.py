"""Replies that come later: each is answered once, also when control is silent, and there are never too many."""

from steering.later import LIMIT, PATIENCE, Later, Waiting
from steering.wire import NOERROR, REFUSED, SERVFAIL


def make(sent: list[bytes], name: bytes) -> Later:
    later = Later(lambda rcode: name + bytes((rcode,)))
    later.send = sent.append
    return later


def test_each_is_answered_once() -> None:
    sent: list[bytes] = []
    waiting = Waiting(1)
    first, second = waiting.add(make(sent, b"a"), 0.0), waiting.add(make(sent, b"b"), 0.0)
    assert first is not None
    assert second is not None
    assert first[1] == PATIENCE
    waiting.finish(second[0], REFUSED)
    waiting.finish(second[0], NOERROR)
    waiting.finish(first[0], NOERROR)
    waiting.expire(PATIENCE)
    assert sent == [b"b\5", b"a\0"]


def test_who_has_waited_too_long_is_told_that_it_failed() -> None:
    sent: list[bytes] = []
    waiting = Waiting(1)
    first = waiting.add(make(sent, b"a"), 0.0)
    waiting.add(make(sent, b"b"), 1.0)
    waiting.expire(PATIENCE - 0.1)
    assert sent == []
    waiting.expire(PATIENCE)
    assert sent == [b"a" + bytes((SERVFAIL,))]
    assert first is not None
    waiting.finish(first[0], NOERROR)
    assert len(sent) == 1


def test_they_are_bounded() -> None:
    sent: list[bytes] = []
    waiting = Waiting(1)
    numbers = [waiting.add(make(sent, b"a"), 0.0) for _ in range(LIMIT)]
    assert len(set(numbers)) == LIMIT
    assert waiting.add(make(sent, b"b"), 0.0) is None
    waiting.expire(PATIENCE)
    assert waiting.add(make(sent, b"b"), PATIENCE) is not None


def test_a_reply_that_nobody_wants_is_dropped() -> None:
    Later(bytes).finish(NOERROR)
