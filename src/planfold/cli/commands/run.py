"""``run`` and ``resume``: start and continue plans."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.json_log import log_json_option
from planfold.cli.options import (
    command,
    json_option,
    model_option,
    plan_argument,
    set_option,
    tools_option,
)
from planfold.cli.plan_options import (
    PlanOptions,
    parallel_option,
    pause_option,
    priority_option,
    project_option,
    tag_option,
)
from planfold.cli.streams import say

if TYPE_CHECKING:
    import msgspec

    from planfold.executors.registry import Executors
    from planfold.planner.commands import Initialize
    from planfold.runtime.settings import Settings

S = TypeVar("S", bound="msgspec.Struct")

_PLAN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


def _checked_id(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _PLAN_ID.fullmatch(value):
        raise click.BadParameter("use up to 100 letters, digits and . _ : - (first a letter)")
    return value


@command("run")
@click.argument("source", metavar="PLAN")
@set_option
@click.option("--yes", "-y", is_flag=True, help="Approve the plan without asking.")
@click.option("--detach", is_flag=True, help="Only record it; workers or `resume` run it.")
@click.option(
    "--id",
    "plan_id",
    metavar="ID",
    callback=_checked_id,
    help="The plan's id: a second run with it submits nothing.",
)
@model_option
@click.option("--as-written", is_flag=True, help="With a model: use it to run tasks, not to plan.")
@click.option(
    "--budget",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Limit: tokens, cost (US dollars), calls, seconds or tasks; see `planfold budget`.",
)
@parallel_option
@priority_option
@project_option
@pause_option
@tag_option
@tools_option
@log_json_option
@json_option("the plan when it ends")
def run_command(
    source: str,
    params: dict[str, str],
    yes: bool,
    detach: bool,
    plan_id: str | None,
    model: str | None,
    as_written: bool,
    budget: tuple[str, ...],
    max_parallel: int | None,
    priority: int,
    project: str | None,
    pause_before: tuple[str, ...],
    tags: tuple[str, ...],
    tools: tuple[str, ...],
    as_json: bool,
    db: str | None,
) -> int:
    """Show a plan, ask for approval once, and run it with live progress.

    PLAN is a file (Markdown, text, JSON, YAML), the name of a template, a text in quotes, or - for
    standard input; --set gives the values of its parameters. With --model the model makes the plan
    from a text and runs the tasks without a tool; JSON, YAML, templates and texts with --as-written
    are used unchanged. Without a terminal and without --yes the plan is recorded and waits for
    approval (exit code 3). With --id the same plan is submitted once however often you call this.

    \b
    planfold run release.md --set version=1.2
    planfold run --yes "Run `make`, then run `make test`"
    planfold run --model openai:gpt-5 "Find out why the tests fail, and fix it"
    """
    from planfold.cli.access import run_async, server_given, settings_for

    options = PlanOptions(priority, project, pause_before, tags)
    if (server := server_given(db)) is not None:
        from planfold.cli.remote_run import RemoteRun

        if model or as_written or budget or tools:
            raise click.UsageError(
                "the service has its own models, budgets and tools: leave out --model, "
                "--as-written, --budget and --tools"
            )
        wanted = RemoteRun(server, plan_id, max_parallel, options, params)
        return run_async(wanted.run(source, yes=yes, detach=detach, as_json=as_json))
    settings = settings_for(db, max_parallel=max_parallel, model=model)
    if budget:
        from planfold.cli.commands.models import read_budget

        settings = _with(settings, budget=read_budget(budget))
    about = _RunSource(source, params, settings, as_written, options)
    return run_async(_run(about, yes, detach, plan_id, tools, as_json=as_json, db=db))


class _RunSource(NamedTuple):
    """Where a plan comes from, and what is said of it."""

    source: str
    params: dict[str, str]
    settings: Settings
    as_written: bool
    options: PlanOptions


async def _run(
    wanted: _RunSource,
    yes: bool,
    detach: bool,
    plan_id: str | None,
    tools: tuple[str, ...],
    *,
    as_json: bool,
    db: str | None,
) -> int:
    from contextlib import AsyncExitStack

    from planfold.app import new_plan_id, open_app
    from planfold.assembly import assembled
    from planfold.cli.access import let_tools_be_found, person
    from planfold.cli.notification_targets import targets
    from planfold.planner.tasks import PlanStatus

    since, settings = time.time(), wanted.settings
    let_tools_be_found(settings, tools)
    plan_id = plan_id or new_plan_id()
    async with AsyncExitStack() as stack:
        executors = await stack.enter_async_context(assembled(settings, tools))
        begin = wanted.options.applied_to(_begun(wanted, executors, person() if yes else None))
        if begin.config.model and executors.models is not None:
            executors.models(begin.config.model)  # an unknown model is reported now
        targets(settings)  # and so is one of notifications that cannot work
        # Only now: an invalid plan must not create a database.
        app = await stack.enter_async_context(open_app(settings, executors=executors, load=False))
        end = await app.log.last_position() if settings.notify else None
        await app.send(plan_id, begin)
        if yes and await app.status(plan_id) is PlanStatus.AwaitingApproval:
            await app.approve(plan_id, by=person())  # it had been submitted without --yes
        from planfold.cli.runner import TerminalRunner

        runner = TerminalRunner(
            app, db=db, as_json=as_json, since=since, tools=tools, notify_after=end
        )
        return await runner.run(plan_id, detach=detach)


def _with(value: S, **changes: Any) -> S:
    import msgspec

    return msgspec.structs.replace(value, **changes)


def _begun(wanted: _RunSource, executors: Executors, approver: str | None) -> Initialize:
    """The first command: the text's plan, or the wish that the model is to plan."""
    from planfold.assembly import planner_config
    from planfold.cli.checked_plan import checked_plan
    from planfold.cli.sources import is_data, read_source
    from planfold.drafting.files import decoded_plan
    from planfold.drafting.model.wish import begin_with_wish

    source, params = wanted.source, wanted.params
    config = planner_config(wanted.settings)
    if config.model and not wanted.as_written:
        text, name = read_source(source)
        if not is_data(text, name) and source.strip() not in executors.templates:
            if params:
                raise click.UsageError("a model plans this text: --set needs --as-written")
            wish = decoded_plan(text, name)
            return begin_with_wish(wish, config, approved_by=approver)
    begin = checked_plan(source, params, executors).begin
    config = _with(config, undo=begin.config.undo)
    return _with(begin, config=config, approved_by=approver)


