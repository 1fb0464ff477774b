"""What the tests of `force` and `drain` share: a fake of the running waypost, which notes what it is asked."""

from pathlib import Path

import msgspec

from steering.messages import OverrideStatus, Status
from tests.steering.commands.test_commands import STATUS


class FakeRunning:
    """Answers like the control socket."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.overrides: tuple[OverrideStatus, ...] = ()
        self.error = ""

    def ask(self, state: Path, request: dict[str, object]) -> dict[str, object]:  # noqa: ARG002 - the signature
        if request["command"] == "status":
            status: Status = msgspec.structs.replace(STATUS, overrides=self.overrides)
            told: dict[str, object] = msgspec.to_builtins(status)
            return told
        self.asked.append(request)
        return {"error": self.error} if self.error else {"done": ["it is done"], "overrides": []}
