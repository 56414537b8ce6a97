"""``PlannerState``: everything a plan remembers, rebuilt by folding its events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from planfold.errors import CorruptLog
from planfold.planner import transitions as t
from planfold.planner.commands import PlannerConfig
from planfold.planner.events import (
    BudgetAdded,
    CancelRequested,
    ClarificationReceived,
    ClarificationRequested,
    ContextCompacted,
    Event,
    PlanApproved,
    PlanCancelled,
    PlanningCompleted,
    PlanOutcome,
    PlanRevised,
    RetryScheduled,
    StepFailed,
    StepRecorded,
    StepStarted,
    TaskDispatched,
    TasksPlanned,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.facts import Facts, Question
from planfold.planner.graph import Schedule
from planfold.planner.remembering import (
    forget,
    remember_answer,
    remember_plan,
    remember_result,
    remember_summary,
)
from planfold.planner.spending import Budget, Spend, total
from planfold.planner.tasks import PlanStatus, Task, TaskSpec, TaskStatus


class PlannerState:
    """A plan as it stands. Read it freely; only :meth:`apply` changes it."""

    def __init__(self, facts: Facts | None = None) -> None:
        self._facts = facts or Facts()
        self._schedule: Schedule | None = None

    @property
    def schedule(self) -> Schedule:
        """Built when it is first needed, so that folding a long history does not pay for it, and
        kept up to date from then on."""
        if self._schedule is None:
            self._schedule = Schedule(self._facts.tasks, self.deadline_of)
        return self._schedule

    @property
    def facts(self) -> Facts:
        return self._facts

    @property
    def title(self) -> str:
        return self._facts.title

    @property
    def goal(self) -> str:
        return self._facts.goal

    @property
    def config(self) -> PlannerConfig:
        return self._facts.config

    @property
    def revision_hash(self) -> str:
        """Hash of the tasks as planned; an approval holds for exactly this revision."""
        return self._facts.revision_hash

    @property
    def approved(self) -> bool:
        return self._facts.approved

    @property
    def tasks(self) -> dict[int, Task]:
        return self._facts.tasks

    @property
    def questions(self) -> dict[int, Question]:
        """Waiting questions by task id."""
        return self._facts.questions

    def deadline_of(self, task_id: int) -> float | None:
        """When a task's open question will be answered by its default, if it will be."""
        question = self._facts.questions.get(task_id)
        return question.deadline if question and question.default is not None else None

    @property
    def cancelled(self) -> bool:
        return self._facts.cancelled

    @property
    def outcome(self) -> PlanOutcome | None:
        """How the plan ended, or None while it has not."""
        return self._facts.outcome

    @property
    def context_summary(self) -> str:
        return self._facts.context_summary

    @property
    def initialized(self) -> bool:
        return bool(self._facts.revision_hash)

    @property
    def status(self) -> PlanStatus:
        facts, counts = self._facts, self.schedule.counts
        if facts.outcome is not None:
            return PlanStatus(facts.outcome)
        if facts.cancelled:
            return PlanStatus.Cancelling
        if not facts.approved:
            return self._before_approval()
        waits = facts.questions and not counts[TaskStatus.Running]
        if waits and not any(self.schedule.ready.values()) and not self.schedule.delayed:
            return PlanStatus.AwaitingAnswer
        return PlanStatus.Running

    def _before_approval(self) -> PlanStatus:
        drafting = {self._facts.tasks[i].status for i in self._facts.drafting}
        if drafting & {TaskStatus.Running, TaskStatus.Planned}:
            return PlanStatus.Running
        asks = TaskStatus.NeedsClarification in drafting
        return PlanStatus.AwaitingAnswer if asks else PlanStatus.AwaitingApproval

    @property
    def budget(self) -> Budget:
        """What the plan may spend, with all that was added."""
        return self._facts.budget

    @property
    def spent(self) -> Spend:
        """What the plan has spent; without what is set aside for calls that go on."""
        return self._facts.spent

    @property
    def reserved(self) -> Spend:
        """What is set aside for calls that go on."""
        return total(amount for open_ in self._facts.begun.values() for amount in open_.values())

    def begun(self, task_id: int) -> dict[str, Spend]:
        """Inner steps of the task that began and have not ended, with what is reserved."""
        return self._facts.begun.get(task_id, {})

    def steps(self, task_id: int) -> dict[str, Any]:
        """Values of the task's durable inner steps, by key."""
        return self._facts.steps.get(task_id, {})

    def apply(self, event: Event) -> None:
        """Advance by one event.

        Raises:
            CorruptLog: the event is not legal in this state, so the log is not a plan's log.
        """
        try:
            _FOLD[type(event)](self, event)
        except KeyError as fault:
            if type(event) not in _FOLD:
                raise CorruptLog(f"a plan has no event {type(event).__name__}") from None
            raise CorruptLog(
                f"{type(event).__name__} is about task {fault}, which the plan does not have; "
                "a history must begin with TasksPlanned"
            ) from None

    def _change(
        self, task_id: int, trigger: str, *, not_before: float | None = None
    ) -> tuple[Task, TaskStatus]:
        task = self._facts.tasks[task_id]
        before = task.status
        after = t.TRANSITIONS.get((before, trigger))
        if after is None:
            raise CorruptLog(f"{trigger} is not legal for task {task_id}, which is {before.value}")
        if after is not before or trigger is t.RESET:
            if self._schedule is not None:
                self._schedule.move(task, after, not_before)
            else:
                task.status, task.not_before = after, not_before
            if before is TaskStatus.NeedsClarification:
                self._facts.questions.pop(task_id, None)
        return task, after

    def _planned(self, event: TasksPlanned) -> None:
        facts = self._facts
        if self.initialized:
            raise CorruptLog("the plan was initialized twice")
        facts.title, facts.goal, facts.config = event.title, event.goal, event.config
        facts.budget = event.config.budget
        facts.initial_hash = facts.revision_hash = event.revision_hash
        self._add(event.tasks)

    def _approved(self, event: PlanApproved) -> None:
        self._must_have_begun()
        self._facts.approved = event.revision_hash == self._facts.revision_hash

    def _revised(self, event: PlanRevised) -> None:
        self._must_have_begun()
        facts = self._facts
        replaced = [spec.id for spec in event.tasks if spec.id in facts.tasks]
        for task_id in (*event.removed, *replaced):
            remember_plan(facts, facts.tasks.pop(task_id).spec, -1)
        facts.drafting = [i for i in facts.drafting if i in facts.tasks]
        for task_id in event.superseded:
            facts.tasks[task_id].superseded = True
        facts.revision_hash, facts.approved, facts.outcome = event.revision_hash, False, None
        self._add(event.tasks)

    def _add(self, specs: tuple[TaskSpec, ...]) -> None:
        for spec in specs:
            status = TaskStatus.Completed if spec.done else TaskStatus.Planned
            self._facts.tasks[spec.id] = Task(spec, status)
            remember_plan(self._facts, spec)
            if spec.drafts:
                self._facts.drafting.append(spec.id)
            if spec.proposed:
                self._facts.spent += Spend(tasks=1)
        self._schedule = None

    def _must_have_begun(self) -> None:
        if not self.initialized:
            raise CorruptLog("a history must begin with TasksPlanned")

    def _dispatched(self, event: TaskDispatched) -> None:
        task, _ = self._change(event.task_id, t.DISPATCHED)
        task.attempt = event.attempt
        task.arguments = event.arguments
        task.note = None

    def _status_updated(self, event: TaskStatusUpdated) -> None:
        task, after = self._change(event.task_id, _STATUS_TRIGGER[event.status])
        if after is TaskStatus.Running:
            task.note = event.note
            return
        if self._facts.begun:
            self._settle_all(event.task_id)
        task.error = event.error
        task.cancel_requested = False
        task.outcome_unknown = event.outcome_unknown
        if after is TaskStatus.Completed:
            if self._facts.begun:
                self._facts.begun.pop(event.task_id, None)
            self._finish(task, event.result)

    def _finish(self, task: Task, result: Any) -> None:
        remember_result(self._facts, task, result)
        task.result = result
        task.error = None

    def _retry_scheduled(self, event: RetryScheduled) -> None:
        task, _ = self._change(event.task_id, t.RETRY_SCHEDULED, not_before=event.at)
        task.failures += 1
        task.error = event.error

    def _asked(self, event: ClarificationRequested) -> None:
        self._change(event.task_id, t.ASKED)
        self._facts.questions[event.task_id] = Question(
            event.task_id,
            event.question,
            event.choices,
            event.default,
            event.deadline,
            event.then,
            event.key,
            event.partial,
        )
        if self._schedule is not None and event.deadline is not None:
            self._schedule.deadlines.set(event.deadline, event.task_id)

    def _answered(self, event: ClarificationReceived) -> None:
        trigger = f"ClarificationReceived:{event.leads_to}"
        question = self._facts.questions.get(event.task_id)
        task, after = self._change(event.task_id, trigger)
        if after is TaskStatus.Completed:
            self._finish(task, event.answer)
        elif after is TaskStatus.Failed:
            task.error = _why_failed(question, event.answer)
        elif question is not None and question.then == "resume":
            remember_answer(self._facts, task, question.question, event.answer)
            if question.key:
                self._facts.steps.setdefault(event.task_id, {})[question.key] = event.answer

    def _reset(self, event: TasksReset) -> None:
        self._must_have_begun()
        forget(self._facts, event.task_ids)
        for task_id in event.task_ids:
            task, _ = self._change(task_id, t.RESET)
            self._settle_all(task_id)
            task.result, task.error, task.note, task.arguments = None, None, None, None
            task.failures, task.answers = 0, ()
            task.cancel_requested = task.outcome_unknown = task.superseded = False
            if event.reason == "answer_changed":
                task.run += 1
                self._facts.steps.pop(task_id, None)
                self._facts.begun.pop(task_id, None)
        self._facts.outcome, self._facts.cancelled = None, False

    def _step_recorded(self, event: StepRecorded) -> None:
        self._change(event.task_id, t.STEP_RECORDED)
        self._facts.steps.setdefault(event.task_id, {})[event.key] = event.value
        self._settle(event.task_id, event.key, event.spent)

    def _step_started(self, event: StepStarted) -> None:
        self._change(event.task_id, t.STEP_STARTED)
        self._settle(event.task_id, event.key, None)
        self._facts.begun.setdefault(event.task_id, {})[event.key] = event.reserved

    def _step_failed(self, event: StepFailed) -> None:
        self._change(event.task_id, t.STEP_FAILED)
        self._settle(event.task_id, event.key, event.spent)

    def _settle(self, task_id: int, key: str, spent: Spend | None) -> None:
        """A step is over; what it spent is not known where it was cut off: then what was
        reserved counts, because whoever was called may well charge for it."""
        begun = self._facts.begun.get(task_id)
        reserved = begun.pop(key, None) if begun else None
        if begun is not None and not begun:
            del self._facts.begun[task_id]
        if spent is None:
            spent = reserved
        if spent is not None:
            self._facts.spent += spent

    def _settle_all(self, task_id: int) -> None:
        """The task has stopped: what was reserved counts as spent. Which steps were cut off stays
        known: should it run again, they may have happened."""
        if begun := self._facts.begun.get(task_id):
            self._facts.spent += total(begun.values())
            self._facts.begun[task_id] = dict.fromkeys(begun, Spend())

    def _budget_added(self, event: BudgetAdded) -> None:
        self._must_have_begun()
        self._facts.budget = self._facts.budget.raised_by(event.budget)

    def _cancel_requested(self, event: CancelRequested) -> None:
        for task_id in event.task_ids:
            task, _ = self._change(task_id, t.CANCEL_REQUESTED)
            task.cancel_requested = True

    def _cancelled(self, event: PlanCancelled) -> None:
        self._must_have_begun()
        self._facts.cancelled, self._facts.cancel_reason = True, event.reason

    def _compacted(self, event: ContextCompacted) -> None:
        self._must_have_begun()
        remember_summary(self._facts, event)

    def _completed(self, event: PlanningCompleted) -> None:
        self._must_have_begun()
        self._facts.outcome = event.outcome


def _why_failed(question: Question | None, answer: str) -> str:
    if question is not None and question.then == "outcome":
        return f"its outcome was unknown: {answer}"
    if question is not None and question.then == "budget":
        return question.question
    return answer


_STATUS_TRIGGER = {status: f"TaskStatusUpdated:{status.value}" for status in TaskStatus}

_FOLD: dict[type, Callable[[PlannerState, Any], None]] = {
    TasksPlanned: PlannerState._planned,
    PlanApproved: PlannerState._approved,
    PlanRevised: PlannerState._revised,
    TaskDispatched: PlannerState._dispatched,
    TaskStatusUpdated: PlannerState._status_updated,
    RetryScheduled: PlannerState._retry_scheduled,
    ClarificationRequested: PlannerState._asked,
    ClarificationReceived: PlannerState._answered,
    TasksReset: PlannerState._reset,
    StepRecorded: PlannerState._step_recorded,
    StepStarted: PlannerState._step_started,
    StepFailed: PlannerState._step_failed,
    BudgetAdded: PlannerState._budget_added,
    CancelRequested: PlannerState._cancel_requested,
    PlanCancelled: PlannerState._cancelled,
    ContextCompacted: PlannerState._compacted,
    PlanningCompleted: PlannerState._completed,
}
