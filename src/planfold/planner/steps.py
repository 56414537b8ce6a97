"""Durable inner steps of a running task, and what they may cost."""

from __future__ import annotations

from collections.abc import Iterator

from planfold.planner.answers import receive_answer
from planfold.planner.cancellation import stopped
from planfold.planner.commands import (
    AddBudget,
    ClarificationProvided,
    StepAbandoned,
    StepBegun,
    StepCompleted,
)
from planfold.planner.events import (
    BudgetAdded,
    ClarificationRequested,
    Event,
    StepFailed,
    StepRecorded,
    StepStarted,
)
from planfold.planner.questions import BUDGET_CHOICES, GO_ON
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task


def begin_step(
    state: PlannerState, task: Task, report: StepBegun, epoch: int = 0
) -> Iterator[Event]:
    """Reserve what the step may cost; where the budget does not allow it, the task stops and a
    person is asked. A report that is delivered twice begins the step once."""
    if report.key in state.steps(task.id) or state.has_begun(task.id, report.key, epoch):
        return
    short = state.budget.exceeded(state.spent + state.reserved, report.reserve)
    if short is not None and task.stopping:
        yield from stopped(state, task, f"cancelled; its budget was used up: {short}")
        return
    if short is not None:
        yield out_of_budget(task, short, report.partial)
        return
    again = report.key in state.begun(task.id)
    yield StepStarted(
        task.id, report.key, report.about, report.request_hash, report.reserve, again, epoch
    )


def out_of_budget(task: Task, short: str, partial: object = None) -> ClarificationRequested:
    return ClarificationRequested(
        task.id,
        f"The plan's budget is used up: {short}",
        BUDGET_CHOICES,
        then="budget",
        partial=partial,
    )


def complete_step(state: PlannerState, task: Task, report: StepCompleted) -> Iterator[Event]:
    if report.key not in state.steps(task.id):
        yield StepRecorded(task.id, report.key, report.value, report.spent)


def abandon_step(state: PlannerState, task: Task, report: StepAbandoned) -> Iterator[Event]:
    if report.key in state.begun(task.id):
        yield StepFailed(task.id, report.key, report.error, report.spent)


def add_budget(state: PlannerState, command: AddBudget) -> Iterator[Event]:
    """Decide ``AddBudget``: the tasks that wait for it try again."""
    yield BudgetAdded(command.budget, command.by)
    for question in list(state.questions.values()):
        if question.then == "budget":
            answer = ClarificationProvided(GO_ON, command.by)
            yield from receive_answer(state, state.tasks[question.task_id], answer)