# --- resume -------------------------------------------------------------------------------------


@command("resume")
@plan_argument
@tools_option
@log_json_option
@json_option("the plan when it ends (without an ID: a list of plans)")
def resume_command(
    plan_id: str | None, tools: tuple[str, ...], as_json: bool, db: str | None
) -> int:
    """Continue a plan, or all that have not ended, until each has ended or waits for you.

    Finished tasks do not run again. In a terminal it asks open questions, and for approval if the
    plan waits for that.

    \b
    planfold resume
    planfold resume plan-3f9a
    """
    from planfold.cli.access import run_async

    return run_async(_resume(plan_id, tools, as_json=as_json, db=db))


async def _resume(key: str | None, tools: tuple[str, ...], *, as_json: bool, db: str | None) -> int:
    from planfold.app import open_app
    from planfold.cli.access import (
        find_plan,
        let_tools_be_found,
        require_database,
        settings_for,
        unfinished_plans,
    )
    from planfold.cli.runner import TerminalRunner
    from planfold.cli.terminal import print_json

    settings = settings_for(db)
    require_database(settings)
    let_tools_be_found(settings, tools)
    async with open_app(settings, tools=tools, create=False) as app:
        runner = TerminalRunner(app, db=db, as_json=as_json, tools=tools)
        if key is not None:
            return await runner.run(await find_plan(app, key))
        plans = await unfinished_plans(app)
        if len(plans) == 1:
            return await runner.run(plans[0].aggregate_id, in_list=True)
        if plans:
            return await runner.run_all()
    if as_json:
        print_json([])
    else:
        say("Nothing to resume: every plan has ended.")
    return COMPLETED
