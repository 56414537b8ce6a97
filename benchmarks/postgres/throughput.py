"""Tasks and appends per second on PostgreSQL, in one process and in several."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import planfold
from benchmarks.postgres.raw import commits_per_second
from benchmarks.report import Figure, Measured, compared, reduced
from benchmarks.store import METADATA, RESULT
from benchmarks.throughput import (
    SHAPES,
    TITLES,
    Outcome,
    chain,
    figure,
    noop,
    outcome,
    rates_on,
)
from planfold.eventstore.envelope import Query
from planfold.eventstore.port import Append, EventStore
from planfold.planner.events import TaskStatusUpdated
from planfold.planner.tasks import TaskStatus

# shape -> connections of the raw figure, and the target
LIMITS = {"chain": (1, 1.2), "once": (1, 0.5), "independent": (1, 1.0), "many": (16, 0.6)}
APPENDS = {1: (1, 0.8), 16: (16, 1.0), 64: (64, 1.0)}  # plans -> raw connections, target


async def interleaved(
    measure: Callable[[], Awaitable[Measured]], limit: Callable[[], Awaitable[float]], rounds: int
) -> list[tuple[Measured, float]]:
    """As :func:`benchmarks.report.interleaved`, for coroutines."""
    await limit(), await measure()
    pairs = []
    for _ in range(rounds):
        bound = await limit()
        pairs.append((await measure(), bound))
    return pairs


async def outcome_on_postgres(
    address: str, shape: str, rounds: int, *, size: int = 100, commits: int = 1_600
) -> Outcome:
    """Rates of a shape and raw commits, in turn."""
    return outcome(
        await interleaved(
            lambda: rates_on(address, shape, size=size, warm=True),
            lambda: commits_per_second(address, LIMITS[shape][0], commits),
            rounds,
        )
    )


async def outcomes(address: str, rounds: int, commits: int) -> dict[str, Outcome]:
    """Of each shape."""
    return {
        shape: await outcome_on_postgres(address, shape, rounds, commits=commits)
        for shape in SHAPES
    }


async def shape_figures(address: str, rounds: int, scale: int = 1) -> list[Figure]:
    figures = []
    size, commits = reduced(100, scale), reduced(1_600, scale, least=16)
    for shape in SHAPES:
        connections, target = LIMITS[shape]
        found = await outcome_on_postgres(address, shape, rounds, size=size, commits=commits)
        figures.append(figure(TITLES[shape], found, f"raw commits/s on {connections}", target))
    return figures


async def slow_sync_figure(address: str, rounds: int) -> Figure:
    """``address`` is a server whose fsync takes 2 ms longer."""
    pairs = await interleaved(
        lambda: rates_on(address, "many", warm=True),
        lambda: commits_per_second(address, 1, 200),
        rounds,
    )
    name = f"{TITLES['many']}, fsync 2 ms"
    return figure(name, outcome(pairs), "raw commits/s on 1", 5.0)


async def append_figures(address: str, rounds: int, scale: int = 1) -> list[Figure]:
    figures = []
    count = reduced(1_920, scale, least=64)
    async with planfold.open_app(address) as app:
        for plans, (connections, target) in APPENDS.items():
            pairs = await interleaved(
                lambda plans=plans: _appends(app.store, plans, count),
                lambda connections=connections: commits_per_second(address, connections, count),
                rounds,
            )
            value, limit, ratio, spread = compared(pairs)
            what = f"{limit:,.0f} raw commits/s on {connections}"
            name = f"appends of 1 event, {plans} plans at a time"
            figures.append(
                Figure(name, f"{value:,.0f} appends/s", what, ratio, target, spread=spread)
            )
    return figures


async def _appends(store: EventStore, plans: int, count: int) -> float:
    event = TaskStatusUpdated(1, TaskStatus.Completed, result=RESULT)
    each = count // plans
    run = time.monotonic_ns()

    async def one(name: str) -> None:
        for version in range(each):
            await store.append(Append("bench", name, version, [(event, METADATA)]))

    begun = time.perf_counter()
    await asyncio.gather(*(one(f"{run}-{number}") for number in range(plans)))
    return each * plans / (time.perf_counter() - begun)


# --- several worker processes -------------------------------------------------------------------


async def worker_figures(
    address: str, plans: int, counts: Sequence[int] = (1, 2, 4)
) -> list[Figure]:
    """1,000 plans of 10 tasks by ``counts`` worker processes; the ratio is to one process."""
    rates: dict[int, float] = {}
    for processes in counts:
        rates[processes] = await _with_workers(address, processes, plans)
    return [
        Figure(
            f"{plans:,} plans x 10, {n} worker processes",
            f"{rate:,.0f} tasks/s",
            "1 process on the same 2 cores",
            rate / rates[1],
            0.0,
        )
        for n, rate in rates.items()
    ]


async def _with_workers(address: str, processes: int, plans: int) -> float:
    command = [sys.executable, "-m", "benchmarks.postgres.throughput", address]
    async with planfold.open_app(address, tools=[noop]) as app:
        ids = [await app.submit(chain(10)) for _ in range(plans)]
        workers = [
            await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            for _ in range(processes)
        ]
        for worker in workers:
            assert worker.stdout is not None
            await worker.stdout.readline()
        start = await app.store.last_position()
        begun = time.perf_counter()
        await asyncio.gather(*(app.approve(plan_id) for plan_id in ids))
        completed = app.store.subscribe(Query(event_type="PlanningCompleted"), after=start)
        for _ in range(plans):
            await anext(completed)
        took = time.perf_counter() - begun
        for worker in workers:
            worker.terminate()
            await worker.wait()
        await _forget_plans(address)
    return plans * 10 / took


async def _forget_plans(address: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(address)
    await connection.execute(
        "TRUNCATE planfold.events, planfold.streams, planfold.task_queue, planfold.commands"
    )
    await connection.close()


async def _work(address: str) -> None:
    async with planfold.open_app(address, tools=[noop]) as app, app.worker(concurrency=64):
        print(json.dumps("ready"), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1]))
