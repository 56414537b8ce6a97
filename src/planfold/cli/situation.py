"""``Situation``: a plan as its log says, and the workers that its tasks wait for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from planfold.cli.terminal import clean
from planfold.runtime.occurrences import ScheduledBy, scheduled_by

if TYPE_CHECKING:
    from datetime import datetime

    from planfold.readmodels.plan_fold import PlanFold
    from planfold.runtime.forking import PlanForking

NO_TASKS: Final[Mapping[int, str]] = MappingProxyType({})
NO_TIMES: Final[Mapping[int, float]] = MappingProxyType({})


class Situation(NamedTuple):
    """A plan and the workers of its tasks: ``unclaimed`` are queued tasks, each with what it waits
    for in words; ``claimed_at`` is when a worker claimed the other dispatched tasks; ``attended``
    says whether a live worker continues the plan. ``then``: the time of the state, in seconds since
    the epoch (None: the present). ``schedule`` submitted it, if any."""

    fold: PlanFold
    unclaimed: Mapping[int, str]
    attended: bool
    then: float | None = None
    schedule: ScheduledBy | None = None
    claimed_at: Mapping[int, float] = NO_TIMES


async def situation_of(
    app: PlanForking, plan_id: str, at: int | datetime | None = None
) -> Situation:
    """The plan as it is now, or as it was ``at`` a version or a time. Raises NotFound,
    CorruptLog."""
    fold = await app.fold(plan_id, at)
    tagged = any(tag.startswith("schedule=") for tag in fold.state.tags)
    schedule = await scheduled_by(app.store, plan_id) if tagged else None
    if at is not None:
        then = fold.state.updated_at if isinstance(at, int) else at.timestamp()
        return Situation(fold, NO_TASKS, False, then, schedule)
    found = await app.unclaimed(plan_id, fold.state)
    words = {task_id: clean(text) for task_id, text in found.tasks.items()}
    return Situation(fold, words, found.attended, None, schedule, found.claimed_at)
