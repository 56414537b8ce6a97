"""The shapes on LangGraph: a node for each task, a checkpoint after each step
(``durability="sync"``).

Tasks that do not wait for each other are nodes of one step, so they share a checkpoint.
"""

from __future__ import annotations

import asyncio
import operator
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from measured import Work, main
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool


class Count(TypedDict):
    count: Annotated[int, operator.add]


async def step(_: Count) -> dict[str, int]:
    return {"count": 1}


def graph(chain: int, width: int, saver: Any) -> Any:
    builder = StateGraph(Count)
    last = START
    for number in range(chain):
        builder.add_node(f"task{number}", step)
        builder.add_edge(last, f"task{number}")
        last = f"task{number}"
    for number in range(width):
        builder.add_node(f"wide{number}", step)
        builder.add_edge(last, f"wide{number}")
    if width:
        builder.add_node("join", step)
        builder.add_edge([f"wide{number}" for number in range(width)], "join")
        last = "join"
    builder.add_edge(last, END)
    return builder.compile(checkpointer=saver)


@asynccontextmanager
async def saver_at(address: str) -> AsyncIterator[Any]:
    if address.startswith("postgresql"):
        options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        async with AsyncConnectionPool(address, min_size=16, max_size=16, kwargs=options) as pool:
            saver = AsyncPostgresSaver(pool)
            await saver.setup()
            yield saver
    else:
        async with AsyncSqliteSaver.from_conn_string(address) as saver:
            await saver.setup()
            yield saver


async def measure(address: str, work: Work) -> float:
    async with saver_at(address) as saver:
        compiled = graph(work.chain, work.width, saver)
        warm = graph(10, 0, saver)

        async def run(built: Any, name: str) -> int:
            config = {"configurable": {"thread_id": name}, "recursion_limit": 1_000}
            return (await built.ainvoke({"count": 0}, config, durability="sync"))["count"]

        await run(warm, "warm")
        begun = time.perf_counter()
        counts = await asyncio.gather(*(run(compiled, f"plan{n}") for n in range(work.plans)))
        took = time.perf_counter() - begun
        assert sum(counts) == work.tasks
        return took


main(lambda address, work: asyncio.run(measure(address, work)), "langgraph")
