"""What more workers gain: the same plans on one worker process and on several.

``python -m benchmarks.sharing`` prints it for SQLite, and for the server in PLANFOLD_DB.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import planfold
from planfold import PlanDraft, TaskDraft

BUSY_S = 0.005
SLEEP_S = 0.02


@planfold.tool(effect="safe")
def busy() -> None:
    """Computes for 5 ms of CPU time."""
    until = time.thread_time() + BUSY_S
    while time.thread_time() < until:
        pass


@planfold.tool(effect="safe")
async def pause() -> None:
    """Waits for 20 ms."""
    await asyncio.sleep(SLEEP_S)


TOOLS = [busy, pause]


def chains(plans: int = 40, length: int = 10) -> list[PlanDraft]:
    tasks = [
        TaskDraft(description=f"step {n}", tool="busy", depends_on=[n - 1] if n > 1 else [])
        for n in range(1, length + 1)
    ]
    return [PlanDraft(title=f"plan {n}", tasks=tasks) for n in range(plans)]


def wide(width: int = 2_000) -> list[PlanDraft]:
    return [
        PlanDraft(
            title="wide", tasks=[TaskDraft(description=f"{n}", tool="pause") for n in range(width)]
        )
    ]


async def work(address: str, concurrency: int) -> None:
    """A worker process; ends when its input does."""
    async with (
        planfold.open_app(address, tools=TOOLS) as app,
        app.worker(concurrency=concurrency),
    ):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def start(address: str, concurrency: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.sharing", "work", address, str(concurrency)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


async def seconds(address: str, drafts: Sequence[PlanDraft], workers: int, size: int) -> float:
    """From the approval of the plans to the last result, with ``workers`` processes."""
    processes = [start(address, size) for _ in range(workers)]
    try:
        async with planfold.open_app(address, tools=TOOLS) as app:
            plan_ids = [await app.submit(draft) for draft in drafts]
            began = time.perf_counter()
            await asyncio.gather(*(app.approve(plan_id) for plan_id in plan_ids))
            views = await asyncio.gather(*(app.result(plan_id) for plan_id in plan_ids))
            took = time.perf_counter() - began
        assert all(view.status == "completed" for view in views)
        return took
    finally:
        for process in processes:
            process.communicate()


def gain(address: str, drafts: Sequence[PlanDraft], workers: int, rounds: int, size: int) -> float:
    """How many times faster ``workers`` processes are than one; the median of ``rounds`` pairs."""

    def once(count: int) -> float:
        if address != "sqlite":
            return asyncio.run(seconds(address, drafts, count, size))
        with tempfile.TemporaryDirectory() as folder:
            return asyncio.run(seconds(f"sqlite:///{folder}/plans.db", drafts, count, size))

    ratios = []
    for _ in range(rounds):
        one, many = once(1), once(workers)
        print(f"  1 worker {one:.2f} s, {workers} workers {many:.2f} s", flush=True)
        ratios.append(one / many)
    return median(ratios)


def main() -> None:
    if sys.argv[1:2] == ["work"]:
        asyncio.run(work(sys.argv[2], int(sys.argv[3])))
        return
    for address in filter(None, ("sqlite", os.environ.get("PLANFOLD_DB"))):
        kind = address.split(":", 1)[0]
        print(
            f"{kind}: 40 chains of 10 tasks of 5 ms CPU, 2 workers: "
            f"{gain(address, chains(), 2, 3, 64):.2f} times one"
        )
        print(
            f"{kind}: one plan of 2,000 tasks of 20 ms sleep, 4 workers of 8: "
            f"{gain(address, wide(), 4, 3, 8):.2f} times one"
        )


if __name__ == "__main__":
    main()
