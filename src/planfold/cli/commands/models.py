"""``replan`` and ``budget``: plans that a language model makes, and what they may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import command, json_option, plan_argument

if TYPE_CHECKING:
    from planfold.planner.budget import Budget
    from planfold.planner.state import PlannerState


@command("replan")
@click.argument("words", nargs=-1, metavar="[ID] REASON")
@json_option("the plan")
def replan_command(words: tuple[str, ...], as_json: bool, db: str | None) -> int:
    """Let the model replan tasks that have not started; finished tasks stay.

    `resume` or a worker then asks the model, and shows what it would change before it is approved.
    ID may be left out where only one plan is not completed.

    \b
    planfold replan plan-3f9a "the staging server is gone, use the new one"
    planfold resume plan-3f9a
    """
    from planfold.cli.access import plan_in, plans_at, run_async
    from planfold.cli.commands.decisions import tell

    if not words or len(words) > 2:
        raise click.UsageError('say why, in quotes: planfold replan [ID] "REASON"')

    async def replan() -> int:
        async with plans_at(db) as app:
            found = await plan_in(app, words, 'say why, in quotes: planfold replan {} "REASON"')
            await app.replan(found, words[-1])
            said = "The model will replan it; nothing new starts until you approve the new plan"
            return await tell(app, found, said, as_json=as_json, db=db)

    return run_async(replan())


def read_budget(words: tuple[str, ...]) -> Budget:
    """``tokens=20000,cost=0.5`` as a budget. Raises click.BadParameter."""
    import msgspec

    from planfold.choices import fault_and_place
    from planfold.planner.budget import Budget

    known = Budget.__struct_fields__
    amounts: dict[str, Any] = {}
    for word in (part for text in words for part in text.split(",")):
        name, _, number = word.strip().partition("=")
        if name not in known or not number:
            raise click.BadParameter(f"{word!r}: write NAME=NUMBER; names: {', '.join(known)}")
        amounts[name] = number.replace("_", "")
    try:
        budget = msgspec.convert(amounts, Budget, strict=False)
    except msgspec.ValidationError as fault:
        name = fault_and_place(fault, Budget)[1]
        kind = "a whole number" if name in ("tokens", "calls", "tasks") else "a number"
        raise click.BadParameter(f"{name} must be {kind}, not {amounts[name]!r}") from None
    for name in known:
        amount = getattr(budget, name)
        if amount is not None and not 0 < amount < 1e15:
            raise click.BadParameter(f"{name} must be above 0 and less than 1e15")
    return budget


@command("budget")
@plan_argument
@click.option(
    "--add",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Raise a limit; tasks that wait for it continue.",
)
@json_option("what is spent, reserved and allowed")
def budget_command(plan_id: str | None, add: tuple[str, ...], as_json: bool, db: str | None) -> int:
    """Show what a plan has spent on models, or let it spend more.

    Limits: tokens, cost (US dollars), calls (of models and of agents' tools), seconds (of those
    calls), tasks (that a model proposed). --add raises a limit; it cannot introduce one. A task
    that the budget stopped continues where it was.

    \b
    planfold budget plan-3f9a
    planfold budget plan-3f9a --add tokens=20000 --add cost=0.50
    """
    from planfold.cli.access import latest_plan, person, plans_at, run_async
    from planfold.cli.terminal import Paper, print_json

    more = read_budget(add) if add else None

    async def budget() -> int:
        async with plans_at(db) as app:
            found = await latest_plan(app, plan_id)
            if more is not None:
                await app.add_budget(found, more, by=person())
            state = (await app.planner(found)).state
            if as_json:
                print_json({"id": found, **_budget_json(state)})
                return COMPLETED
            Paper().lines([[(found, "dim")], *([(line, "")] for line in _budget_lines(state))])
            return COMPLETED

    return run_async(budget())


def _budget_json(state: PlannerState) -> dict[str, Any]:
    import msgspec

    amounts = {"spent": state.spent, "reserved": state.reserved, "budget": state.budget}
    return {name: msgspec.structs.asdict(amount) for name, amount in amounts.items()}


def _budget_lines(state: PlannerState) -> list[str]:
    from planfold.cli.amount_text import budget_words, spent_words

    return [
        f"spent:     {spent_words(state.spent) or 'nothing'}",
        f"reserved:  {spent_words(state.reserved) or 'nothing'}",
        f"allowed:   {budget_words(state.budget) or 'unlimited (no budget set)'}",
    ]
