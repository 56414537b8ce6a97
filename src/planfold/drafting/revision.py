"""``compile_revision``: a draft of what is still to come becomes a ``RevisePlan``."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from itertools import count
from typing import Any

import msgspec

from planfold.drafting.binding import bound
from planfold.drafting.changes import PlanDiff, plan_diff
from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.faults import Faults, quoted
from planfold.drafting.model.current_plan import ancestors, has_started, why_closed
from planfold.drafting.shape import checked_tasks
from planfold.drafting.undo import undo_draft
from planfold.drafting.waits import wait_fields
from planfold.planner.commands import RevisePlan
from planfold.planner.conditions import ConditionFault, rename_in_condition
from planfold.planner.graph import blocks
from planfold.planner.references import OF_UNDO, rename_references, rename_whole
from planfold.planner.revisions import may_be_planned_again
from planfold.planner.state import PlannerState
from planfold.planner.tasks import ForEach, Task, TaskSpec, TaskStatus
from planfold.planner.transitions import ENDED
from planfold.planner.undone import without_undo_tasks
from planfold.tools.tool import Toolbox

_LASTING = ("description", "kind", "tool", "depends_on")  # of a task that has started


def compile_revision(
    draft: PlanDraft, tools: Toolbox, plan: PlannerState, *, approved_by: str | None = None
) -> RevisePlan:
    """Check ``draft`` against the plan in its present state, and return the revision that
    replaces all tasks that have not started by its tasks.

    The draft may be the whole plan, edited, or only what is still to come. Its tasks are those of
    the plan with the same label, else with the same description and tool, else with the same id;
    all others are new and get ids of their own. Numbers and labels name tasks of the draft, else
    of the plan.

    Tasks that are running or completed stay: the draft may leave them out, but not change them.
    Those that failed, were skipped or cancelled are superseded. In the draft they are planned
    again: under the same id where no attempt was made, else as new tasks. Left out, one that
    failed and has ``continue`` stays as it is.

    Raises InvalidPlan with all faults.
    """
    draft = bound(draft, {}, tools).draft
    faults = Faults()
    tasks, _ = checked_tasks(draft, faults)
    faults.raise_any()
    staying = _staying(plan)
    named = _identify(tasks, plan, staying, faults)
    faults.raise_any()
    ids, replaced = _replace(named, plan)
    numbers = {str(t.id): i for t, i in zip(tasks, ids, strict=True) if t.id is not None}
    renamed = [_renamed(t, i, numbers) for t, i in zip(tasks, ids, strict=True)]
    compiled = compile_plan(
        msgspec.structs.replace(draft, tasks=renamed),
        tools,
        existing=existing_tasks(plan, staying, set(ids), {t.label for t in tasks}),
    )
    superseded = _superseded(plan, set(ids), replaced)
    _check_unchanged(compiled, staying, faults)
    _check_parents(compiled, plan, superseded, faults)
    faults.raise_any()
    new = [spec for spec in compiled if spec.id not in staying]
    waited_for = [s for i, s in staying.items() if not has_started(plan.tasks[i])]
    return RevisePlan((*waited_for, *new), approved_by, superseded)


def revision_diff(plan: PlannerState, revision: RevisePlan) -> PlanDiff:
    """What ``revision`` changes in the tasks that count: superseded and cancelled ones do not."""
    counted = {
        i: task
        for i, task in without_undo_tasks(plan).items()
        if not task.superseded and task.status is not TaskStatus.Cancelled
    }
    gone = {spec.id for spec in revision.tasks} | {*revision.superseded}
    staying = [t.spec for i, t in counted.items() if has_started(t) and i not in gone]
    return plan_diff((t.spec for t in counted.values()), (*staying, *revision.tasks))


def check_tasks(
    tasks: Iterable[TaskSpec], tools: Toolbox, existing: Mapping[int, TaskSpec]
) -> None:
    """Check compiled tasks with the compiler again, because callers can construct them without
    it. ``existing``: tasks that they may depend on.

    Raises InvalidPlan with all faults.
    """
    specs = tuple(tasks)
    faults = Faults()
    for place, spec in enumerate(specs, start=1):
        if not isinstance(spec, TaskSpec):
            message = f"is a {type(spec).__name__}, not a TaskSpec"
            fix = "give a PlanDraft to App.submit or App.revise: they make them"
            faults.add(message, task=str(place), fix=fix)
    faults.raise_any()
    checked = [spec for spec in specs if not spec.drafts]
    if not checked:
        return
    known = {**existing, **{spec.id: spec for spec in specs if spec.drafts}}
    draft = PlanDraft(tasks=[draft_of(spec) for spec in checked])
    for spec, compiled in zip(checked, compile_plan(draft, tools, existing=known), strict=True):
        name = quoted(spec.id)
        if set(spec.depends_on) != set(compiled.depends_on):
            missing = sorted(set(compiled.depends_on) - set(spec.depends_on))
            message = f"its arguments refer to task {missing[0]}, on which it does not depend"
            faults.add(message, task=name, field="depends_on", fix=f"add {missing[0]}")
        if spec.for_each != compiled.for_each:
            message, fix = "its list is referred to by label", "refer by id"
            faults.add(message, task=name, field="for_each", fix=fix)
        if spec.wait != compiled.wait:
            message, fix = "its key refers to tasks by label, or its time differs", "refer by id"
            faults.add(message, task=name, field="wait", fix=fix)
        if spec.undo != compiled.undo:
            message, fix = "its undo refers to tasks by label, or its tool differs", "refer by id"
            faults.add(message, task=name, field="undo", fix=fix)
        if spec.when != compiled.when:
            message, fix = "its condition refers to tasks by label", "refer by id"
            faults.add(message, task=name, field="when", fix=fix)
        if spec.tool is not None and compiled.tool != spec.tool:
            message = "its arguments refer to tasks by label, or its literal arguments differ"
            fix = "refer by id, and take the literal arguments from the tool"
            faults.add(message, task=name, field="tool", fix=fix)
    faults.raise_any()


def check_revision(command: RevisePlan, tools: Toolbox, plan: PlannerState) -> None:
    """:func:`check_tasks` for tasks of a revision, which may depend on those that have started."""
    specs = [spec for spec in command.tasks if isinstance(spec, TaskSpec)]
    written = without_undo_tasks(plan)
    started = {i: t.spec for i, t in written.items() if has_started(t) and not _is_over(t)}
    again = {s.id for s in specs if (t := plan.tasks.get(s.id)) and may_be_planned_again(t)}
    labels = {spec.label for spec in specs}
    check_tasks(command.tasks, tools, existing_tasks(plan, started, again, labels))


def _staying(plan: PlannerState) -> dict[int, TaskSpec]:
    """Tasks that a revision does not change: those that have started (except ended ones that did
    not complete), and those that a started task waits for."""
    written = without_undo_tasks(plan)
    started = [i for i, task in written.items() if has_started(task) and not _is_over(task)]
    kept = ancestors(written, started)
    return {i: t.spec for i, t in written.items() if i in kept and not _is_over(t)}


def _is_over(task: Task) -> bool:
    return task.status in ENDED and task.status is not TaskStatus.Completed


def _superseded(plan: PlannerState, given: set[int], replaced: set[int]) -> tuple[int, ...]:
    written = without_undo_tasks(plan)
    over = ((i, t) for i, t in written.items() if _is_over(t) and not t.superseded)
    return tuple(i for i, t in over if i not in given and (blocks(t) or i in replaced))


def existing_tasks(
    plan: PlannerState, staying: Mapping[int, TaskSpec], given: set[int], labels: set[str | None]
) -> dict[int, TaskSpec]:
    """Tasks of the plan that those of a draft may name. Tasks that did not complete are among
    them, so that the fault of a reference to one can say so. A label names the task that has it
    now."""
    known = {i: spec for i, spec in staying.items() if i not in given}
    taken = labels | {spec.label for spec in known.values()}
    for i, task in without_undo_tasks(plan).items():
        if _is_over(task) and i not in given:
            label = None if task.superseded or task.spec.label in taken else task.spec.label
            known[i] = msgspec.structs.replace(task.spec, label=label)
    return known


def _identify(
    tasks: list[TaskDraft], plan: PlannerState, staying: Mapping[int, TaskSpec], faults: Faults
) -> list[int]:
    """For each task of a draft, its id in the plan."""
    written = without_undo_tasks(plan)
    free = {i: t.spec for i, t in written.items() if not (t.spec.drafts or t.superseded)}
    found: dict[int, int] = {}  # place -> id

    def match(names: dict[Any, list[int]], place: int, name: Any) -> None:
        near = tasks[place].id
        ids = [i for i in names.get(name, ()) if i in free]
        if place not in found and ids:
            found[place] = near if near in ids else ids[0]
            del free[found[place]]

    labels = _index((spec.label, i) for i, spec in free.items() if spec.label)
    texts = _index(((s.description, s.tool.name if s.tool else None), i) for i, s in free.items())
    for place, task in enumerate(tasks):
        match(labels, place, task.label)
    for place, task in enumerate(tasks):
        match(texts, place, (task.description, task.tool))
    above = max([*plan.written(), *(t.id for t in tasks if t.id is not None)])
    for place, task in enumerate(tasks):
        if place in found:
            continue
        if task.id in free and task.id in staying:
            message = "it has started, or is needed by one that has, so it stays as it is"
            fix = (
                "leave it out of the revision, or give the new task another id; "
                "in a text, which is numbered from 1, keep the items that have started"
            )
            faults.add(message, task=quoted(task.id), fix=fix)
        if task.id is not None and (task.id in free or task.id not in plan.tasks):
            found[place] = task.id
            free.pop(task.id, None)
        else:
            above += 1
            found[place] = above
    return [found[place] for place in range(len(tasks))]


def _replace(ids: list[int], plan: PlannerState) -> tuple[list[int], set[int]]:
    """``ids`` with new ones for tasks of the plan that are planned again as other tasks; and which
    those are."""
    over = {i for i in ids if (t := plan.tasks.get(i)) and _is_over(t)}
    replaced = {i for i in over if not may_be_planned_again(plan.tasks[i])}
    new = count(max([*plan.written(), *ids]) + 1)
    return [next(new) if i in replaced else i for i in ids], replaced


def _index(pairs: Iterable[tuple[Any, int]]) -> dict[Any, list[int]]:
    index: dict[Any, list[int]] = {}
    for name, task_id in pairs:
        index.setdefault(name, []).append(task_id)
    return index


def _renamed(task: TaskDraft, task_id: int, numbers: Mapping[str, int]) -> TaskDraft:
    """The task under its id in the plan, with the draft's own numbers replaced."""
    arguments = task.arguments
    if arguments is not None:
        arguments = rename_references(arguments, numbers)
    when = task.when
    if when is not None:
        with contextlib.suppress(ConditionFault):  # the compiler says what is wrong
            when = rename_in_condition(when, numbers)
    undo = task.undo
    if undo is not None:
        others = {name: new for name, new in numbers.items() if name not in OF_UNDO}
        undo = msgspec.structs.replace(undo, arguments=rename_references(undo.arguments, others))
    for_each = task.for_each
    if for_each is not None:
        for_each = rename_whole(str(for_each).strip(), numbers)
    depends_on: list[int | str] = [numbers.get(str(name), name) for name in task.depends_on]
    return msgspec.structs.replace(
        task,
        id=task_id,
        arguments=arguments,
        when=when,
        for_each=for_each,
        key=None if task.key is None else rename_references({"": task.key}, numbers)[""],
        depends_on=depends_on,
        undo=undo,
    )


