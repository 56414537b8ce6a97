"""``Initialize``, the first command of a plan, from a checked draft.

What is given beside the tasks, such as break-points, names them by id or label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from planfold.drafting.binding import bound
from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft
from planfold.drafting.faults import Faults, listed
from planfold.drafting.sub_plans import draft_from
from planfold.errors import CommandRejected, NotFound
from planfold.planner.commands import Initialize
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import TaskSpec
from planfold.tools.tool import Toolbox


def begin_plan(
    draft: PlanDraft,
    tasks: tuple[TaskSpec, ...],
    config: PlannerConfig,
    approved_by: str | None = None,
    pause_before: Iterable[int | str] = (),
    tags: Iterable[str] = (),
) -> Initialize:
    """The first command of a plan whose draft was compiled to ``tasks``; its tags and these are the
    plan's. Raises NotFound where ``pause_before`` names none of the tasks."""
    if draft.undo is not None:
        config = replace(config, undo=draft.undo)
    before, all_tags = ids_of(tasks, pause_before), (*draft.tags, *tags)
    return Initialize(draft.title, tasks, draft.goal, config, approved_by, before, all_tags)


def ids_of(tasks: tuple[TaskSpec, ...], names: Iterable[int | str]) -> tuple[int, ...]:
    """The ids of tasks that are named by id or label.

    Raises:
        NotFound: there is no such task.
        CommandRejected: a model is still to plan the tasks.
    """
    ids = {str(spec.id): spec.id for spec in tasks}
    ids |= {spec.label: spec.id for spec in tasks if spec.label is not None}
    found = dict[int, None]()
    for name in names:
        if any(spec.drafts for spec in tasks):
            raise CommandRejected(
                f"a model is to plan the tasks, so there is no task {name!r} yet to pause before; "
                "pause the plan when it waits for approval"
            )
        if (task_id := ids.get(str(name))) is None:
            near = Faults().nearest(str(name), ids)
            known = near or f"its tasks are {listed(ids)}"
            raise NotFound(f"the plan has no task {name!r} to pause before; {known}")
        found[task_id] = None
    return tuple(found)


def begin_sub_plan(
    plan: Mapping[str, Any],
    arguments: Mapping[str, Any],
    spec: TaskSpec,
    config: PlannerConfig,
    tools: Toolbox,
) -> Initialize:
    """The first command of a sub-plan, with the values of its parameters. What its tasks may do is
    what the task ``spec`` may.

    Raises InvalidPlan: a value is of another type, or an argument is wrong with it.
    """
    draft = bound(draft_from(plan), arguments, tools).draft
    tasks = compile_plan(draft, tools)
    if spec.proposed or spec.tainted:
        changed = {"proposed": spec.proposed, "tainted": spec.tainted}
        tasks = tuple(msgspec.structs.replace(task, **changed) for task in tasks)
    return Initialize(draft.title, tasks, draft.goal, config, tags=tuple(draft.tags))
