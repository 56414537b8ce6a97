"""``Schedule``: which tasks can start now, kept up to date at O(out-degree) per change.

It is derived from the tasks and never stored. A task is *free* when all its parents are
satisfied; free planned tasks are in ``ready`` by route, smallest id first, or in ``delayed`` while
a retry has to wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from planfold.errors import CorruptLog
from planfold.planner.due_times import DueTimes
from planfold.planner.items import STRIDE, item_id, map_of, source_of
from planfold.planner.lanes import OF_MAP, Lane, lane_of, lane_of_items
from planfold.planner.tasks import Task, TaskSpec, TaskStatus, in_words
from planfold.planner.transitions import ENDED, RESET, TRANSITIONS

if TYPE_CHECKING:
    from planfold.planner.state import PlannerState

_next_status: Final = TRANSITIONS.get
PLANNED: Final = TaskStatus.Planned  # looking up a member takes longer than what is done with it
RUNNING: Final = TaskStatus.Running
ASKING: Final = TaskStatus.NeedsClarification
COMPLETED: Final = TaskStatus.Completed
FAILED: Final = TaskStatus.Failed
SKIPPED: Final = TaskStatus.Skipped
NO_TASKS: Final = Counter(dict.fromkeys(TaskStatus, 0))  # a status that is not in it costs more


def satisfies(task: Task) -> bool:
    """Whether dependents of ``task`` may start. A failed task never counts as completed; with
    ``on_failure="continue"`` its dependents may run without it, as after a task that was not
    needed. That an item stops nothing does not concern its counterparts."""
    status = task.status
    return (
        status is COMPLETED
        or (status is FAILED and task.spec.on_failure == "continue" and task.spec.id < STRIDE)
        or (status is SKIPPED and task.not_needed)
    )


def met(parent: Task, child: TaskSpec) -> bool:
    """Whether ``child`` no longer waits for ``parent``: with a ``run_if`` of its own, how the
    parent ended does not matter, nor for an item how its counterpart did: it is skipped then."""
    if child.run_if != "completed" or child.id >= STRIDE:
        return parent.status in ENDED
    return satisfies(parent) or (is_ahead(parent) and source_of(child) == parent.spec.id)


def blocks(parent: Task) -> bool:
    """Whether dependents of ``parent`` (without a ``run_if``) can never start: it ended and does
    not satisfy them."""
    return parent.status in ENDED and not satisfies(parent)


def is_aside(task: Task) -> bool:
    """Whether a task does not count as progress of the plan: a revision superseded it, or it undoes
    another task. The schedule is rebuilt after the events that add such tasks."""
    return task.superseded or task.spec.undoes is not None


def is_open(task: Task) -> bool:
    """Whether items of this map may start."""
    return task.status is RUNNING and not (task.halted or task.stopping)


def is_ahead(task: Task) -> bool:
    """Whether a map that runs item by item may follow this one."""
    return task.status is RUNNING and not task.stopping and task.spec.for_each is not None


class Schedule:
    """``deadline_of`` is the time at which the default of a task's question applies, or its wait
    ends. The tasks with ``breakpoints`` do not become free."""

    def __init__(
        self,
        tasks: Mapping[int, Task],
        deadline_of: Callable[[int], float | None],
        breakpoints: Collection[int] = (),
    ) -> None:
        self._tasks = tasks
        self._held = set(breakpoints)  # each counts as one more parent that is not met
        self.children: dict[int, list[int]] = {}
        self._unmet: dict[int, int] = {}
        self._late: set[int] = set()  # tasks with a ``run_if`` of their own
        self._sources: dict[int, int] = {}  # of maps that run item by item
        self._ahead: set[int] = set()  # maps that those may follow
        self._lanes: dict[int, str] = {}  # the lane of each task
        self.ready: dict[str, Lane] = {}
        self.startable = 0  # tasks in ``ready``
        self.running: Counter[str] = Counter()
        self.slots = 0  # tasks that run: items, and no maps
        self.counts = NO_TASKS.copy()
        self.aside: Counter[TaskStatus] = Counter()  # the same of tasks that do not count
        self.delayed: set[int] = set()
        self.waits: dict[str, DueTimes] = {}  # when the delayed tasks of a route may start
        self._left: Counter[int] = Counter()  # items that have not ended, by map,
        self._busy: Counter[int] = Counter()  # and those of them that run or ask
        self.over: set[int] = set()  # running maps of which no item runs or will start
        self.maps: set[int] = set()  # those that run
        self._shut: set[int] = set()  # maps of which no item may start
        self.deadlines = DueTimes(lambda at, task_id: deadline_of(task_id) == at)
        self._take_in(tasks.values())
        for task_id, task in tasks.items():
            if task.status in (ASKING, RUNNING) and (deadline := deadline_of(task_id)) is not None:
                self.deadlines.set(deadline, task_id)

    def _take_in(self, tasks: Collection[Task]) -> None:
        children = self.children
        children.update({task.spec.id: [] for task in tasks})
        self.counts.update([task.status for task in tasks])
        self.aside.update([task.status for task in tasks if is_aside(task)])
        unsatisfied = {t.spec.id for t in tasks if t.status is not COMPLETED and not satisfies(t)}
        self._late = {t.spec.id for t in tasks if t.spec.run_if != "completed"}
        for task in tasks:
            if task.spec.for_each is not None:
                if source := source_of(task.spec):
                    self._sources[task.spec.id] = source
                if not is_open(task):
                    self._shut.add(task.spec.id)
                if is_ahead(task):
                    self._ahead.add(task.spec.id)
        for task in tasks:
            spec = task.spec
            unmet = 0
            for parent in spec.depends_on:
                children[parent].append(spec.id)
                unmet += parent in unsatisfied
            if spec.id in self._late or spec.id in self._sources or spec.id >= STRIDE:
                unmet = sum(not met(self._tasks[parent], spec) for parent in spec.depends_on)
            if spec.id >= STRIDE:
                unmet += map_of(spec.id) in self._shut
                self._count_item(task, 1)
            unmet += spec.id in self._held
            self._unmet[spec.id] = unmet
            self._lanes[spec.id] = lane_of(spec)
            if task.status is RUNNING or task.status is PLANNED:
                self._place(task, spec)
        for task in tasks:
            if task.spec.for_each is not None:
                self._look_at_map(task)

    def add_items(self, task: Task, items: Sequence[Task]) -> None:
        """New items of a map joined the plan, in order. All at once, because they may be many."""
        self.gate(task)
        if items:
            name, ids = lane_of(items[0].spec), [item.spec.id for item in items]
            self.children.update((key, []) for key in ids)
            self._unmet.update(dict.fromkeys(ids, int(task.spec.id in self._shut)))
            self._lanes.update(dict.fromkeys(ids, name))
            self.counts[PLANNED] += len(ids)
            self._left[task.spec.id] += len(ids)
            for item in items if task.spec.id in self._sources else ():
                for counterpart in item.spec.depends_on:
                    self.children[counterpart].append(item.spec.id)
                    self._unmet[item.spec.id] += self._tasks[counterpart].status not in ENDED
            free = [key for key in ids if not self._unmet[key]]
            if free:
                self.startable += self.ready.setdefault(name, Lane()).extend(free)
        self._look_at_map(task)

    def remove_item(self, item: Task) -> None:
        """An item leaves the plan with the others of its map."""
        spec = item.spec
        self._leave(item, spec)
        self._count_item(item, -1)
        for counterpart in spec.depends_on:
            self.children[counterpart].remove(spec.id)
        del self.children[spec.id], self._unmet[spec.id], self._lanes[spec.id]

    def gate(self, task: Task) -> None:
        """A map opened or closed: whether its items may start has changed."""
        key, opened = task.spec.id, is_open(task)
        if opened is (key in self._shut):
            (self._shut.discard if opened else self._shut.add)(key)
            first = item_id(key, 0)
            for item in range(first, first + len(task.elements or ())):
                if item in self._unmet:  # else it is about to join the plan
                    self._parent_changed(self._tasks[item], opened)
        self._look_at_map(task)
        if task.status in ENDED:
            name = lane_of_items(task.spec)
            for lanes in (self.ready, self.waits, self.running):
                lanes.pop(name, None)  # a plan of many maps looks at those that run

    def stop(self, task: Task) -> None:
        """A map was asked to stop: maps that follow it begin no new items."""
        self.gate(task)
        self._tell_each(task, (False, False), (task.status, task.status))

    def _count_item(self, item: Task, by: int) -> None:
        if item.status not in ENDED:
            self._left[map_of(item.spec.id)] += by
        if item.status is RUNNING or item.status is ASKING:
            self._busy[map_of(item.spec.id)] += by

    def _look_at_map(self, task: Task) -> None:
        key, runs = task.spec.id, task.status is RUNNING
        left = self._left[key] if is_open(task) else self._busy[key]
        if not left and is_open(task) and key in self._sources:
            left = self._tasks[self._sources[key]].status not in ENDED  # how it ends counts
        (self.over.add if runs and not left else self.over.discard)(key)
        (self.maps.add if runs else self.maps.discard)(key)

    @property
    def open_waits(self) -> int:
        """How many waits have begun and not ended: beside maps, all that runs without a slot."""
        return self.running[""] - len(self.maps)

    @property
    def idle(self) -> bool:
        """Whether no task runs, waits, can start, or waits for a retry."""
        return not (self.slots or self.startable or self.delayed or self.open_waits)

    def follows(self, task_id: int) -> bool:
        """Whether the task is an item of a map that runs item by item."""
        return map_of(task_id) in self._sources

    def running_on(self, route: str) -> int:
        """How many slots of a route are taken."""
        items = f"{route}{OF_MAP}"
        return sum(n for lane, n in self.running.items() if lane == route or lane.startswith(items))

    def move(self, task: Task, status: TaskStatus, not_before: float | None = None) -> None:
        """Give ``task`` a new status and let its children know."""
        spec = task.spec
        if spec.id >= STRIDE:
            self._move_item(task, status, not_before)
            return
        before, was_satisfied = task.status, task.status in ENDED and satisfies(task)
        self._leave(task, spec)
        task.status = status
        task.not_before = not_before
        self._enter(task, spec)
        if spec.for_each is not None:
            self.gate(task)
            for follower in task.followed_by:
                self._look_at_map(self._tasks[follower])
        now_satisfied = status in ENDED and satisfies(task)
        if self._late or self._sources:
            self._tell_each(task, (was_satisfied, now_satisfied), (before, status))
        elif was_satisfied is not now_satisfied:
            for child in self.children[spec.id]:
                self._parent_changed(self._tasks[child], now_satisfied)

    def _move_item(self, item: Task, status: TaskStatus, not_before: float | None) -> None:
        before = item.status
        self._count_item(item, -1)
        self._leave(item, item.spec)
        item.status, item.not_before = status, not_before
        self._enter(item, item.spec)
        self._count_item(item, 1)
        self._look_at_map(self._tasks[map_of(item.spec.id)])
        if (was_over := before in ENDED) is not (status in ENDED):
            for counterpart in self.children[item.spec.id]:
                self._parent_changed(self._tasks[counterpart], not was_over)

    def _tell_each(
        self, task: Task, satisfied: tuple[bool, bool], statuses: tuple[TaskStatus, TaskStatus]
    ) -> None:
        """``satisfied``: whether a parent was and is; ``statuses`` that it had and has."""
        task_id = task.spec.id
        ahead = task_id in self._ahead, is_ahead(task)
        (self._ahead.add if ahead[1] else self._ahead.discard)(task_id)
        for child in self.children[task_id]:
            before, after = satisfied
            if child in self._late:
                before, after = (status in ENDED for status in statuses)
            elif self._sources.get(child) == task_id:
                before, after = before or ahead[0], after or ahead[1]
            if before is not after:
                self._parent_changed(self._tasks[child], after)

    def having(
        self, statuses: Sequence[TaskStatus], most: int | None = None, *, items: bool = True
    ) -> list[Task]:
        """The tasks with one of these statuses, at most so many (None: all); without ``items``
        only those that are written in the plan."""
        tasks = (t for i, t in self._tasks.items() if items or i < STRIDE)
        return [task for task in tasks if task.status in statuses][:most]

    def unmet(self, task_id: int) -> int:
        """How many parents of a task are not satisfied."""
        return self._unmet[task_id] - (task_id in self._held)

    def hold(self, task_id: int, held: bool) -> None:
        """A break-point was set before a task, or removed."""
        if (task_id in self._held) is not held:
            (self._held.add if held else self._held.discard)(task_id)
            self._parent_changed(self._tasks[task_id], not held)

    def reached(self) -> list[int]:
        """The planned tasks that nothing but their break-point keeps from being free."""
        return [
            i
            for i in sorted(self._held)
            if self._unmet[i] == 1 and self._tasks[i].status is PLANNED
        ]

    def descendants(self, roots: Iterable[int]) -> Iterator[int]:
        """All descendants of ``roots`` without the roots, each once, nearest first."""
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
        status = task.status
        self.counts[status] += 1
        if self.aside and is_aside(task):
            self.aside[status] += 1
        if status is RUNNING or status is PLANNED:
            self._place(task, spec)

    def _place(self, task: Task, spec: TaskSpec) -> None:
        if task.status is RUNNING:
            self.running[lane := self._lanes[spec.id]] += 1
            self.slots += lane != ""
        elif self._unmet[spec.id] == 0:
            self._make_ready(task, spec)

    def _leave(self, task: Task, spec: TaskSpec) -> None:
        status = task.status
        self.counts[status] -= 1
        if self.aside and is_aside(task):
            self.aside[status] -= 1
        if status is RUNNING:
            self.running[lane := self._lanes[spec.id]] -= 1
            self.slots -= lane != ""
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


def move(
    state: PlannerState, task: Task, status: TaskStatus, not_before: float | None = None
) -> None:
    """Give ``task`` a status that it may have now, and let those who wait for it know."""
    if (schedule := state.__dict__.get("schedule")) is not None:
        schedule.move(task, status, not_before)
    else:
        task.status, task.not_before = status, not_before


def change(
    state: PlannerState, task: Task, trigger: str, not_before: float | None = None
) -> TaskStatus:
    """Give ``task`` the status that the trigger leads to; returns it."""
    before = task.status
    after = _next_status((before, trigger))
    if after is None:
        raise CorruptLog(
            f"{trigger} is not legal for task {task.spec.id}, which {in_words(before)}"
        )
    if after is not before or trigger is RESET:
        move(state, task, after, not_before)
        if before is ASKING:
            state.questions.pop(task.spec.id, None)
    return after
