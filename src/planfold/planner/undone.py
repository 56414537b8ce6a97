"""What a plan remembers of undoing: the order of completions, and the tasks that undo others."""

from __future__ import annotations

from typing import Final

from planfold.errors import CommandRejected, CorruptLog
from planfold.planner.context_size import forget, remember_plan
from planfold.planner.events import UndoPlanned
from planfold.planner.items import id_text
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, NodeKind, Prompt, Task, TaskSpec, TaskStatus
from planfold.planner.transitions import ENDED

UNDO, LEAVE = "undo", "leave it"
UNDO_CHOICES: Final = (UNDO, LEAVE)
_NOT_NEEDED: Final = (TaskStatus.Skipped, TaskStatus.Cancelled)


def is_undone(state: PlannerState, task: Task) -> bool:
    """Whether a completed task was undone."""
    by = state.tasks.get(task.undo_task)
    return by is not None and by.status is TaskStatus.Completed


def without_undo_tasks(state: PlannerState) -> dict[int, Task]:
    """The tasks that an author wrote, by id. Undo tasks are neither revised nor forked."""
    return {i: task for i, task in state.written().items() if task.spec.undoes is None}


def undone_since(before: PlannerState, state: PlannerState) -> tuple[int, ...]:
    """Tasks of an earlier state whose same run has been undone by now."""
    undone = ((before.tasks.get(i), t) for i, t in state.tasks.items() if is_undone(state, t))
    return tuple(old.id for old, task in undone if old is not None and old.run == task.run)


def refuse_while_undoing(state: PlannerState) -> None:
    """Raises CommandRejected while a plan is being undone: the undo has to end before the plan
    continues."""
    if state.undoing:
        raise CommandRejected(
            "the plan is being undone; answer its question with 'leave it' to keep what it did, or "
            "wait until it has ended"
        )


def refuse_old_undo(state: PlannerState, task: Task) -> None:
    """Raises CommandRejected if ``task`` undid an earlier run of a task, or asked about that, or if
    the plan has continued since."""
    undoes = task.spec.undoes
    undone = state.tasks.get(undoes or 0)
    continues = not state.undoing and state.outcome is None
    is_old = continues or undone is None or undone.undo_task != task.id
    if undoes is not None and is_old and task.status in ENDED:
        raise CommandRejected(
            f"task {task.id} belongs to an undo that is over; undo the plan again when it has ended"
        )


def note_completion(state: PlannerState, task: Task) -> None:
    """Fold the completion of a task that has an undo."""
    state.completions += 1
    task.completion = state.completions


def fold_undo(state: PlannerState, event: UndoPlanned) -> None:
    """Fold ``UndoPlanned``."""
    next_id = max(state.written(), default=0) + 1
    parents: tuple[int, ...] = ()
    specs: list[TaskSpec] = []
    if event.question:
        specs.append(_asking(next_id, event.question))
        parents, next_id = (next_id,), next_id + 1
    asked = parents
    for key, task_id in enumerate(event.task_ids, next_id):
        task = state.tasks[task_id]
        set_aside(state, task.undo_task)
        task.undo_task = key
        specs.append(_undo_spec(key, task, parents))
        parents = (*asked, key)
    for spec in specs:
        state.tasks[spec.id] = Task(spec)
        remember_plan(state, spec)
    state.outcome, state.undoing = None, True
    state.__dict__.pop("schedule", None)


def forget_undo_of(state: PlannerState, task: Task) -> None:
    """Fold that a task is planned again: its earlier undo no longer counts."""
    set_aside(state, task.undo_task)
    task.undo_task = task.completion = 0


def forget_what_was_left(state: PlannerState) -> None:
    """Fold that a plan continues after its end. If it fails again, undoing is decided again. An
    undo that a person declined after an attempt stays declined."""
    if not state.completions:  # nearly all plans: their tasks need not be looked at
        return
    for task in state.tasks.values():
        by = state.tasks.get(task.undo_task)
        if by is not None and by.status in _NOT_NEEDED and not by.attempt:
            set_aside(state, task.undo_task)
            task.undo_task = 0


def set_aside(state: PlannerState, undo_task: int) -> None:
    """Fold that an undo task which did not complete is no longer about its task."""
    if (old := state.tasks.get(undo_task)) is not None:
        old.superseded = old.status is not TaskStatus.Completed


def forget_undo(state: PlannerState) -> None:
    """Fold a fork: effects of its origin are not the fork's to undo."""
    gone = [i for i, task in state.written().items() if task.spec.undoes is not None]
    forget(state, gone)
    for task_id in gone:
        remember_plan(state, state.tasks.pop(task_id).spec, -1)
        for kept in (state.questions, state.steps_by_task, state.begun_by_task):
            kept.pop(task_id, None)
    for task in state.tasks.values():
        task.undo_task = task.completion = 0
    state.undoing = False
    state.stale = [i for i in state.stale if i in state.tasks]
    state.__dict__.pop("schedule", None)


def _asking(key: int, question: str) -> TaskSpec:
    return TaskSpec(
        id=key,
        description=question,
        kind=NodeKind.Clarification,
        effect=Effect.Safe,
        prompt=Prompt(UNDO_CHOICES),
        on_failure="continue",
        undoes=0,
    )


def _undo_spec(key: int, task: Task, parents: tuple[int, ...]) -> TaskSpec:
    undo, spec = task.spec.undo, task.spec
    if undo is None:
        raise CorruptLog(f"task {id_text(spec.id)} has no undo")
    said = f"{spec.label}: {spec.description}" if spec.label else spec.description
    return TaskSpec(
        id=key,
        description=f"Undo {id_text(spec.id)}: {said}",
        kind=NodeKind.ToolCall,
        tool=undo.tool,
        depends_on=parents,
        effect=undo.effect,
        retry=undo.retry,
        timeout=undo.timeout,
        limits=undo.limits,
        on_failure="continue",
        run_if="ended",
        proposed=spec.proposed,
        tainted=spec.tainted,
        undoes=spec.id,
    )
