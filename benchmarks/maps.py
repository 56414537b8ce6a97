"""A map beside the same tasks written out: CPU time per task, memory, and when it starts."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import planfold
from benchmarks.report import Figure, reduced
from planfold import PlanDraft, TaskDraft

ITEMS = 10_000
FIRST_ITEM = 0.1  # seconds
_started: list[float] = []


@planfold.tool(effect="safe")
async def numbers(count: int) -> list[int]:
    """A list that is known at run time."""
    return list(range(count))


@planfold.tool(effect="safe")
async def double(number: int) -> int:
    """Does next to nothing, and notes when it began."""
    _started.append(time.time())
    return 2 * number


def mapped(items: int) -> PlanDraft:
    """A list and a map of it."""
    return PlanDraft(
        title="a map",
        tasks=[
            TaskDraft(description="list", tool="numbers", arguments={"count": items}),
            TaskDraft(
                description="double",
                tool="double",
                arguments={"number": "$item"},
                for_each="$1",
                max_items=items,
            ),
        ],
    )


def written_out(items: int) -> PlanDraft:
    """The same with a task for each element. They refer to the list, too."""
    first = TaskDraft(description="list", tool="numbers", arguments={"count": items})
    return PlanDraft(
        title="written out",
        tasks=[
            first,
            *(
                TaskDraft(description="double", tool="double", arguments={"number": f"$1[{place}]"})
                for place in range(items)
            ),
        ],
    )


async def run_plan(path: Path, draft: PlanDraft) -> tuple[float, float]:
    """CPU seconds from the approval to the result, and seconds from the end of the first task to
    the start of the second."""
    _started.clear()
    async with planfold.open_app(f"sqlite:///{path}", tools=[numbers, double]) as app:
        plan_id = await app.submit(draft)
        async with app.worker():
            begun = time.process_time()
            await app.approve(plan_id)
            view = await app.result(plan_id)
            took = time.process_time() - begun
        assert view.status == "completed"
        return took, _started[0] - (view.tasks[0].finished_at or 0.0)


def map_figures(folder: Path, rounds: int, scale: int = 1) -> list[Figure]:
    items = reduced(ITEMS, scale)
    takes: dict[Callable[[int], PlanDraft], list[float]] = {mapped: [], written_out: []}
    firsts: list[float] = []
    for number in range(rounds):
        for shape, found in takes.items():
            path = folder / f"{shape.__name__}-{number}.db"
            took, first = asyncio.run(run_plan(path, shape(items)))
            found.append(took / items)
            firsts += [first] * (shape is mapped)
    ratio = median(a / b for a, b in zip(takes[mapped], takes[written_out], strict=True))
    per_item, per_task = (f"{median(found) * 1e6:.0f} us/task" for found in takes.values())
    memory = [peak_memory(folder, shape, items) for shape in ("mapped", "written_out")]
    first = median(firsts)
    return [
        Figure(f"CPU of a map of {items:,} items", per_item, per_task, ratio, 1.2, "<="),
        Figure("its first item", f"{first * 1e3:.0f} ms", "100 ms", first / FIRST_ITEM, 1.0, "<="),
        Figure(
            "its peak of memory",
            f"{memory[0]:.0f} MB",
            f"{memory[1]:.0f} MB",
            memory[0] / memory[1],
            1.2,
            "<=",
        ),
    ]


def peak_memory(folder: Path, shape: str, items: int) -> float:
    """The peak of a process of its own, in MB."""
    words = [sys.executable, "-m", "benchmarks.maps", str(folder), shape, str(items)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    folder, shape, items = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    draft = {"mapped": mapped, "written_out": written_out}[shape](items)
    asyncio.run(run_plan(folder / f"{shape}-{os.getpid()}.db", draft))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1_024)


if __name__ == "__main__":
    main()
