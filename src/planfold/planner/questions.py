"""``Question``: what a task asks a person, while it waits for the answer."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from planfold.planner.events import Then

DONE, RETRY, FAILED = "done", "run it again", "failed"
OUTCOME_CHOICES: Final = (DONE, RETRY, FAILED)
GO_ON, STOP = "go on", "stop"
BUDGET_CHOICES: Final = (GO_ON, STOP)


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question that waits for a person; :meth:`App.answer` answers it.

    With ``choices`` the answer is one of them (or its number, from 1), else any text. At the
    ``deadline`` (seconds since the epoch, or None) the ``default`` is the answer. ``then`` says
    what the answer does: "complete" (it is the task's result), "resume" (the task runs again and
    has it), "outcome" (it says how an interrupted attempt ended) or "budget" (it allows more).

    Example:
        import planfold
        from planfold import PlanDraft, TaskDraft

        task = TaskDraft(label="go", description="Publish?", choices=["yes", "no"])
        async with planfold.open_app("sqlite:///plans.db") as app:
            plan_id = await app.submit(PlanDraft(tasks=[task]), approved_by="ada")
            plan = await app.run(plan_id)  # returns when only a person can continue it
            for question in plan.questions:
                print(question.question, question.choices)
                await app.answer(plan_id, question.task_id, "yes", by="ada")
    """

    task_id: int
    question: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    deadline: float | None = None
    then: Then = "complete"
    key: str = ""  # of the inner step that the answer is the value of
    partial: Any = None  # what the task has so far, where its budget is used up
    started_at: float | None = None  # of the attempt whose outcome is unknown: when it began,
    ended: bool = False  # and whether it is certain that it runs no more


def error_of(question: Question | None, answer: str) -> str:
    """The error of a task that fails because of this answer."""
    if question is not None and question.then == "outcome":
        return f"its outcome was unknown: {answer}"
    if question is not None and question.then == "budget":
        return question.question
    return answer
