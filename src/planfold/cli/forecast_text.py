"""The forecast of a plan, before it runs: from the newest plans that have ended."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from planfold.cli.preview import fact_lines
from planfold.cli.terminal import Line, counted, duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planfold.app import App
    from planfold.planner.tasks import TaskSpec
    from planfold.readmodels.forecast import Forecast

PLANS: Final = 100  # that are looked at,
EVENTS: Final = 3_000  # and that are read of them: people wait for it


async def forecast_of(app: App, title: str, specs: Sequence[TaskSpec]) -> Forecast | None:
    """None where no run is like it. Plans with this title are read first, then the newest."""
    from planfold.errors import PlanfoldError
    from planfold.planner.tasks import PlanStatus
    from planfold.readmodels.forecast import PastRuns
    from planfold.readmodels.timeline import Timeline

    runs, left = PastRuns(), EVENTS
    with suppress(PlanfoldError):  # a plan is shown without it
        ended = await app.plans(limit=PLANS, statuses=[PlanStatus.Completed, PlanStatus.Failed])
        for head in sorted(ended, key=lambda head: head.head.get("title") != title):
            if head.version > left:
                continue
            left -= head.version
            with suppress(PlanfoldError):
                timeline, events = Timeline(head.aggregate_id), []
                async for envelope in app.history(head.aggregate_id):
                    timeline.apply(envelope)
                    events.append(envelope.event)
                runs.add(timeline, events)
    return runs.forecast(title, specs)


def forecast_lines(found: Forecast | None, width: int) -> list[Line]:
    """ "Forecast: p50 12 s, p95 40 s (from 14 runs ...)"; empty where there is none."""
    if found is None:
        return []
    text = f"p50 {duration(found.seconds_p50)}, p95 {duration(found.seconds_p95)}"
    if found.cost_p95:
        text += f"; cost p50 ${found.cost_p50:.4f}, p95 ${found.cost_p95:.4f}"
    what = "of plans with this title" if found.by_title else "of tasks with the same tools"
    text += f" (from {counted(found.runs, 'run')} {what}, without waits for people"
    if found.unknown:
        text += f"; {counted(found.unknown, 'task')} without a run"
    return fact_lines({"Forecast": text + ")"}, width)


def forecast_json(found: Forecast | None) -> dict[str, Any]:
    """What ``planfold plan --json`` adds."""
    import msgspec

    return {"forecast": None if found is None else msgspec.structs.asdict(found)}
