"""Plans that others wrote run in their order. ``make bench`` runs all 799 of them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.asynchow import load_plans, run_plans, summary

AT_ONCE = 8


async def test_a_sample_of_real_plans_keeps_every_order(samples: Path, tmp_path: Path) -> None:
    plans = load_plans(samples / "asynchow_dev.jsonl")
    runs = await run_plans(plans, folder=tmp_path, at_once=AT_ONCE)
    print(summary(runs))  # noqa: T201 - how long it takes is printed, not tested
    assert [violation for run in runs for violation in run.violations] == []
    assert len(runs) == len(plans) == 50


async def test_no_plan_is_quicker_than_its_critical_path(samples: Path, tmp_path: Path) -> None:
    plans = load_plans(samples / "asynchow_dev.jsonl")[:8]
    runs = await run_plans(plans, folder=tmp_path, critical_path_s=0.05, at_once=AT_ONCE)
    assert all(run.ratio >= 0.99 for run in runs)  # the system's clock is not its timer
