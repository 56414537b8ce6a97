"""Counts how often the execution of a plan of two tasks goes from a module to another, from its
approval on: ``moves_process.py FOLDER``. Prints the count and the most frequent moves."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import planfold
from planfold import PlanDraft, TaskDraft
from planfold.runtime import outbox

ROOT = str(Path(planfold.__file__).parent)
Moves = Counter[tuple[str, str]]


@planfold.tool(effect="safe")
async def noop() -> None:
    """Does nothing."""


def module(frame: FrameType | None) -> str:
    """The module of planfold that is the nearest up the stack."""
    while frame is not None and not frame.f_code.co_filename.startswith(ROOT):
        frame = frame.f_back
    return frame.f_code.co_filename if frame is not None else ""


async def moves_of_a_plan(database: Path) -> Moves:
    moves: Moves = Counter()

    def follow(frame: FrameType, event: str, _: Any) -> None:
        there = frame.f_code.co_filename
        if event == "call" and there.startswith(ROOT) and (here := module(frame.f_back)) != there:
            moves[here, there] += 1

    tasks = [TaskDraft(description="a", tool="noop")]
    tasks.append(TaskDraft(description="b", tool="noop", depends_on=[1]))
    async with (
        planfold.open_app(f"sqlite:///{database}", tools=[noop]) as app,
        app.worker(),
    ):
        first = PlanDraft(title="first", tasks=tasks)
        await app.result(await app.submit(first, approved_by="me"))
        plan_id = await app.submit(PlanDraft(title="second", tasks=tasks))
        sys.setprofile(follow)
        try:
            await app.approve(plan_id)
            view = await app.result(plan_id)
        finally:
            sys.setprofile(None)
    assert view.status == "completed"
    return moves


def least(folder: Path) -> Moves:
    """On a busy machine timers fire between the steps and add some: commits wait long enough here,
    and the least of a few counts is taken."""
    outbox.GATHER_S = 5.0  # type: ignore[misc]
    counted = [asyncio.run(moves_of_a_plan(folder / f"{run}.db")) for run in range(4)]
    return min(counted, key=Counter.total)


if __name__ == "__main__":
    found = least(Path(sys.argv[1]))
    print(found.total(), *found.most_common(20), sep="\n")  # noqa: T201
