"""``Schedule``: which tasks can start now, kept up to date at O(out-degree) per change.

It is derived from the tasks and never stored. A task is *free* when all its parents are
satisfied; free planned tasks stand in ``ready`` by route, in the order in which they became free,
or in ``delayed`` while a retry has to wait. ``alarms`` tell when time alone changes something.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from planfold.planner.tasks import NodeKind, Task, TaskSpec, TaskStatus


def satisfies(task: Task) -> bool:
    """Whether dependents of ``task`` may start. A failed task never counts as completed; with
    ``on_failure="continue"`` its dependents are merely allowed to go on without it."""
    return task.status is TaskStatus.Completed or (
        task.status is TaskStatus.Failed and task.spec.on_failure == "continue"
    )


class Schedule:
    def __init__(self, tasks: Mapping[int, Task]) -> None:
        self._tasks = tasks
        self.children: dict[int, list[int]] = {}
        self._unmet: dict[int, int] = {}
        self._lanes: dict[int, str] = {}
        self.ready: dict[str, OrderedDict[int, None]] = {}
        self.running: Counter[str] = Counter()
        self.counts: Counter[TaskStatus] = Counter()
        self.delayed: set[int] = set()
        self._alarms: list[tuple[float, int]] = []
        self.add(tasks.values())

    def add(self, tasks: Iterable[Task]) -> None:
        """Take in new tasks; their parents must be known already or be among them."""
        added = list(tasks)
        for task in added:
            self.children.setdefault(task.id, [])
            # Questions need no slot, so they must not queue behind tasks that do.
            asks = task.kind is NodeKind.Clarification
            self._lanes[task.id] = "" if asks else task.spec.queue_route
        for task in added:
            for parent in task.depends_on:
                self.children[parent].append(task.id)
        for task in added:
            self._unmet[task.id] = sum(not satisfies(self._tasks[p]) for p in task.depends_on)
            self._enter(task, task.spec)

    def remove(self, task: Task) -> None:
        """Forget a task that has not started."""
        self._leave(task, task.spec)
        for parent in task.depends_on:
            if parent in self.children:
                self.children[parent].remove(task.id)
        del self.children[task.id], self._unmet[task.id], self._lanes[task.id]

    def move(self, task: Task, status: TaskStatus, not_before: float | None = None) -> None:
        """Give ``task`` a new status and let its children know."""
        spec = task.spec
        was_satisfied = satisfies(task)
        self._leave(task, spec)
        task.status = status
        task.not_before = not_before
        self._enter(task, spec)
        now_satisfied = satisfies(task)
        if was_satisfied is not now_satisfied:
            for child in self.children[spec.id]:
                self._parent_changed(self._tasks[child], now_satisfied)

    def is_free(self, task_id: int) -> bool:
        return self._unmet[task_id] == 0

    def alarm(self, at: float, task_id: int) -> None:
        """Remember that something is due for a task at ``at``."""
        heapq.heappush(self._alarms, (at, task_id))

    def due_retries(self, now: float) -> list[int]:
        """Tasks whose wait before a retry is over, the longest waiting first."""
        due = [(self._tasks[i].not_before or 0.0, i) for i in self.delayed]
        return [task_id for at, task_id in sorted(due) if at <= now]

    def next_alarm(self, deadline_of: Mapping[int, float]) -> float | None:
        """The earliest alarm that still holds; drops those that no longer do."""
        while self._alarms:
            at, task_id = self._alarms[0]
            task = self._tasks.get(task_id)
            if task and (task.not_before == at or deadline_of.get(task_id) == at):
                return at
            heapq.heappop(self._alarms)
        return None

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
            if unmet == 1 and child.status is TaskStatus.Planned:
                self._make_ready(child, child.spec)
        else:
            self._unmet[child.spec.id] = unmet + 1
            if unmet == 0 and child.status is TaskStatus.Planned:
                self._unready(child.spec)

    def _enter(self, task: Task, spec: TaskSpec) -> None:
        status = task.status
        self.counts[status] += 1
        if status is TaskStatus.Running:
            self.running[self._lanes[spec.id]] += 1
        elif status is TaskStatus.Planned and self._unmet[spec.id] == 0:
            self._make_ready(task, spec)

    def _leave(self, task: Task, spec: TaskSpec) -> None:
        status = task.status
        self.counts[status] -= 1
        if status is TaskStatus.Running:
            self.running[self._lanes[spec.id]] -= 1
        elif status is TaskStatus.Planned and self._unmet[spec.id] == 0:
            self._unready(spec)

    def _make_ready(self, task: Task, spec: TaskSpec) -> None:
        if task.not_before is not None:
            self.delayed.add(spec.id)
            self.alarm(task.not_before, spec.id)
        else:
            self.ready.setdefault(self._lanes[spec.id], OrderedDict())[spec.id] = None

    def _unready(self, spec: TaskSpec) -> None:
        self.delayed.discard(spec.id)
        lane = self.ready.get(self._lanes[spec.id])
        if lane is not None:
            lane.pop(spec.id, None)
