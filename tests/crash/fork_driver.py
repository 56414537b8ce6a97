"""The program that is killed while it forks a plan that has ended, and works on the fork."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from failpoints import Failpoints

import planfold
from planfold.app import open_app

PLAN_ID = "p"
DRAFT = planfold.PlanDraft(
    title="origin",
    tasks=[
        planfold.TaskDraft(label="go", description="Which way?", choices=["left", "right"]),
        planfold.TaskDraft(label="walk", description="walk", tool="walk", arguments={"way": "$go"}),
        planfold.TaskDraft(label="look", description="look", tool="walk", arguments={"way": "up"}),
    ],
)


@planfold.tool(effect="safe")
async def walk(way: str) -> str:
    return f"went {way}"


def _opened(folder: Path) -> Any:
    return open_app(f"sqlite:///{folder}/plans.db", tools=[walk])


async def _begin(folder: Path) -> None:
    async with _opened(folder) as app:
        await app.submit(DRAFT, plan_id=PLAN_ID, approved_by="driver")
        await app.run(PLAN_ID)
        await app.answer(PLAN_ID, "go", "left")
        await app.run(PLAN_ID)


async def _fork(folder: Path) -> str:
    async with _opened(folder) as app:
        fork = await app.fork(PLAN_ID, answers={"go": "right"}, by="driver")
        view = await app.run(fork.plan_id)
        result: str = view.task("walk").result
        return result


def begin(job: dict[str, Any]) -> dict[str, Any]:
    """A plan that has ended."""
    asyncio.run(_begin(Path(job["folder"])))
    return {}


def fork(job: dict[str, Any]) -> dict[str, Any]:
    """Fork it and run the fork; returns what came out and the points that were passed."""
    points = Failpoints(job.get("kill_at"))
    points.watch_database()
    result = asyncio.run(_fork(Path(job["folder"])))
    return {"result": result, "points": points.names}


PROGRAMS = {"begin": begin, "fork": fork}
