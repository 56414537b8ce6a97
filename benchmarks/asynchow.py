"""Real how-to plans (AsyncHow) through the real runtime: is every order kept, and how close is
the makespan to the critical path?

Durations are scaled, plan by plan, so that the critical path takes a fifth of a second; a task
sleeps for its share. ``python -m benchmarks.asynchow [FILE]`` runs all of them, or
the sample of 50 where the whole data set is not beside the repository.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles

import msgspec

import planfold
from planfold import PlanDraft, PlanView, TaskDraft

ROOT = Path(__file__).resolve().parent.parent
WHOLE = ROOT.parent / "shared/data/asynchow_dev.jsonl"
SAMPLE = ROOT / "tests/data/asynchow_dev.jsonl"
DATA = WHOLE if WHOLE.exists() else SAMPLE
CRITICAL_PATH_S = 0.2
AT_ONCE = 2  # plans; more would get in each other's way on a small machine


class HowToTask(msgspec.Struct, frozen=True):
    id: int
    description: str
    seconds: float
    depends_on: tuple[int, ...]


class HowTo(msgspec.Struct, frozen=True):
    """A plan as the data set has it; ``critical_path_seconds`` is the least time it can take."""

    id: int
    title: str
    tasks: tuple[HowToTask, ...]
    critical_path_seconds: float


class PlanRun(msgspec.Struct, frozen=True):
    """How one plan went. ``makespan_s`` is from when it was recorded until its end was, as the
    log says; ``violations`` name every task that began before one it depends on had ended."""

    plan: HowTo
    critical_path_s: float
    makespan_s: float
    violations: tuple[str, ...]

    @property
    def ratio(self) -> float:
        return self.makespan_s / self.critical_path_s


def load_plans(path: Path = DATA) -> list[HowTo]:
    decoder = msgspec.json.Decoder(HowTo)
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


class Stopwatch:
    """A tool that sleeps, and remembers when (seconds of the loop's clock)."""

    def __init__(self) -> None:
        self.times: dict[tuple[str, int], tuple[float, float]] = {}

        @planfold.tool(effect="safe")
        async def spend(seconds: float, context: planfold.TaskContext) -> None:
            begun = time.perf_counter()
            await asyncio.sleep(seconds)
            self.times[context.plan_id, context.task.id] = (begun, time.perf_counter())

        self.tool = spend


async def run_plans(
    plans: Sequence[HowTo],
    *,
    folder: Path,
    critical_path_s: float = CRITICAL_PATH_S,
    at_once: int = AT_ONCE,
) -> list[PlanRun]:
    """Run ``plans`` on one database in ``folder``, a few at a time; answers in their order."""
    watch = Stopwatch()
    free = asyncio.Semaphore(at_once)
    database = f"sqlite:///{folder}/asynchow.db"
    async with planfold.open_app(database, tools=[watch.tool]) as app, app.worker():

        async def run(plan: HowTo) -> PlanRun:
            async with free:
                scale = critical_path_s / plan.critical_path_seconds
                plan_id = await app.submit(_draft(plan, scale), approved_by="benchmark")
                view = await app.result(plan_id)
            makespan = view.updated_at - view.created_at
            violations = tuple(_violations(plan, view, watch))
            return PlanRun(plan, critical_path_s, makespan, violations)

        return list(await asyncio.gather(*map(run, plans)))


def _draft(plan: HowTo, scale: float) -> PlanDraft:
    return PlanDraft(
        title=plan.title,
        tasks=[
            TaskDraft(
                id=task.id,
                description=task.description,
                tool="spend",
                arguments={"seconds": task.seconds * scale},
                depends_on=list(task.depends_on),
            )
            for task in plan.tasks
        ],
    )


def _violations(plan: HowTo, view: PlanView, watch: Stopwatch) -> Iterator[str]:
    if view.status != "completed":
        yield f"plan {plan.id} is {view.status.value}"
        return
    for task in plan.tasks:
        begun, _ = watch.times[view.id, task.id]
        started = view.task(task.id).started_at
        for parent in task.depends_on:
            _, ended = watch.times[view.id, parent]
            finished = view.task(parent).finished_at
            if begun < ended or started is None or finished is None or started < finished:
                yield f"plan {plan.id}: task {task.id} began before task {parent} had ended"


def summary(runs: Sequence[PlanRun]) -> str:
    """What is printed: how many, whether every order was kept, and how long they took."""
    ratios = [run.ratio for run in runs if run.critical_path_s >= CRITICAL_PATH_S]
    violations = [v for run in runs for v in run.violations]
    p95 = quantiles(ratios, n=20)[-1] if len(ratios) > 1 else ratios[0]
    return "\n".join(
        [
            f"AsyncHow: {len(runs)} plans, {sum(len(r.plan.tasks) for r in runs)} tasks, "
            f"{len(violations)} orders violated; makespan / critical path of "
            f"{CRITICAL_PATH_S * 1000:.0f} ms: median {median(ratios):.3f}, p95 {p95:.3f}",
            *violations[:20],
        ]
    )


def main(path: Path = DATA) -> bool:
    """Run all plans and print the summary; False when an order was violated."""
    with tempfile.TemporaryDirectory() as folder:
        runs = asyncio.run(run_plans(load_plans(path), folder=Path(folder)))
    print(summary(runs))
    return not any(run.violations for run in runs)


if __name__ == "__main__":
    sys.exit(not main(*map(Path, sys.argv[1:2])))
