"""Invoices: a list that is known at run time, approval above a limit, each posted exactly once.

``python invoices.py`` posts what is in ``invoices.json`` to the ledger ``ledger.db`` and asks in
the terminal about large ones; ``python invoices.py yes`` approves them all. Kill it whenever you
like and run it again: no invoice is lost and none is posted twice.
"""

import asyncio
import json
import sqlite3
import sys
from pathlib import Path

import planfold
from planfold import Permanent, PlanDraft, TaskContext, TaskDraft

LIMIT = 1_000
Invoice = dict[str, str | int]


@planfold.tool(effect="safe")
def find() -> list[Invoice]:
    """The invoices of this month."""
    found: list[Invoice] = json.loads(Path("invoices.json").read_text(encoding="utf-8"))
    return found


@planfold.tool(effect="keyed")
async def post(number: str, total: int, context: TaskContext) -> str:
    """Post one invoice. A person decides about a large one; nothing is held while they think."""
    if total <= 0:
        raise Permanent(f"{number} has no total")
    if total > LIMIT:
        question = f"Pay {total} for {number}?"
        if await context.ask("approval", question, choices=["yes", "no"]) == "no":
            return "refused"
    await asyncio.to_thread(write, context.idempotency_key, number, total)
    return "posted"


def write(key: str, number: str, total: int) -> None:
    """An attempt after a crash has the same key, and the ledger has each key once."""
    with ledger() as entries:
        entries.execute("INSERT OR IGNORE INTO entries VALUES (?, ?, ?)", (key, number, total))


def ledger() -> sqlite3.Connection:
    entries = sqlite3.connect("ledger.db", timeout=30)
    entries.execute("CREATE TABLE IF NOT EXISTS entries (key PRIMARY KEY, number, total)")
    return entries


@planfold.tool(effect="safe")
def summary(outcomes: list[str | None], failures: str | None) -> dict[str, object]:
    """What happened to how many, and what failed."""
    return {
        "posted": outcomes.count("posted"),
        "refused": outcomes.count("refused"),
        "failed": outcomes.count(None),
        "failures": failures,
    }


PLAN = PlanDraft(
    title="Invoices",
    tasks=[
        TaskDraft(label="find", description="Find the invoices", tool="find"),
        TaskDraft(
            label="post",
            description="Post an invoice",
            tool="post",
            arguments={"number": "$item.number", "total": "$item.total"},
            for_each="$find",
            concurrency=10,
            on_item_failure="continue",
            item_label="$item.number",
        ),
        TaskDraft(
            label="summary",
            description="Sum up",
            tool="summary",
            arguments={"outcomes": "$post", "failures": "$post:error"},
        ),
    ],
)


async def main() -> None:
    given = sys.argv[1] if len(sys.argv) > 1 else ""
    async with planfold.open_app("sqlite:///plans.db", tools=[find, post, summary]) as app:
        plan_id = await app.submit(PLAN, plan_id="november", approved_by="accounting")
        plan = await app.run(plan_id)
        while plan.questions:
            for question in plan.questions:
                answer = given or await asyncio.to_thread(input, f"{question.question} yes or no: ")
                await app.answer(plan_id, question.task_id, answer, by="accounting")
            plan = await app.run(plan_id)
        print(plan.status, json.dumps(plan.task("summary").result))


if __name__ == "__main__":
    asyncio.run(main())
