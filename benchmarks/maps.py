"""A map beside the same tasks written out: CPU time per task, memory, and when it starts. Two maps,
of which the second runs item by item, beside the same two in a row."""

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
_ended: list[float] = []


@planfold.tool(effect="safe")
async def numbers(count: int) -> list[int]:
    """A list that is known at run time."""
    return list(range(count))


@planfold.tool(effect="safe")
async def double(number: int) -> int:
    """Does next to nothing, and notes when it began."""
    _started.append(time.time())
    return 2 * number


@planfold.tool(effect="safe")
async def triple(number: int) -> int:
    """Does next to nothing, and notes when it ends."""
    _ended.append(time.time())
    return 3 * number


def by_item(items: int, *, in_a_row: bool = False) -> PlanDraft:
    """A list, a map of it, and a map of that one's result."""

    def each(tool: str, of: str, **rest: bool) -> TaskDraft:
        return TaskDraft(
            description=tool,
            tool=tool,
            arguments={"number": "$item"},
            for_each=of,
            max_items=items,
            **rest,
        )

    first = TaskDraft(description="list", tool="numbers", arguments={"count": items})
    maps = [each("triple", "$1"), each("double", "$2", item_by_item=not in_a_row)]
    return PlanDraft(title="two maps", tasks=[first, *maps])


def in_a_row(items: int) -> PlanDraft:
    """The same, where the second map waits for the first."""
    return by_item(items, in_a_row=True)


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
    _ended.clear()
    async with planfold.open_app(f"sqlite:///{path}", tools=[numbers, double, triple]) as app:
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


def chain_figures(folder: Path, rounds: int, scale: int = 1) -> list[Figure]:
    items = reduced(ITEMS // 2, scale)
    takes: dict[Callable[[int], PlanDraft], list[float]] = {by_item: [], in_a_row: []}
    firsts: dict[Callable[[int], PlanDraft], list[float]] = {by_item: [], in_a_row: []}
    for number in range(rounds):
        for shape, found in takes.items():
            took, _ = asyncio.run(run_plan(folder / f"{shape.__name__}-{number}.db", shape(items)))
            found.append(took / (2 * items))
            firsts[shape].append(_started[0] - _ended[0])
    ratio = median(a / b for a, b in zip(takes[by_item], takes[in_a_row], strict=True))
    per_item, per_task = (f"{median(found) * 1e6:.0f} us/task" for found in takes.values())
    first, last = (median(found) for found in firsts.values())
    return [
        Figure(f"CPU of two maps of {items:,}, item by item", per_item, per_task, ratio, 1.2, "<="),
        Figure(
            "the second map's first item",
            f"{first * 1e3:.0f} ms",
            f"{last * 1e3:,.0f} ms",
            first / FIRST_ITEM,
            1.0,
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
