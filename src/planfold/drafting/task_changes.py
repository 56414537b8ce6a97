"""Changes of single fields of a plan's tasks, checked like a plan: for a fork."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft
from planfold.drafting.faults import Faults, listed, quoted
from planfold.drafting.revision import draft_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskSpec
from planfold.tools.tool import Toolbox

_FIELDS: Final = ("description", "timeout")


def changed_tasks(
    plan: PlannerState, changes: Mapping[str, Any], tools: Toolbox
) -> tuple[TaskSpec, ...]:
    """The tasks of ``plan`` with other values: ``changes`` maps TASK.FIELD to a value. A task is
    named by its id or label; a field is an argument of its tool, ``description`` or ``timeout``.

    Raises InvalidPlan with all faults.
    """
    faults = Faults()
    specs: dict[int, TaskSpec] = {}
    for name, value in changes.items():
        key, dot, field = name.partition(".")
        task = _find(plan, key)
        if task is None or not dot:
            fix = f"write TASK.FIELD; tasks: {listed(_names(plan))}"
            message = "names no task of the plan" if dot else "names no field"
            faults.add(message, task=quoted(name), fix=fix)
            continue
        spec = specs.get(task.id, task.spec)
        arguments = _arguments(spec, tools)
        if field in arguments and spec.tool is not None:
            given = {**spec.tool.arguments, field: value}
            call = msgspec.structs.replace(spec.tool, arguments=given)
            specs[task.id] = msgspec.structs.replace(spec, tool=call)
        elif field in _FIELDS:
            specs[task.id] = msgspec.structs.replace(spec, **{field: value})
        else:
            message = f"has no field {quoted(field)}"
            fix = f"its fields: {listed([*arguments, *_FIELDS])}"
            faults.add(message, task=quoted(key), field=field, fix=fix)
    faults.raise_any()
    return _compiled(plan, specs, tools) if specs else ()


def _find(plan: PlannerState, key: str) -> Task | None:
    for task in sorted(plan.written().values(), key=lambda task: task.superseded):
        if key in (task.spec.label, str(task.id)):
            return task
    return None


def _names(plan: PlannerState) -> list[str]:
    specs = [task.spec for task in plan.written().values() if not task.superseded]
    return [spec.label or str(spec.id) for spec in specs]


def _arguments(spec: TaskSpec, tools: Toolbox) -> list[str]:
    if spec.tool is None:
        return []
    tool = tools.get(spec.tool.name)
    declared = tool.parameters.get("properties", {}) if tool is not None else {}
    return list(dict.fromkeys((*spec.tool.arguments, *declared)))


def _compiled(
    plan: PlannerState, specs: Mapping[int, TaskSpec], tools: Toolbox
) -> tuple[TaskSpec, ...]:
    """The changed tasks as the compiler makes them, with references by id. What a draft does not
    hold stays."""
    existing = {i: task.spec for i, task in plan.written().items() if i not in specs}
    draft = PlanDraft(tasks=[draft_of(spec) for spec in specs.values()])
    compiled = compile_plan(draft, tools, existing=existing)
    return tuple(
        msgspec.structs.replace(
            spec,
            tool=made.tool,
            depends_on=made.depends_on,
            done=False,
        )
        for spec, made in zip(specs.values(), compiled, strict=True)
    )
