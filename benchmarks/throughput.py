"""Tasks per second of four plan shapes with tools that do nothing: what is left is planfold.

``python -m benchmarks.throughput ROUNDS COMMITS PLACE`` prints one JSON line, for runs in a process
of their own: under a slowed-down fsync, or several of them. PLACE is a folder for SQLite databases,
or the address of a PostgreSQL database that has planfold's tables.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec
import uvloop

import planfold
from benchmarks.raw import commits_per_second
from benchmarks.report import Figure, compared, interleaved
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


class Rates(NamedTuple):
    """Tasks per second until the last result: from the approval of all plans, and from the
    submission of the first one."""

    approval: float
    submission: float


async def rates_on(address: str, shape: str, *, size: int = 100, warm: bool = False) -> Rates:
    """``warm``: the worker has run before, so that connections are open and the server has planned
    its statements."""
    drafts = plans_of(shape, size)
    async with planfold.open_app(address, tools=[noop, effect]) as app:
        begun = time.perf_counter()
        plan_ids = [await app.submit(draft) for draft in drafts]
        submission_s = time.perf_counter() - begun
        async with app.worker(concurrency=128):
            for _ in range(5 if warm else 0):  # until it has looked at all that it begins with
                await app.result(await app.submit(chain(10), approved_by="bench"))
            begun = time.perf_counter()
            await asyncio.gather(*(app.approve(plan_id) for plan_id in plan_ids))
            views = await asyncio.gather(*(app.result(plan_id) for plan_id in plan_ids))
            took = time.perf_counter() - begun
        assert all(view.status == "completed" for view in views)
        tasks = sum(len(view.tasks) for view in views)
        return Rates(tasks / took, tasks / (submission_s + took))


def rates(folder: Path, shape: str, size: int = 100) -> Rates:
    """The same in a fresh SQLite database, as ``planfold worker`` runs."""
    path = folder / f"{shape}-{time.monotonic_ns()}.db"
    gc.freeze()
    try:
        return uvloop.run(rates_on(f"sqlite:///{path}", shape, size=size))
    finally:
        gc.unfreeze()


class Outcome(NamedTuple):
    """Of one shape: rates (medians), and their limit; ``ratio`` is that of the rate from the
    approval."""

    rates: Rates
    limit: float
    ratio: float
    spread: tuple[float, float]


def outcome(pairs: Sequence[tuple[Rates, float]]) -> Outcome:
    """``pairs``: rates, and the limit just before."""
    approval, limit, ratio, spread = compared([(found.approval, bound) for found, bound in pairs])
    return Outcome(
        Rates(approval, median(found.submission for found, _ in pairs)), limit, ratio, spread
    )


def figure(name: str, found: Outcome, limit: str, target: float) -> Figure:
    """``limit`` is what ``found.limit`` counts."""
    value = f"{found.rates.approval:,.0f} tasks/s ({found.rates.submission:,.0f} from submission)"
    what = f"{found.limit:,.0f} {limit}"
    return Figure(name, value, what, found.ratio, target, spread=found.spread)


def outcome_on_sqlite(
    folder: Path, shape: str, rounds: int, *, size: int = 100, commits: int = 1_000
) -> Outcome:
    """Rates of a shape and raw commits, in turn."""
    return outcome(
        interleaved(
            lambda: rates(folder, shape, size), lambda: commits_per_second(folder, commits), rounds
        )
    )


def main() -> None:
    rounds, commits, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if place.startswith("postgresql:"):
        from benchmarks.postgres.throughput import outcomes

        found = asyncio.run(outcomes(place, rounds, commits))
    else:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            found = {
                shape: outcome_on_sqlite(Path(folder), shape, rounds, commits=commits)
                for shape in SHAPES
            }
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main()
