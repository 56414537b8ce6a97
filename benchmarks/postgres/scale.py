"""Large stores on PostgreSQL: 10,000 open plans, a million events, rebuilding a read model."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from statistics import quantiles

import asyncpg

import planfold
from benchmarks.postgres.raw import METADATA
from benchmarks.report import Figure, reduced
from benchmarks.throughput import chain, noop
from planfold import PlanDraft, TaskDraft
from planfold.eventstore.envelope import Query
from planfold.eventstore.port import Append
from planfold.handler import Metadata
from planfold.planner.commands import CancelTask
from planfold.planner.events import TaskDispatched, TaskStatusUpdated
from planfold.planner.tasks import TaskStatus

FILL = (
    "INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version, "
    "data, metadata, recorded_at) "
    "SELECT 'plan', 'filler-' || n / 100, n % 100 + 1, 'TaskStatusUpdated', 1, $2, $3, 0.0 "
    "FROM generate_series(0, $1 - 1) AS n"
)


def p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100)[98]


async def open_plans_figure(address: str, plans: int, commands: int) -> Figure:
    """Answers to questions of plans that this process has not touched before."""
    draft = PlanDraft(title="asks", tasks=[TaskDraft(description="which?", kind="clarification")])
    async with planfold.open_app(address) as app:
        ids: list[str] = []
        for first in range(0, plans, 500):
            some = range(first, min(first + 500, plans))
            ids += await asyncio.gather(*(app.submit(draft, approved_by="me") for _ in some))
    took: list[float] = []
    async with planfold.open_app(address) as app, app.worker():
        step = max(plans // commands, 1)
        for group in range(0, plans, step * 16):  # 16 people answer at the same time
            batch = ids[group : group + step * 16 : step]
            begun = time.perf_counter()

            async def answer(plan_id: str, begun: float = begun) -> None:
                await app.answer(plan_id, 1, "this one")
                took.append(time.perf_counter() - begun)

            await asyncio.gather(*map(answer, batch))
    found = p99(took)
    return Figure(
        f"{plans:,} open plans, command p99",
        f"{found * 1e3:.1f} ms",
        "250 ms",
        found / 0.250,
        1.0,
        "<=",
    )


async def large_store_figures(
    address: str, events: int, rounds: int, scale: int = 1
) -> list[Figure]:
    """Opening a store with many events, and loading a long plan from its snapshot."""
    connection = await asyncpg.connect(address)
    for _ in range(0, events, 100_000):
        name_space = str(time.monotonic_ns())
        await connection.execute(
            FILL.replace("filler-", f"filler-{name_space}-"),
            min(events, 100_000),
            '{"task_id":1,"status":"completed"}',
            METADATA,
        )
    await connection.execute("ANALYZE planfold.events")
    await connection.close()
    opened: list[float] = []
    for _ in range(max(rounds, 5)):
        begun = time.perf_counter()
        async with planfold.open_app(address) as app:
            await app.store.last_position()
            opened.append(time.perf_counter() - begun)
    open_s = sorted(opened)[len(opened) // 2]
    load_s = p99(await _loads(address, scale))
    return [
        Figure(
            f"open a store of {events:,} events",
            f"{open_s * 1e3:.0f} ms",
            "1,000 ms",
            open_s,
            1.0,
            "<=",
        ),
        Figure(
            "load a plan of 5,000 events, p99",
            f"{load_s * 1e3:.1f} ms",
            "50 ms",
            load_s / 0.05,
            1.0,
            "<=",
        ),
    ]


async def _loads(address: str, scale: int) -> list[float]:
    tasks, done = reduced(2_600, scale), reduced(2_500, scale)
    async with planfold.open_app(address, tools=[noop]) as app:
        plan_id = await app.submit(chain(tasks), approved_by="me")
        version = await app.store.version(plan_id)
        events: list[object] = []
        for task_id in range(1, done + 1):
            if task_id > 1:
                events.append(TaskDispatched(task_id, 1))
            events.append(TaskStatusUpdated(task_id, TaskStatus.Completed))
        about = Metadata("bench", "bench")
        await app.store.append(Append("plan", plan_id, version, [(e, about) for e in events]))
    async with planfold.open_app(address) as app:  # the first fold keeps a snapshot
        await app.send(plan_id, CancelTask(tasks))
    took: list[float] = []
    for _ in range(reduced(100, scale)):
        async with planfold.open_app(address) as app:
            await app.store.last_position()
            begun = time.perf_counter()
            await app.planner(plan_id)
            took.append(time.perf_counter() - begun)
    return took


async def rebuild_figures(address: str, events: int) -> list[Figure]:
    """A read model from the first event on, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.postgres.scale",
        address,
        str(events),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    rate, peak = json.loads(out)
    return [
        Figure(
            "rebuild of a read model",
            f"{rate:,.0f} events/s",
            "20,000 events/s",
            rate / 20_000,
            1.0,
        ),
        Figure("its memory", f"{peak:.0f} MiB", "300 MiB", peak / 300, 1.0, "<="),
    ]


async def _rebuild(address: str, events: int) -> None:
    counts: dict[str, int] = {}
    async with planfold.open_app(address) as app:
        begun = time.perf_counter()
        seen = 0
        async for envelope in app.store.subscribe(Query(stream_id="plan")):
            counts[envelope.event_type] = counts.get(envelope.event_type, 0) + 1
            seen += 1
            if seen == events:
                break
        took = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([events / took, peak]))


if __name__ == "__main__":
    asyncio.run(_rebuild(sys.argv[1], int(sys.argv[2])))
