"""The table of commands: each is one file here and one line below."""

from collections.abc import Mapping

from steering.commands import answer, check, drain, force, run, status
from steering.commands.command import Command

COMMANDS: Mapping[str, Command] = {
    "run": run.COMMAND,
    "check": check.COMMAND,
    "answer": answer.COMMAND,
    "status": status.COMMAND,
    "force": force.COMMAND,
    "drain": drain.COMMAND,
}
