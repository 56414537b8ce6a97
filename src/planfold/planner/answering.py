"""Answers: to questions that wait, and changes of answers that were given."""

from __future__ import annotations

from collections.abc import Iterator

from planfold.errors import CommandRejected
from planfold.planner.cancelling import find_task, skip_dependents
from planfold.planner.commands import ChangeAnswer, ClarificationProvided
from planfold.planner.events import AnswerLeadsTo, ClarificationReceived, Event, TasksReset
from planfold.planner.state import PlannerState, Question
from planfold.planner.tasks import NodeKind, Task, TaskStatus

DONE, RETRY, FAILED = "done", "run it again", "failed"
OUTCOME_CHOICES = (DONE, RETRY, FAILED)


def receive_answer(
    state: PlannerState, task: Task, report: ClarificationProvided
) -> Iterator[Event]:
    """The answer to a waiting question. The same answer again changes nothing; another one, or
    an answer to what nobody asked, is rejected."""
    question = state.questions.get(task.id)
    if question is None:
        if task.status is TaskStatus.Completed and task.result == report.answer:
            return
        remedy = "; use ChangeAnswer to change it" if task.status is TaskStatus.Completed else ""
        raise CommandRejected(f"task {task.id} asks nothing; it is {task.status.value}{remedy}")
    leads_to: AnswerLeadsTo = "fail"
    answer = report.answer
    if not report.failed:
        answer = _chosen(task.id, question.choices, report.answer)
        leads_to = _leads_to(question, answer)
    yield ClarificationReceived(task.id, answer, report.by, leads_to)
    if leads_to == "fail" and task.spec.on_failure == "stop":
        yield from skip_dependents(state, [task.id], set())


def change_answer(state: PlannerState, command: ChangeAnswer) -> Iterator[Event]:
    """Decide ``ChangeAnswer``: exactly the descendants that have left Planned are planned anew."""
    task = find_task(state, command.task_id)
    if task.kind is not NodeKind.Clarification or task.status is not TaskStatus.Completed:
        raise CommandRejected(
            f"task {task.id} is not an answered question (it is a {task.status.value} "
            f"{task.kind.value}); there is no answer to change"
        )
    prompt = task.spec.prompt
    answer = _chosen(task.id, prompt.choices if prompt else (), command.answer)
    if answer == task.result:
        return
    yield ClarificationReceived(task.id, answer, command.by)
    below = tuple(
        i
        for i in state.schedule.descendants([task.id])
        if state.tasks[i].status is not TaskStatus.Planned or state.tasks[i].attempt
    )
    if below:
        yield TasksReset(below, "answer_changed")


def _leads_to(question: Question, answer: str) -> AnswerLeadsTo:
    if question.then == "outcome":
        by_answer: dict[str, AnswerLeadsTo] = {DONE: "complete", RETRY: "resume", FAILED: "fail"}
        return by_answer[answer]
    return "resume" if question.then == "resume" else "complete"


def _chosen(task_id: int, choices: tuple[str, ...], answer: str) -> str:
    """The choice that ``answer`` means: its text in any case, or its number from 1."""
    if not choices:
        return answer
    wanted = answer.strip().casefold()
    for number, choice in enumerate(choices, 1):
        if wanted in (choice.strip().casefold(), str(number)):
            return choice
    listed = ", ".join(f"{n}. {choice}" for n, choice in enumerate(choices, 1))
    raise CommandRejected(f"task {task_id} takes one of: {listed}; not {answer!r}")
