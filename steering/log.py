"""The log of the program: lines to a stream, of which none is waited for.

A terminal or a pipe that nobody reads must not stop an answer or a probe: a line that finds no room is dropped, and the
next one that does says how many were.
"""

import logging
import select
from typing import TextIO

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class PatientHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a stream, or drops them."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._dropped = 0
        self._poll = select.poll()
        self._poll.register(stream, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line if there is room for it."""
        if not self._poll.poll(0):
            self._dropped += 1
            return
        if self._dropped:
            self.stream.write(f"{self._dropped} lines of the log were dropped: nobody read them\n")
            self._dropped = 0
        super().emit(record)


def start_log(stream: TextIO, level: int) -> None:
    """Send the log of this process, and of those that it forks, to a stream."""
    handler = PatientHandler(stream)
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
