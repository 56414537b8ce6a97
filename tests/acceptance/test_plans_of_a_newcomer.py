"""Thirty plans that were written from the documentation alone, before any was tried: all compile,
and those that need nothing but this folder run as their author meant."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

from planfold.app import App, open_app
from planfold.cli.checked_plan import checked_plan
from planfold.planner.tasks import TaskSpec
from planfold.readmodels.plan_view import PlanView

PLANS = Path(__file__).with_name("newcomer")
FILES = sorted(path.name for path in PLANS.glob("[0-9][0-9]_*") if path.suffix != ".py")
PROGRAMS = sorted(path.name for path in PLANS.glob("[0-9][0-9]_*.py"))
VALUES: dict[str, dict[str, str]] = {
    "06_regions.yaml": {"version": "1.2"},
    "07_release.md": {"version": "1.2"},
    "23_token.md": {"version": "1.2"},
    "30_onboarding.json": {"name": "Eve", "projects": '["a", "b"]'},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the plans, as the current folder."""
    there = tmp_path / "plans"
    shutil.copytree(PLANS, there)
    monkeypatch.chdir(there)
    monkeypatch.syspath_prepend(there)
    return there


def test_there_are_thirty() -> None:
    assert len(FILES) + len(PROGRAMS) == 30


async def test_each_of_them_compiles(folder: Path) -> None:
    specs: dict[str, tuple[TaskSpec, ...]] = {}
    async with open_app("sqlite:///:memory:") as app:
        for name in FILES:
            checked = checked_plan(name, VALUES.get(name, {}), app.executors)
            specs[name] = checked.begin.tasks
    assert {name: len(tasks) for name, tasks in specs.items() if len(tasks) < 2} == {}
    tasks = [task for each in specs.values() for task in each]
    used = {
        "when": sum(task.when is not None for task in tasks),
        "run_if": sum(task.run_if != "completed" for task in tasks),
        "for_each": sum(task.for_each is not None for task in tasks),
        "wait": sum(task.wait is not None and task.wait.plan is None for task in tasks),
        "plan": sum(task.wait is not None and task.wait.plan is not None for task in tasks),
        "undo": sum(task.undo is not None for task in tasks),
        "limits": sum(task.limits != () for task in tasks),
        "stall_timeout": sum(task.stall_timeout is not None for task in tasks),
    }
    assert min(used.values()) >= 3, used


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_programs_run(name: str, folder: Path) -> None:
    runpy.run_path(str(folder / name), run_name="__main__")


async def run(app: App, name: str, *answers: str) -> PlanView:
    """The plan as it ends, with its questions answered in this order."""
    draft = checked_plan(name, VALUES.get(name, {}), app.executors).draft
    assert draft is not None
    plan_id = await app.submit(draft, approved_by="ann")
    left = list(answers)
    async with app.worker(plan_id=plan_id, drain_s=0):
        async for envelope in app.watch(plan_id):
            if envelope.event_type == "ClarificationRequested":
                await app.answer(plan_id, envelope.event.task_id, left.pop(0), by="ann")
        return await app.result(plan_id)


async def test_those_that_can_run_here_do_what_is_meant(folder: Path) -> None:
    async with open_app("sqlite:///:memory:") as app:
        plan = await run(app, "03_channels.yaml", "final")
        assert plan.task("announce").result == "sent to all@example.com"
        plan = await run(app, "05_invoices.md")
        assert plan.task("report").result.startswith("2 posted; 1 of 3 items did not complete")
        plan = await run(app, "07_release.md")
        assert plan.tasks[2].result["stdout"] == "eu is up and us is up"
        plan = await run(app, "16_buckets.json")
        assert plan.status == "completed"
        plan = await run(app, "18_branch.yaml")
        assert plan.task("join").result["stdout"].strip() == "imported csv"
        plan = await run(app, "20_large_invoices.yaml", "post all")
        assert plan.task("summary").result.startswith("2 posted")
        plan = await run(app, "25_rollout.yaml")
        assert plan.status == "completed"
        await app.signal("payment.settled", "order-17", {"amount": 12}, id="1")
        plan = await run(app, "08_payment.json")
        assert plan.task("ship").result == "shipped order-17"
        assert plan.task("remind").status == "skipped"
        plan = await run(app, "15_saga.yaml", "undo")
        assert (plan.status, plan.task("bucket").undone) == ("failed", True)
