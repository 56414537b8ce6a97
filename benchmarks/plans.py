"""Whole plans with results of 1 KB: cost per task, bytes on disk, time to resume."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median

import planfold
from benchmarks.report import Figure, reduced
from benchmarks.store import fold_figure
from planfold import PlanDraft, TaskDraft
from planfold.backends.sqlite.store import SqliteStore

RESULT_BYTES = 1_000
SIZES = (100, 1_000, 10_000)
RESUMED = ((1_000, 0.008), (10_000, 0.020))  # tasks, and seconds at most
WRITTEN = Path("/proc/self/io")  # on Linux


@planfold.tool(effect="safe")
async def kilobyte(number: int) -> str:
    """A result of 1,000 characters that differs from task to task."""
    return f"{number:08d} is the number. ".ljust(RESULT_BYTES, "x")


@planfold.tool(effect="safe")
async def never() -> None:
    """Waits until it is cancelled."""
    await asyncio.Event().wait()


def layered(tasks: int, *, chains: int = 10, blocked: bool = False) -> PlanDraft:
    """So many chains side by side; ``blocked`` adds a last task that never ends."""
    drafts = [
        TaskDraft(
            description=f"task {i}",
            tool="kilobyte",
            arguments={"number": i},
            depends_on=[i - chains] if i > chains else [],
        )
        for i in range(1, tasks + 1)
    ]
    if blocked:
        drafts.append(TaskDraft(description="the last", tool="never", depends_on=[tasks]))
    return PlanDraft(title=f"{tasks} tasks", tasks=drafts)


async def _run(path: Path, tasks: int, chains: int = 10) -> float:
    async with planfold.open_app(f"sqlite:///{path}", tools=[kilobyte]) as app:
        plan_id = await app.submit(layered(tasks, chains=chains))
        async with app.worker():
            begun = time.perf_counter()
            await app.approve(plan_id)
            view = await app.result(plan_id)
            took = time.perf_counter() - begun
        assert view.status == "completed"
        return took / tasks


def size_figures(folder: Path, rounds: int, scale: int = 1) -> list[Figure]:
    sizes = [reduced(size, scale) for size in SIZES]
    cost: dict[int, float] = {}
    disk: dict[int, float] = {}
    for tasks in sizes:
        runs = []
        for number in range(1 if tasks == max(sizes) else rounds):
            path = folder / f"size-{tasks}-{number}.db"
            runs.append(asyncio.run(_run(path, tasks)))
        cost[tasks] = median(runs)
        disk[tasks] = path.stat().st_size / (tasks * RESULT_BYTES)
    least, most = min(sizes), max(sizes)
    costs = ", ".join(f"{n:,}: {c * 1e6:,.0f} us" for n, c in cost.items())
    payload = ", ".join(f"{n:,}: {d:.2f}x" for n, d in disk.items())
    return [
        Figure("cost per task", costs, f"that at {least}", cost[most] / cost[least], 1.5, "<="),
        Figure("bytes on disk", payload, "payload of 1 KB results", max(disk.values()), 3.0, "<="),
    ]


def written_figures(folder: Path, scale: int = 1) -> list[Figure]:
    """What a chain of tasks with results of 1 KB writes to the disk, until the file is closed."""
    if not WRITTEN.exists():
        return []
    tasks, before = reduced(1_000, scale), _bytes_written()
    asyncio.run(_run(folder / "written.db", tasks, chains=1))
    written = _bytes_written() - before
    payload = tasks * RESULT_BYTES
    return [
        Figure(
            "bytes written, a chain of 1,000 `safe` tasks",
            f"{written / 1e6:.1f} MB",
            f"{payload / 1e6:.1f} MB of results",
            written / payload,
            10.0,
            "<=",
        )
    ]


def _bytes_written() -> int:
    lines = WRITTEN.read_text("ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


async def _interrupted(path: Path, tasks: int) -> str:
    async with planfold.open_app(f"sqlite:///{path}", tools=[kilobyte, never]) as app:
        plan_id = await app.submit(layered(tasks, blocked=True), approved_by="benchmark")
        async with app.worker(drain_s=0.0):
            async for envelope in app.watch(plan_id):
                dispatched = envelope.event_type == "TaskDispatched"
                if dispatched and envelope.event.task_id == tasks + 1:
                    return plan_id
    raise AssertionError("the plan ended")


async def _resume(path: Path, plan_id: str) -> tuple[float, float]:
    """Seconds from opening the database until the last task runs again; and without the file's
    opening."""
    running = asyncio.Event()

    @planfold.tool(effect="safe", name="never")
    async def again() -> None:
        """Says that it runs."""
        running.set()
        await asyncio.Event().wait()

    begun = time.perf_counter()
    async with planfold.open_app(f"sqlite:///{path}", tools=[kilobyte, again]) as app:
        opened = time.perf_counter()
        async with app.worker(plan_id=plan_id, drain_s=0.0):
            await running.wait()
            now = time.perf_counter()
    return now - begun, now - opened


async def resume_and_fold_figures(folder: Path, rounds: int, scale: int = 1) -> list[Figure]:
    figures = []
    for tasks, target in RESUMED:
        path = folder / f"resume-{tasks}.db"
        plan_id = await _interrupted(path, reduced(tasks, scale))
        figures.append(await _resume_figure(path, plan_id, tasks, target, rounds))
        if tasks == RESUMED[0][0]:
            store = _store(path)
            figures.append(await fold_figure(store, plan_id, rounds * 2 + 1))
            await _close(store)
    return figures


async def _resume_figure(
    path: Path, plan_id: str, tasks: int, target: float, rounds: int
) -> Figure:
    runs = [await _resume(path, plan_id) for _ in range(rounds + 1)][1:]
    total = median(run[0] for run in runs)
    after_open = median(run[1] for run in runs)
    return Figure(
        f"resume, {tasks:,} finished tasks",
        f"{total * 1e3:.1f} ms ({after_open * 1e3:.1f} ms after opening)",
        f"{target * 1e3:.0f} ms after import",
        total / target,
        1.0,
        "<=",
    )


def _store(path: Path) -> SqliteStore:
    from planfold.eventstore.codec import Codec
    from planfold.runtime.aggregate import PLAN

    return SqliteStore.open(str(path), Codec(PLAN.event_types))


async def _close(store: SqliteStore) -> None:
    await store.close()
