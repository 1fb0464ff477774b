"""What targets that are no plain functions run on: a peer made of bytes, and coroutines that need no event loop."""

from collections.abc import Coroutine
from typing import TypeVar

import trio

Result = TypeVar("Result")


class Pieces(trio.abc.Stream):
    """A peer that sends these pieces, and ends; it takes whatever it is sent."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002 - the signature of a stream
        return next(self._pieces, b"")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        pass

    async def wait_send_all_might_not_block(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def run(coroutine: Coroutine[object, object, Result]) -> Result:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise AssertionError("it waits")
