"""Sub-plans: the plans that tasks name are put into the draft, checked with it, and begun from it.

A draft in which every sub-plan is written out needs no file and no template any more. So what a
person approves is what runs, on any worker, whenever it runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from planfold.drafting.binding import bound
from planfold.drafting.draft import Fault, Limits, PlanDraft, TaskDraft
from planfold.drafting.faults import Faults, excerpt, listed, quoted
from planfold.drafting.fields import kind_of
from planfold.drafting.parameters import parameter_values
from planfold.drafting.shape import task_name
from planfold.errors import InvalidPlan
from planfold.planner.references import find_references, resolve
from planfold.planner.sub_plans import ROUTE
from planfold.planner.tasks import Effect, TaskSpec, ToolCall, Undo, Wait
from planfold.tools.tool import Toolbox

if TYPE_CHECKING:
    from planfold.drafting.templates import Template

ReadPlan = Callable[[str, str], tuple[str | bytes, str] | None]
"""The text of the plan file with this name and where it is, for the plan that is there (``-``: a
text without a file); None where there is no such file."""

MAX_DEPTH: Final = Limits().sub_plans
TOO_DEEP: Final = f"plans are in plans more than {MAX_DEPTH} deep"
FLATTEN: Final = "let one plan do the work of several"
_UNUSED: Final = (
    *("tool", "choices", "default", "deadline", "effect", "route", "timeout", "stall_timeout"),
    *("wait", "at", "wait_for", "key", "limits"),
)
_WITH_VALUES: Final = frozenset(
    {"arguments", "for_each", "when", "choices", "default", "key", "attachments", "description"}
)
_SAMPLES: Final[dict[str, Any]] = {
    "string": "value",
    "integer": 1,
    "number": 1,
    "boolean": True,
    "list": [],
    "object": {},
    "secret": "secret://VALUE",
}
_EFFECTS: Final = (Effect.Safe, Effect.Keyed, Effect.Once)


def with_sub_plans(
    draft: PlanDraft,
    tools: Toolbox,
    templates: Mapping[str, Template],
    read: ReadPlan | None = None,
    source: str = "-",
) -> PlanDraft:
    """``draft`` with the plan of every task that names one written out, at any depth.

    Raises InvalidPlan: there is no such plan, it has faults, or it contains itself.
    """
    faults = Faults()
    written = _Writer(tools, templates, read, faults).plan(draft, source, ())
    faults.raise_any()
    return written


class _Writer:
    def __init__(
        self,
        tools: Toolbox,
        templates: Mapping[str, Template],
        read: ReadPlan | None,
        faults: Faults,
    ) -> None:
        self._tools = tools
        self._templates = templates
        self._read = read
        self._faults = faults

    def plan(self, draft: PlanDraft, source: str, trail: tuple[str, ...]) -> PlanDraft:
        tasks = draft.tasks
        if not isinstance(tasks, (list, tuple)) or not any(map(_has_plan, tasks)):
            return draft
        found = [self._task(task, place, source, trail) for place, task in enumerate(tasks, 1)]
        return msgspec.structs.replace(draft, tasks=found)

    def _task(self, task: Any, place: int, source: str, trail: tuple[str, ...]) -> Any:
        if not _has_plan(task):
            return task
        name = task_name(task.id, task.label, place)
        called = task.plan if isinstance(task.plan, str) else ""
        if called and called in trail:
            path = " -> ".join(excerpt(each) for each in (*trail[trail.index(called) :], called))
            self._add(name, f"the plan contains itself: {path}", "leave one of them out")
        elif len(trail) >= MAX_DEPTH:
            self._add(name, TOO_DEEP, FLATTEN)
        elif isinstance(task.plan, PlanDraft):
            inner = self.plan(task.plan, source, (*trail, ""))
            return msgspec.structs.replace(task, plan=inner)
        elif isinstance(task.plan, str):
            try:
                found, there = self._find(task, name, source) or (None, source)
            except InvalidPlan as fault:
                _take_over(fault, name, f"{excerpt(called)}: ", self._faults)
                return msgspec.structs.replace(task, plan=None)
            if found is not None:
                inner = self.plan(found, there, (*trail, called))
                titled = msgspec.structs.replace(inner, title=inner.title or called)
                return msgspec.structs.replace(task, plan=titled)
        else:
            return task  # the compiler says what it is
        return msgspec.structs.replace(task, plan=None)

    def _find(self, task: TaskDraft, name: str, source: str) -> tuple[PlanDraft, str] | None:
        called = str(task.plan).strip()
        if (template := self._templates.get(called)) is not None:
            given = task.arguments or {}
            if find_references(given):
                message = f"the template {called} gets its values before the plan runs"
                fix = "write values instead of references, or a plan file instead of the template"
                self._faults.add(message, task=name, field="arguments", fix=fix)
                return None
            return template.draft(resolve(given, _no_result)), source
        file = self._read(called, source) if self._read is not None else None
        if file is None:
            kinds = "plan file or template" if self._read is not None else "template"
            known = listed(self._templates) or "none"
            near = self._faults.nearest(called, self._templates)
            fix = near or f"templates: {known}; or write the plan itself here, as an object"
            self._add(name, f"there is no {kinds} {quoted(called)}", fix)
            return None
        from planfold.drafting.files import load_plan  # short commands read no plan

        text, there = file
        names = [tool.name for tool in self._tools]
        return load_plan(text, source=there, tools=names), there

    def _add(self, task: str, message: str, fix: str) -> None:
        self._faults.add(message, task=task, field="plan", fix=fix)


def _has_plan(task: Any) -> bool:
    return isinstance(task, TaskDraft) and task.plan is not None


def _no_result(target: int | str) -> Any:
    raise LookupError(target)


def _take_over(fault: InvalidPlan, task: str, prefix: str, faults: Faults) -> None:
    """Note the faults of a sub-plan as those of the task."""
    for each in fault.faults:
        inner = "" if each.task is None else f"task {each.task}"
        inner += f"{', ' * bool(inner)}{each.field}" if each.field else ""
        place = f"{inner}: " if inner else ""
        faults.add(f"{prefix}{place}{each.message}", task=task, field="plan", fix=each.fix)


def check_sub_plan(
    task: TaskDraft,
    name: str,
    tools: Toolbox,
    limits: Limits,
    faults: Faults,
    compiler: Callable[..., tuple[TaskSpec, ...]],
) -> Effect:
    """Every check of a task with a plan that needs no other task; returns the strongest effect of
    the plan, which ``compiler`` checks (:func:`compile_plan`). A value that is a reference is known
    when the task runs: what depends on it is checked then."""
    plan = task.plan
    for field in _UNUSED:
        if getattr(task, field) not in (None, []):
            fix = "leave it out, or write it in the plan"
            faults.add("is not used by a task with a plan", task=name, field=field, fix=fix)
    if task.done:
        faults.add("is not used by a task that is done", task=name, field="plan", fix="remove it")
    if not isinstance(plan, PlanDraft):
        fix = "write the plan itself here, as an object"
        faults.add(f"{quoted(plan)} was not found", task=name, field="plan", fix=fix)
        return Effect.Once
    if limits.sub_plans < 1:
        faults.add(TOO_DEEP, task=name, field="plan", fix=FLATTEN)
        return Effect.Once
    given = task.arguments if isinstance(task.arguments, dict) else {}
    inner = Faults()
    try:
        values = _values(plan, given, inner)
        inner.raise_any()
        below = msgspec.structs.replace(limits, sub_plans=limits.sub_plans - 1)
        specs = compiler(bound(plan, values, tools).draft, tools, limits=below)
    except InvalidPlan as fault:
        sampled = bool(find_references(given))
        kept = [each for each in fault.faults if not (sampled and _is_about_value(each))]
        _take_over(InvalidPlan(kept), name, "", faults)
        return Effect.Once
    return max((spec.effect for spec in specs), key=_EFFECTS.index, default=Effect.Safe)


def _is_about_value(fault: Fault) -> bool:
    field = re.split(r"[.\[]", fault.field or "")[0]
    return fault.task is not None and field in _WITH_VALUES


def _values(plan: PlanDraft, given: Mapping[str, Any], faults: Faults) -> dict[str, Any]:
    """The values of parameters, as far as they are known; samples for the others."""
    declared = plan.params if isinstance(plan.params, dict) else {}
    values: dict[str, Any] = {}
    for key, value in given.items():
        parameter = declared.get(key)
        if not find_references(value):
            values[key] = resolve({"": value}, _no_result)[""]
        else:
            values[key] = _SAMPLES.get(parameter.type) if parameter is not None else None
    parameter_values(declared, values, faults)
    return values


def sub_plan_call(arguments: dict[str, Any]) -> ToolCall:
    """The values of the parameters, in the specification of a task."""
    return ToolCall(ROUTE, arguments)


def sub_plan_wait(plan: PlanDraft) -> Wait:
    """What the task waits for."""
    return Wait(plan=msgspec.to_builtins(plan))


def sketch_of(plan: Mapping[str, Any]) -> list[TaskSpec]:
    """The tasks of a sub-plan to show, as they are written: references by label, parameters without
    values. What only their tools say, such as effects, is not known."""
    tasks = draft_from(plan).tasks
    ids = [task.id or place for place, task in enumerate(tasks, 1)]
    labels = {task.label: i for i, task in zip(ids, tasks, strict=True) if task.label}
    return [_sketch(task, i, labels) for i, task in zip(ids, tasks, strict=True)]


def _sketch(task: TaskDraft, task_id: int, ids: Mapping[str, int]) -> TaskSpec:
    above = (ids.get(str(parent), parent) for parent in task.depends_on)
    call, arguments = task.tool, task.arguments or {}
    undo = task.undo
    plan = sub_plan_wait(task.plan) if isinstance(task.plan, PlanDraft) else None
    if plan is not None:
        call = ROUTE
    return TaskSpec(
        id=task_id,
        description=task.description,
        kind=kind_of(task),
        label=task.label,
        tool=None if call is None else ToolCall(call, arguments),
        depends_on=tuple(parent for parent in above if isinstance(parent, int)),
        when=task.when,
        wait=plan,
        undo=None if undo is None else Undo(tool=ToolCall(undo.tool, undo.arguments)),
    )


def draft_from(plan: Mapping[str, Any]) -> PlanDraft:
    """The draft of a sub-plan, from the specification of its task."""
    return msgspec.convert(plan, PlanDraft)
