"""The forecast of a plan, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planfold.cli.preview import fact_lines
from planfold.cli.terminal import Line, counted, duration

if TYPE_CHECKING:
    from planfold.readmodels.forecast import Forecast


def forecast_lines(found: Forecast | None, width: int) -> list[Line]:
    """ "Forecast: p50 12 s, p95 40 s (from 14 runs ...)"; empty where there is none."""
    if found is None:
        return []
    text = f"p50 {duration(found.seconds_p50)}, p95 {duration(found.seconds_p95)}"
    if found.cost_p95:
        text += f"; cost p50 ${found.cost_p50:.4f}, p95 ${found.cost_p95:.4f}"
    what = "of plans with this title" if found.by_title else "of tasks with the same tools"
    text += f" (from {counted(found.runs, 'run')} {what}, without waits for people or a worker"
    if found.unknown:
        text += f"; {counted(found.unknown, 'task')} without a run"
    return fact_lines({"Forecast": text + ")"}, width)


def forecast_json(found: Forecast | None) -> dict[str, Any]:
    """What ``planfold plan --json`` adds."""
    import msgspec

    return {"forecast": None if found is None else msgspec.structs.asdict(found)}
