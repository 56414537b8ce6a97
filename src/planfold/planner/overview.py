"""The plan as a few lines: its tasks and their statuses, in as much detail as fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from planfold.compaction.errors import compact_error_message
from planfold.compaction.truncation import truncate_middle
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus

_SHORT = 60  # characters of a description
_ERROR = 200  # characters of a failed task's error
_ENDED_WELL = (TaskStatus.Completed, TaskStatus.Skipped, TaskStatus.Cancelled)


def plan_overview(state: PlannerState, room: int) -> str:
    """One line for each task. If that is too long, less text for each task that has not ended; else
    counts by status; else only the number of tasks, which is always given."""
    tasks = list(state.written().values())
    head = f"The plan has {len(tasks)} tasks:"
    for level in _LEVELS:
        if room < len(head) * 2:
            break
        text = "\n".join([head, *level(tasks)])
        if len(text) <= room:
            return text
    counts = Counter(task.status for task in tasks)
    listed = ", ".join(
        f"{counts[status]} {status.value}" for status in TaskStatus if counts[status]
    )
    return f"{head} {listed}"


def _every_task(tasks: Iterable[Task]) -> Iterable[str]:
    return (_line(task, task.description) for task in tasks)


def _every_task_in_short(tasks: Iterable[Task]) -> Iterable[str]:
    return (_line(task, truncate_middle(task.description, _SHORT)) for task in tasks)


def _unfinished_tasks(tasks: Iterable[Task]) -> Iterable[str]:
    tasks = list(tasks)
    yield from _numbers([task for task in tasks if task.status in _ENDED_WELL])
    rest = [task for task in tasks if task.status not in _ENDED_WELL]
    yield from _every_task_in_short(rest)


def _numbers(tasks: Iterable[Task]) -> Iterable[str]:
    by_status: dict[TaskStatus, list[int]] = {}
    for task in tasks:
        by_status.setdefault(task.status, []).append(task.id)
    return (f"{status.value}: {_ranges(ids)}" for status, ids in by_status.items())


def _line(task: Task, description: str) -> str:
    line = " ".join(f"{task.id}. [{task.status.value}] {description}".split())
    if task.status is TaskStatus.Failed and task.error:
        line += f" (it failed: {' '.join(compact_error_message(task.error, _ERROR).split())})"
    return line


def _ranges(ids: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for task_id in sorted(ids):
        if runs and runs[-1][1] == task_id - 1:
            runs[-1][1] = task_id
        else:
            runs.append([task_id, task_id])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


_LEVELS: tuple[Callable[[list[Task]], Iterable[str]], ...] = (
    _every_task,
    _every_task_in_short,
    _unfinished_tasks,
    _numbers,
)
