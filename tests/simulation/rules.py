"""What must hold of each event at the time at which it is written, by the words of the docs: what
runs when, in which order, and what one stream hands to another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from planfold.eventstore.envelope import Envelope
from planfold.planner.commands import TaskCompleted
from planfold.planner.events import (
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
    WaitRegistered,
    WaitStarted,
)
from planfold.planner.items import STRIDE, map_of
from planfold.planner.maps import items_of
from planfold.planner.sub_plans import sub_plan_id
from planfold.planner.tasks import PlanStatus, Task, TaskStatus
from planfold.planner.transitions import ENDED
from planfold.schedules.events import OccurrencesDecided, ScheduleAdded
from planfold.schedules.schedule import PlanSchedule
from planfold.signals.inbox import (
    SignalAwaited,
    SignalDelivered,
    SignalInbox,
    SignalReceived,
    WaitPlace,
    inbox_id,
)
from tests.simulation.records import PlanRecord, Records, StreamRecord

_OVER: Final = (PlanStatus.Completed, PlanStatus.Failed, PlanStatus.Cancelled)
_CONDITION: Final = re.compile(r"\$([0-9]+)\.run % 2 == 0")
_FALSE: Final = "its condition is false"


class Rules:
    """Watches the log of plans, inboxes and schedules."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._signals: dict[str, str] = {}  # the inbox of each signal, by its id
        self._awaited: set[WaitPlace] = set()
        self._begun: dict[str, set[float]] = {}  # occurrences of each schedule
        records.watchers.append(self._watch)

    def _watch(self, stream: StreamRecord, envelope: Envelope) -> None:
        event = envelope.event
        if isinstance(stream, PlanRecord):
            where = f"{stream.id}#{envelope.version}"
            match event:
                case TaskDispatched(task_id) | WaitStarted(task_id):
                    self._starts(where, stream, stream.state.tasks[task_id])
                case TaskStatusUpdated():
                    self._ends(where, stream, event)
                case TasksReset(task_ids, "retry"):
                    self._retried(where, stream, task_ids)
                case WaitRegistered(task_id, attempt):
                    self._registered(where, stream, WaitPlace(stream.id, task_id, attempt))
        elif isinstance(stream.handler, SignalInbox):
            self._of_inbox(stream.id, event)
        elif isinstance(stream.handler, PlanSchedule):
            self._of_schedule(stream.id, stream.handler, event)

    def _violated(self, where: str, text: str) -> None:
        self._records.violated(f"{where}: {text}")

    # --- what starts --------------------------------------------------------------------------

    def _starts(self, where: str, plan: PlanRecord, task: Task) -> None:
        state, spec = plan.state, task.spec
        parents = [state.tasks[i] for i in spec.depends_on]
        where = f"{where}: task {task.id}"
        if state.paused is not None or task.id in state.breakpoints:
            self._violated(where, "started while it was paused")
        if not all(parent.status in ENDED for parent in parents):
            self._violated(where, "started before a task that it depends on had ended")
        if spec.undoes is not None:
            self._undoes(where, plan, task)
            return
        if state.cancelled and not state.undoing:
            self._violated(where, "started in a plan that is cancelled")
        if parents and not _may_run(spec.run_if, parents):
            statuses = [parent.status.value for parent in parents]
            self._violated(where, f"started after {statuses}; it runs if {spec.run_if}")
        if _odd_run(plan, task) is not None:
            self._violated(where, f"started although {spec.when!r} is false")
        if task.id >= STRIDE:
            self._starts_item(where, plan, state.tasks[map_of(task.id)])

    def _starts_item(self, where: str, plan: PlanRecord, of: Task) -> None:
        for_each = of.spec.for_each
        assert for_each is not None
        items = list(items_of(plan.state, of))
        running = sum(item.status is TaskStatus.Running for item in items)
        if running >= for_each.concurrency:
            self._violated(where, f"started beside {running} items; {for_each.concurrency} may")
        over = (TaskStatus.Failed, TaskStatus.Cancelled)
        if for_each.on_item_failure == "stop" and any(item.status in over for item in items):
            self._violated(where, "started after an item that did not complete")

    def _undoes(self, where: str, plan: PlanRecord, task: Task) -> None:
        tasks, target = plan.state.tasks, plan.state.tasks.get(task.spec.undoes or 0)
        if target is None or target.status is not TaskStatus.Completed:
            self._violated(where, f"undoes task {task.spec.undoes}, which has not completed")
            return
        for other in tasks.values():
            later = other.undo_task and other.completion > target.completion
            if later and tasks[other.undo_task].status not in ENDED:
                self._violated(where, f"undoes task {target.id} before task {other.id}")

    def _retried(self, where: str, plan: PlanRecord, task_ids: Sequence[int]) -> None:
        for task in [plan.state.tasks[i] for i in task_ids]:
            if task.status is TaskStatus.Completed and task.spec.for_each is None:
                self._violated(where, f"a retry plans task {task.id} again, which has completed")

    # --- what ends ----------------------------------------------------------------------------

    def _ends(self, where: str, plan: PlanRecord, event: TaskStatusUpdated) -> None:
        task = plan.state.tasks[event.task_id]
        where = f"{where}: task {task.id}"
        by_condition = (event.error or "").startswith(_FALSE)
        if event.status is TaskStatus.Skipped and by_condition and _odd_run(plan, task) is None:
            self._violated(where, f"was skipped although {task.spec.when!r} is true")
        if event.status is not TaskStatus.Completed or task.by_hand is not None or not task.waits:
            return
        if task.runs_plan:
            self._end_of_sub_plan(where, plan, task, event.result)
        elif task.spec.wait is not None and task.spec.wait.signal is not None:
            self._end_of_wait(where, plan, task, event.result)

    def _end_of_sub_plan(self, where: str, plan: PlanRecord, task: Task, result: Any) -> None:
        child = self._records.plans.get(sub_plan_id(plan.id, task))
        known = child.ends if child else []
        if TaskCompleted(result) not in known:
            self._violated(where, f"has the result {result}; its sub-plan ended with {known}")

    def _end_of_wait(self, where: str, plan: PlanRecord, task: Task, result: Any) -> None:
        wait = task.spec.wait
        assert wait is not None
        if wait.default is not msgspec.UNSET and result == wait.default:
            return
        key = plan.id if task.signal_key is None else task.signal_key
        inbox = self._records.others.get(inbox_id(str(wait.signal), key))
        place = WaitPlace(plan.id, task.id, task.attempt)
        handler = inbox.handler if inbox else None
        owed = handler.owed.get(place) if isinstance(handler, SignalInbox) else None
        if owed is None or owed.data != result:
            self._violated(where, f"got {result}; its inbox has {owed} for it")

    def _registered(self, where: str, plan: PlanRecord, place: WaitPlace) -> None:
        task = plan.state.tasks[place.task_id]
        signal = task.spec.wait is not None and task.spec.wait.signal is not None
        if signal and place not in self._awaited:
            self._violated(where, f"{place} is not known where its signals are")

    # --- inboxes and schedules ----------------------------------------------------------------

    def _of_inbox(self, inbox: str, event: Any) -> None:
        match event:
            case SignalReceived(id=signal_id):
                if signal_id in self._signals:
                    self._violated(inbox, f"received the signal {signal_id} twice")
                self._signals[signal_id] = inbox
            case SignalAwaited(wait=place):
                self._awaited.add(place)
            case SignalDelivered(place):
                plan = self._records.plans.get(place.plan_id)
                task = plan.state.tasks.get(place.task_id) if plan else None
                if task is not None and task.waits and task.attempt == place.attempt:
                    self._violated(inbox, f"confirmed the delivery to {place}, which still waits")

    def _of_schedule(self, stream: str, schedule: PlanSchedule, event: Any) -> None:
        if isinstance(event, ScheduleAdded):
            self._begun[stream] = set()
        if not isinstance(event, OccurrencesDecided):
            return
        times = {each.at for each in event.started}
        if times & self._begun[stream] or len(times) < len(event.started):
            self._violated(stream, f"began an occurrence twice: {sorted(times)}")
        self._begun[stream] |= times
        added, previous = schedule.state.added, schedule.state.previous
        if added is None or added.overlap == "allow" or not event.started or not previous:
            return
        plan = self._records.plans.get(previous)
        if plan is None or plan.state.status not in _OVER or len(event.started) > 1:
            self._violated(stream, f"began {event.started} while {previous} had not ended")


def _may_run(run_if: str, parents: list[Task]) -> bool:
    if run_if == "ended":
        return True
    if run_if == "failed":
        done = TaskStatus.Completed
        return any(parent.status is not done and not parent.not_needed for parent in parents)
    skipped = all(parent.status is TaskStatus.Skipped for parent in parents)
    return all(map(_lets_follow, parents)) and not skipped


def _lets_follow(parent: Task) -> bool:
    """Whether tasks without a ``run_if`` may run after it."""
    if parent.status is TaskStatus.Failed:
        return parent.spec.on_failure == "continue"
    return parent.status is TaskStatus.Completed or parent.not_needed


def _odd_run(plan: PlanRecord, task: Task) -> int | None:
    """The number that makes the condition of a task false; None where it is true."""
    found = _CONDITION.fullmatch(task.spec.when or "")
    if found is None:
        return None
    number = plan.state.tasks[int(found[1])].result["run"]
    return number if number % 2 else None
