"""The forecast of a plan, before it runs: from the newest plans that have ended."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from planfold.errors import PlanfoldError
from planfold.planner.tasks import PlanStatus, TaskSpec
from planfold.readmodels.forecast import Forecast, PastRuns
from planfold.readmodels.timeline import Timeline
from planfold.runtime.plan_reader import PlanReader

PLANS: Final = 100  # that are looked at,
EVENTS: Final = 3_000  # and that are read of them: people wait for it
_ENDS: Final = (PlanStatus.Completed, PlanStatus.Failed)


async def forecast_of(
    reader: PlanReader, title: str, specs: Sequence[TaskSpec], projects: tuple[str, ...] = ()
) -> Forecast | None:
    """The forecast from plans of these projects (none given: of all projects). None if no earlier
    run is similar. Plans with this title are read first, then the newest."""
    runs, left = PastRuns(), EVENTS
    with suppress(PlanfoldError):  # a plan is shown without it
        ended = await reader.plans(limit=PLANS, statuses=_ENDS, projects=projects)
        for head in sorted(ended, key=lambda head: head.head.get("title") != title):
            if head.version > left:
                continue
            left -= head.version
            with suppress(PlanfoldError):
                timeline, events = Timeline(head.aggregate_id), []
                async for envelope in reader.history(head.aggregate_id):
                    timeline.apply(envelope)
                    events.append(envelope.event)
                runs.add(timeline, events)
    return runs.forecast(title, specs)
