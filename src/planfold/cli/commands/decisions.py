"""``answer``, ``approve``, ``reject``, ``cancel`` and ``retry``: a person decides."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from planfold.cli.bulk import SHOWN, Filter, decide_each, filter_options
from planfold.cli.exits import COMPLETED, FAILED
from planfold.cli.options import command, json_option, plan_argument, reason_option, repeat_option

if TYPE_CHECKING:
    from planfold.cli.terminal import Line
    from planfold.runtime.forking import PlanForking

json_after = json_option("the resulting plan")


@command("answer")
@click.argument("words", nargs=-1, required=True, metavar="[ID] TASK TEXT")
@click.option("--failed", is_flag=True, help="Report that it could not be done; TEXT says why.")
@click.option(
    "--change", is_flag=True, help="Change an answer; the tasks that depend on it run again."
)
@repeat_option
@click.option("--result", metavar="JSON", help="The task's result, with the answer `done`.")
@json_after
def answer_command(
    words: tuple[str, ...],
    failed: bool,
    change: bool,
    repeat: tuple[str, ...],
    result: str | None,
    as_json: bool,
    db: str | None,
) -> int:
    """Answer the question of a task, which is named by its id or label.

    A choice is named by its text or number. ID may be left out where only one plan has open
    questions.

    \b
    planfold answer plan-3f9a publish yes
    planfold answer publish 1
    planfold answer plan-3f9a publish no --change
    planfold answer plan-3f9a deploy done --result '{"id": 3}'
    """
    from planfold.cli.access import ENDED, only_plan, person, plans_at, refuse_plan, run_async

    given = _given(words, failed=failed, change=change, result=result)
    if repeat and not change:
        raise click.UsageError("--repeat needs --change")
    key = words[0] if len(words) == 3 else None
    task, text = words[-2:]

    async def answer() -> int:
        async with plans_at(db) as app:
            if key is None:
                remedy = "name the task and give the answer: planfold answer {} TASK TEXT"
                await refuse_plan(app, task, remedy)
            found = await only_plan(
                app,
                key,
                "with answers to change" if change else "with open questions",
                without=() if change else ENDED,
                asking=not change,
            )
            if change:
                changed = await app.change_answer(found, task, text, by=person(), repeat=repeat)
                said = "Changed" if changed else "That was the answer"
            else:
                await _answer(app, found, task, text, failed=failed, given=given)
                said = "Answered"
            return await tell(app, found, said, as_json=as_json, db=db)

    return run_async(answer())


async def _answer(
    app: PlanForking, plan_id: str, task: str, text: str, *, failed: bool, given: dict[str, Any]
) -> None:
    from planfold.cli.access import person

    await _refuse_second_answer(app, plan_id, task, text)
    await app.answer(plan_id, task, text, by=person(), failed=failed, **given)


def _given(
    words: tuple[str, ...], *, failed: bool, change: bool, result: str | None
) -> dict[str, Any]:
    """The result that was given, if any; raises UsageError where options do not go together."""
    if len(words) not in (2, 3):
        raise click.UsageError("give a task and one text: put several words in quotes")
    if failed and change:
        raise click.UsageError("--failed and --change exclude each other")
    if result is not None and failed:
        raise click.UsageError(
            "--result can be used only with the answer `done`, not with --failed"
        )
    if result is not None and change:
        raise click.UsageError(
            "--result goes with the first answer `done`; a result cannot be changed later"
        )
    return {} if result is None else {"result": json_of(result)}


def json_of(text: str) -> Any:
    """The value of --result. Raises UsageError."""
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as fault:
        raise click.UsageError(
            f"--result is not JSON: {fault}; put a text in double quotes: --result '\"text\"'"
        ) from None


async def _refuse_second_answer(app: PlanForking, plan_id: str, key: str, text: str) -> None:
    """The planner would refuse it as well, but does not know of --change."""
    from planfold.errors import CommandRejected
    from planfold.planner.items import id_text
    from planfold.planner.tasks import NodeKind, TaskStatus

    task = (await app.planner(plan_id)).state.tasks[await app.task_id(plan_id, key)]
    answered = task.kind is NodeKind.Clarification and task.status is TaskStatus.Completed
    if answered and task.result != text:
        raise CommandRejected(
            f"task {id_text(task.id)} was answered already: {task.result}\n"
            "answer --change changes that"
        )


async def tell(app: PlanForking, plan_id: str, said: str, *, as_json: bool, db: str | None) -> int:
    """Print the plan after a decision, and what can be done next."""
    from planfold.cli.next_steps import next_lines
    from planfold.cli.plan_json import show_json
    from planfold.cli.report import header_line
    from planfold.cli.situation import situation_of
    from planfold.cli.terminal import Paper, clean, print_json

    situation = await situation_of(app, plan_id)
    if as_json:
        print_json(show_json(situation))
        return COMPLETED
    status: Line = [(f"{said}. ", ""), (clean(plan_id), "bold"), (": ", "")]
    lines = [[*status, *header_line(situation.fold, situation.unclaimed)]]
    Paper().lines([*lines, *next_lines(situation, db)])
    return COMPLETED


@command("approve")
@plan_argument
@click.option("--revision", metavar="HASH", help="Only if the plan is at this revision.")
@filter_options
@json_after
def approve_command(
    plan_id: str | None, revision: str | None, chosen: Filter, as_json: bool, db: str | None
) -> int:
    """Approve a plan, so that `resume` or a worker may run it.

    ID may be left out where only one plan waits for approval. With --tag, --title or --project all
    such plans that wait for approval are shown with what would run, and approved as they were
    shown.

    \b
    planfold approve plan-3f9a
    planfold approve --tag nightly
    """
    from planfold.cli.access import APPROVED, only_plan, person, plans_at, run_async

    chosen.check(plan_id or revision)

    async def approve() -> int:
        async with plans_at(db) as app:
            if chosen.given:
                return await _approve_each(app, chosen)
            found = await only_plan(app, plan_id, "that wait for approval", without=APPROVED)
            await app.approve(found, revision, by=person())
            return await tell(app, found, "Approved", as_json=as_json, db=db)

    return run_async(approve())


async def _approve_each(app: PlanForking, chosen: Filter) -> int:
    from planfold.cli.access import APPROVED, person
    from planfold.cli.approval_text import tasks_to_approve

    plans = await chosen.plans(app, APPROVED)
    ids = [plan.aggregate_id for plan in plans]
    shown = {i: (await app.planner(i)).state.revision_hash for i in ids}
    folds = {i: (await app.fold(i)) for i in ids[:SHOWN]}

    async def approve(plan_id: str) -> None:
        await app.approve(plan_id, shown[plan_id], by=person())

    def would_run(plan_id: str, width: int) -> list[Line]:
        return tasks_to_approve(folds[plan_id], width)

    return await decide_each(app, chosen, plans, "Approve", approve, about=would_run)


@command("reject")
@plan_argument
@reason_option
@json_after
def reject_command(plan_id: str | None, reason: str, as_json: bool, db: str | None) -> int:
    """Refuse a plan that waits for approval: it ends as cancelled, and nothing was run.

    ID may be left out where only one plan waits for approval.

    \b
    planfold reject plan-3f9a --reason "not on a Friday"
    """
    from planfold.cli.access import APPROVED, only_plan, person, plans_at, run_async

    async def reject() -> int:
        async with plans_at(db) as app:
            found = await only_plan(app, plan_id, "that wait for approval", without=APPROVED)
            await app.reject(found, reason=reason, by=person())
            return await tell(app, found, "Rejected", as_json=as_json, db=db)

    return run_async(reject())


@command("cancel")
@plan_argument
@click.option("--task", metavar="TASK", help="Cancel only this task; its dependents are skipped.")
@click.option("--subtree", is_flag=True, help="With --task: also cancel all its dependents.")
@reason_option
@filter_options
@json_after
def cancel_command(
    plan_id: str | None,
    task: str | None,
    subtree: bool,
    reason: str,
    chosen: Filter,
    as_json: bool,
    db: str | None,
) -> int:
    """Stop a plan, or one task; what is finished stays finished.

    Running commands are asked to stop, then killed. It waits until nothing runs any more.
    ID may be left out where only one plan has not ended. With --tag, --title or --project all such
    plans that have not ended are shown, and cancelled; it does not wait for them.

    \b
    planfold cancel plan-3f9a
    planfold cancel --tag nightly
    planfold cancel plan-3f9a --task deploy --subtree
    """
    from planfold.cli.access import ENDED, only_plan, plans_at, run_async
    from planfold.cli.cancellation import still_running

    if subtree and task is None:
        raise click.UsageError("--subtree needs --task")
    chosen.check(plan_id or task)

    async def cancel() -> int:
        async with plans_at(db) as app:
            if chosen.given:
                return await _cancel_each(app, chosen, reason, db)
            found = await only_plan(app, plan_id, "that have not ended", without=ENDED)
            if said := await _cancelled_already(app, found, task):
                return await tell(app, found, said, as_json=as_json, db=db)
            await app.cancel(found, task, subtree=subtree, reason=reason)
            left = await still_running(app, found)
            said = f"Asked to stop; still running: {', '.join(left)}" if left else "Cancelled"
            await tell(app, found, said, as_json=as_json, db=db)
            return FAILED if left else COMPLETED

    return run_async(cancel())


async def _cancel_each(app: PlanForking, chosen: Filter, reason: str, db: str | None) -> int:
    """What ran without a worker that lives ends when one starts, which is said."""
    from planfold.cli.access import ENDED, command_line
    from planfold.cli.situation import situation_of
    from planfold.cli.streams import say
    from planfold.cli.terminal import counted
    from planfold.planner.tasks import PlanStatus

    plans = await chosen.plans(app, ENDED)
    code = await decide_each(app, chosen, plans, "Cancel", partial(app.cancel, reason=reason))
    left = 0
    for plan in plans:
        if await app.status(plan.aggregate_id) is PlanStatus.Cancelling:
            left += not (await situation_of(app, plan.aggregate_id)).attended
    if left:
        ends = f"{counted(left, 'plan')} {'ends' if left == 1 else 'end'} when a worker runs"
        say(f"{ends}: {command_line(db, 'worker')}")
    return code


async def _cancelled_already(app: PlanForking, plan_id: str, task: str | None) -> str:
    """What is said of a plan or task that has ended by a cancellation; else empty."""
    from planfold.planner.items import id_text
    from planfold.planner.tasks import PlanStatus, TaskStatus

    state = (await app.planner(plan_id)).state
    if task is None:
        return "It was cancelled already" if state.status is PlanStatus.Cancelled else ""
    found = state.tasks[await app.task_id(plan_id, task)]
    was = found.status is TaskStatus.Cancelled
    return f"Task {id_text(found.id)} was cancelled already" if was else ""


@command("retry")
@click.argument("words", nargs=-1, metavar="[ID] TASK")
@filter_options
@json_after
def retry_command(words: tuple[str, ...], chosen: Filter, as_json: bool, db: str | None) -> int:
    """Retry a task that failed, was cancelled or skipped, and the tasks skipped because of it.

    `resume` or a worker then runs it. ID may be left out where only one plan is not completed. With
    --tag, --title or --project all tasks that failed are retried, of all such plans that failed.

    \b
    planfold retry plan-3f9a test
    planfold retry --tag nightly
    planfold resume plan-3f9a
    """
    from planfold.cli.access import plan_in, plans_at, run_async
    from planfold.cli.undo_text import runs_again
    from planfold.planner.items import id_text
    from planfold.planner.tasks import PlanStatus

    chosen.check(words)
    if len(words) > 2 or not (words or chosen.given):
        raise click.UsageError("give a plan and one task")

    async def retry() -> int:
        async with plans_at(db) as app:
            if chosen.given:
                plans = await chosen.plans(app, [s.value for s in PlanStatus if s != "failed"])
                return await decide_each(app, chosen, plans, "Retry", partial(_retry_all, app))
            found = await plan_in(app, words, "name the task: planfold retry {} TASK")
            task_id = await app.task_id(found, words[-1])
            state = (await app.planner(found)).state
            more = runs_again(state, state.tasks[task_id])
            again = await app.retry(found, task_id)
            said = (
                f"Task {id_text(task_id)} is planned again{more}"
                if again
                else f"Task {id_text(task_id)} is already planned"
            )
            return await tell(app, found, said, as_json=as_json, db=db)

    return run_async(retry())


async def _retry_all(app: PlanForking, plan_id: str) -> None:
    """Retry what failed; items with their map."""
    from planfold.planner.tasks import TaskStatus

    state = (await app.planner(plan_id)).state
    failed = state.schedule.having([TaskStatus.Failed], items=False)
    for task_id in [task.id for task in failed if not task.superseded]:
        await app.retry(plan_id, task_id)
