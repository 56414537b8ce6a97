"""A plan and a task as JSON: what ``show --json`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from planfold.planner.tasks import TaskStatus
from planfold.readmodels.plan_view import plan_view

if TYPE_CHECKING:
    from planfold.cli.situation import Situation


def show_json(situation: Situation) -> dict[str, Any]:
    """What ``show --json`` prints: every key is always there."""
    view = plan_view(situation.fold.plan_id, situation.fold.state)
    for task in view.tasks:
        if task.id in situation.unclaimed and task.status is TaskStatus.Running:
            task.waits_for = situation.unclaimed[task.id]
    found: dict[str, Any] = msgspec.to_builtins(view)
    labels = {i: task.spec.label for i, task in situation.fold.state.tasks.items()}
    found["questions"] = [
        {**_all_fields(question), "label": labels[question.task_id]} for question in view.questions
    ]
    found["schedule"] = msgspec.to_builtins(situation.schedule)
    found["summary"] = None if view.summary is None else _all_fields(view.summary)
    return found


def task_json(situation: Situation, task_id: int) -> dict[str, Any]:
    """What ``show --task --json`` prints."""
    tasks: list[dict[str, Any]] = show_json(situation)["tasks"]
    tasks += [item for task in tasks for item in task["items"]]
    return next(task for task in tasks if task["id"] == task_id)


def _all_fields(value: msgspec.Struct) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(value))
    return fields
