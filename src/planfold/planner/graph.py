"""``Schedule``: which tasks can start now, kept up to date at O(out-degree) per change.

It is derived from the tasks and never stored. A task is *free* when all its parents are
satisfied; free planned tasks are in ``ready`` by route, smallest id first, or in ``delayed`` while
a retry has to wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from planfold.planner.due_times import DueTimes
from planfold.planner.lanes import Lane
from planfold.planner.tasks import NodeKind, Task, TaskSpec, TaskStatus
from planfold.planner.transitions import ENDED

PLANNED: Final = TaskStatus.Planned  # looking up a member takes longer than what is done with it
RUNNING: Final = TaskStatus.Running
ASKING: Final = TaskStatus.NeedsClarification
COMPLETED: Final = TaskStatus.Completed
FAILED: Final = TaskStatus.Failed
SKIPPED: Final = TaskStatus.Skipped
QUESTION: Final = NodeKind.Clarification


def satisfies(task: Task) -> bool:
    """Whether dependents of ``task`` may start. A failed task never counts as completed; with
    ``on_failure="continue"`` its dependents may run without it, as after a task that was skipped
    by its condition."""
    status = task.status
    return (
        status is COMPLETED
        or (status is FAILED and task.spec.on_failure == "continue")
        or (status is SKIPPED and task.skip_reason == "condition")
    )


def met(parent: Task, child: TaskSpec) -> bool:
    """Whether ``child`` no longer waits for ``parent``: with a ``run_if`` of its own, how the
    parent ended does not matter."""
    return satisfies(parent) if child.run_if == "completed" else parent.status in ENDED


def blocks(parent: Task) -> bool:
    """Whether dependents of ``parent`` (without a ``run_if``) can never start: it ended and does
    not satisfy them."""
    return parent.status in ENDED and not satisfies(parent)


def lane_of(spec: TaskSpec) -> str:
    """What a task waits in: questions need no slot, so they do not queue behind tasks that do."""
    return "" if spec.kind is QUESTION else spec.queue_route


class Schedule:
    """``deadline_of`` is the time at which the default of a task's question applies."""

    def __init__(
        self, tasks: Mapping[int, Task], deadline_of: Callable[[int], float | None]
    ) -> None:
        self._tasks = tasks
        self.children: dict[int, list[int]] = {}
        self._unmet: dict[int, int] = {}
        self._late: set[int] = set()  # tasks with a ``run_if`` of their own
        self._lanes: dict[int, str] = {}  # the lane of each task
        self.ready: dict[str, Lane] = {}
        self.startable = 0  # tasks in ``ready``
        self.running: Counter[str] = Counter()
        self.counts: Counter[TaskStatus] = Counter()
        self.delayed: set[int] = set()
        self.waits: dict[str, DueTimes] = {}  # when the delayed tasks of a route may start
        self.deadlines = DueTimes(lambda at, task_id: deadline_of(task_id) == at)
        self._take_in(tasks.values())
        for task_id, task in tasks.items():
            if task.status is ASKING and (deadline := deadline_of(task_id)) is not None:
                self.deadlines.set(deadline, task_id)

    def _take_in(self, tasks: Collection[Task]) -> None:
        children = self.children
        children.update({task.spec.id: [] for task in tasks})
        self.counts.update([task.status for task in tasks])
        unsatisfied = {t.spec.id for t in tasks if t.status is not COMPLETED and not satisfies(t)}
        self._late = {t.spec.id for t in tasks if t.spec.run_if != "completed"}
        over = {t.spec.id for t in tasks if t.status in ENDED} if self._late else set()
        for task in tasks:
            spec = task.spec
            unmet = 0
            for parent in spec.depends_on:
                children[parent].append(spec.id)
                unmet += parent in unsatisfied
            if spec.id in self._late:
                unmet = sum(parent not in over for parent in spec.depends_on)
            self._unmet[spec.id] = unmet
            self._lanes[spec.id] = lane_of(spec)
            if task.status is RUNNING or task.status is PLANNED:
                self._place(task, spec)

    def move(self, task: Task, status: TaskStatus, not_before: float | None = None) -> None:
        """Give ``task`` a new status and let its children know."""
        spec = task.spec
        before, was_satisfied = task.status, satisfies(task)
        self._leave(task, spec)
        task.status = status
        task.not_before = not_before
        self._enter(task, spec)
        now_satisfied = satisfies(task)
        if self._late:
            satisfied = (was_satisfied, now_satisfied)
            self._tell_each(spec.id, satisfied, (before in ENDED, status in ENDED))
        elif was_satisfied is not now_satisfied:
            for child in self.children[spec.id]:
                self._parent_changed(self._tasks[child], now_satisfied)

    def _tell_each(
        self, task_id: int, satisfied: tuple[bool, bool], over: tuple[bool, bool]
    ) -> None:
        """``satisfied`` and ``over``: whether a parent was and is."""
        for child in self.children[task_id]:
            before, after = over if child in self._late else satisfied
            if before is not after:
                self._parent_changed(self._tasks[child], after)

    def having(self, statuses: Sequence[TaskStatus], most: int | None = None) -> list[Task]:
        """The tasks with one of these statuses, at most so many (None: all)."""
        return [task for task in self._tasks.values() if task.status in statuses][:most]

    def unmet(self, task_id: int) -> int:
        """How many parents of a task do not satisfy it."""
        return self._unmet[task_id]

    def descendants(self, roots: Iterable[int]) -> Iterator[int]:
        """Everything reachable from ``roots``, without them, each once, nearest first."""
        seen = set(roots)
        queue = list(seen)
        for task_id in queue:
            for child in self.children[task_id]:
                if child not in seen:
                    seen.add(child)
                    queue.append(child)
                    yield child

    def _parent_changed(self, child: Task, satisfied: bool) -> None:
        unmet = self._unmet[child.spec.id]
        if satisfied:
            self._unmet[child.spec.id] = unmet - 1
            if unmet == 1 and child.status is PLANNED:
                self._make_ready(child, child.spec)
        else:
            self._unmet[child.spec.id] = unmet + 1
            if unmet == 0 and child.status is PLANNED:
                self._unready(child.spec)

    def _enter(self, task: Task, spec: TaskSpec) -> None:
        self.counts[task.status] += 1
        self._place(task, spec)

    def _place(self, task: Task, spec: TaskSpec) -> None:
        status = task.status
        if status is RUNNING:
            self.running[self._lanes[spec.id]] += 1
        elif status is PLANNED and self._unmet[spec.id] == 0:
            self._make_ready(task, spec)

    def _leave(self, task: Task, spec: TaskSpec) -> None:
        status = task.status
        self.counts[status] -= 1
        if status is RUNNING:
            self.running[self._lanes[spec.id]] -= 1
        elif status is PLANNED and self._unmet[spec.id] == 0:
            self._unready(spec)

    def _make_ready(self, task: Task, spec: TaskSpec) -> None:
        if task.not_before is not None:
            self.delayed.add(spec.id)
            lane = self._lanes[spec.id]
            if lane not in self.waits:
                self.waits[lane] = DueTimes(self._still_waits)
            self.waits[lane].set(task.not_before, spec.id)
        else:
            lane = self._lanes[spec.id]
            if lane not in self.ready:
                self.ready[lane] = Lane()
            self.startable += self.ready[lane].add(spec.id)

    def _still_waits(self, at: float, task_id: int) -> bool:
        return task_id in self.delayed and self._tasks[task_id].not_before == at

    def _unready(self, spec: TaskSpec) -> None:
        self.delayed.discard(spec.id)
        lane = self.ready.get(self._lanes[spec.id])
        if lane is not None:
            self.startable -= lane.discard(spec.id)
