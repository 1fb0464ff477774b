"""The table of commands: each is one file here and one line below."""

from collections.abc import Mapping

from steering.commands import answer, beside, check, diff, impact, map, probe, run, status, test  # noqa: A004 - names of commands
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
    "beside": beside.COMMAND,
}
