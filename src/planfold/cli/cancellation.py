"""Completes a cancellation, also without a live worker that could report it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from planfold.app import App as Application
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.registry import Executors
from planfold.planner.commands import TaskFailed
from planfold.planner.tasks import Task, TaskSpec, TaskStatus
from planfold.readmodels.labels import name_of

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.runtime.forking import PlanForking

PATIENCE_S: Final = 12.0  # for other workers: TERM, a grace of 10 s, KILL
_MANY: Final = 10_000


class _NeverRuns:
    """The executor of a cancelled task. It never runs: the worker refuses to start the task."""

    async def execute(self, context: TaskContext) -> Outcome:
        return TaskFailed("cancelled before it began", retryable=False)


class _OnlyCancelled(Executors):
    """Reports the cancelled tasks, and releases all others unstarted."""

    def __init__(self, doomed: frozenset[int]) -> None:
        super().__init__()
        self._doomed = doomed

    def for_task(self, spec: TaskSpec) -> _NeverRuns | None:
        return _NeverRuns() if spec.id in self._doomed else None

    def routes(self) -> frozenset[str] | None:
        return None


async def still_running(plans: PlanForking, plan_id: str) -> list[str]:
    """The names of the tasks that were asked to stop and still run: of a database after a wait, see
    :func:`settle`. A service has workers of its own."""
    if isinstance(plans, Application):
        return await settle(plans, plan_id)
    return [name_of(task.spec) for task in await _stopping(plans, plan_id)]


async def settle(app: App, plan_id: str) -> list[str]:
    """Wait until the tasks that were asked to stop have stopped; tasks of dead workers, or of no
    worker, are ended here. Returns the names of those that still run after the wait."""
    stopping = await _stopping(app, plan_id)
    if not stopping:
        return []
    own = Application(app.store, _OnlyCancelled(frozenset(t.id for t in stopping)), app.settings)
    app.store.watch_other_processes()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    async with own.worker(plan_id=plan_id, concurrency=_MANY):
        while loop.time() < deadline:
            ticket = app.store.wakeup.ticket()
            stopping = await _stopping(own, plan_id)  # its dispatcher knows what was written here
            if not stopping:
                return []
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await ticket.wait()
    return [name_of(task.spec) for task in stopping]


async def _stopping(app: PlanForking, plan_id: str) -> list[Task]:
    tasks = (await app.planner(plan_id)).state.tasks.values()
    return [t for t in tasks if t.status is TaskStatus.Running and t.stopping]
