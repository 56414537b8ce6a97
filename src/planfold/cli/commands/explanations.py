"""``why`` and ``stats``: explaining what a plan waits for, and where its time went."""

from __future__ import annotations

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import command, json_option, plan_argument


@command("why")
@plan_argument
@click.argument("task", required=False)
@json_option("the explanation")
def why_command(plan_id: str | None, task: str | None, as_json: bool, db: str | None) -> int:
    """Say why a plan or a task does not run, failed or was skipped, and what helps.

    Each reason has the time since when it holds. Of a task, what it waited for so far is printed,
    too. Without an ID: the latest plan that has not ended, else the latest.

    \b
    planfold why
    planfold why plan-3f9a deploy
    """
    from planfold.cli.access import existing_app, latest_plan, run_async
    from planfold.cli.reason_text import explanation_lines
    from planfold.cli.terminal import Paper, print_json

    async def why() -> None:
        import msgspec

        async with existing_app(db) as app:
            found = await app.why(await latest_plan(app, plan_id), task)
        if as_json:
            print_json(msgspec.to_builtins(found))
        else:
            paper = Paper()
            paper.lines(explanation_lines(found, db, paper.width))

    run_async(why())
    return COMPLETED


@command("stats")
@plan_argument
@json_option("the figures")
def stats_command(plan_id: str | None, as_json: bool, db: str | None) -> int:
    """Say where a plan's time went, along its critical path.

    \b
    planfold stats plan-3f9a
    """
    from planfold.cli.access import existing_app, latest_plan, run_async
    from planfold.cli.reason_text import ledger_lines
    from planfold.cli.terminal import Paper, print_json

    async def stats() -> None:
        import msgspec

        async with existing_app(db) as app:
            found = await latest_plan(app, plan_id)
            ledger = await app.ledger(found)
            state = (await app.planner(found)).state
        if as_json:
            print_json(msgspec.to_builtins(ledger))
        else:
            paper = Paper()
            paper.lines(ledger_lines(ledger, state, paper.width))

    run_async(stats())
    return COMPLETED
