"""``revise``: another plan for tasks that have not started or have failed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from planfold.cli.exits import COMPLETED, WAITS
from planfold.cli.options import command, json_option, set_option, tools_option

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.drafting.changes import PlanDiff
    from planfold.planner.commands import RevisePlan


@command("revise")
@click.argument("words", nargs=-1, required=True, metavar="[ID] PLAN")
@set_option
@click.option("--yes", "-y", is_flag=True, help="Approve the revision without asking.")
@tools_option
@json_option("the resulting plan")
def revise_command(
    words: tuple[str, ...],
    params: dict[str, str],
    yes: bool,
    tools: tuple[str, ...],
    as_json: bool,
    db: str | None,
) -> int:
    """Replace tasks that have not started or have failed by another plan.

    Tasks that are running or completed stay. One that failed, was skipped or cancelled is planned
    again if PLAN has it, and dropped if not.

    PLAN is the whole plan, edited (text), or also only what is still to come (JSON, YAML): a
    file, a text in quotes, or - for standard input. Shows what would change, and asks. Without a
    terminal and without --yes the revision is recorded and waits for approval (exit code 3). ID
    may be left out where only one plan is not completed.

    \b
    planfold revise plan-3f9a release.md
    """
    from planfold.cli.access import run_async

    if len(words) > 2:
        raise click.UsageError("give a plan's id and one file; put a text in quotes")
    return run_async(_revise(words, params, yes, tools, as_json=as_json, db=db))


async def _revise(
    words: tuple[str, ...],
    params: dict[str, str],
    yes: bool,
    tools: tuple[str, ...],
    *,
    as_json: bool,
    db: str | None,
) -> int:
    from planfold.app import open_app
    from planfold.cli.access import (
        let_tools_be_found,
        plan_in,
        require_database,
        settings_for,
    )
    from planfold.cli.commands.decisions import tell
    from planfold.planner.tasks import PlanStatus

    settings = settings_for(db)
    require_database(settings)
    let_tools_be_found(settings, tools)
    async with open_app(settings, tools=tools, create=False) as app:
        found = await plan_in(app, words, "name the new plan: planfold revise {} PLAN")
        revision, diff = await _compiled(app, found, words[-1], params)
        reviewed = _reviewed(revision, diff, yes=yes, as_json=as_json)
        if reviewed is None:
            return await tell(app, found, "Nothing was changed", as_json=as_json, db=db)
        await app.send(found, reviewed)
        said = "Revised" if diff else "That is the plan already"
        await tell(app, found, said, as_json=as_json, db=db)
        waits = await app.status(found) is PlanStatus.AwaitingApproval
        return WAITS if waits else COMPLETED


async def _compiled(
    app: App, plan_id: str, source: str, params: dict[str, str]
) -> tuple[RevisePlan, PlanDiff]:
    """The revision, and what it changes."""
    from planfold.cli.sources import read_plan_file, read_source
    from planfold.drafting.files import decoded_plan
    from planfold.drafting.revision import compile_revision, revision_diff
    from planfold.drafting.templates import drafted

    text, name = read_source(source)
    toolbox = app.executors.toolbox
    plan = decoded_plan(text, name)
    templates, read = app.executors.templates, read_plan_file
    draft = drafted(plan, params, toolbox, templates, source=name, read=read).draft
    state = (await app.planner(plan_id)).state
    revision = compile_revision(draft, toolbox, state)
    return revision, revision_diff(state, revision)


def _reviewed(
    revision: RevisePlan, diff: PlanDiff, *, yes: bool, as_json: bool
) -> RevisePlan | None:
    """The revision, with who approved it; None where a person refused it."""
    from msgspec.structs import replace

    from planfold.cli.access import person

    asks = sys.stdin.isatty() and not (yes or as_json)
    if not as_json:
        _show(diff)
    if asks and diff and not click.confirm("Approve this revision?", default=False):
        return None
    return replace(revision, approved_by=person() if yes or (asks and diff) else None)


def _show(diff: PlanDiff) -> None:
    from planfold.cli.approval_text import change_lines
    from planfold.cli.terminal import Paper

    paper = Paper()
    paper.lines(change_lines(diff, paper.width, "Nothing."))
