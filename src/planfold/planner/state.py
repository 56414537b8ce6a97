"""``PlannerState``: everything a plan remembers, rebuilt by folding its events."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import msgspec

from planfold import projects
from planfold.errors import CorruptLog
from planfold.planner.budget import Budget, Spend, total
from planfold.planner.config import PlannerConfig
from planfold.planner.events import PlanOutcome
from planfold.planner.graph import Schedule
from planfold.planner.items import STRIDE
from planfold.planner.questions import Question
from planfold.planner.tasks import ParentTask, Pause, PlanStatus, Task, TaskStatus

RUNNING: Final = PlanStatus.Running  # looking up a member takes time
COMPLETED: Final = TaskStatus.Completed


class PlannerState(msgspec.Struct, dict=True):
    """A plan in its present state. Read it freely; only ``fold_event`` changes it.

    The fields are what a snapshot stores. Everything else is derived from them.
    """

    title: str = ""
    goal: str = ""
    config: PlannerConfig = msgspec.field(default_factory=PlannerConfig)
    initial_hash: str = ""
    revision_hash: str = ""  # of the tasks as planned; an approval is for exactly this revision
    approved: bool = False
    tasks: dict[int, Task] = {}
    questions: dict[int, Question] = {}  # that wait for a person, by task id
    steps_by_task: dict[int, dict[str, Any]] = msgspec.field(name="steps", default_factory=dict)
    begun_by_task: dict[int, dict[str, Spend]] = msgspec.field(name="begun", default_factory=dict)
    begun_under: dict[int, dict[str, tuple[int, int]]] = {}  # attempt and epoch of those
    budget: Budget = Budget()  # with all that was added
    spent: Spend = Spend()  # without what is reserved for running calls
    drafting: list[int] = []  # tasks in which a model plans
    paused: Pause | None = None
    breakpoints: dict[int, Pause] = {}  # before these tasks
    cancelled: bool = False
    cancel_reason: str = ""
    completions: int = 0  # of tasks with an undo
    undoing: bool = False  # tasks that undo others were added, and have not all ended
    outcome: PlanOutcome | None = None  # how the plan ended; None while it has not
    context_summary: str = ""
    context_tokens: int = 0
    uncompacted: list[int] = []  # finished tasks that the summary does not cover yet
    stale: list[int] = []  # tasks that were reset after the summary had covered them
    fresh_tokens: int = 0  # estimates of what the context's parts take: results that are not
    answer_tokens: int = 0  # in the summary, people's answers,
    plan_tokens: int = 0  # and one line for each task
    origins: tuple[tuple[str, int], ...] = ()  # of a fork: the plan and version that it continues,
    # then what that plan continues
    prepared: dict[int, str] = {}  # answers that hold when their question is asked, by task id
    checkpoints: dict[str, int] = {}  # named versions
    unregistered: list[int] = []  # waits of which another stream does not know yet
    parent: ParentTask | None = None  # of a sub-plan
    end_reported: bool = False  # to the parent, for this attempt of its task
    tags: tuple[str, ...] = ()  # sorted
    occurrence: str = ""  # of a plan that a schedule began: see TasksPlanned
    version: int = 0  # of the plan's own events; 0 also in what a fork begins with
    created_at: float = 0.0  # when the first event and the last one were recorded (seconds since
    updated_at: float = 0.0  # the epoch; 0.0: not known)

    @cached_property
    def schedule(self) -> Schedule:
        """Built when it is first needed, so that folding a long history does not pay for it, and
        kept up to date from then on."""
        if type(self.tasks) is not dict:  # those of a snapshot, of which it needs all
            self.tasks = dict(self.tasks.items())
        return Schedule(self.tasks, self.deadline_of, self.breakpoints)

    def written_ids(self) -> list[int]:
        """The ids of the tasks of :meth:`written`."""
        return [i for i in self.tasks if i < STRIDE]

    def written(self) -> dict[int, Task]:
        """The tasks as the plan was written, by id: without the items of its maps."""
        return {i: task for i, task in self.tasks.items() if i < STRIDE}

    @property
    def progress(self) -> tuple[int, int]:
        """How many tasks and items have completed, and of how many: without those that a revision
        superseded and those that undo others."""
        done, aside = self.schedule.counts[COMPLETED], self.schedule.aside
        if not aside:
            return done, len(self.tasks)
        return done - aside[COMPLETED], len(self.tasks) - aside.total()

    def deadline_of(self, task_id: int) -> float | None:
        """When a task's wait ends by time: the default of its question applies, or its wait
        ends."""
        question = self.questions.get(task_id)
        if question is not None:
            return question.deadline if question.default is not None else None
        task = self.tasks.get(task_id)
        return task.until if task is not None and task.waits else None

    def head(self) -> dict[str, Any]:
        """The values that lists show: title, status and counts; a priority and a project that are
        not the default; tags; the number of break-points; the origins of a fork; the parent of a
        sub-plan."""
        (completed, total), config = self.progress, self.config
        head: dict[str, Any] = {
            "title": self.title,
            "status": str(self.status),
            "total": total,
            "completed": completed,
            "questions": len(self.questions),
        }
        if self.origins:
            head["origins"] = [plan_id for plan_id, _ in self.origins]
        if self.parent is not None:
            head["parent"] = self.parent.plan_id
        if config.priority:
            head["priority"] = config.priority
        if config.project != projects.DEFAULT:
            head["project"] = config.project
        if self.tags:
            head["tags"] = list(self.tags)
        if self.breakpoints:
            head["breakpoints"] = len(self.breakpoints)
        return head

    @property
    def initialized(self) -> bool:
        """Whether the plan has begun."""
        return bool(self.revision_hash)

    @property
    def status(self) -> PlanStatus:
        """The plan's status, derived from its tasks, its approval and its outcome."""
        asks = self.questions or self.paused or self.breakpoints
        if self.approved and not (asks or self.outcome or self.cancelled or self.undoing):
            return RUNNING  # nearly always
        if self.outcome is not None:
            return PlanStatus(self.outcome)
        if self.undoing:
            status = self._while_it_lasts()
            ends = self.cancelled and status is PlanStatus.Running
            return PlanStatus.Cancelling if ends else status
        if self.cancelled:
            return PlanStatus.Cancelling
        if not self.approved:
            return self._before_approval()
        return self._while_it_lasts()

    def _while_it_lasts(self) -> PlanStatus:
        schedule = self.schedule
        if not (self.questions or self.paused or self.breakpoints):
            return RUNNING
        if self.paused is not None:
            return PlanStatus.Running if schedule.slots else PlanStatus.Paused
        if not schedule.idle:
            return PlanStatus.Running
        if self.questions:
            return PlanStatus.AwaitingAnswer
        return PlanStatus.Paused if schedule.reached() else PlanStatus.Running

    def _before_approval(self) -> PlanStatus:
        drafting = {self.tasks[i].status for i in self.drafting}
        if TaskStatus.Running in drafting:
            return PlanStatus.Running
        if TaskStatus.Planned in drafting:
            planned = (i for i in self.drafting if self.tasks[i].status is TaskStatus.Planned)
            held = self.paused is not None or all(i in self.breakpoints for i in planned)
            return PlanStatus.Paused if held else PlanStatus.Running
        asks = TaskStatus.NeedsClarification in drafting
        return PlanStatus.AwaitingAnswer if asks else PlanStatus.AwaitingApproval

    @property
    def reserved(self) -> Spend:
        """What is reserved for running calls."""
        if not self.begun_by_task:
            return Spend()
        return total(amount for begun in self.begun_by_task.values() for amount in begun.values())

    def begun(self, task_id: int) -> dict[str, Spend]:
        """The task's inner steps that began and have not ended, with their reservations."""
        return self.begun_by_task.get(task_id, {})

    def has_begun(self, task_id: int, key: str, epoch: int) -> bool:
        """Whether the task's present attempt has begun this inner step under the lease of this
        epoch, and not ended it. The same report delivered again is then ignored."""
        under = self.begun_under.get(task_id, {}).get(key)
        return epoch > 0 and under == (self.tasks[task_id].attempt, epoch)

    def steps(self, task_id: int) -> dict[str, Any]:
        """Values of the task's durable inner steps, by key."""
        return self.steps_by_task.get(task_id, {})


def forget_parents(state: PlannerState) -> None:
    """Remove the dependencies of a superseded task from the plan."""
    for task in state.tasks.values():
        if task.superseded and any(i not in state.tasks for i in task.depends_on):
            left = tuple(i for i in task.depends_on if i in state.tasks)
            task.spec = msgspec.structs.replace(task.spec, depends_on=left)


def must_have_begun(state: PlannerState) -> None:
    """Raise CorruptLog where no event has begun the plan."""
    if not state.revision_hash:
        raise CorruptLog("a history must begin with TasksPlanned")
