"""Plans in short: a line for each task, so that tests can say what is right."""

from __future__ import annotations

import shlex

from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.planner.references import unescape
from planfold.planner.tasks import NodeKind


def short(draft: PlanDraft) -> list[str]:
    """ "work ...", "ask ...", "run COMMAND" (with its shell and folder), "TOOL ..."."""
    return [_line(task) for task in draft.tasks]


def _line(task: TaskDraft) -> str:
    if task.kind is NodeKind.Clarification:
        return " / ".join([f"ask {task.description}", *task.choices])
    if task.tool is None:
        return f"{'done' if task.done else 'work'} {task.description}"
    arguments = task.arguments or {}
    if task.tool != "shell":
        return f"{task.tool} {arguments.get('url', arguments)}"
    where = f" in {arguments['cwd']}" if "cwd" in arguments else ""
    given = "".join(f" with {name}={value}" for name, value in arguments.get("env", {}).items())
    return f"run {command_of(task)}{where}{given}"


def command_of(task: TaskDraft) -> str:
    """What a task runs: a command line, or a script behind the shell that is named for it."""
    arguments = task.arguments or {}
    if "script" in arguments:
        return str(arguments["script"])
    argv = [str(word) for word in arguments["argv"]]
    if len(argv) == 3 and argv[1] in ("-c", "-ec"):
        return f"({argv[0]}) {unescape(argv[2])}"
    return shlex.join(argv)
