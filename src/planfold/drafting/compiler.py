"""``compile_plan``: a draft becomes checked tasks, or all of its faults are reported at once.

Every draft passes the compiler before it reaches the log, whether a person, a program or a model
wrote it. A compiled plan can run to its end: every dependency exists, there are no cycles, and
every reference points to an earlier task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from planfold.drafting.arguments import ArgumentChecks
from planfold.drafting.binding import bound
from planfold.drafting.dependencies import Links, Numbered
from planfold.drafting.draft import Limits, PlanDraft, TaskDraft
from planfold.drafting.faults import Faults, excerpt, listed, quoted
from planfold.drafting.fields import check_fields, check_plan_texts, kind_of
from planfold.drafting.maps import check_item_by_item, check_map, for_each_of
from planfold.drafting.scripts import check_scripts
from planfold.drafting.shape import checked_tasks
from planfold.drafting.shared_limits import check_shared_limits, shared_limits_of
from planfold.drafting.sub_plans import check_sub_plan, sub_plan_call
from planfold.drafting.undo import UndoChecks, undo_of
from planfold.drafting.waits import check_wait, is_wait, wait_of
from planfold.planner.conditions import rename_in_condition
from planfold.planner.references import rename_references
from planfold.planner.tasks import Effect, NodeKind, Prompt, RetryPolicy, TaskSpec, ToolCall
from planfold.tools.tool import Tool, Toolbox

__all__ = ["Limits", "compile_plan"]

_NO_TASKS: Final[Mapping[int, TaskSpec]] = {}
_USUAL_LIMITS: Final = Limits()


def compile_plan(
    draft: PlanDraft,
    tools: Toolbox,
    *,
    existing: Mapping[int, TaskSpec] | None = None,
    limits: Limits = _USUAL_LIMITS,
) -> tuple[TaskSpec, ...]:
    """Check ``draft`` and return its tasks in the order of the draft.

    Ids are as given, else the place in the list from 1. Labels in ``depends_on`` and in
    references are replaced by ids, and a reference implies a dependency. ``existing`` are tasks
    that have already started (for a revision): new tasks may depend on them and refer to them
    but not reuse their ids; missing ids then continue above all others.

    A draft with parameters gets their defaults; :func:`bound` gives them other values.

    Raises InvalidPlan with all faults, each with its task, field and fix, and no other exception
    for any draft. Takes time linear in the size of the draft.
    """
    draft = bound(draft, {}, tools).draft
    faults = Faults()
    tasks, malformed = checked_tasks(draft, faults)
    check_plan_texts(draft, limits, faults)
    if not draft.tasks:
        faults.add("has no tasks", field="tasks", fix="add at least one task")
    if len(tasks) > limits.tasks:
        message = f"{len(tasks):,} tasks; the limit tasks is {limits.tasks:,}"
        faults.add(message, field="tasks", fix="split it into several plans")
    numbered = Numbered(tasks, _NO_TASKS if existing is None else existing, faults)
    links = Links(numbered, tools, limits, faults)
    checks = ArgumentChecks(limits, faults)
    undo_checks = UndoChecks(tools, limits, faults)
    effects: dict[int, Effect] = {}  # of sub-plans, by place
    size = len(_json_of([draft.title, draft.goal]))
    for place in range(len(tasks)):
        links.add_explicit(place)
        if place in malformed:
            continue
        if (task := tasks[place]).plan is not None:
            name = numbered.names[place]
            effects[place] = check_sub_plan(task, name, tools, limits, faults, compile_plan)
        size += _check_task(place, numbered, links, checks, tools, limits, faults)
        undo_checks.check(place, numbered, links)
    check_scripts(tasks, numbered.names, tools.absent, faults)
    links.check()
    if size > limits.plan_bytes:
        message = f"{size:,} bytes as JSON; the limit plan_bytes is {limits.plan_bytes:,}"
        faults.add(message, fix="split it, or put the data in files")
    faults.raise_any()
    specs = tuple(_spec(place, numbered, links, tools, effects) for place in range(len(tasks)))
    check_item_by_item(specs, existing or _NO_TASKS, faults)
    return specs


def _check_task(
    place: int,
    numbered: Numbered,
    links: Links,
    checks: ArgumentChecks,
    tools: Toolbox,
    limits: Limits,
    faults: Faults,
) -> int:
    """Check a single task, link its references, and return its size in bytes."""
    task, name = numbered.tasks[place], numbered.names[place]
    written = _json_of(msgspec.structs.replace(task, arguments=None))
    check_fields(task, name, limits, faults, written)
    check_map(task, name, faults)
    check_wait(task, name, faults)
    tool = _find_tool(task, name, tools, faults)
    check_shared_limits(task, tool, name, tools, faults)
    size = len(written)
    calls = tool is not None or task.plan is not None
    arguments = {} if task.arguments is None and calls else task.arguments
    if arguments is not None:
        argument_bytes = checks.check(arguments, tool, name)
        if argument_bytes is not None:
            size += argument_bytes
            links.add_references(place, arguments, tool)
    if task.key is not None:
        links.add_references(place, {"key": task.key}, None, within="")
    if task.for_each is not None:
        links.add_list(place, str(task.for_each).strip())
    if task.when is not None:
        links.add_conditions(place, task.when)
    return size


def _json_of(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (
        ValueError,
        TypeError,
        RecursionError,
    ):  # it has a fault already: not Unicode, or not a text
        return b""


def _find_tool(task: TaskDraft, name: str, tools: Toolbox, faults: Faults) -> Tool | None:
    if task.tool is None or not task.tool.strip():
        return None
    tool = tools.get(task.tool)
    if tool is None:
        names = [known.name for known in tools]
        near = faults.nearest(task.tool, names)
        away = tools.failures.get(task.tool.partition("__")[0])
        fix = f"{near + ' ' if near else ''}tools: {listed(names) or 'none'}"
        if away is not None:
            fix = f"its server did not start: {excerpt(away, 200)}"
        elif task.tool in tools.left_out:
            fix = f"it is left out: {excerpt(tools.left_out[task.tool], 200)}"
        message = f"there is no tool {quoted(task.tool)}"
        faults.add(message, task=name, field="tool", fix=fix)
    return tool


def _spec(
    place: int, numbered: Numbered, links: Links, tools: Toolbox, of_plans: Mapping[int, Effect]
) -> TaskSpec:
    """``of_plans``: the effects of sub-plans, by place."""
    task, of_plan = numbered.tasks[place], of_plans.get(place)
    kind = kind_of(task)
    tool = None if task.tool is None else tools.get(task.tool)
    call = None
    safe = kind is NodeKind.Clarification or is_wait(task)
    effect = Effect.Safe if safe else Effect.Once
    retry = RetryPolicy()
    if tool is not None:
        arguments = rename_references(task.arguments or {}, numbered.labels, literal=tool.literal)
        call = ToolCall(tool.name, arguments, tuple(sorted(tool.literal)))
        effect, retry = tool.effect, tool.retry
    if of_plan is not None:
        call = sub_plan_call(rename_references(task.arguments or {}, numbered.labels))
        effect = of_plan
    return TaskSpec(
        id=numbered.ids[place],
        description=task.description,
        kind=kind,
        label=task.label,
        tool=call,
        depends_on=tuple(sorted(links.parents[place])),
        attachments=tuple(task.attachments),
        effect=(None if is_wait(task) else task.effect) or effect,
        retry=task.retry or retry,
        timeout=task.timeout,
        route=task.route,
        on_failure=task.on_failure,
        when=None if task.when is None else rename_in_condition(task.when, numbered.labels),
        run_if=task.run_if,
        for_each=for_each_of(task, numbered.labels),
        prompt=_prompt(task) if kind is NodeKind.Clarification else None,
        done=task.done,
        wait=wait_of(task, numbered.labels),
        stall_timeout=task.stall_timeout,
        undo=undo_of(task, numbered.labels, tools),
        limits=shared_limits_of(task, tool),
    )


def _prompt(task: TaskDraft) -> Prompt | None:
    if not task.choices and task.default is None:
        return None
    default = task.default if isinstance(task.default, str) else None
    return Prompt(tuple(task.choices), default, task.deadline)
