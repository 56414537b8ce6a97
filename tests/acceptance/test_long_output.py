"""A reference to output that is too long for a result."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import planfold
from testbed.patience import PATIENCE_S


def plan(reference: str, argument: str) -> planfold.PlanDraft:
    much: dict[str, Any] = {"script": "head -c 30000 /dev/zero | tr '\\0' y"}
    count: dict[str, Any] = {"argv": ["wc", "-c"], "stdin": reference}
    if argument == "argv":
        count = {"argv": ["wc", "-c", reference]}
    return planfold.PlanDraft(
        title="count",
        tasks=[
            planfold.TaskDraft(description="Much", tool="shell", arguments=much),
            planfold.TaskDraft(description="Count it", tool="shell", arguments=count),
        ],
    )


async def counted(folder: Path, reference: str, argument: str = "stdin") -> Any:
    async with planfold.open_app(f"sqlite:///{folder}/plans.db") as app:
        plan_id = await app.submit(plan(reference, argument), approved_by="me")
        async with asyncio.timeout(PATIENCE_S):
            return (await app.run(plan_id)).tasks[1]


async def test_the_shortened_text_is_never_handed_on(tmp_path: Path) -> None:
    task = await counted(tmp_path, "$1.stdout")
    assert task.status == "failed"
    assert "use $1.stdout_file, the file that holds all of it" in task.error


async def test_its_file_is(tmp_path: Path) -> None:
    task = await counted(tmp_path, "$1.stdout_file", "argv")
    assert task.result["stdout"].split()[0] == "30000"
