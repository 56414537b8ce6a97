"""``schedule add`` and ``schedule edit``: the plan of a schedule, and its times."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import command, json_option, set_option, tools_option
from planfold.cli.plan_options import parallel_option, priority_option, project_option, tag_option
from planfold.cli.schedule_access import print_schedule, with_schedules

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.cli.scheduled_plan import Asked
    from planfold.drafting.draft import PlanDraft
    from planfold.planner.config import PlannerConfig
    from planfold.runtime.schedule_view import ScheduleView
    from planfold.runtime.settings import Settings
    from planfold.service.client import Client

F = TypeVar("F", bound=Callable[..., Any])


def _policies(*, default: bool) -> Callable[[F], F]:
    """The options of what is done about missed and overlapping occurrences."""

    def with_both(function: F) -> F:
        overlap = click.option(
            "--overlap",
            type=click.Choice(("skip", "queue", "allow")),
            default="skip" if default else None,
            help="While the plan before has not ended: run none (default), wait, or run beside it.",
        )
        catch_up = click.option(
            "--catch-up",
            type=click.Choice(("skip", "once", "all")),
            default="once" if default else None,
            help="Of occurrences that were missed, run none, one for all (default), or each.",
        )
        return catch_up(overlap(function))

    return with_both


@command("add", "Begin a plan at each occurrence of a cron expression.")
@click.argument("name")
@click.argument("cron")
@click.argument("source", metavar="PLAN")
@click.option("--tz", default="UTC", metavar="ZONE", help="Time zone of CRON. Default: UTC.")
@_policies(default=True)
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
    month, month, day of the week; or @hourly, @daily, @weekly, @monthly, @yearly.

    The plan is checked, shown and approved now, so its occurrences run without approval; where
    tools have changed so that its tasks are others, an occurrence waits for approval. Without a
    terminal and without --yes each of its plans waits for approval. Each plan has the tag
    schedule=NAME. A plan that a model is to make cannot be scheduled.

    \b
    planfold schedule add nightly "0 2 * * *" backup.md --tz Europe/Zurich
    planfold schedule add sync "*/15 * * * *" sync.md --overlap queue --catch-up skip --yes
    """
    from planfold.cli.scheduled_plan import approval
    from planfold.runtime.schedules import check_schedule

    check_schedule(name, cron, tz)
    given: dict[str, Any] = {"name": name, "cron": cron, "tz": tz, "tags": tags}
    given |= {"catch_up": catch_up, "overlap": overlap, "max_parallel": max_parallel}
    given |= {"priority": priority, "project": project}
    view = _added((source, params), given, approval(yes=yes, as_json=as_json), tools, db)
    if view is not None:
        print_schedule(view, db, as_json=as_json, more=["Workers run it: planfold worker"])
    return COMPLETED


def _added(
    plan: tuple[str, dict[str, str]],
    given: dict[str, Any],
    ask: Asked,
    tools: tuple[str, ...],
    db: str | None,
) -> ScheduleView | None:
    """``plan``: where it is, and the values of its parameters. None: a person declined it."""
    from planfold.cli.access import (
        let_tools_be_found,
        person,
        run_async,
        server_given,
        settings_for,
    )
    from planfold.cli.scheduled_plan import kept_here, kept_there

    priority = given.pop("priority")
    if (server := server_given(db)) is not None:
        if tools or priority:
            raise click.UsageError("leave out --tools and --priority: the service has its own")

        async def send(client: Client, draft: PlanDraft | str, approved: bool) -> ScheduleView:
            sent: dict[str, Any] = {"plan": draft, "params": plan[1], "approve": approved}
            return await client.add_schedule(**sent, **given)

        return run_async(kept_there(server, *plan, ask, send))
    settings = settings_for(db, max_parallel=given.pop("max_parallel"))
    let_tools_be_found(settings, tools)
    given["config"] = _config(settings, priority, given.pop("project"))

    async def keep(app: App, draft: PlanDraft, approved: bool) -> ScheduleView:
        approver = person() if approved else None
        return await app.add_schedule(plan=draft, approved_by=approver, **given)

    return run_async(kept_here(settings, tools, *plan, ask, keep))


