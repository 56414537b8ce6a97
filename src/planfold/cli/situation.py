"""``Situation``: a plan as its log says, and the workers that its tasks wait for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from planfold.cli.terminal import clean, counted
from planfold.eventstore.envelope import Query
from planfold.readmodels.plan_view import PlanFold

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.eventstore.queue import Lease, WorkerRecord

NO_TASKS: Final[Mapping[int, str]] = MappingProxyType({})


class Situation(NamedTuple):
    """A plan and the workers of its tasks: ``unclaimed`` are waiting tasks, each with the reason
    in words; ``attended`` says whether a live worker holds any task."""

    fold: PlanFold
    unclaimed: Mapping[int, str]
    attended: bool


async def situation_of(app: App, plan_id: str) -> Situation:
    """Raises NotFound, CorruptLog."""
    fold = PlanFold(plan_id)
    await app.status(plan_id)
    for envelope in await app.store.read(Query(aggregate_id=plan_id)):
        fold.apply(envelope)
    return Situation(fold, *await holders(app, plan_id))


async def holders(app: App, plan_id: str) -> tuple[dict[int, str], bool]:
    """Tasks that wait for a worker with what they wait for, and whether a living worker holds
    any."""
    rows = await app.store.queue.queued(plan_id)
    owners = {row.owner for row in rows if row.owner}
    dead = await app.store.queue.dead(owners)
    free = [row for row in rows if row.owner is None or row.owner in dead]
    workers = await app.store.queue.workers() if free else []
    unclaimed = {row.task_id: _missing(workers, row) for row in free}
    return unclaimed, bool(owners - dead)


def _missing(workers: Sequence[WorkerRecord], row: Lease) -> str:
    if any(worker.serves(row.route, row.tool, row.aggregate_id) for worker in workers):
        return "a worker"
    if not workers:
        return f"a worker for {clean(row.route)}"
    here = counted(len(workers), "worker")
    if any(worker.serves(row.route, plan_id=row.aggregate_id) for worker in workers):
        return f"a worker with tool {clean(row.tool)}: {here} running, none of them has it"
    return f"a worker for {clean(row.route)}: {here} running, none of them serves it"
