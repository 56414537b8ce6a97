"""The shapes on planfold, with ``safe`` tasks; worker and program are one process."""

from __future__ import annotations

import asyncio
import time

from measured import Work, main

import planfold
from planfold import PlanDraft, TaskDraft


@planfold.tool(effect="safe")
async def step() -> int:
    return 1


def plan(chain: int, width: int) -> PlanDraft:
    tasks = [
        TaskDraft(description="step", tool="step", depends_on=[i] if i else [])
        for i in range(chain)
    ]
    wide = [TaskDraft(description="step", tool="step", depends_on=[]) for _ in range(width)]
    places = range(chain + 1, chain + width + 1)
    join = [TaskDraft(description="step", tool="step", depends_on=list(places))] if width else []
    return PlanDraft(title="work", tasks=[*tasks, *wide, *join])


async def measure(address: str, work: Work) -> float:
    url = address if address.startswith("postgresql") else f"sqlite:///{address}"
    async with planfold.open_app(url, tools=[step]) as app, app.worker(concurrency=128):

        async def run(draft: PlanDraft) -> int:
            view = await app.result(await app.submit(draft, approved_by="bench"))
            assert view.status == "completed"
            return sum(task.result for task in view.tasks)

        await run(plan(10, 0))
        begun = time.perf_counter()
        draft = plan(work.chain, work.width)
        counts = await asyncio.gather(*(run(draft) for _ in range(work.plans)))
        took = time.perf_counter() - begun
        assert sum(counts) == work.tasks
        return took


main(lambda address, work: asyncio.run(measure(address, work)), "planfold")
