"""Tasks of a plan by the names that people use: an id, a label, ``3[0]`` or ``label[0]``.

The labels of items are not names: they are made from elements, which may be any text, also the
label of another task.
"""

from __future__ import annotations

from typing import Final

from planfold.errors import NotFound
from planfold.planner.items import item_id
from planfold.planner.state import PlannerState

SHOWN: Final = 20  # tasks that a message names


def task_id_in(plan_id: str, state: PlannerState, key: int | str) -> int:
    """The id of a task named by id or label in this state of the plan. Raises NotFound."""
    if str(key).isdecimal() and len(str(key)) <= 18 and int(key) in state.tasks:
        return int(key)  # no label is a number
    for task in sorted(state.written().values(), key=lambda task: task.superseded):
        if key in (task.id, task.spec.label, str(task.id)):
            return task.id
    if (item := _item_in(state, key)) is not None:
        return item
    raise NotFound(f"plan {plan_id} has no task {key!r}; its tasks: {_listed(state)}")


def _item_in(state: PlannerState, key: int | str) -> int | None:
    """The item that ``3[0]`` or ``label[0]`` names."""
    name, bracket, index = str(key).partition("[")
    tasks = [t for t in state.written().values() if name in (str(t.id), t.spec.label)]
    if not bracket or not tasks or not index[:-1].isdecimal() or index[-1:] != "]":
        return None
    found = item_id(tasks[0].id, int(index[:-1]))
    return found if found in state.tasks else None


def _listed(state: PlannerState) -> str:
    """The ids and labels of a plan's tasks, the first of them: "1 (build), 2, 3"."""
    specs = [task.spec for task in state.written().values() if not task.superseded]
    names = [f"{spec.id} ({spec.label})" if spec.label else str(spec.id) for spec in specs]
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "none"
