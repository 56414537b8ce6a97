"""``plan``: a plan is checked and shown, and nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import command, json_option, set_option, tools_option

if TYPE_CHECKING:
    from planfold.cli.checked_plan import CheckedPlan
    from planfold.cli.terminal import Line
    from planfold.planner.commands import Initialize
    from planfold.readmodels.forecast import Forecast
    from planfold.runtime.settings import Settings


@command("plan")
@click.argument("source", metavar="PLAN")
@set_option
@tools_option
@json_option("the checked tasks, parameters, waves, critical path and tools")
def plan_command(
    source: str, params: dict[str, str], tools: tuple[str, ...], as_json: bool, db: str | None
) -> int:
    """Check a plan and show its graph, waves, critical path and tools. Nothing is written.

    \b
    planfold plan release.md --set version=1.2
    """
    import msgspec

    from planfold.cli.forecast_text import forecast_json, forecast_lines
    from planfold.cli.preview import (
        note_lines,
        parameter_lines,
        preview_lines,
        shape_json,
        shape_lines,
        undo_notes,
    )
    from planfold.cli.terminal import Paper, print_json
    from planfold.planner.revisions import hash_revision

    checked, missing, forecast = _checked(source, params, tools, db)
    plan, notes = checked.begin, checked.notes
    if as_json:
        files = {"missing_files": [{"task": i, "path": path} for i, path in missing]}
        print_json(
            _plan_json(plan)
            | {"notes": notes, "params": msgspec.to_builtins(checked.params)}
            | shape_json(plan.tasks)
            | (files | forecast_json(forecast))
        )
        return COMPLETED
    paper = Paper()
    given = parameter_lines(checked.params, paper.width)
    tasks = preview_lines(plan.tasks, paper.width, most=None)
    paper.lines([title_line(plan.title, len(plan.tasks)), [], *given, *tasks])
    if notes:
        paper.lines([[], *note_lines(notes, paper.width)])
    undo = undo_notes(plan.tasks, plan.config.undo, paper.width)
    paper.lines([[], *shape_lines(plan.tasks, paper.width), *undo])
    paper.lines(_missing_lines(missing))
    paper.lines(forecast_lines(forecast, paper.width))
    paper.lines([[("Revision: ", "dim"), (hash_revision(plan.tasks), "")]])
    return COMPLETED


def _missing_lines(missing: list[tuple[int, str]]) -> list[Line]:
    from planfold.cli.terminal import clean

    named = ", ".join(f"{clean(path)} (task {i})" for i, path in missing)
    return [[("Not in the workspace: ", "dim"), (named, "")]] if missing else []


class _Checked(NamedTuple):
    """A checked plan, files that are not in the workspace, and the forecast."""

    plan: CheckedPlan
    missing: list[tuple[int, str]]
    forecast: Forecast | None


def _checked(
    source: str, params: dict[str, str], tools: tuple[str, ...], db: str | None
) -> _Checked:
    from planfold.assembly import assembled
    from planfold.cli.access import let_tools_be_found, run_async, server_given, settings_for
    from planfold.cli.checked_plan import checked_plan

    if (server := server_given(db)) is not None:
        from planfold.cli.remote_run import previewed

        if tools:
            raise click.UsageError("the service has its own tools: leave out --tools")
        plan, forecast = run_async(previewed(server, source, params))
        return _Checked(plan, [], forecast)
    settings = settings_for(db)
    let_tools_be_found(settings, tools)

    async def compiled() -> CheckedPlan:
        async with assembled(settings, tools) as executors:
            return checked_plan(source, params, executors)

    plan = run_async(compiled())
    missing = _missing(plan.begin, settings)
    return _Checked(plan, missing, run_async(_forecast(db, settings, plan.begin)))


async def _forecast(db: str | None, settings: Settings, plan: Initialize) -> Forecast | None:
    """None where there is no database yet, or it cannot be read without migrating it."""
    from planfold.cli.access import database_file, existing_app
    from planfold.databases import is_postgres, schemas_of
    from planfold.errors import PlanfoldError
    from planfold.runtime.forecasts import forecast_of

    path = database_file(settings)
    if not is_postgres(settings.database) and (path is None or not path.exists()):
        return None
    try:
        schema, newest = await schemas_of(settings.database)
        if schema != newest:
            return None
        async with existing_app(db) as app:
            return await forecast_of(app, plan.title, plan.tasks)
    except PlanfoldError:
        return None


def _missing(plan: Initialize, settings: Settings) -> list[tuple[int, str]]:
    """Files that the plan names and that are not in the workspace."""
    import functools

    from planfold.assembly import workspace_of
    from planfold.drafting.attachments import missing_files
    from planfold.executors.files.attached import is_there

    return missing_files(plan.tasks, functools.partial(is_there, workspace_of(settings)))


def _plan_json(plan: Initialize) -> dict[str, Any]:
    import msgspec

    from planfold.planner.revisions import hash_revision

    tasks = [msgspec.to_builtins(msgspec.structs.asdict(spec)) for spec in plan.tasks]
    return {
        "title": plan.title,
        "goal": plan.goal,
        "tags": list(plan.tags),
        "revision_hash": hash_revision(plan.tasks),
        "tasks": tasks,
    }


def title_line(title: str, tasks: int) -> list[tuple[str, str]]:
    from planfold.cli.terminal import clean, counted

    return [(clean(title) or "Plan", "bold"), (f" ({counted(tasks, 'task')})", "dim")]
