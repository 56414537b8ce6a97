"""``Situation``: a plan as its log says, and the workers that its tasks wait for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from planfold.cli.terminal import clean
from planfold.eventstore.envelope import Query
from planfold.readmodels.plan_fold import PlanFold
from planfold.readmodels.workers import look_at_queue, missing_worker

if TYPE_CHECKING:
    from planfold.app import App

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
    look, tasks = await look_at_queue(app.store.queue, plan_id), fold.state.tasks
    unclaimed = {
        row.task_id: clean(missing_worker(look, row, tasks[row.task_id].spec))
        for row in look.free
        if row.task_id in tasks
    }
    return Situation(fold, unclaimed, look.attended)
