"""``doctor --repair``: what a database derives from its log is derived again.

The log is not changed, except that a person is asked about a task of effect ``once`` that may have
begun. Everything is written at the version that was compared, or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from planfold.cli.access import existing_app
from planfold.cli.consistency import Difference, difference_of, repairs_of
from planfold.errors import Conflict
from planfold.eventstore.port import Append
from planfold.handler import QueueChange, Settle
from planfold.planner.commands import HandleExecutorEvent, OutcomeUnknown
from planfold.planner.events import TaskDispatched
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect
from planfold.runtime.aggregate import PLAN

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.eventstore.port import StreamHead

LOST: Final = "it was not in the task queue, so whether it began is not known"


async def repair(db: str | None) -> list[str]:
    """Repair every plan, and the task queue; says what was wrong."""
    repaired: list[str] = []
    for look in range(2):  # without its wrong snapshot a plan is compared again
        async with existing_app(db) as app:
            if not look:
                repaired += await _discard_orphans(app)
            for plan in await app.plans(limit=None):
                found = await difference_of(app, plan.aggregate_id)
                if isinstance(found, Difference) and (found.snapshot or look):
                    repaired += await _repair(app, plan, found)
    return repaired


async def _discard_orphans(app: App) -> list[str]:
    plans = sorted({row.aggregate_id for row in await app.store.queue.orphans()})
    for plan_id in plans:
        await app.store.queue.discard(plan_id)
    return [f"{plan_id}: its tasks were queued, and there is no such plan" for plan_id in plans]


async def _repair(app: App, plan: StreamHead, found: Difference) -> list[str]:
    if found.snapshot:
        found = replace(found, head=(), lost=(), extra=())
        await app.store.checkpoints.save_snapshot(plan.aggregate_id, found.version, None)
    try:
        await _derive_again(app, plan, found)
        for task in found.lost:
            if task.spec.effect is Effect.Once:
                await app.send(
                    plan.aggregate_id,
                    HandleExecutorEvent(
                        task.id, OutcomeUnknown(LOST), task.attempt, app.store.clock()
                    ),
                )
    except Conflict:  # it has moved on; what is still wrong is found by the next repair
        return []
    words = [words.partition(";")[0] for words in repairs_of(found)]
    return [f"{plan.aggregate_id}: {each}" for each in words]


async def _derive_again(app: App, plan: StreamHead, found: Difference) -> None:
    """Rebuild the head, and the rows of the task queue except those of effects that may have
    happened."""
    again = {t.id: t.attempt for t in found.lost if t.spec.effect is not Effect.Once}
    planner = Planner(found.state)
    queue: list[tuple[QueueChange, int]] = [(Settle(i), found.version) for i in found.extra]
    if again:
        async for envelope in app.history(plan.aggregate_id):
            event = envelope.event
            if isinstance(event, TaskDispatched) and again.get(event.task_id) == event.attempt:
                queue += [(row, envelope.version) for _, row in planner.outlook([event]).queue]
    if queue or found.head:
        outlook = planner.outlook()
        append = Append(
            stream_id=PLAN.stream_id,
            aggregate_id=plan.aggregate_id,
            expected_version=found.version,
            events=[],
            queue=queue,
            head=outlook.head or plan.head,
            due_at=plan.due_at if outlook.command is not None else outlook.due_at,
            now=plan.updated_at,
        )
        await app.store.append(append)
