"""Effects that would happen again: each needs a person's consent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from planfold.errors import CommandRejected
from planfold.planner.items import id_text
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, Task, TaskStatus
from planfold.planner.undone import is_undone

SHOWN: Final = 20  # tasks that a refusal names


def may_have_happened(state: PlannerState, task: Task) -> bool:
    """Whether an effect of this task may have happened. It does not count as happened if its
    failure was reported (as for a retry) or if it was undone."""
    if is_undone(state, task):
        return False
    if task.by_hand is not None and task.status is TaskStatus.Completed:
        return True  # a person did it
    if task.kind is NodeKind.Clarification or not task.attempt or task.spec.for_each is not None:
        return False  # of a map the items may have happened
    question = state.questions.get(task.id)
    unknown = task.outcome_unknown or (question is not None and question.then == "outcome")
    ran = task.status in (TaskStatus.Running, TaskStatus.Completed, TaskStatus.Cancelled)
    return ran or unknown or task.run > 1


def refuse_repeats(tasks: Sequence[Task], by: str) -> None:
    """Raises CommandRejected if there are any tasks of effect ``once`` that would run again,
    because of what ``by`` names, without a person's consent."""
    if not tasks:
        return
    names = [f"{id_text(t.id)} ({t.spec.label or t.description[:40]})" for t in tasks[:SHOWN]]
    more = f" and {len(tasks) - SHOWN:,} more" if len(tasks) > SHOWN else ""
    raise CommandRejected(
        f"these tasks are never repeated without a person's consent, and {by} would do so: "
        f"{', '.join(names)}{more}; allow each of them to repeat"
    ).about("repeat")
