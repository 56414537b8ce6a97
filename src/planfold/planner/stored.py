"""A plan as its snapshot has it, of which only those tasks are decoded that are looked at.

To show a page of a plan with 16,000 tasks, decoding the others would take nearly all of the time.
For readers: what decides needs the whole schedule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import ItemsView, Iterable, Sequence, ValuesView
from itertools import islice
from typing import Any, Final, Self, cast

from planfold.handler import Outlook
from planfold.planner.commands import Command
from planfold.planner.events import Event
from planfold.planner.graph import Schedule, is_aside, met
from planfold.planner.items import STRIDE
from planfold.planner.lanes import lane_of
from planfold.planner.planner import FOLD_VERSION, Planner
from planfold.planner.snapshots import Piece, Snapshot
from planfold.planner.state import PlannerState
from planfold.planner.tasks import PlanStatus, Task, TaskStatus

COMPLETED: Final = TaskStatus.Completed


class StoredTasks(dict[int, Task]):
    """Tasks by id. The value of one that was not looked at yet is its piece of the snapshot."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self._left = {id(piece): piece for piece in pieces}
        for piece in pieces:
            self.update(dict.fromkeys(piece.ids, cast("Task", piece)))

    def _read(self, piece: Piece) -> None:
        """Decode a piece. Tasks that were removed or replaced in the meantime stay so."""
        del self._left[id(piece)]
        found = dict(zip(piece.ids, piece.tasks(), strict=True))
        held: Any = super().get
        self.update({i: task for i, task in found.items() if held(i) is piece})

    def _read_all(self) -> None:
        for piece in list(self._left.values()):
            self._read(piece)

    def __getitem__(self, task_id: int) -> Task:
        task = super().__getitem__(task_id)
        if isinstance(task, Piece):
            self._read(task)
            task = super().__getitem__(task_id)
        return task

    def __eq__(self, other: object) -> bool:
        self._read_all()
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
        self._read_all()
        return super().values()

    def items(self) -> ItemsView[int, Task]:  # type: ignore[override]
        """As of a dict: decodes every task."""
        self._read_all()
        return super().items()


class StoredSchedule(Schedule):
    """What the status of each task says of the schedule. What else is asked is built from all
    tasks, when it is."""

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
        """Note the status that the plan has at this version, as its head says: to derive it may
        take all tasks."""
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
    """A planner to look at: restored from a snapshot, it decodes what is looked at."""

    def outlook(self, events: Sequence[Event] = (), now: float = 0.0) -> Outlook[Command]:
        """Nothing: a reader does not continue a plan."""
        return Outlook()

    @classmethod
    def restore(cls, snapshot: bytes) -> Self | None:
        """See :meth:`Handler.restore`."""
        found = Snapshot.unpack(snapshot)
        if found is None or found.version != FOLD_VERSION:
            return None
        if any(max(piece.ids) >= STRIDE for piece in found.pieces):
            return super().restore(snapshot)  # a map is shown with its items
        state = found.state
        state.tasks = StoredTasks(found.pieces)
        state.__dict__["schedule"] = StoredSchedule(state, found)
        return cls(state)
