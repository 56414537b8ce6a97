"""The runs of tools: which were dispatched with what, what they did, and the outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from planfold.eventstore.envelope import Envelope
from planfold.planner.events import (
    ClarificationReceived,
    StepRecorded,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.items import item_id, map_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, TaskSpec, TaskStatus
from tests.simulation.plans import LIMITS
from tests.simulation.queue_record import QueueRecord
from tests.simulation.records import PlanRecord, Records, StreamRecord

SLACK_S = 0.05  # by which a clock that is heard of may differ from that of the server


class Run:
    """One call of a tool."""

    def __init__(
        self, number: int, plan_id: str, task_id: int, attempt: int, inputs: Any, process: int
    ) -> None:
        self.number = number
        self.plan_id = plan_id
        self.task_id = task_id
        self.attempt = attempt
        self.inputs = inputs
        self.process = process

    def __str__(self) -> str:
        return f"{self.plan_id}: task {self.task_id}/{self.attempt}"


def inputs_of(arguments: Any) -> Any:
    return (arguments or {}).get("inputs", [])


class Runs:
    """``time`` is that of the event loop."""

    def __init__(self, records: Records, queue: QueueRecord, time: Callable[[], float]) -> None:
        self.processes: dict[str, int] = {}  # of workers
        self._records = records
        self._queue = queue
        self._time = time
        self._runs: list[Run] = []
        self._starts: dict[str, list[float]] = {}  # by limit
        self._dispatched: set[tuple[str, int]] = set()  # since the queue was looked at
        records.watchers.append(self._watch)
        records.looked.insert(0, self._dispatched.clear)

    # --- the log ------------------------------------------------------------------------------

    def _watch(self, stream: StreamRecord, envelope: Envelope) -> None:
        if not isinstance(stream, PlanRecord):
            return
        match event := envelope.event:
            case TaskDispatched(task_id):
                self._dispatched.add((stream.id, task_id))
                self._check_inputs(stream, event)
            case TaskStatusUpdated():
                self._check_report(stream, envelope)
            case TasksReset(task_ids, reason):
                self._consent(stream, _consented(stream, task_ids, reason))
            case ClarificationReceived(task_id, leads_to="resume"):
                self._consent(stream, [task_id])

    def _check_inputs(self, plan: PlanRecord, event: TaskDispatched) -> None:
        state = plan.state
        spec = state.tasks[event.task_id].spec
        arguments = event.arguments
        if arguments is None and spec.tool is not None:
            arguments = spec.tool.arguments
        inputs = plan.inputs[event.task_id, event.attempt] = inputs_of(arguments)
        expected = [_result(state, number) for number in _written(state, spec).depends_on]
        where = f"{plan.id}: task {event.task_id} was dispatched"
        if spec.undoes:
            undone, wanted = (arguments or {}).get("undoes"), _result(state, spec.undoes)["run"]
            if undone != wanted:
                self._records.violated(f"{where} to undo run {undone}, not {wanted}")
        elif inputs != expected:
            self._records.violated(f"{where} with {inputs}, not {expected}")

    def _check_report(self, plan: PlanRecord, envelope: Envelope) -> None:
        event: TaskStatusUpdated = envelope.event
        worker, task = envelope.metadata.worker, plan.state.tasks[event.task_id]
        if not worker or task.status is not TaskStatus.Running:
            return
        row = self._queue.row(plan.id, event.task_id)
        before = (plan.id, event.task_id) not in self._dispatched
        if before and (row is None or row.owner not in (worker, None)):
            self._records.violated(
                f"{plan.id}#{envelope.version}: {worker} reported task {event.task_id}, "
                f"which the queue says is {row}"
            )
        decided = task.by_hand is not None  # the result is a person's, not that of the attempt
        if event.status is TaskStatus.Completed and isinstance(event.result, dict) and not decided:
            self._check_result(plan, event, task.attempt, worker)

    def _check_result(
        self, plan: PlanRecord, event: TaskStatusUpdated, attempt: int, worker: str
    ) -> None:
        run = self._runs[event.result["run"]]
        ran_by = (run.plan_id, run.task_id, run.attempt, run.process)
        if ran_by != (plan.id, event.task_id, attempt, self.processes[worker]):
            self._records.violated(f"{plan.id}: result of {ran_by} for {event.task_id}/{attempt}")
        if run.inputs != plan.inputs[event.task_id, attempt]:
            self._records.violated(
                f"{plan.id}: task {event.task_id} completed by a run with {run.inputs}; it was "
                f"dispatched with {plan.inputs[event.task_id, attempt]}"
            )

    @staticmethod
    def _consent(plan: PlanRecord, task_ids: Iterable[int]) -> None:
        for task_id in task_ids:
            plan.consents[task_id] = plan.consents.get(task_id, 0) + 1

    # --- the tools ----------------------------------------------------------------------------

    def began(self, context: Any, process: int) -> Run:
        task = context.task
        inputs = inputs_of(context.arguments)
        run = Run(len(self._runs), context.plan_id, task.id, context.attempt, inputs, process)
        self._runs.append(run)
        self._records.note(f"run {run.number}: {run} {inputs}")
        if task.spec.effect is not Effect.Safe:
            self._check_dispatched(run, "began")
        for name in task.spec.limits:
            self._check_rate(name)
        return run

    def _check_rate(self, name: str) -> None:
        limit, now = LIMITS[name], self._time()
        starts = self._starts.setdefault(name, [])
        starts.append(now)
        if limit.starts is None or not self._records.steady:
            return
        within = sum(at > now - limit.period + SLACK_S for at in starts)
        if within > limit.starts:
            self._records.violated(f"{within} tasks under {name} began within {limit.period:g} s")

    def _check_dispatched(self, run: Run, said: str) -> None:
        plan = self._records.plans.get(run.plan_id)
        key = run.task_id, run.attempt
        if plan is None or key not in plan.inputs:
            self._records.violated(f"{run} {said} before it was dispatched in the log")
        elif plan.inputs[key] != run.inputs:
            self._records.violated(
                f"{run} {said} with {run.inputs}; the log says {plan.inputs[key]}"
            )

    def effect(self, run: Run, effect: Effect) -> None:
        """A ``keyed`` or ``once`` tool changes the world."""
        self._records.note(f"effect of run {run.number}: {run}")
        self._check_dispatched(run, "acted")
        plan = self._records.plans[run.plan_id]
        count = plan.effects[run.task_id] = plan.effects.get(run.task_id, 0) + 1
        allowed = 1 + plan.consents.get(run.task_id, 0)
        if run.task_id in plan.inherited and not _may_repeat(plan, run.task_id):
            allowed -= 1
        if _undone_by(plan, run.task_id) in plan.effects:  # it undoes what the fork did itself
            allowed = max(allowed, 1)
        if effect is Effect.Once and count > allowed:
            self._records.violated(
                f"{run.plan_id}: task {run.task_id} acted {count} times; {allowed} were allowed"
            )
        task = plan.state.tasks.get(run.task_id)
        if task is not None and task.spec.undoes:
            self._check_undo(run, plan, task.spec.undoes)

    def _check_undo(self, run: Run, plan: PlanRecord, task_id: int) -> None:
        task = plan.state.tasks.get(task_id)
        if task is None or task.by_hand or task.confirmed or task_id in plan.effects:
            return
        self._records.violated(f"{run} undid task {task_id}, which never acted")

    def stepped(self, run: Run, value: int) -> None:
        """A durable step has returned this value to its tool: it is in the log."""
        plan = self._records.plans.get(run.plan_id)
        if plan is None or run.task_id not in plan.state.tasks:
            self._records.violated(f"{run}: a step ended before its dispatch")
        elif not self._records.holds(plan, StepRecorded(run.task_id, "step", value)):
            self._records.violated(f"{run}: a step gave {value}; not in the log")


def _written(state: PlannerState, spec: TaskSpec) -> TaskSpec:
    """As an author wrote it: of an item its map."""
    return state.tasks[map_of(spec.id) or spec.id].spec


def _result(state: PlannerState, task_id: int) -> Any:
    task = state.tasks[task_id]
    return task.result if task.status is TaskStatus.Completed else None


def _consented(plan: PlanRecord, task_ids: Sequence[int], reason: str) -> set[int]:
    """The tasks that may run again. A retry, also of a handler, is not about what has completed. A
    map that is planned again for another reason, or had no list yet, has its items again: those
    that it had, and those that acted in the origin of a fork."""
    again = [plan.state.tasks[i] for i in task_ids if i in plan.state.tasks]
    maps = again
    if reason in ("retry", "handler"):
        again = [task for task in again if task.status is not TaskStatus.Completed]
        maps = [task for task in again if task.elements is None]
    items = {item_id(t.id, place) for t in maps for place in range(len(t.elements or ()))}
    items |= {i for i in plan.inherited if map_of(i) in {t.id for t in maps}}
    return {*(task.id for task in again), *items}


def _may_repeat(plan: PlanRecord, task_id: int) -> bool:
    repeat = plan.log[0].event.repeat
    return task_id in repeat or map_of(task_id) in repeat


def _undone_by(plan: PlanRecord, task_id: int) -> int | None:
    task = plan.state.tasks.get(task_id)
    return task.spec.undoes if task is not None else None
