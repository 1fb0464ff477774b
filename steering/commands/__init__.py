"""The table of commands: each is one file here and one line below."""

from collections.abc import Mapping

from steering.commands import (
    answer,
    beside,
    check,
    diff,
    drain,
    force,
    impact,
    import_,
    load,
    map,  # noqa: A004 - the name of the command
    probe,
    run,
    status,
    test,
)
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
    "force": force.COMMAND,
    "drain": drain.COMMAND,
    "load": load.COMMAND,
    "import": import_.COMMAND,
    "beside": beside.COMMAND,
}
