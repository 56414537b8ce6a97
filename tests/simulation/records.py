"""What the simulated world knows for certain: the log as it grows, and what was done and shown.
Each entry is checked against the log when it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from planfold.errors import PlanfoldError
from planfold.eventstore.envelope import Envelope, Query
from planfold.planner.events import (
    ClarificationReceived,
    StepRecorded,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, TaskStatus
from planfold.readmodels.plan_view import PlanView, plan_view
from tests.simulation.stores import Database, ran

Row = tuple[int, bool, str | None, int]
"""Of the queue: attempt, cancel, owner and epoch."""


class Violation(AssertionError):
    """An invariant does not hold."""


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


class PlanRecord:
    """One plan's log, folded."""

    def __init__(self) -> None:
        self.log: list[Envelope] = []
        self.planner = Planner()
        self.inputs: dict[tuple[int, int], Any] = {}  # by task and attempt, as dispatched
        self.consents: dict[int, int] = {}  # of persons, that a task may run again
        self.effects: dict[int, int] = {}
        self.data: set[bytes] = set()  # of the events


def inputs_of(arguments: Any) -> Any:
    return (arguments or {}).get("inputs", [])


class Records:
    """``violated`` is called with what does not hold. ``steady``: the clock is never set."""

    def __init__(
        self, database: Database, violated: Callable[[str], None], note: Callable[[str], None]
    ) -> None:
        self.database = database
        self.plans: dict[str, PlanRecord] = {}
        self.runs: list[Run] = []
        self.processes: dict[str, int] = {}  # of workers
        self.steady = True
        self.changed: set[str] = set()  # plans, since they were last told of
        self.eye = database.store()
        self._violated = violated
        self._note = note
        self._queues: dict[str, dict[int, Row]] = {}
        database.looked = self.look

    # --- the log ------------------------------------------------------------------------------

    def look(self) -> None:
        """Take in what was just written, within its transaction."""
        found = self.database.connection.execute("SELECT aggregate_id, version FROM streams")
        rows = self._queue_rows()
        for plan_id, version in found.fetchall():
            plan = self.plans.setdefault(plan_id, PlanRecord())
            if version < len(plan.log):
                self._violated(f"{plan_id} went back from {len(plan.log)} to {version}")
            if version > len(plan.log):
                self._take_in(plan_id, plan, version)
            queue = rows.get(plan_id, {})
            self._compare(plan_id, plan, queue)
        self._queues = rows

    def _queue_rows(self) -> dict[str, dict[int, Row]]:
        found: dict[str, dict[int, Row]] = {}
        for plan_id, task_id, *row in self.database.connection.execute(
            "SELECT aggregate_id, task_id, attempt, cancel, owner, epoch FROM task_queue"
        ).fetchall():
            attempt, cancel, owner, epoch = row
            found.setdefault(plan_id, {})[task_id] = (attempt, bool(cancel), owner, epoch)
        return found

    def _take_in(self, plan_id: str, plan: PlanRecord, version: int) -> None:
        self.changed.add(plan_id)
        after = plan.log[-1].position if plan.log else 0
        page = ran(self.eye.read(Query(aggregate_id=plan_id), after=after))
        if [e.version for e in page] != list(range(len(plan.log) + 1, version + 1)):
            self._violated(f"{plan_id}: versions {[e.version for e in page]} up to {version}")
        dispatched: set[int] = set()
        for envelope in page:
            event = envelope.event
            self._note(f"log {plan_id}#{envelope.version} {_short(event)}")
            if self.steady and plan.log and envelope.recorded_at < plan.log[-1].recorded_at:
                self._violated(f"{plan_id}#{envelope.version} is earlier than the one before")
            if isinstance(event, TaskDispatched):
                dispatched.add(event.task_id)
                self._dispatched(plan_id, plan, event)
            elif isinstance(event, TaskStatusUpdated):
                self._reported(plan_id, plan, envelope, dispatched)
            self._consented(plan, event)
            plan.planner.recorded_at = envelope.recorded_at
            plan.planner.apply(event)
            plan.log.append(envelope)
            plan.data.add(msgspec.json.encode(event))

    def _dispatched(self, plan_id: str, plan: PlanRecord, event: TaskDispatched) -> None:
        state = plan.planner.state
        spec = state.tasks[event.task_id].spec
        expected = [state.tasks[number].result for number in spec.depends_on if spec.tool]
        arguments = (
            event.arguments
            if event.arguments is not None
            else spec.tool.arguments
            if spec.tool
            else None
        )
        inputs = inputs_of(arguments)
        if inputs != expected:
            self._violated(
                f"{plan_id}: task {event.task_id} was dispatched with {inputs}, not {expected}"
            )
        plan.inputs[event.task_id, event.attempt] = inputs

    def _reported(
        self, plan_id: str, plan: PlanRecord, envelope: Envelope, dispatched: set[int]
    ) -> None:
        event: TaskStatusUpdated = envelope.event
        worker = envelope.metadata.worker
        if not worker or plan.planner.state.tasks[event.task_id].status is not TaskStatus.Running:
            return
        row = self._queues.get(plan_id, {}).get(event.task_id)
        if event.task_id not in dispatched and (row is None or row[2] not in (worker, None)):
            self._violated(
                f"{plan_id}#{envelope.version}: {worker} reported task {event.task_id}, "
                f"which the queue says is {row}"
            )
        task = plan.planner.state.tasks[event.task_id]
        decided = task.by_hand is not None  # the result is a person's, not that of the attempt
        if event.status is TaskStatus.Completed and isinstance(event.result, dict) and not decided:
            self._check_result(plan_id, plan, event, task.attempt, worker)

    def _check_result(
        self, plan_id: str, plan: PlanRecord, event: Any, attempt: int, worker: str
    ) -> None:
        run = self.runs[event.result["run"]]
        ran_by = (run.plan_id, run.task_id, run.attempt, run.process)
        if ran_by != (plan_id, event.task_id, attempt, self.processes[worker]):
            self._violated(f"{plan_id}: result of {ran_by} for {event.task_id}/{attempt}")
        if run.inputs != plan.inputs[event.task_id, attempt]:
            self._violated(
                f"{plan_id}: task {event.task_id} completed by a run with {run.inputs}; it was "
                f"dispatched with {plan.inputs[event.task_id, attempt]}"
            )

    @staticmethod
    def _consented(plan: PlanRecord, event: Any) -> None:
        again: Sequence[int] = ()
        if isinstance(event, TasksReset):
            again = event.task_ids
        elif isinstance(event, ClarificationReceived) and event.leads_to == "resume":
            again = (event.task_id,)
        for task_id in again:
            plan.consents[task_id] = plan.consents.get(task_id, 0) + 1

    def _compare(self, plan_id: str, plan: PlanRecord, queue: dict[int, Row]) -> None:
        tasks = plan.planner.state.tasks.values()
        running = (t for t in tasks if t.status is TaskStatus.Running and not t.waits)
        expected = {t.id: (t.attempt, t.stopping) for t in running}
        actual = {task_id: row[:2] for task_id, row in queue.items()}
        if expected != actual:
            self._violated(f"{plan_id}: the queue holds {actual}, the plan runs {expected}")

    # --- what leaves a process ----------------------------------------------------------------

    def began(self, context: Any, process: int) -> Run:
        task = context.task
        inputs = inputs_of(context.arguments)
        run = Run(len(self.runs), context.plan_id, task.id, context.attempt, inputs, process)
        self.runs.append(run)
        self._note(f"run {run.number}: {run.plan_id} task {run.task_id}/{run.attempt} {inputs}")
        if task.spec.effect is not Effect.Safe:
            self._check_dispatched(run, "began")
        return run

    def _check_dispatched(self, run: Run, said: str) -> None:
        plan = self.plans.get(run.plan_id)
        where = f"{run.plan_id}: task {run.task_id}/{run.attempt} {said}"
        key = run.task_id, run.attempt
        if plan is None or key not in plan.inputs:
            self._violated(f"{where} before it was dispatched in the log")
        elif plan.inputs[key] != run.inputs:
            self._violated(f"{where} with {run.inputs}; the log says {plan.inputs[key]}")

    def effect(self, run: Run, effect: Effect) -> None:
        """A ``keyed`` or ``once`` tool changes the world."""
        self._note(f"effect of run {run.number}: {run.plan_id} task {run.task_id}/{run.attempt}")
        self._check_dispatched(run, "acted")
        plan = self.plans.setdefault(run.plan_id, PlanRecord())
        count = plan.effects[run.task_id] = plan.effects.get(run.task_id, 0) + 1
        allowed = 1 + plan.consents.get(run.task_id, 0)
        if effect is Effect.Once and count > allowed:
            self._violated(
                f"{run.plan_id}: task {run.task_id} acted {count} times; {allowed} were allowed"
            )

    def stepped(self, run: Run, value: int) -> None:
        """A durable step has returned this value to its tool: it is in the log."""
        plan = self.plans.get(run.plan_id)
        task = plan.planner.state.tasks.get(run.task_id) if plan else None
        if plan is None or task is None:
            self._violated(f"{run.plan_id}: a step of task {run.task_id} ended before its dispatch")
            return
        if msgspec.json.encode(StepRecorded(run.task_id, "step", value)) not in plan.data:
            self._violated(
                f"{run.plan_id}: a step of task {run.task_id} gave {value}; not in the log"
            )

    def shown(self, plan_id: str, events: Sequence[Any], where: str) -> None:
        """A caller or an observer was told that these events happened."""
        plan = self.plans.get(plan_id)
        for event in events:
            if plan is None or msgspec.json.encode(event) not in plan.data:
                self._violated(f"{plan_id}: {where} was told of {_short(event)}; not in the log")

    def length(self, plan_id: str) -> int:
        """Of its log: 0 where it has not begun."""
        plan = self.plans.get(plan_id)
        return len(plan.log) if plan else 0

    def refused(self, plan_id: str, command: Any, since: int) -> None:
        """A caller was told that ``command`` is refused, or changes nothing: the log must have
        been so that this was true, at some time since the command was sent at this length."""
        plan = self.plans.get(plan_id, PlanRecord())
        for length in range(since, len(plan.log) + 1):
            planner = Planner()
            log = plan.log[:length]
            planner.take_in([e.event for e in log], [e.recorded_at for e in log])
            try:
                if not planner.process(command):
                    return
            except PlanfoldError:
                return
        self._violated(f"{plan_id}: {command!r} was refused; the log says otherwise")

    def viewed(self, view: PlanView) -> None:
        plan = self.plans.get(view.id)
        if plan is None or view.version > len(plan.log):
            length = len(plan.log) if plan else 0
            self._violated(f"{view.id} was shown at {view.version}; the log is at {length}")
            return
        planner = Planner()
        log = plan.log[: view.version]
        planner.take_in([e.event for e in log], [e.recorded_at for e in log])
        if plan_view(view.id, planner.state) != view:
            self._violated(f"{view.id} was shown at {view.version} otherwise than the log has it")


def _short(event: Any) -> str:
    text = repr(event)
    return text if len(text) <= 150 else f"{text[:147]}..."
