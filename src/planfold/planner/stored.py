"""A plan as its snapshot has it, for readers. Its schedule holds only what the snapshot says;
deciding needs the whole schedule, and so all tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, Self

from planfold.handler import Outlook
from planfold.planner.commands import Command
from planfold.planner.events import Event
from planfold.planner.graph import Schedule, is_aside, met
from planfold.planner.lanes import lane_of
from planfold.planner.planner import FOLD_VERSION, Planner
from planfold.planner.snapshots import Snapshot, StoredTasks
from planfold.planner.state import PlannerState
from planfold.planner.tasks import PlanStatus, Task, TaskStatus

COMPLETED: Final = TaskStatus.Completed


class StoredSchedule(Schedule):
    """A schedule of counts and statuses. Anything else is built from all tasks when it is asked
    for."""

    def __init__(self, state: PlannerState, found: Snapshot) -> None:
        self._state = state
        by_status, self.slots = found.by_status, found.slots
        self.aside = Counter(found.aside)
        self._tasks = state.tasks
        self._said: tuple[int | None, PlanStatus | None] = (None, None)
        self._ids = {status: set(by_status.get(status, ())) for status in TaskStatus}
        self.counts = Counter({status: len(ids) for status, ids in self._ids.items()})
        self.counts[COMPLETED] = len(state.tasks) - self.counts.total()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.is_whole:
            raise AttributeError(name)
        if name == "running":
            running = (self._tasks[i] for i in self._ids[TaskStatus.Running])
            self.running = Counter(lane_of(task.spec) for task in running)
            return self.running
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
        if COMPLETED in statuses:
            others = [ids for status, ids in self._ids.items() if status not in statuses]
            left = set[int]().union(*others)
            found: Iterable[int] = islice((i for i in sorted(self._tasks) if i not in left), most)
        else:
            found = sorted(i for status in statuses for i in self._ids[status])[:most]
        return [self._tasks[task_id] for task_id in found]

    @property
    def idle(self) -> bool:
        """See :attr:`Schedule.idle`."""
        version, status = self._said
        if version == self._state.version:
            return status in (PlanStatus.AwaitingAnswer, PlanStatus.Paused)
        return super().idle

    def say(self, version: int, status: PlanStatus) -> None:
        """Note the status of the plan at this version, as its head says; deriving it may need all
        tasks."""
        self._said = (version, status)

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
            self.aside[moved] += change if is_aside(task) else 0
            if moved is TaskStatus.Running:
                lane = lane_of(task.spec)
                self.slots += change if lane else 0
                if "running" in self.__dict__:
                    self.running[lane] += change
        if status is not COMPLETED:
            self._ids[status].add(task.id)
        task.status = status
        task.not_before = not_before


class StoredPlan(Planner):
    """A planner for readers: restored from a snapshot, it decodes only what is looked at."""

    def outlook(self, events: Sequence[Event] = (), now: float = 0.0) -> Outlook[Command]:
        """Nothing, because a reader does not continue a plan."""
        return Outlook()

    @classmethod
    def restore(cls, snapshot: bytes) -> Self | None:
        """See :meth:`Handler.restore`."""
        found = Snapshot.unpack(snapshot)
        if found is None or found.version != FOLD_VERSION:
            return None
        if found.has_items:
            return super().restore(snapshot)  # a map is shown with its items
        state = found.state
        state.tasks = StoredTasks(found.pieces)
        state.__dict__["schedule"] = StoredSchedule(state, found)
        return cls(state)
