"""The shapes on DBOS: a workflow for each plan, a step for each task."""

from __future__ import annotations

import asyncio
import time

from dbos import DBOS
from measured import Work, main


@DBOS.step()
async def step() -> int:
    return 1


@DBOS.workflow()
async def plan(chain: int, width: int) -> int:
    count = 0
    for _ in range(chain):
        count += await step()
    if width:
        count += sum(await asyncio.gather(*(step() for _ in range(width))))
        count += await step()
    return count


async def measure(work: Work) -> float:
    await plan(10, 0)
    begun = time.perf_counter()
    handles = [
        await DBOS.start_workflow_async(plan, work.chain, work.width) for _ in range(work.plans)
    ]
    counts = [await handle.get_result() for handle in handles]
    took = time.perf_counter() - begun
    assert sum(counts) == work.tasks
    return took


def launched(address: str, work: Work) -> float:
    url = address if address.startswith("postgresql") else f"sqlite:///{address}"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()
    try:
        return asyncio.run(measure(work))
    finally:
        DBOS.destroy()


main(launched, "dbos")
