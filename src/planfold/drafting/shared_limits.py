"""``limits`` of a task: names of shared limits, its own and those of its tool."""

from __future__ import annotations

from planfold.drafting.draft import TaskDraft
from planfold.drafting.faults import Faults, excerpt, quoted
from planfold.drafting.fields import kind_of
from planfold.drafting.waits import is_wait
from planfold.planner.tasks import NodeKind
from planfold.tools.tool import Tool, Toolbox


def check_shared_limits(
    task: TaskDraft, tool: Tool | None, name: str, tools: Toolbox, faults: Faults
) -> None:
    """Each limit is declared, and the task has attempts that it can be about."""
    if task.limits and (kind_of(task) is NodeKind.Clarification or is_wait(task) or task.done):
        what = "a task that is done" if task.done else "a wait"
        what = "a clarification" if kind_of(task) is NodeKind.Clarification else what
        faults.add(f"is not used by {what}", task=name, field="limits", fix="remove it")
        return
    undoing = tools.get(task.undo.tool) if task.undo is not None else None
    whose_tool = {limit: tool.name for tool in (undoing, tool) if tool for limit in tool.limits}
    for limit in sorted({*task.limits, *whose_tool}):
        if limit in tools.limits:
            continue
        whose = "" if limit in task.limits else f" of the tool {quoted(whose_tool[limit])}"
        near = faults.nearest(limit, tools.limits)
        declare = f'declare it in planfold.toml: [limits.{excerpt(limit)}] with rate = "60/min" or '
        fix = f"{near + ' ' if near else ''}{declare}concurrency = 1"
        message = f"the limit {quoted(limit)}{whose} is not declared"
        faults.add(message, task=name, field="limits", fix=fix)


def shared_limits_of(task: TaskDraft, tool: Tool | None) -> tuple[str, ...]:
    """The names, sorted, each once."""
    return tuple(sorted({*task.limits, *(tool.limits if tool is not None else ())}))
