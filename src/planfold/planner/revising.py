"""Changing what is planned: a revision of tasks that have not started, a retry of those that
did not complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from planfold.errors import CommandRejected
from planfold.planner.cancelling import find_task
from planfold.planner.commands import RetryTask, RevisePlan
from planfold.planner.events import Event, PlanApproved, PlanRevised, TasksReset
from planfold.planner.graph import satisfies
from planfold.planner.state import PlannerState
from planfold.planner.structure import dangling, find_cycles
from planfold.planner.tasks import TaskSpec, TaskStatus
from planfold.planner.transitions import ENDED


def check_structure(tasks: Iterable[TaskSpec], started: Mapping[int, TaskSpec]) -> None:
    """The last line of defence behind the plan compiler, which names every fault with its fix.

    Raises:
        CommandRejected: ids stand twice, a dependency is unknown, or there is a cycle.
    """
    graph: dict[int, tuple[int, ...]] = {i: spec.depends_on for i, spec in started.items()}
    for spec in tasks:
        if spec.id in graph:
            raise CommandRejected(f"task id {spec.id} stands twice, or has started already")
        graph[spec.id] = spec.depends_on
    if not graph:
        raise CommandRejected("a plan needs at least one task")
    for task_id, parent in dangling(graph):
        raise CommandRejected(f"task {task_id} depends on task {parent}, which does not exist")
    for cycle in find_cycles(graph):
        raise CommandRejected(f"tasks wait for each other: {' -> '.join(map(str, cycle))}")


def hash_revision(tasks: Iterable[TaskSpec]) -> str:
    """Twelve hex digits that change with any change of any task."""
    ordered = sorted(tasks, key=lambda spec: spec.id)
    return hashlib.blake2b(msgspec.json.encode(ordered), digest_size=6).hexdigest()


def revise_plan(state: PlannerState, command: RevisePlan) -> Iterator[Event]:
    """Decide ``RevisePlan``."""
    started = {i: task.spec for i, task in state.tasks.items() if not _has_not_started(state, i)}
    check_structure(command.tasks, started)
    for spec in command.tasks:
        for parent in spec.depends_on:
            task = state.tasks.get(parent)
            if parent in started and task and task.status in ENDED and not satisfies(task):
                raise CommandRejected(
                    f"task {spec.id} depends on task {parent}, which is {task.status.value}"
                )
    revision_hash = hash_revision((*started.values(), *command.tasks))
    if revision_hash == state.revision_hash:
        return
    kept = {spec.id for spec in command.tasks}
    removed = tuple(i for i in state.tasks if i not in started and i not in kept)
    yield PlanRevised(removed, command.tasks, revision_hash)
    if command.approved_by is not None:
        yield PlanApproved(revision_hash, command.approved_by)


def retry_task(state: PlannerState, command: RetryTask) -> Iterator[Event]:
    """Decide ``RetryTask``: the task, and all that was skipped or cancelled below it and can
    run once it has completed."""
    task = find_task(state, command.task_id)
    if task.status not in ENDED or task.status is TaskStatus.Completed:
        if task.status is TaskStatus.Planned:
            return
        raise CommandRejected(
            f"task {task.id} is {task.status.value}; only tasks that failed, "
            "were cancelled or skipped can be retried"
        )
    blocked = [i for i in task.depends_on if _blocks(state, i, set())]
    if blocked:
        raise CommandRejected(
            f"task {task.id} needs task {blocked[0]}, which is "
            f"{state.tasks[blocked[0]].status.value}; retry that one"
        )
    reset = {task.id: None}
    frontier = [task.id]
    for parent in frontier:
        for child in state.schedule.children[parent]:
            revivable = state.tasks[child].status in (TaskStatus.Skipped, TaskStatus.Cancelled)
            if child in reset or not revivable:
                continue
            if not any(_blocks(state, i, reset.keys()) for i in state.tasks[child].depends_on):
                reset[child] = None
                frontier.append(child)
    yield TasksReset(tuple(reset), "retry")


def _has_not_started(state: PlannerState, task_id: int) -> bool:
    task = state.tasks[task_id]
    return task.status is TaskStatus.Planned and task.attempt == 0 and not task.spec.done


def _blocks(state: PlannerState, parent: int, reset: Iterable[int]) -> bool:
    task = state.tasks[parent]
    return parent not in reset and task.status in ENDED and not satisfies(task)
