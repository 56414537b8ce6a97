"""The plan of a request that no model could plan: what the text drafter reads in it."""

from __future__ import annotations

import msgspec

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import Fault, Limits, PlanDraft, TaskDraft
from planfold.drafting.text.drafter import parse_text
from planfold.errors import InvalidPlan
from planfold.planner.references import rename_references
from planfold.planner.tasks import TaskSpec, ToolCall
from planfold.tools.tool import Toolbox


def plan_from_text(
    text: str, tools: Toolbox, *, above: int
) -> tuple[tuple[TaskSpec, ...], tuple[Fault, ...]]:
    """The tasks that the text drafter finds in ``text``, with ids above ``above``.

    Where it finds none, or the compiler refuses them (then with the faults), the whole text is
    one task to be worked out. All are ``proposed``, because they were not reviewed.
    """
    draft = parse_text(text, known_tools=[tool.name for tool in tools])
    faults: tuple[Fault, ...] = ()
    specs: tuple[TaskSpec, ...] = ()
    try:
        specs = compile_plan(draft, tools) if draft.tasks else ()
    except InvalidPlan as invalid:
        faults = invalid.faults
    if not specs:
        # A valid description, for any text.
        words = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd").strip()
        words = words[: Limits().description_chars] or "Find out what is wanted"
        specs = compile_plan(PlanDraft(tasks=[TaskDraft(description=words)]), tools)
    return tuple(_moved(spec, above) for spec in specs), faults


def _moved(spec: TaskSpec, by: int) -> TaskSpec:
    call = spec.tool
    if call is not None:
        ids = {str(parent): parent + by for parent in spec.depends_on}
        arguments = rename_references(call.arguments, ids, literal=call.literal)
        call = ToolCall(call.name, arguments, call.literal)
    return msgspec.structs.replace(
        spec,
        id=spec.id + by,
        depends_on=tuple(parent + by for parent in spec.depends_on),
        tool=call,
        proposed=True,
    )
