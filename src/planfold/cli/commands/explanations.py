"""``why`` and ``stats``: explaining what a plan waits for, and where its time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import Age, Assignment, WholeNumber, command, json_option, plan_argument
from planfold.cli.streams import say

if TYPE_CHECKING:
    from planfold.readmodels.simulation import Simulation
    from planfold.readmodels.statistics import By
    from planfold.runtime.forking import PlanForking


@command("why")
@plan_argument
@click.argument("task", required=False)
@click.option("--history", is_flag=True, help="Also read a log of more than 5,000 events.")
@json_option("the explanation")
def why_command(
    plan_id: str | None, task: str | None, history: bool, as_json: bool, db: str | None
) -> int:
    """Say why a plan or a task does not run, failed or was skipped, and what helps.

    Each reason has the time since when it holds. Of a task, what it waited for so far is printed,
    too; where the log has more than 5,000 events, only with --history. Without an ID: the latest
    plan that has not ended, else the latest. So a task of that one needs no ID.

    \b
    planfold why
    planfold why deploy
    planfold why plan-3f9a deploy
    """
    from planfold.cli.access import latest_plan, plan_or_task, plans_at, run_async
    from planfold.cli.reason_text import explanation_lines
    from planfold.cli.schedule_text import submitted_lines
    from planfold.cli.terminal import Paper, print_json
    from planfold.runtime.occurrences import scheduled_by

    async def why() -> None:
        import msgspec

        async with plans_at(db) as app:
            if plan_id is None or task is not None:
                about = await latest_plan(app, plan_id), task
            else:
                about = await plan_or_task(app, plan_id)
            found = await app.why(*about, history=history)
            schedule = await scheduled_by(app.store, about[0])
        if as_json:
            print_json(msgspec.to_builtins(found))
        else:
            paper = Paper()
            paper.lines(explanation_lines(found, db, paper.width))
            paper.lines(submitted_lines(schedule))

    run_async(why())
    return COMPLETED


@command("stats")
@plan_argument
@click.option("--since", metavar="AGE", type=Age(), help="Only the last 12h, 90d or 2w.")
@click.option(
    "--by", type=click.Choice(["kind", "tool", "route", "title"]), help="A line for each of these."
)
@click.option("--rebuild", is_flag=True, help="Count everything again.")
@json_option("the figures")
def stats_command(
    plan_id: str | None,
    since: float | None,
    by: By | None,
    rebuild: bool,
    as_json: bool,
    db: str | None,
) -> int:
    """Where time went: of one plan along its critical path, without an ID of all plans.

    Of all plans: how many completed, how long tasks were queued, ran and waited for a person,
    retries, questions and what models cost.

    \b
    planfold stats plan-3f9a
    planfold stats --since 7d --by tool
    """
    from planfold.cli.access import find_plan, plans_at, run_async

    if plan_id is not None and (since is not None or by is not None or rebuild):
        raise click.UsageError("--since, --by and --rebuild are about all plans: leave out the ID")
    if rebuild and since is not None:
        raise click.UsageError("--since counts again anyway: leave out --rebuild")

    async def stats() -> None:
        async with plans_at(db) as app:
            if plan_id is not None:
                await _print_ledger(app, await find_plan(app, plan_id), as_json)
            else:
                _print_statistics(*await _figures(app, since, by, rebuild), by, as_json)

    run_async(stats())
    return COMPLETED


async def _print_ledger(app: PlanForking, plan_id: str, as_json: bool) -> None:
    import msgspec

    from planfold.cli.reason_text import ledger_lines
    from planfold.cli.terminal import Paper, print_json

    ledger = await app.ledger(plan_id)
    if as_json:
        print_json(msgspec.to_builtins(ledger))
        return
    state, paper = (await app.planner(plan_id)).state, Paper()
    paper.lines(ledger_lines(ledger, state, paper.width))


async def _figures(
    plans: PlanForking, since: float | None, by: By | None, rebuild: bool
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The figures by name, and the plans that could not be read."""
    from planfold.app import App
    from planfold.readmodels.statistics import figures_json
    from planfold.service.remote_plans import RemotePlans

    if isinstance(plans, App):
        start = 0.0 if since is None else plans.store.clock() - since
        found = await plans.statistics(since=start, rebuild=rebuild)
        figures = {name: figures_json(each) for name, each in found.figures(by).items()}
        return figures, sorted(found.unreadable)
    if since is not None:
        raise click.UsageError("a service counts from the beginning: leave out --since")
    if rebuild:
        raise click.UsageError("a service uses what it counted: give --rebuild with its database")
    assert isinstance(plans, RemotePlans)
    answer = await plans.client.stats(by=by)
    return answer.figures if by else {"": answer.figures}, answer.unreadable


def _print_statistics(
    figures: dict[str, dict[str, Any]], unreadable: list[str], by: By | None, as_json: bool
) -> None:
    from planfold.cli.statistics_text import statistics_lines
    from planfold.cli.terminal import Paper, print_json

    if as_json:
        groups = [{by or "all": name, **each} for name, each in figures.items()]
        print_json({"by": by, "groups": groups, "unreadable": unreadable})
        return
    paper = Paper()
    paper.lines(statistics_lines(figures, by, unreadable), width=paper.width)


@command("whatif")
@plan_argument
@click.option("--max-parallel", type=WholeNumber(1), metavar="N", help="At most N tasks at once.")
@click.option(
    "--route-limit",
    "limits",
    multiple=True,
    metavar="ROUTE=N",
    type=Assignment(int),
    help="At most N tasks of a route at once; may be repeated.",
)
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="TASK=SECONDS",
    type=Assignment(float),
    help="A question is answered after so many seconds; may be repeated.",
)
@json_option("the makespans")
def whatif_command(
    plan_id: str | None,
    max_parallel: int | None,
    limits: tuple[tuple[str, int], ...],
    answers: tuple[tuple[str, float], ...],
    as_json: bool,
    db: str | None,
) -> int:
    """Say how long a plan would have taken under other limits, or with quicker answers.

    The recorded durations are played through the planner, with a worker for every task; nothing
    runs. Without an ID: the latest plan that has not ended, else the latest.

    \b
    planfold whatif plan-3f9a --max-parallel 8 --answer approve=300
    """
    from planfold.cli.access import latest_plan, plans_at, run_async
    from planfold.cli.terminal import clean, duration, print_json

    async def play() -> Simulation:
        async with plans_at(db) as app:
            return await app.what_if(
                await latest_plan(app, plan_id),
                max_parallel=max_parallel,
                route_limits=dict(limits),
                answers=dict(answers),
            )

    found = run_async(play())
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(found))
        return COMPLETED
    played, changed = duration(found.replayed), duration(found.changed)
    say(f"{clean(found.plan_id)} took {duration(found.actual)}.")
    say(f"Simulated as it was: {played}; with these changes: {changed}.")
    return COMPLETED
