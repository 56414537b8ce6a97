"""Open questions as lines, with the commands that answer them."""

from __future__ import annotations

import time

from planfold.cli.access import command_line
from planfold.cli.next_steps import answer_step, budget_step, step_lines
from planfold.cli.result_text import short_result
from planfold.cli.terminal import (
    MARKS,
    Line,
    clean,
    clean_lines,
    clock,
    counted,
    date_and_time,
    fit,
    wrapped,
)
from planfold.planner.answers import use_of_result
from planfold.planner.items import id_text
from planfold.planner.questions import DONE, STOP, Question
from planfold.planner.tasks import NodeKind, Task
from planfold.readmodels.labels import name_in_commands, name_of
from planfold.readmodels.plan_fold import PlanFold


def question_lines(fold: PlanFold, question: Question, width: int) -> list[Line]:
    """A question with its choices numbered, and its default."""
    task = fold.state.tasks[question.task_id]
    text = clean_lines(question.question) or [""]
    parts = [p for line in text for p in (wrapped(line, width, "  ", "  ") or [""])]
    lines: list[Line] = [[(f"{MARKS['needs_clarification']} {_asks(fold, task)}", "ask")]]
    lines += [[(part, "")] for part in parts]
    if question.started_at is not None:
        lines.append([(f"  started {date_and_time(question.started_at)}", "dim")])
    if question.partial is not None:
        lines.append([(fit(f"  so far: {short_result(question.partial)}", width), "dim")])
    lines += [
        [(fit(f"  {number}. {clean(choice)}", width), "")]
        for number, choice in enumerate(question.choices, 1)
    ]
    if question.default is not None:
        until = f" from {date_and_time(question.deadline)} on" if question.deadline else ""
        lines.append([(f"  default{until}: {clean(question.default)}", "dim")])
    return lines


def waiting_line(fold: PlanFold, question: Question) -> Line:
    """A question that its default answers at the deadline, for a log of changes."""
    task, until = fold.state.tasks[question.task_id], date_and_time(question.deadline or 0)
    rest = f" until {until}, then the answer is {clean(question.default or '')}"
    words = (
        f"`planfold answer {clean(fold.plan_id)} {id_text(question.task_id)} TEXT` answers earlier"
    )
    now = (clock(time.time()) + " ", "dim")
    return [now, ("waits", "ask"), (f" for {_asks(fold, task)}{rest}; {words}", "")]


def _asks(fold: PlanFold, task: Task) -> str:
    """The name of a task that asks, with that of its plan where this one runs for another."""
    of = f" of {clean(fold.plan_id)}" if fold.state.parent is not None else ""
    return f"{name_of(task.spec)}{of}"


def signal_line(fold: PlanFold, task: Task, db: str | None) -> Line | None:
    """The signal that a task waits for, with the command that gives it, for a log of changes. None
    if the task waits for something else."""
    wait = task.spec.wait
    if wait is None or wait.signal is None:
        return None
    key = fold.plan_id if task.signal_key is None else task.signal_key
    words = command_line(db, "signal", wait.signal, key)
    until = "" if task.until is None else f" until {date_and_time(task.until)}"
    now = (clock(time.time()) + " ", "dim")
    said = f" for the signal {clean(wait.signal)}{until}; `{words}` gives it"
    return [now, ("waits", "ask"), (f": {_asks(fold, task)}{said}", "")]


def is_work(fold: PlanFold, question: Question) -> bool:
    """Whether a person is asked to do something, and not just to decide."""
    kind = fold.state.tasks[question.task_id].kind
    decides = question.then in ("outcome", "budget") or question.key
    return kind is not NodeKind.Clarification and not decides


def waiting_lines(
    fold: PlanFold, db: str | None, width: int, *, most: int | None = None
) -> list[Line]:
    """Open questions, at most so many (None: all), each with the command that answers it."""
    lines: list[Line] = []
    questions = list(fold.state.questions.values())
    for question in questions[:most]:
        lines += [[], *question_lines(fold, question, width)]
        task, needs = fold.state.tasks[question.task_id], use_of_result(fold.state, question)
        name = name_in_commands(task.spec)
        if DONE in question.choices and question.then == "outcome" and task.spec.undoes is None:
            why = needs or "with --result JSON, if it has a result that others need"
            lines.append([(f"  # {why}", "dim")])
        budget = [budget_step(db, fold.plan_id)] if question.then == "budget" else []
        choices = [STOP] if budget else question.choices
        answer = answer_step(db, fold.plan_id, name, choices, needs_result=bool(needs))
        lines += step_lines([*budget, answer])
    if most is not None and (left := len(questions) - most) > 0:
        lines += [[], [(f"... and {counted(left, 'more question')}", "dim")]]
    return lines
