"""The table of commands: each is one file here and one line below."""

from collections.abc import Mapping

from steering.commands import answer, check, diff, impact, import_, map, probe, run, status, test  # noqa: A004 - commands
from steering.commands.command import Command

COMMANDS: Mapping[str, Command] = {
    "run": run.COMMAND,
    "probe": probe.COMMAND,
    "check": check.COMMAND,
    "answer": answer.COMMAND,
    "test": test.COMMAND,
    "impact": impact.COMMAND,
    "diff": diff.COMMAND,
    "map": map.COMMAND,
    "status": status.COMMAND,
    "import": import_.COMMAND,
}
