"""Plans that a model may let a task run: templates, and the plan files that the settings name.

A model says the name of one of them, as it says the name of a tool. So nothing that it writes is
read as a path or as a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from planfold.drafting.compiler import Limits, compile_plan
from planfold.drafting.draft import Fault, PlanDraft, TaskDraft
from planfold.drafting.faults import Faults, excerpt, listed, quoted
from planfold.drafting.files import load_plan
from planfold.drafting.parameters import parameters_schema
from planfold.drafting.sub_plans import ReadPlan, check_sub_plan, with_sub_plans
from planfold.drafting.templates import Template
from planfold.errors import InvalidPlan
from planfold.tools.tool import Toolbox

OfferedPlan = PlanDraft | Template
OfferedPlans = Mapping[str, OfferedPlan]
"""By the name that a model says. Sub-plans of a ``PlanDraft`` are written out in it."""

NO_PLANS: Final[OfferedPlans] = {}


class Offered(NamedTuple):
    """``plans``, and for each plan file that is not offered why (``left_out``)."""

    plans: OfferedPlans
    left_out: tuple[str, ...]


_ELEMENT: Final = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean")]}


def offered_plans(
    files: Iterable[str], templates: Mapping[str, Template], tools: Toolbox, read: ReadPlan
) -> Offered:
    """All templates, and those plan ``files`` that ``read`` finds and that have no faults."""
    plans: dict[str, OfferedPlan] = {}
    left_out: list[str] = []
    for name in files:
        try:
            plans[name] = _checked(name, templates, tools, read)
        except InvalidPlan as fault:
            left_out.append(f"The plan {excerpt(name)} is not offered: {fault.faults[0]}")
    return Offered({**plans, **templates}, tuple(left_out))


def _checked(
    name: str, templates: Mapping[str, Template], tools: Toolbox, read: ReadPlan
) -> PlanDraft:
    if (file := read(name, "-")) is None:
        raise InvalidPlan([Fault("there is no such file", fix="correct plans in planfold.toml")])
    text, source = file
    draft = load_plan(text, source=source, tools=[tool.name for tool in tools])
    draft = with_sub_plans(draft, tools, templates, read, source)
    faults = Faults()
    # With a reference for each value: what depends on values is checked when a task has them.
    task = TaskDraft(description=name, plan=draft, arguments=dict.fromkeys(draft.params, "$1"))
    check_sub_plan(task, name, tools, Limits(), faults, compile_plan)
    faults.raise_any()
    return draft


def gets_values_first(plan: OfferedPlan) -> bool:
    """Whether the plan is made of the values of its parameters, so that none may be a reference."""
    return isinstance(plan, Template)


def plan_parameters(plan: OfferedPlan) -> dict[str, Any]:
    """The JSON schema of a plan's parameters, in the form of a tool's arguments."""
    schema = parameters_schema(plan.params)
    for parameter in schema["properties"].values():
        if parameter["type"] == "array":
            parameter["items"] = _ELEMENT
    return {key: value for key, value in schema.items() if key not in ("$schema", "title")}


def plan_lines(plans: OfferedPlans) -> str:
    """What the instructions say of each plan, as JSON in a line."""
    lines = []
    for name in sorted(plans):
        plan = plans[name]
        said = plan.description if isinstance(plan, Template) else plan.title
        line: dict[str, Any] = {"name": name, "description": said}
        if gets_values_first(plan) and plan.params:
            line["no_references_in"] = list(plan.params)
        line["parameters"] = plan_parameters(plan)
        lines.append(msgspec.json.encode(line).decode())
    return "\n".join(lines)


def with_offered_plan(
    task: TaskDraft, name: str, plans: OfferedPlans, tools: Toolbox, faults: Faults
) -> TaskDraft:
    """``task`` with the plan that it names written out. Another one is a fault of the task, which
    faults call ``name``; then it has none."""
    if task.plan is None:
        return task
    found = plans.get(task.plan.strip()) if isinstance(task.plan, str) else None
    if found is None:
        said = quoted(task.plan) if isinstance(task.plan, str) else "a plan written out"
        near = faults.nearest(str(task.plan), plans)
        fix = near or (f"plans: {listed(plans)}" if plans else "use a tool, or processing")
        faults.add(f"{said} is not one of the plans", task=name, field="plan", fix=fix)
        return msgspec.structs.replace(task, plan=None)
    if not isinstance(found, Template):
        return msgspec.structs.replace(task, plan=found)
    templates = {key: plan for key, plan in plans.items() if isinstance(plan, Template)}
    try:
        (written,) = with_sub_plans(PlanDraft(tasks=[task]), tools, templates).tasks
    except InvalidPlan as fault:
        for each in fault.faults:
            faults.add(each.message, task=name, field=each.field, fix=each.fix)
        return msgspec.structs.replace(task, plan=None)
    return written
