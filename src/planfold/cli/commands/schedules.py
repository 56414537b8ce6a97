"""``schedule``: plans that begin at times."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from planfold.cli.beginning import parallel_option, priority_option, project_option, tag_option
from planfold.cli.exits import COMPLETED
from planfold.cli.json_log import log_json_option
from planfold.cli.options import (
    DB_HELP,
    command,
    json_option,
    reason_option,
    set_option,
    tools_option,
)
from planfold.cli.streams import say

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.cli.checked_plan import CheckedPlan
    from planfold.planner.config import PlannerConfig
    from planfold.runtime.schedules import ScheduleView
    from planfold.runtime.settings import Settings
    from planfold.service.remote_schedules import RemoteSchedules

T = TypeVar("T")


@click.group("schedule")
@click.option("--db", metavar="ADDRESS", help=DB_HELP)
@click.pass_context
def schedule_command(context: click.Context, db: str | None) -> None:
    """Add, list and change schedules, which begin a plan at times. Workers run the plans.

    \b
    planfold schedule add nightly "0 2 * * *" backup.md --tz Europe/Zurich
    planfold schedule list
    planfold schedule pause nightly --reason "the disk is full"
    """
    if db is not None:
        context.find_root().params["db"] = db


@command("add", "Begin a plan at each occurrence of a cron expression.")
@click.argument("name")
@click.argument("cron")
@click.argument("source", metavar="PLAN")
@click.option("--tz", default="UTC", metavar="ZONE", help="Time zone of CRON. Default: UTC.")
@click.option(
    "--catch-up",
    type=click.Choice(("skip", "once", "all")),
    default="once",
    help="Of occurrences that were missed, run none, one for all (default), or each.",
)
@click.option(
    "--overlap",
    type=click.Choice(("skip", "queue", "allow")),
    default="skip",
    help="While the plan before has not ended: run none (default), wait, or run beside it.",
)
@set_option
@click.option("--yes", "-y", is_flag=True, help="Approve the plan without asking.")
@parallel_option
@priority_option
@project_option
@tag_option
@tools_option
@json_option("the schedule")
def add_command(
    name: str,
    cron: str,
    source: str,
    tz: str,
    catch_up: str,
    overlap: str,
    params: dict[str, str],
    yes: bool,
    max_parallel: int | None,
    priority: int,
    project: str | None,
    tags: tuple[str, ...],
    tools: tuple[str, ...],
    as_json: bool,
    db: str | None,
) -> int:
    """Begin PLAN (as for `planfold run`) at each occurrence of CRON: minute, hour, day of the
    month, month, day of the week.

    The plan is checked, shown and approved now, so its occurrences run without approval; where
    tools have changed so that its tasks are others, an occurrence waits for approval. Each plan has
    the tag schedule=NAME. A plan that a model is to make cannot be scheduled.

    \b
    planfold schedule add nightly "0 2 * * *" backup.md --tz Europe/Zurich
    planfold schedule add sync "*/15 * * * *" sync.md --overlap queue --catch-up skip --yes
    """
    from planfold.cli.access import let_tools_be_found, run_async, server_given, settings_for
    from planfold.runtime.schedules import check_schedule

    check_schedule(name, cron, tz)
    given: dict[str, Any] = {"name": name, "cron": cron, "tz": tz, "tags": tags}
    given |= {"catch_up": catch_up, "overlap": overlap}

    def approves(checked: CheckedPlan) -> bool:
        return yes or _is_approved(checked, as_json=as_json)

    if (server := server_given(db)) is not None:
        if tools or priority:
            raise click.UsageError("leave out --tools and --priority: the service has its own")
        given |= {"max_parallel": max_parallel, "project": project, "params": params}
        view = run_async(_added_to(server, source, approves, **given))
    else:
        settings = settings_for(db, max_parallel=max_parallel)
        let_tools_be_found(settings, tools)
        given["config"] = _config(settings, priority, project)
        view = run_async(_added(settings, tools, (source, params), approves, **given))
    if view is not None:
        _print(view, db, as_json=as_json, more=["Workers run it: planfold worker"])
    return COMPLETED


async def _added(
    settings: Settings,
    tools: tuple[str, ...],
    plan: tuple[str, dict[str, str]],
    approves: Callable[[CheckedPlan], bool],
    **given: Any,
) -> ScheduleView | None:
    """None: a person did not approve the plan."""
    from planfold.app import open_app
    from planfold.assembly import assembled
    from planfold.cli.access import person
    from planfold.cli.checked_plan import checked_plan

    async with assembled(settings, tools) as executors:
        checked = checked_plan(*plan, executors)
        if not approves(checked):
            return None
        assert checked.draft is not None
        # Only now: a plan or a time that is refused must not create a database.
        async with open_app(settings, executors=executors, load=False) as app:
            return await app.add_schedule(plan=checked.draft, approved_by=person(), **given)


async def _added_to(
    server: str, source: str, approves: Callable[[CheckedPlan], bool], **given: Any
) -> ScheduleView | None:
    """At a service. None: a person did not approve the plan."""
    from planfold.cli.access import client_of
    from planfold.cli.remote_run import previewed, source_of

    checked, _ = await previewed(server, source, given["params"])
    if not approves(checked):
        return None
    async with client_of(server) as client:
        return await client.add_schedule(plan=source_of(source), approve=True, **given)


def _config(settings: Settings, priority: int, project: str | None) -> PlannerConfig:
    from msgspec.structs import replace

    from planfold.assembly import planner_config

    given: dict[str, Any] = {"priority": priority} | ({"project": project} if project else {})
    return replace(planner_config(settings), **given)


def _is_approved(checked: CheckedPlan, *, as_json: bool) -> bool:
    """Show the plan and ask. Raises click.UsageError where no person can answer."""
    from planfold.cli.commands.plan import title_line
    from planfold.cli.preview import parameter_lines, preview_lines
    from planfold.cli.terminal import Paper

    if as_json or not _can_answer():
        raise click.UsageError("its plans run without approval: approve them now, with --yes")
    plan, paper = checked.begin, Paper()
    paper.lines([title_line(plan.title, len(plan.tasks)), []])
    paper.lines(parameter_lines(checked.params, paper.width))
    paper.lines(preview_lines(plan.tasks, paper.width, most=None))
    paper.flush()
    return click.confirm("Approve this plan for all occurrences?", default=False)


def _can_answer() -> bool:
    return sys.stdin.isatty()


@command("list", "List all schedules.")
@json_option("the schedules")
def list_command(as_json: bool, db: str | None) -> int:
    """List all schedules with their next occurrences.

    \b
    planfold schedule list
    """
    from planfold.cli.schedule_text import list_lines, schedule_json
    from planfold.cli.terminal import Paper, print_json

    found = _with_app(db, lambda app: app.schedules())
    if as_json:
        print_json([schedule_json(view) for view in found])
    elif found:
        paper = Paper()
        paper.lines(list_lines(found), width=paper.width)
    else:
        say("No schedules yet.")
    return COMPLETED


@command("show", "Show a schedule, its next occurrences and its last plan.")
@click.argument("name")
@json_option("the schedule")
def show_command(name: str, as_json: bool, db: str | None) -> int:
    """Show the schedule NAME: when it occurs next, and what happened to the last occurrences.

    `planfold list --tag schedule=NAME` lists its plans.

    \b
    planfold schedule show nightly
    """
    _print(_with_app(db, lambda app: app.schedule(name)), db, as_json=as_json)
    return COMPLETED


@command("pause", "Begin no plan of a schedule until it is unpaused.")
@click.argument("name")
@reason_option
def pause_command(name: str, reason: str, db: str | None) -> int:
    """Begin no plan of the schedule NAME until it is unpaused. Plans that have begun continue.

    \b
    planfold schedule pause nightly --reason "the disk is full"
    """
    from planfold.cli.access import person

    by = person()
    new = _with_app(db, lambda app: app.pause_schedule(name, reason=reason, by=by))
    say(f"Paused: {name}" if new else "It is paused already; nothing changes.")
    return COMPLETED


@command("unpause", "Continue a paused schedule with its next occurrence.")
@click.argument("name")
def unpause_command(name: str, db: str | None) -> int:
    """Continue the schedule NAME with its next occurrence; those in between are left out.

    \b
    planfold schedule unpause nightly
    """
    from planfold.cli.access import person

    by = person()
    new = _with_app(db, lambda app: app.unpause_schedule(name, by=by))
    say(f"Unpaused: {name}" if new else "It is not paused; nothing changes.")
    return COMPLETED


@command("remove", "Remove a schedule; the plans that it began continue.")
@click.argument("name")
def remove_command(name: str, db: str | None) -> int:
    """Remove the schedule NAME. The plans that it began continue.

    \b
    planfold schedule remove nightly
    """
    from planfold.cli.access import person
    from planfold.cli.terminal import counted

    by = person()
    waiting = _with_app(db, lambda app: app.schedule(name)).waiting
    _with_app(db, lambda app: app.remove_schedule(name, by=by))
    dropped = f", and {counted(waiting, 'occurrence')} that waited" if waiting else ""
    say(f"Removed: {name}{dropped}")
    return COMPLETED


@command("run", "Run the plan of a schedule now.")
@click.argument("name")
@click.option("--detach", is_flag=True, help="Only record it; workers run it.")
@tools_option
@log_json_option
@json_option("the plan when it ends")
def run_command(
    name: str, detach: bool, tools: tuple[str, ...], as_json: bool, db: str | None
) -> int:
    """Run the plan of the schedule NAME now, beside its occurrences, with live progress.

    \b
    planfold schedule run nightly
    """
    from planfold.cli.access import (
        let_tools_be_found,
        require_database,
        run_async,
        server_given,
        settings_for,
    )

    if (server := server_given(db)) is not None:
        if tools:
            raise click.UsageError("the service has its own tools: leave out --tools")
        return run_async(_run_at(server, name, detach=detach, as_json=as_json))
    settings = settings_for(db)
    require_database(settings)
    let_tools_be_found(settings, tools)

    async def run() -> int:
        from planfold.app import open_app
        from planfold.cli.access import person
        from planfold.cli.runner import TerminalRunner

        async with open_app(settings, tools=tools, create=False) as app:
            plan_id = await app.run_schedule(name, by=person())
            if await app.store.head(plan_id) is None:
                return _waits(await app.schedule(name), as_json=as_json)
            runner = TerminalRunner(app, db=db, as_json=as_json, tools=tools)
            return await runner.run(plan_id, detach=detach)

    return run_async(run())


async def _run_at(server: str, name: str, *, detach: bool, as_json: bool) -> int:
    from planfold.cli.access import client_of
    from planfold.cli.remote_run import followed
    from planfold.service.remote_plans import RemotePlans

    async with client_of(server) as client:
        before = await client.schedule(name)
        after = await client.run_schedule(name)
        if after.previous == before.previous:
            return _waits(after, as_json=as_json)
        return await followed(RemotePlans(client), after.previous, detach=detach, as_json=as_json)


def _waits(view: ScheduleView, *, as_json: bool) -> int:
    from planfold.cli.terminal import clean, print_json

    if as_json:
        print_json({"waits_for": view.previous, "waiting": view.waiting})
    else:
        say(f"It begins when {clean(view.previous)} has ended.")
    return COMPLETED


def _with_app(db: str | None, do: Callable[[App | RemoteSchedules], Awaitable[T]]) -> T:
    from planfold.cli.access import client_of, existing_app, run_async, server_given

    async def with_app() -> T:
        if (server := server_given(db)) is not None:
            from planfold.service.remote_schedules import RemoteSchedules

            async with client_of(server) as client:
                return await do(RemoteSchedules(client))
        async with existing_app(db) as app:
            return await do(app)

    return run_async(with_app())


def _print(view: ScheduleView, db: str | None, *, as_json: bool, more: Sequence[str] = ()) -> None:
    from planfold.cli.schedule_text import schedule_json, schedule_lines
    from planfold.cli.terminal import Paper, print_json

    if as_json:
        print_json(schedule_json(view))
        return
    paper = Paper()
    paper.lines([*schedule_lines(view, db), *([(line, "dim")] for line in more)])
    paper.flush()


for _each in (
    *(add_command, list_command, show_command),
    *(pause_command, unpause_command, run_command, remove_command),
):
    schedule_command.add_command(_each)
