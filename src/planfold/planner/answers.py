"""Answers to open questions, and changes of earlier answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

import msgspec

from planfold.errors import CommandRejected
from planfold.planner.cancellation import (
    blocking_parent,
    find_task,
    run_again,
    skip,
    skip_dependents,
    with_active_items,
)
from planfold.planner.commands import ChangeAnswer, ClarificationProvided
from planfold.planner.conditions import references_of
from planfold.planner.counterparts import counterparts
from planfold.planner.events import (
    AnswerLeadsTo,
    CancelRequested,
    ClarificationReceived,
    Event,
    TasksReset,
)
from planfold.planner.followers import redo_undone
from planfold.planner.graph import blocks
from planfold.planner.items import id_text, map_of
from planfold.planner.maps import items_of
from planfold.planner.questions import DONE, FAILED, OUTCOME_CHOICES, RETRY, STOP, Question
from planfold.planner.repeats import may_have_happened, refuse_repeats
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, NodeKind, Task, TaskStatus, in_words
from planfold.planner.undone import refuse_while_undoing


def receive_answer(
    state: PlannerState, task: Task, report: ClarificationProvided
) -> Iterator[Event]:
    """Answer a waiting question. The same answer again changes nothing; a different answer, or an
    answer without a question, is rejected."""
    question = state.questions.get(task.id)
    if question is None:
        if _was_given(task, report):
            return
        changeable = task.status is TaskStatus.Completed and task.kind is NodeKind.Clarification
        remedy = "; change the answer instead" if changeable else ""
        raise CommandRejected(
            f"task {id_text(task.id)} has no open question; it {in_words(task.status)}{remedy}"
        )
    leads_to: AnswerLeadsTo = "fail"
    answer = report.answer
    if not report.failed:
        answer = chosen_answer(task.id, question.choices, report.answer)
        leads_to = _leads_to(question, answer)
    result = _result(state, question, leads_to, report)
    yield ClarificationReceived(task.id, answer, report.by, leads_to, result)
    yield from _consequences(state, task, leads_to, set())


def answer_by_default(
    state: PlannerState, question: Question, skipped: set[int]
) -> Iterator[Event]:
    """Apply the default after the deadline. ``skipped``: see :func:`skip_dependents`."""
    task, answer = state.tasks[question.task_id], question.default or ""
    leads_to = _leads_to(question, answer)
    yield ClarificationReceived(task.id, answer, "deadline", leads_to)
    yield from _consequences(state, task, leads_to, skipped)


def use_of_result(state: PlannerState, question: Question) -> str:
    """The first use of the result that the answer "done" needs: "task 4 uses $3.message_id". Only
    tasks that have not started count. Empty if this is another question, or no arguments use the
    result."""
    task = state.tasks[question.task_id]
    if question.then != "outcome" or DONE not in question.choices or task.outdated:
        return ""
    return use_of(state, task)


def use_of(state: PlannerState, task: Task) -> str:
    """The first use of the result of ``task`` by a task that has not started; empty where there is
    none."""
    for other in counterparts(state, task):
        if other.status is TaskStatus.Planned:
            return f"task {id_text(other.id)} uses $item"
    source = map_of(task.id) or task.id  # the result of an item is in that of its map
    for child in state.schedule.children[source]:
        if state.tasks[child].status is not TaskStatus.Planned:
            continue
        for reference in references_of(state.tasks[child].spec):
            if reference.target == str(source) and reference.needs_result:
                return f"task {child} uses {reference.text}"
    return ""


def _result(
    state: PlannerState,
    question: Question,
    leads_to: AnswerLeadsTo,
    report: ClarificationProvided,
) -> object:
    """The result of an attempt whose outcome was unknown and that a person says was done."""
    given = report.result is not msgspec.UNSET
    if question.then == "outcome" and leads_to == "complete":
        if not given and (use := use_of_result(state, question)):
            raise CommandRejected(
                f"{use}: the answer {DONE!r} needs the result of task "
                f"{id_text(question.task_id)}; give it with result=... (null where there is none)"
            ).about("result")
        return report.result if given else None
    if given:
        raise CommandRejected(
            f"task {id_text(question.task_id)} takes a result only with the answer {DONE!r} to the "
            "question whether it was done"
        )
    return msgspec.UNSET


def _consequences(
    state: PlannerState, task: Task, leads_to: AnswerLeadsTo, skipped: set[int]
) -> Iterator[Event]:
    if task.outdated:
        yield from run_again(state, task)
        return
    if leads_to == "fail" and task.spec.on_failure == "stop":
        yield from skip_dependents(state, [task.id], skipped)
    if leads_to == "resume" and (parent := blocking_parent(state, task)) is not None:
        yield skip(task.id, parent)
        yield from skip_dependents(state, [task.id], skipped)


def _was_given(task: Task, report: ClarificationProvided) -> bool:
    """Whether exactly this answer was given before, so that a repeated delivery changes nothing."""
    if report.failed:
        return task.status is TaskStatus.Failed and task.error == report.answer
    if task.confirmed:
        same = report.result is msgspec.UNSET or report.result == task.result
        return same and _find_choice(OUTCOME_CHOICES, report.answer) == DONE
    if task.status is TaskStatus.Completed:
        prompt = task.spec.prompt
        given = _find_choice(prompt.choices if prompt else (), report.answer)
        return task.result in (report.answer, given)
    going_on = task.status in (TaskStatus.Planned, TaskStatus.Running)
    return going_on and task.answers[-1:] == (report.answer,)


def _repeated(state: PlannerState, below: Sequence[Task], allowed: Set[int]) -> list[Task]:
    """Tasks of effect ``once`` that are planned again although their effect may have happened; also
    items of maps."""
    again = {t.id: t for t in below}
    again |= {item.id: item for t in below for item in items_of(state, t)}
    return [
        t
        for t in again.values()
        if t.spec.effect is Effect.Once
        and may_have_happened(state, t)
        and allowed.isdisjoint((t.id, map_of(t.id)))
    ]


def change_answer(state: PlannerState, command: ChangeAnswer) -> Iterator[Event]:
    """Decide ``ChangeAnswer``: exactly the descendants that have left Planned are planned again,
    except where another parent, which is not a descendant, keeps them from running. Those that may
    be running are asked to stop, and planned again when their attempt has ended. An effect ``once``
    happens again only where the command allows it."""
    task = find_task(state, command.task_id)
    _check_answered(state, task)
    prompt = task.spec.prompt
    answer = chosen_answer(task.id, prompt.choices if prompt else (), command.answer)
    if answer == task.result:
        return
    root = map_of(task.id) or task.id
    below = [state.tasks[i] for i in state.schedule.descendants([root])]
    below = with_active_items(state, [t for t in below if not t.superseded])
    busy = {t.id for t in below if _may_be_running(state, t)}
    kept_off = kept_off_tasks(state, below, busy)
    over = (TaskStatus.Skipped, TaskStatus.Cancelled)
    stay = {t.id for t in below if t.id in kept_off and t.status in over}
    refuse_repeats(_repeated(state, below, {*command.repeat, *stay}), "another answer")
    redone = redo_undone(state, keep={t.id for t in below})
    yield ClarificationReceived(task.id, answer, command.by)
    yield from redone
    gone = {t.id for t in below if t.id not in busy and t.attempt}  # their items go with them
    below = [t for t in below if map_of(t.id) not in gone]
    busy &= {t.id for t in below}
    stop = [i for i in busy if not state.tasks[i].outdated or state.tasks[i].cancel_requested]
    if stop:
        reason = f"the answer to task {id_text(task.id)} was changed"
        yield CancelRequested(tuple(sorted(stop)), reason, restart=True)
    reset = [
        t
        for t in below
        if (t.status is not TaskStatus.Planned or t.attempt) and t.id not in busy | stay
    ]
    if reset:
        yield TasksReset(tuple(t.id for t in reset), "answer_changed")
    skipped = (t for t in below if t.id in kept_off.keys() - stay)
    yield from (skip(t.id, kept_off[t.id]) for t in skipped)


def _check_answered(state: PlannerState, task: Task) -> None:
    """Raises CommandRejected where a task has no answer that can be changed now."""
    asks = task.kind is NodeKind.Clarification and task.spec.for_each is None
    if not asks or task.status is not TaskStatus.Completed:
        why = f"it {in_words(task.status)}" if asks else "it asks nothing"
        raise CommandRejected(
            f"task {id_text(task.id)} is not an answered question ({why}); there is no "
            "answer to change"
        )
    if task.spec.undoes is not None:
        raise CommandRejected(
            f"task {task.id} asked whether to undo the plan, and that is over; undo the plan again"
        )
    refuse_while_undoing(state)


def _may_be_running(state: PlannerState, task: Task) -> bool:
    if task.status is TaskStatus.Running:
        return task.runs_plan or not task.waits
    question = state.questions.get(task.id)
    unknown = question is not None and question.then == "outcome" and not question.ended
    return unknown and task.spec.effect is not Effect.Safe


def kept_off_tasks(state: PlannerState, below: list[Task], busy: set[int]) -> dict[int, int]:
    """Tasks of ``below`` that cannot run again, each with the parent that prevents it. For ``busy``
    tasks and their descendants this is decided when the attempt has ended."""
    ids = {task.id for task in below}
    kept_off = {
        task.id: parent
        for task in below
        for parent in task.depends_on
        if task.id not in busy and parent not in ids and blocks(state.tasks[parent])
        if task.spec.run_if == "completed"
    }
    frontier = list(kept_off)
    for parent in frontier:
        for child in state.schedule.children[parent]:
            plain = state.tasks[child].spec.run_if == "completed"
            if plain and child not in kept_off and child not in busy:
                kept_off[child] = parent
                frontier.append(child)
    return kept_off


def _leads_to(question: Question, answer: str) -> AnswerLeadsTo:
    if question.then == "outcome":
        by_answer: dict[str, AnswerLeadsTo] = {DONE: "complete", RETRY: "resume", FAILED: "fail"}
        return by_answer[answer]
    if question.then == "budget":
        return "fail" if answer == STOP else "resume"
    return "resume" if question.then == "resume" else "complete"


def chosen_answer(task_id: int, choices: tuple[str, ...], answer: str) -> str:
    """The choice that ``answer`` means: its text in any case, or its number from 1."""
    choice = _find_choice(choices, answer) if choices else answer
    if choice is not None:
        return choice
    listed = ", ".join(f"{n}. {choice}" for n, choice in enumerate(choices, 1))
    raise CommandRejected(f"task {id_text(task_id)} takes one of: {listed}; not {answer!r}")


def _find_choice(choices: tuple[str, ...], answer: str) -> str | None:
    wanted = answer.strip().casefold()
    for choice in choices:
        if wanted == choice.strip().casefold():
            return choice
    number = int(wanted) if wanted.isdecimal() and len(wanted) < 10 else 0
    return choices[number - 1] if 1 <= number <= len(choices) else None
