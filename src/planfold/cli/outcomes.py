"""Whether an interrupted task was done: which later tasks then need its result from a person."""

from __future__ import annotations

from planfold.errors import CommandRejected
from planfold.planner.answering import DONE
from planfold.planner.questions import Question
from planfold.planner.references import find_references
from planfold.planner.state import PlannerState
from planfold.planner.tasks import TaskStatus


def needs_of(state: PlannerState, question: Question) -> str:
    """The first use of the result by a task that has not started: "task 4 uses $3.message_id".
    Empty where the question is another one, or no arguments refer to the result."""
    if question.then != "outcome" or DONE not in question.choices:
        return ""
    for task in state.tasks.values():
        call = task.spec.tool
        if call is None or task.status is not TaskStatus.Planned:
            continue
        for reference in find_references(call.arguments, literal=call.literal):
            if reference.target == str(question.task_id):
                return f"task {task.id} uses {reference.text}"
    return ""


def require_result(state: PlannerState, task_id: int, text: str) -> None:
    """Raises CommandRejected where ``text`` says that the task was done, and a later task would
    fail because no result was given."""
    question = state.questions.get(task_id)
    needs = "" if question is None else needs_of(state, question)
    if question is None or not needs:
        return
    if text.strip().casefold() in (DONE, str(question.choices.index(DONE) + 1)):
        raise CommandRejected(
            f"{needs}: give the result of task {task_id} with "
            f"`planfold answer TASK {DONE} --result JSON` (null if it has none)"
        )