def _config(settings: Settings, priority: int, project: str | None) -> PlannerConfig:
    from msgspec.structs import replace

    from planfold.assembly import planner_config

    given: dict[str, Any] = {"priority": priority} | ({"project": project} if project else {})
    return replace(planner_config(settings), **given)


@command("edit", "Change the times, the plan or the policies of a schedule.")
@click.argument("name")
@click.option("--cron", metavar="CRON", help="New times.")
@click.option("--tz", metavar="ZONE", help="A new time zone.")
@click.option("--plan", "source", metavar="PLAN", help="A new plan, or the same one again.")
@_policies(default=False)
@set_option
@click.option("--yes", "-y", is_flag=True, help="Approve its plan without asking.")
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="Replace its tags; may be repeated."
)
@tools_option
@json_option("the schedule")
def edit_command(
    name: str,
    cron: str | None,
    tz: str | None,
    source: str | None,
    catch_up: str | None,
    overlap: str | None,
    params: dict[str, str],
    yes: bool,
    tags: tuple[str, ...],
    tools: tuple[str, ...],
    as_json: bool,
    db: str | None,
) -> int:
    """Change what is given of the schedule NAME; all else stays, also what happened to it. With
    other times it continues with the first occurrence from now on.

    --set needs --plan. Another plan is checked, shown and approved as by `planfold schedule add`.
    --yes alone approves the plan that it has.

    \b
    planfold schedule edit nightly --cron "30 3 * * *" --overlap queue
    planfold schedule edit nightly --plan backup.md --set disk=/dev/sdb
    """
    from planfold.cli.access import person

    given: dict[str, Any] = {"cron": cron, "tz": tz, "catch_up": catch_up, "overlap": overlap}
    given["tags"] = tags or None
    if params and source is None:
        raise click.UsageError("--set gives values to a plan: name the plan again, with --plan")
    if source is not None:
        view = _with_other_plan(name, (source, params), given, yes, tools, as_json=as_json, db=db)
    elif not yes and all(value is None for value in given.values()):
        raise click.UsageError("say what to change, as in --cron; see --help")
    else:
        approver = person() if yes else None
        given |= {"approved_by": approver, "by": person()}
        view = with_schedules(db, lambda app: app.edit_schedule(name, **given), name=name)
    if view is not None:
        print_schedule(view, db, as_json=as_json)
    return COMPLETED


def _with_other_plan(
    name: str,
    plan: tuple[str, dict[str, str]],
    given: dict[str, Any],
    yes: bool,
    tools: tuple[str, ...],
    *,
    as_json: bool,
    db: str | None,
) -> ScheduleView | None:
    """``plan``: where it is, and the values of its parameters. None: a person declined it."""
    from planfold.cli.access import (
        let_tools_be_found,
        person,
        require_database,
        run_async,
        server_given,
        settings_for,
    )
    from planfold.cli.scheduled_plan import approval, kept_here, kept_there

    ask = approval(yes=yes, as_json=as_json)
    if (server := server_given(db)) is not None:
        if tools:
            raise click.UsageError("the service has its own tools: leave out --tools")

        async def send(client: Client, draft: PlanDraft | str, approved: bool) -> ScheduleView:
            sent: dict[str, Any] = {"plan": draft, "params": plan[1], "approve": approved}
            return await client.edit_schedule(name, **sent, **given)

        return run_async(kept_there(server, *plan, ask, send))
    settings = settings_for(db)
    require_database(settings)
    let_tools_be_found(settings, tools)

    async def keep(app: App, draft: PlanDraft, approved: bool) -> ScheduleView:
        by = person()
        given["approved_by"] = by if approved else None
        return await app.edit_schedule(name, plan=draft, by=by, **given)

    return run_async(kept_here(settings, tools, *plan, ask, keep))