def _check_unchanged(
    compiled: Iterable[TaskSpec], staying: Mapping[int, TaskSpec], faults: Faults
) -> None:
    for spec in compiled:
        was = staying.get(spec.id)
        changed = [f for f in _LASTING if was and getattr(was, f) != getattr(spec, f)]
        if changed:
            message = "it has started, or is needed by one that has, so it stays as it is"
            fix = f"leave it out of the revision, or undo the change of {', '.join(changed)}"
            faults.add(message, task=quoted(spec.id), fix=fix)


def _check_parents(
    compiled: Iterable[TaskSpec], plan: PlannerState, superseded: Collection[int], faults: Faults
) -> None:
    for spec in compiled:
        for parent in spec.depends_on:
            task = plan.tasks.get(parent)
            if task is not None and (parent in superseded or task.superseded):
                message = f"depends on task {parent}, which {why_closed(task)}"
                fix = "add its replacement to the revision, or remove the dependency"
                faults.add(message, task=quoted(spec.id), field="depends_on", fix=fix)


def draft_of(spec: TaskSpec) -> TaskDraft:
    prompt = spec.prompt
    runs_plan = spec.wait is not None and spec.wait.plan is not None
    return TaskDraft(
        description=spec.description,
        id=spec.id,
        label=spec.label,
        kind=spec.kind,
        tool=spec.tool.name if spec.tool and not runs_plan else None,
        arguments=spec.tool.arguments if spec.tool else None,
        depends_on=list(spec.depends_on),
        attachments=list(spec.attachments),
        effect=None if runs_plan else spec.effect,
        retry=spec.retry if runs_plan or not spec.wait else None,
        timeout=spec.timeout,
        route=spec.route,
        on_failure=spec.on_failure,
        when=spec.when,
        run_if=spec.run_if,
        **_map_fields(spec.for_each),
        choices=list(prompt.choices) if prompt else [],
        **({"default": prompt.default} if prompt else wait_fields(spec.wait)),
        deadline=prompt.deadline if prompt else None,
        done=spec.done,
        stall_timeout=spec.stall_timeout,
        undo=undo_draft(spec),
        limits=list(spec.limits),
    )


def _map_fields(for_each: ForEach | None) -> dict[str, Any]:
    if for_each is None:
        return {}
    return {
        "for_each": for_each.items,
        "max_items": for_each.max_items,
        "concurrency": for_each.concurrency,
        "on_item_failure": for_each.on_item_failure,
        "item_label": for_each.label,
        "item_by_item": for_each.item_by_item or None,
    }
