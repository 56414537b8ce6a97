"""Plans that nobody wrote for us run in their order. ``make bench`` runs all 799 of them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.asynchow import load_plans, run_plans, summary

EVERY = 16  # the sample that `make test` runs: every sixteenth plan
AT_ONCE = 8


async def test_a_sample_of_real_plans_keeps_every_order(shared_data: Path, tmp_path: Path) -> None:
    plans = load_plans(shared_data / "asynchow_dev.jsonl")
    assert len(plans) == 799
    sample = plans[::EVERY]
    runs = await run_plans(sample, folder=tmp_path, at_once=AT_ONCE)
    print(summary(runs))  # noqa: T201 - how long it takes is told, not tested
    assert [violation for run in runs for violation in run.violations] == []
    assert len(runs) == len(sample) == 50


async def test_no_plan_is_quicker_than_its_critical_path(shared_data: Path, tmp_path: Path) -> None:
    plans = load_plans(shared_data / "asynchow_dev.jsonl")[:8]
    runs = await run_plans(plans, folder=tmp_path, critical_path_s=0.05, at_once=AT_ONCE)
    assert all(run.ratio >= 0.99 for run in runs)  # the system's clock is not its timer
