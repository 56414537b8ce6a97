"""A plan as its snapshot has it, of which only those tasks are decoded that are looked at.

To show a page of a plan with 16,000 tasks, decoding the others would take nearly all of the time.
For readers: what decides needs the whole schedule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import ItemsView, Mapping, Sequence, ValuesView
from typing import Any, Final, Self

import msgspec

from planfold.handler import Outlook
from planfold.planner.commands import Command
from planfold.planner.events import Event
from planfold.planner.graph import Schedule, lane_of, met
from planfold.planner.items import STRIDE
from planfold.planner.planner import FOLD_VERSION, Planner
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus

COMPLETED: Final = TaskStatus.Completed


class StoredTasks(dict[int, Task]):
    """Tasks by id. A value that was not looked at yet is its JSON."""

    def __getitem__(self, task_id: int) -> Task:
        task: Any = super().__getitem__(task_id)
        if isinstance(task, msgspec.Raw):
            task = msgspec.json.decode(task, type=Task)
            self[task_id] = task
        return task  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        self.values()
        return super().__eq__(other)

    __hash__ = None

    def get(self, task_id: int, default: Any = None) -> Any:
        """As of a dict."""
        try:
            return self[task_id]
        except KeyError:
            return default

    def pop(self, task_id: int, *default: Any) -> Any:
        """As of a dict."""
        if task_id in self:
            self[task_id]
        return super().pop(task_id, *default)

    def values(self) -> ValuesView[Task]:  # type: ignore[override]
        """As of a dict: decodes every task."""
        for task_id in self:
            self[task_id]
        return super().values()

    def items(self) -> ItemsView[int, Task]:  # type: ignore[override]
        """As of a dict: decodes every task."""
        self.values()
        return super().items()


class StoredSchedule(Schedule):
    """What the status of each task says of the schedule. What else is asked is built from all
    tasks, when it is."""

    def __init__(self, state: PlannerState, by_status: Mapping[TaskStatus, list[int]]) -> None:
        self._state = state
        self._tasks = state.tasks
        self._ids = {status: set(by_status.get(status, ())) for status in TaskStatus}
        self.counts = Counter({status: len(ids) for status, ids in self._ids.items()})
        self.counts[COMPLETED] = len(state.tasks) - self.counts.total()
        running = (state.tasks[i] for i in self._ids[TaskStatus.Running])
        self.running = Counter(lane_of(task.spec) for task in running)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.is_whole:
            raise AttributeError(name)
        super().__init__(self._tasks, self._state.deadline_of, self._state.breakpoints)
        return getattr(self, name)

    @property
    def is_whole(self) -> bool:
        """Whether it was built from all tasks."""
        return "children" in self.__dict__

    def add_items(self, task: Task, items: Sequence[Task]) -> None:
        """See :meth:`Schedule.add_items`."""
        if self.is_whole:
            super().add_items(task, items)
        else:
            state = self._state  # the items are among its tasks
            super().__init__(self._tasks, state.deadline_of, state.breakpoints)

    def having(
        self, statuses: Sequence[TaskStatus], most: int | None = None, *, items: bool = True
    ) -> list[Task]:
        """See :meth:`Schedule.having`."""
        if self.is_whole:
            return super().having(statuses, most, items=items)
        ids = {i for status in statuses for i in self._ids[status]}
        if COMPLETED in statuses:
            ids |= self._tasks.keys() - set[int]().union(*self._ids.values())
        return [self._tasks[task_id] for task_id in sorted(ids)[:most]]

    def unmet(self, task_id: int) -> int:
        """See :meth:`Schedule.unmet`."""
        if self.is_whole:
            return super().unmet(task_id)
        spec = self._tasks[task_id].spec
        return sum(not met(self._tasks[parent], spec) for parent in spec.depends_on)

    def move(self, task: Task, status: TaskStatus, not_before: float | None = None) -> None:
        """See :meth:`Schedule.move`."""
        if self.is_whole:
            super().move(task, status, not_before)
            return
        self._ids[task.status].discard(task.id)
        for change, moved in ((-1, task.status), (1, status)):
            self.counts[moved] += change
            if moved is TaskStatus.Running:
                self.running[lane_of(task.spec)] += change
        if status is not COMPLETED:
            self._ids[status].add(task.id)
        task.status = status
        task.not_before = not_before


class StoredPlan(Planner):
    """A planner to look at: restored from a snapshot, it decodes what is looked at."""

    def outlook(self, events: Sequence[Event] = (), now: float = 0.0) -> Outlook[Command]:
        """Nothing: a reader does not continue a plan."""
        return Outlook()

    @classmethod
    def restore(cls, snapshot: bytes) -> Self | None:
        """See :meth:`Handler.restore`."""
        try:
            version, stored, by_status = msgspec.json.decode(snapshot, type=_StoredSnapshot)
        except msgspec.DecodeError:
            return None
        if version != FOLD_VERSION:
            return None
        if any(task_id >= STRIDE for task_id in stored.tasks):  # a map is shown with its items
            return super().restore(snapshot)
        state = PlannerState(**msgspec.structs.asdict(stored))
        state.tasks = StoredTasks(state.tasks)
        state.__dict__["schedule"] = StoredSchedule(state, by_status)
        return cls(state)


class _StoredState(PlannerState):
    tasks: dict[int, msgspec.Raw] = {}  # type: ignore[assignment]


_StoredSnapshot = tuple[int, _StoredState, dict[TaskStatus, list[int]]]
