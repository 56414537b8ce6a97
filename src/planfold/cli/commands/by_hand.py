"""``pause``, ``unpause``, ``skip``, ``complete`` and ``tag``: a person takes a plan in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from planfold.cli.commands.decisions import tell
from planfold.cli.options import command, json_option, plan_argument, reason_option

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from planfold.runtime.forking import PlanForking

json_after = json_option("the resulting plan")
before_option = click.option(
    "--before", multiple=True, metavar="TASK", help="Only before this task; may be repeated."
)


@command("pause")
@plan_argument
@before_option
@reason_option
@json_after
def pause_command(
    plan_id: str | None, before: tuple[str, ...], reason: str, as_json: bool, db: str | None
) -> int:
    """Start nothing more of a plan until `unpause`; running and queued tasks end.

    With --before it pauses when it reaches that task. ID may be left out where only one plan has
    not ended.

    \b
    planfold pause plan-3f9a --reason "the server is being moved"
    planfold pause plan-3f9a --before deploy
    """
    from planfold.cli.access import ENDED, only_plan, person, plans_at, run_async

    async def pause() -> int:
        async with plans_at(db) as app:
            found = await only_plan(app, plan_id, "that have not ended", without=ENDED)
            new = await app.pause(found, before=before, reason=reason, by=person())
            said = ("It will pause there" if before else "Paused") if new else "It was so already"
            if new and before and (begun := await _begun(app, found, before)):
                said = f"Task {begun} has begun; the break-point holds back only a further attempt"
            return await tell(app, found, said, as_json=as_json, db=db)

    return run_async(pause())


async def _begun(app: PlanForking, plan_id: str, names: tuple[str, ...]) -> str:
    """Those of the named tasks that run or ask: a break-point does not hold them back now."""
    from planfold.cli.situation import situation_of
    from planfold.planner.tasks import TaskStatus

    tasks = (await situation_of(app, plan_id)).fold.state.tasks.values()
    begun = (TaskStatus.Running, TaskStatus.NeedsClarification)
    called = {str(task.id) for task in tasks if task.status in begun}
    called |= {task.spec.label for task in tasks if task.status in begun and task.spec.label}
    return ", ".join(name for name in names if name in called)


@command("unpause")
@plan_argument
@before_option
@json_after
def unpause_command(
    plan_id: str | None, before: tuple[str, ...], as_json: bool, db: str | None
) -> int:
    """Continue a paused plan. `resume` or a worker then runs it.

    Where the plan is not paused, the break-points that it has reached are lifted; with --before,
    that of the task. ID may be left out where only one plan has not ended.

    \b
    planfold unpause plan-3f9a
    """
    from planfold.cli.access import ENDED, only_plan, person, plans_at, run_async

    async def unpause() -> int:
        async with plans_at(db) as app:
            found = await only_plan(app, plan_id, "that have not ended", without=ENDED)
            lifted = await app.unpause(found, before=before, by=person())
            said = "Unpaused" if lifted else "It was not paused"
            return await tell(app, found, said, as_json=as_json, db=db)

    return run_async(unpause())


@command("skip")
@click.argument("words", nargs=-1, required=True, metavar="[ID] TASK")
@reason_option
@json_after
def skip_command(words: tuple[str, ...], reason: str, as_json: bool, db: str | None) -> int:
    """Do without a task. What follows it runs if another task before it ran.

    An attempt that runs is stopped first; one of effect `once` is not. ID may be left out where
    only one plan is not completed.

    \b
    planfold skip plan-3f9a test --reason "the runner is down"
    """

    async def skip(app: PlanForking, plan_id: str, task: int, by: str) -> bool:
        return await app.skip(plan_id, task, reason=reason, by=by)

    return _decide(words, "skip", skip, ("skipped", "skipped already"), as_json=as_json, db=db)


@command("complete")
@click.argument("words", nargs=-1, required=True, metavar="[ID] TASK")
@click.option("--result", metavar="JSON", help="The task's result, which later tasks may use.")
@reason_option
@json_after
def complete_command(
    words: tuple[str, ...], result: str | None, reason: str, as_json: bool, db: str | None
) -> int:
    """Say that a task is done, because you did it or know its result.

    An attempt that runs is stopped first; one of effect `once` is not. ID may be left out where
    only one plan is not completed.

    \b
    planfold complete plan-3f9a deploy --result '{"url": "https://example.com"}'
    """
    from planfold.cli.commands.decisions import json_of

    given: dict[str, Any] = {} if result is None else {"result": json_of(result)}

    async def complete(app: PlanForking, plan_id: str, task: int, by: str) -> bool:
        return await app.complete(plan_id, task, **given, reason=reason, by=by)

    said = ("completed", "completed so already")
    return _decide(words, "complete", complete, said, as_json=as_json, db=db)


@command("undo")
@click.argument("plan_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_after
def undo_command(plan_id: str, yes: bool, as_json: bool, db: str | None) -> int:
    """Undo what a plan did that has ended: its completed tasks that have an undo, the last first.

    What would be undone is shown, and asked about. `resume` or a worker then runs it.

    \b
    planfold undo plan-3f9a --yes
    """
    from planfold.cli.access import find_plan, person, plans_at, run_async
    from planfold.cli.bulk import agreed
    from planfold.cli.exits import BAD_INPUT
    from planfold.cli.situation import situation_of
    from planfold.cli.terminal import Paper
    from planfold.cli.undo_text import undo_preview
    from planfold.planner.undo import to_undo

    async def undo() -> int:
        async with plans_at(db) as app:
            found = await find_plan(app, plan_id)
            state = (await situation_of(app, found)).fold.state
            if state.outcome is not None and to_undo(state):
                if not as_json:
                    paper = Paper()
                    paper.lines(undo_preview(state))
                    paper.flush()
                if not agreed("Undo", "it", yes=yes):
                    return BAD_INPUT
            new = await app.undo(found, by=person())
            said = "To be undone" if new else "It is being undone already"
            return await tell(app, found, said, as_json=as_json, db=db)

    return run_async(undo())


@command("tag")
@click.argument("plan_id", metavar="ID")
@click.option("--add", multiple=True, metavar="TAG", help="A tag to add; may be repeated.")
@click.option("--remove", multiple=True, metavar="TAG", help="A tag to remove; may be repeated.")
@json_after
def tag_command(
    plan_id: str, add: tuple[str, ...], remove: tuple[str, ...], as_json: bool, db: str | None
) -> int:
    """Add tags to a plan and remove others, at any time. `list --tag` finds it by them.

    \b
    planfold tag plan-3f9a --add nightly --remove draft
    """
    from planfold.cli.access import find_plan, person, plans_at, run_async

    if not (add or remove):
        raise click.UsageError("give --add TAG or --remove TAG")

    async def tag() -> int:
        async with plans_at(db) as app:
            found = await find_plan(app, plan_id)
            new = await app.tag(found, add=add, remove=remove, by=person())
            said = "Tagged" if new else "It was so already"
            return await tell(app, found, said, as_json=as_json, db=db)

    return run_async(tag())


def _decide(
    words: tuple[str, ...],
    name: str,
    decide: Callable[[PlanForking, str, int, str], Awaitable[bool]],
    became: tuple[str, str],
    *,
    as_json: bool,
    db: str | None,
) -> int:
    from planfold.cli.access import person, plan_in, plans_at, run_async
    from planfold.cli.undo_text import runs_again
    from planfold.planner.items import id_text
    from planfold.planner.tasks import TaskStatus

    if len(words) > 2:
        raise click.UsageError("give a plan and one task")

    async def run() -> int:
        async with plans_at(db) as app:
            found = await plan_in(app, words, f"name the task: planfold {name} {{}} TASK")
            task_id = await app.task_id(found, words[-1])
            state = (await app.planner(found)).state
            more = runs_again(state, state.tasks[task_id])
            new = await decide(app, found, task_id, person())
            task = (await app.planner(found)).state.tasks[task_id]
            stopping = task.status is TaskStatus.Running
            said = f"is {became[0]} once its attempt has ended" if stopping else f"was {became[0]}"
            said = said if new or stopping else f"was {became[1]}"
            said = f"Task {id_text(task_id)} {said}{more if new else ''}"
            return await tell(app, found, said, as_json=as_json, db=db)

    return run_async(run())
