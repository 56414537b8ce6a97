"""Tasks per second of three plan shapes with tools that do nothing: what is left is planfold.

``python -m benchmarks.throughput`` prints one JSON line, for use under a slowed-down fsync.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from pathlib import Path

import uvloop

import planfold
from benchmarks.raw import commits_per_second
from benchmarks.report import interleaved
from planfold import PlanDraft, TaskDraft

TITLES = {
    "chain": "chain of 100 safe tasks",
    "once": "chain of 100 once tasks",
    "independent": "100 independent and a join",
    "many": "100 plans x 10",
}
SHAPES = tuple(TITLES)


@planfold.tool(effect="safe")
async def noop() -> None:
    """Does nothing."""


@planfold.tool(effect="once")
async def effect() -> None:
    """Does nothing, but must not do it twice."""


def chain(length: int, tool: str = "noop") -> PlanDraft:
    """Every task waits for the one before it."""
    return PlanDraft(
        title="chain",
        tasks=[
            TaskDraft(description=f"task {i}", tool=tool, depends_on=[i - 1] if i > 1 else [])
            for i in range(1, length + 1)
        ],
    )


def independent(width: int) -> PlanDraft:
    """``width`` tasks that wait for nothing, and one that waits for all of them."""
    tasks = [TaskDraft(description=f"task {i}", tool="noop") for i in range(1, width + 1)]
    join = TaskDraft(description="join", tool="noop", depends_on=list(range(1, width + 1)))
    return PlanDraft(title="independent", tasks=[*tasks, join])


def plans_of(shape: str, size: int = 100) -> list[PlanDraft]:
    if shape == "chain":
        return [chain(size)]
    if shape == "once":
        return [chain(size, "effect")]
    if shape == "independent":
        return [independent(size)]
    return [chain(10) for _ in range(size)]


async def tasks_per_second_on(
    address: str, shape: str, *, size: int = 100, warm: bool = False
) -> float:
    """From the approval of the plans to the last result. ``warm``: the worker has run before, so
    that connections are open and the server has planned its statements."""
    drafts = plans_of(shape, size)
    async with planfold.open_app(address, tools=[noop, effect]) as app:
        plan_ids = [await app.submit(draft) for draft in drafts]
        async with app.worker(concurrency=128):
            if warm:
                await app.result(await app.submit(chain(10), approved_by="bench"))
            begun = time.perf_counter()
            await asyncio.gather(*(app.approve(plan_id) for plan_id in plan_ids))
            views = await asyncio.gather(*(app.result(plan_id) for plan_id in plan_ids))
            took = time.perf_counter() - begun
        assert all(view.status == "completed" for view in views)
        return sum(len(view.tasks) for view in views) / took


def tasks_per_second(folder: Path, shape: str, size: int = 100) -> float:
    """The same in a fresh SQLite database, as ``planfold worker`` runs."""
    path = folder / f"{shape}-{time.monotonic_ns()}.db"
    gc.freeze()
    try:
        return uvloop.run(tasks_per_second_on(f"sqlite:///{path}", shape, size=size))
    finally:
        gc.unfreeze()


def main() -> None:
    rounds, commits = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory(dir=sys.argv[3]) as name:
        folder = Path(name)
        results = {
            shape: interleaved(
                lambda shape=shape: tasks_per_second(folder, shape),
                lambda: commits_per_second(folder, commits),
                rounds,
            )
            for shape in SHAPES
        }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
