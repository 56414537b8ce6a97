"""Short ways to write plans and executors for the worker's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import planfold
from planfold.app import App
from planfold.eventstore.envelope import Query
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.registry import Executors
from planfold.planner.tasks import NodeKind
from testbed.patience import PATIENCE_S

PLAN_ID = "p"
Until = Callable[[Callable[[], object]], Awaitable[None]]


def task(tool: str, **rest: Any) -> planfold.TaskDraft:
    return planfold.TaskDraft(description=rest.pop("description", tool), tool=tool, **rest)


async def submit(app: App, *tasks: planfold.TaskDraft, plan_id: str = PLAN_ID) -> str:
    draft = planfold.PlanDraft(title="a plan", tasks=list(tasks))
    return await app.submit(draft, plan_id=plan_id, approved_by="test")


async def finish(
    app: App, plan_id: str = PLAN_ID, *, patience: float = PATIENCE_S
) -> planfold.PlanView:
    """Work until the plan has ended or waits for a person."""
    async with asyncio.timeout(patience):
        return await app.run(plan_id)


async def events(app: App, name: str, plan_id: str = PLAN_ID) -> list[Any]:
    return [e.event for e in await app.store.read(Query(None, name, plan_id))]


async def running(app: App, number: int = 1, plan_id: str = PLAN_ID) -> bool:
    return (await app.view(plan_id)).task(number).status == "running"


async def completed(app: App, number: int, plan_id: str = PLAN_ID) -> bool:
    return (await app.view(plan_id)).task(number).status == "completed"


class Served:
    """An executor made of a function, which sees what a worker gives it."""

    def __init__(self, function: Callable[[TaskContext], Awaitable[Outcome]]) -> None:
        self._function = function

    async def execute(self, context: TaskContext) -> Outcome:
        return await self._function(context)


def processing(function: Callable[[TaskContext], Awaitable[Outcome]]) -> Executors:
    """Executors that serve tasks without a tool, and nothing else."""
    executors = Executors()
    executors.add(Served(function), kind=NodeKind.Processing)
    return executors


async def ghost(app: App, owner: str = "ghost") -> None:
    """Lease all that waits to a worker whose death cannot be noticed."""
    await app.store.queue.claim(owner, 99)
