"""What undoes a task, and what was undone, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planfold.cli.preview import undo_lines
from planfold.cli.terminal import clean
from planfold.planner.undone import is_undone
from planfold.readmodels.labels import labels_of, name_of, named, with_labels

if TYPE_CHECKING:
    from planfold.cli.terminal import Line
    from planfold.planner.state import PlannerState
    from planfold.planner.tasks import Task


def undo_facts(state: PlannerState, task: Task, width: int) -> list[Line]:
    """The undo of one task: what would undo it, or the task that did or will."""
    if (by := state.tasks.get(task.undo_task)) is not None:
        verb = "undone" if is_undone(state, task) else "to be undone"
        return [[(f"{verb} by task {name_of(by.spec)}", "ask")]]
    if task.spec.undo is None:
        return []
    labels = labels_of(other.spec for other in state.written().values())
    return undo_lines(with_labels(task.spec, labels), "", width)


def runs_again(state: PlannerState, task: Task) -> str:
    """What a retry of ``task``, or a decision by hand about it, plans again because it was undone,
    to follow what is said of the task; empty where there is nothing."""
    if task.spec.undoes is not None:
        return ""
    ids = [i for i, t in state.tasks.items() if is_undone(state, t) and i != task.id]
    if not ids:
        return ""
    names = named(ids, labels_of(state.tasks[i].spec for i in ids))
    verb, runs = ("was", "runs") if len(ids) == 1 else ("were", "run")
    return f"; {names} {verb} undone and {runs} again"


def undo_preview(state: PlannerState) -> list[Line]:
    """What :meth:`App.undo` would undo, in order, and what it cannot."""
    from planfold.planner.undo import stays, to_undo

    lines: list[Line] = []
    for number, task in enumerate(to_undo(state), 1):
        call = task.spec.undo.tool.name if task.spec.undo else ""
        said = f"{number}. undo {name_of(task.spec)}: {clean(task.description)} ({clean(call)})"
        lines.append([(said, "")])
    if left := stays(state):
        lines.append([("Not undone:", "dim")])
        lines += [[(f"- {name_of(t.spec)}: {clean(t.description)}", "dim")] for t in left]
    return lines
