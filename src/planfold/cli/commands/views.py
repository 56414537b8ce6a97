"""``list``, ``show``, ``watch``, ``log`` and ``graph``: looking at plans changes nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from planfold.cli.exits import COMPLETED, INTERRUPTED, exit_code_of
from planfold.cli.options import (
    Age,
    WholeNumber,
    command,
    json_option,
    moment_option,
    plan_argument,
)
from planfold.cli.streams import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from planfold.cli.log_printer import LogPrinter
    from planfold.cli.situation import Situation
    from planfold.cli.terminal import Line
    from planfold.eventstore.port import StreamHead
    from planfold.planner.tasks import PlanStatus
    from planfold.runtime.forking import PlanForking

NARROW = 70  # columns


@command("list")
@click.option("--limit", metavar="N", type=WholeNumber(1), default=50, help="At most N plans (50).")
@click.option("--after", metavar="ID", help="The next page: the plans after this one.")
@click.option(
    "--status",
    "statuses",
    metavar="STATUS",
    multiple=True,
    help="Only plans with this status; may be repeated.",
)
@click.option(
    "--title", metavar="TEXT", default="", help="Only plans with this text in their title."
)
@click.option("--project", metavar="NAME", help="Only plans of this project.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only plans with this tag.")
@click.option(
    "--since", metavar="AGE", type=Age(), help="Only plans that began in the last 12h, 90d or 2w."
)
@click.option("--older-than", metavar="AGE", type=Age(), help="Only plans that began longer ago.")
@json_option("the plans")
def list_command(
    limit: int,
    after: str | None,
    statuses: tuple[str, ...],
    title: str,
    project: str | None,
    tags: tuple[str, ...],
    since: float | None,
    older_than: float | None,
    as_json: bool,
    db: str | None,
) -> int:
    """List plans, the newest first.

    STATUS is awaiting_approval, running, awaiting_answer, paused, cancelling,
    completed, failed, cancelled.

    \b
    planfold list
    planfold list --status failed --since 7d
    planfold list --title release --json
    """
    from planfold.cli.access import find_plan, plans_at, run_async
    from planfold.cli.terminal import clean, print_json

    wanted = _statuses(statuses)

    async def plans() -> list[StreamHead]:
        async with plans_at(db) as app:
            now = app.store.clock()
            return await app.plans(
                limit=limit + 1,
                after=None if after is None else await find_plan(app, after),
                statuses=wanted,
                title=title,
                projects=() if project is None else [project],
                tags=tags,
                since=None if since is None else now - since,
                before=None if older_than is None else now - older_than,
            )

    found = run_async(plans())
    if as_json:
        print_json([_plan_json(plan) for plan in found[:limit]])
        return COMPLETED
    chosen = (after, statuses, title, project, tags, since, older_than)
    _print_plans(found[:limit], filtered=any(chosen))
    if len(found) > limit:
        say(f"Older plans: planfold list --after {clean(found[limit - 1].aggregate_id)}")
    return COMPLETED


def _statuses(names: Sequence[str]) -> list[PlanStatus]:
    from planfold.planner.tasks import PlanStatus

    known = {status.value: status for status in PlanStatus}
    for name in names:
        if name not in known:
            raise click.BadParameter(
                f"{name!r} is not a status of a plan; those are {', '.join(known)}"
            )
    return [known[name] for name in names]


def _print_plans(plans: Sequence[StreamHead], *, filtered: bool) -> None:
    from planfold.cli.terminal import Paper, clean

    if not plans:
        say("No such plans." if filtered else "No plans yet; `planfold run` makes one.")
        return
    paper = Paper()
    narrow = paper.width < NARROW
    pad = 0 if narrow else max(len(clean(plan.aggregate_id)) for plan in plans)
    lines = [line for plan in plans for line in _plan_lines(plan, narrow, pad)]
    paper.lines(lines, width=paper.width)


def _plan_json(plan: StreamHead) -> dict[str, Any]:
    return {
        "id": plan.aggregate_id,
        "priority": 0,
        **plan.head,
        "created_at": plan.created_at,
        "updated_at": plan.updated_at,
        "version": plan.version,
    }


def _plan_lines(plan: StreamHead, narrow: bool, pad: int) -> list[Line]:
    from planfold.cli.terminal import STATUS_STYLES, clean, counted
    from planfold.readmodels.labels import status_word

    head = plan.head
    status = clean(str(head.get("status", "")))
    done = f"{head.get('completed', 0)}/{head.get('total', 0)}"
    line: Line = [
        (f"{clean(plan.aggregate_id):<{pad}}  ", ""),
        (f"{status_word(status):<{0 if narrow else 17}}  ", STATUS_STYLES.get(status, "")),
        (f"{done:>{0 if narrow else 5}}  ", ""),
    ]
    if head.get("questions"):
        line.append((counted(int(head["questions"]), "question") + "  ", "ask"))
    title = clean(str(head.get("title", "")))
    return [line, [("  " + title, "")]] if narrow else [[*line, (title, "")]]


@command("show")
@plan_argument
@click.option("--task", metavar="TASK", help="All of one task's result or error.")
@click.option("--context", is_flag=True, help="The plan as a model would see it.")
@moment_option("--at", "at", "The plan at that version or time.", end=True)
@click.option("--all", "everything", is_flag=True, help="All tasks of a plan with more than 200.")
@json_option("the plan")
def show_command(
    plan_id: str | None,
    task: str | None,
    context: bool,
    at: int | datetime | None,
    everything: bool,
    as_json: bool,
    db: str | None,
) -> int:
    """Show a plan's tasks with their results, its open questions, and what to do next.

    Of a plan with more than 200 tasks, those that failed or have not ended come first, then those
    that completed, up to 200. Without an ID: the latest plan that has not ended, else the latest.

    \b
    planfold show
    planfold show plan-3f9a --task build
    planfold show plan-3f9a --at 7
    """
    from planfold.cli.access import latest_plan, plans_at, run_async
    from planfold.cli.report import task_lines, whole_report
    from planfold.cli.situation import situation_of
    from planfold.cli.terminal import Paper, clean_lines, print_json
    from planfold.runtime.task_names import task_id_in

    if context and (task is not None or as_json):
        raise click.UsageError("--context cannot be combined with --task or --json")

    async def situation() -> Situation:
        async with plans_at(db) as app:
            return await situation_of(app, await latest_plan(app, plan_id), at)

    found, paper = run_async(situation()), Paper()
    state = found.fold.state
    one = None if task is None else task_id_in(found.fold.plan_id, state, task)
    if context:
        from planfold.planner.context import render_context

        paper.lines([[(line, "")] for line in clean_lines(render_context(state))])
    elif as_json:
        from planfold.cli.plan_json import show_json, task_json

        print_json(show_json(found) if one is None else task_json(found, one))
    elif one is not None:
        paper.lines(task_lines(found, state.tasks[one], paper.width))
    else:
        paper.lines(whole_report(found, db, paper.width, everything=everything))
    return COMPLETED


@command("watch")
@plan_argument
@json_option("the plan once it has ended")
def watch_command(plan_id: str | None, as_json: bool, db: str | None) -> int:
    """Follow a plan that runs in another process until it ends. Ctrl-C does not affect it.

    The exit code says how the plan ended. Without an ID: the latest plan that has not ended.

    \b
    planfold watch plan-3f9a
    """
    from planfold.cli.access import existing_app, latest_plan, run_async
    from planfold.cli.own_worker import Stop
    from planfold.cli.plan_json import show_json
    from planfold.cli.progress import PlainLines, display_for
    from planfold.cli.report import header_line, plan_lines
    from planfold.cli.session import Session
    from planfold.cli.situation import situation_of
    from planfold.cli.terminal import Paper, print_json

    async def watch() -> int:
        async with existing_app(db) as app:
            found = await latest_plan(app, plan_id)
            paper = Paper()
            display = display_for(paper, as_json=as_json)
            if isinstance(display, PlainLines):
                situation = await situation_of(app, found)
                paper.lines([[(found, "bold"), (" ", ""), *header_line(situation.fold)]])
            with Stop().listening() as stop:
                session = Session(app, [found], display, paper, stop, to_the_end=True)
                await session.follow()
            if stop.asked.is_set():
                return INTERRUPTED
            situation = await situation_of(app, found)
            if as_json:
                print_json(show_json(situation))
            else:
                paper.lines(plan_lines(situation, paper.width, most=40))
            return exit_code_of([situation.fold.state.status.value])

    return run_async(watch())


@command("log")
@plan_argument
@click.option("--follow", "-f", is_flag=True, help="Also print new events until the plan ends.")
@click.option("--all", "everything", is_flag=True, help="The events of all plans.")
@moment_option("--from", "first", "The first event.", end=False)
@moment_option("--to", "last", "The last event.", end=True)
@json_option("one envelope per line")
def log_command(
    plan_id: str | None,
    follow: bool,
    everything: bool,
    first: int | datetime | None,
    last: int | datetime | None,
    as_json: bool,
    db: str | None,
) -> int:
    """Print what happened, one line per event.

    Without an ID: the latest plan that has not ended, else the latest.

    \b
    planfold log --follow
    planfold log plan-3f9a --json
    planfold log plan-3f9a --from 5 --to 2026-11-30T12:05
    """
    from planfold.cli.access import latest_plan, plans_at, run_async
    from planfold.cli.log_printer import LogPrinter

    if everything and plan_id is not None:
        raise click.UsageError("name a plan, or use --all")
    if everything and (isinstance(first, int) or isinstance(last, int)):
        raise click.UsageError("every plan has versions of its own; with --all, give times")
    if follow and last is not None:
        raise click.UsageError("--follow reads until the plan ends; omit --to")
    if _is_after(first, last):
        raise click.UsageError(f"--from {first} is after --to {last}; exchange them")

    async def log() -> int:
        async with plans_at(db) as app:
            found = None if everything else await latest_plan(app, plan_id)
            printer = LogPrinter(as_json, everything, first, last)
            if found is not None:
                begun = (await app.new_fold(found)).state
                printer.name_tasks(found, begun.tasks)
            if follow:
                return await _follow(app, found, printer)
            return await _print(app, found, printer, first, last)

    return run_async(log())


def _is_after(first: int | datetime | None, last: int | datetime | None) -> bool:
    """Whether the first event is later than the last; of a version and a time it is not known."""
    if first is None or last is None or isinstance(first, int) != isinstance(last, int):
        return False
    one, other = (m if isinstance(m, int) else m.timestamp() for m in (first, last))
    return one > other


async def _print(
    app: PlanForking,
    plan_id: str | None,
    printer: LogPrinter,
    first: int | datetime | None,
    last: int | datetime | None,
) -> int:
    from planfold.eventstore.envelope import Query
    from planfold.runtime.plan_reader import LONG_LOG

    if plan_id is None:
        after = 0
        while page := await app.store.read(Query(), after=after, limit=1000):
            for envelope in page:
                printer.print(envelope)
            after = page[-1].position
    else:
        begin = 0
        if isinstance(first, int) and first > LONG_LOG:  # the events before it are not read
            printer.name_tasks(plan_id, (await app.fold(plan_id)).state.tasks)
            begin = first - 1
        async for envelope in app.history(plan_id, after=begin):
            if isinstance(last, int) and envelope.version > last:
                break
            printer.print(envelope)
    printer.flush()
    if printer.is_empty and plan_id is not None:
        version = (await app.planner(plan_id)).state.version
        words = f"no event of {plan_id} is in this range; its versions are 1 to {version}"
        click.echo(f"planfold: {words}", err=True)
    return COMPLETED


async def _follow(app: PlanForking, plan_id: str | None, printer: LogPrinter) -> int:
    import asyncio

    from planfold.cli.own_worker import Stop
    from planfold.eventstore.envelope import Query

    async def follow() -> None:
        events = app.store.subscribe(Query()) if plan_id is None else app.watch(plan_id)
        async for envelope in events:
            printer.print(envelope)
            printer.flush()

    if plan_id is not None and await _has_ended(app, plan_id):
        async for envelope in app.history(plan_id):
            printer.print(envelope)
        printer.flush()
        return COMPLETED
    with Stop().listening() as stop:
        following = asyncio.create_task(follow())
        asked = asyncio.create_task(stop.asked.wait())
        await asyncio.wait([following, asked], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if following.done():
            await following
            return COMPLETED
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        return INTERRUPTED


async def _has_ended(app: PlanForking, plan_id: str) -> bool:
    from planfold.cli.access import ENDED

    return (await app.status(plan_id)).value in ENDED
