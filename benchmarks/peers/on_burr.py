"""The shapes on Burr: an application for each plan, a state row for each action.

Burr has no tasks side by side in one application: they run one after the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from burr.core import ApplicationBuilder, State, action, expr
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister
from burr.integrations.persisters.b_asyncpg import AsyncPostgreSQLPersister
from measured import Work, main


@action(reads=["count"], writes=["count"])
async def step(state: State) -> State:
    return state.update(count=state["count"] + 1)


@action(reads=["count"], writes=["count"])
async def last(state: State) -> State:
    return state.update(count=state["count"] + 1)


async def run(persister: Any, name: str, tasks: int) -> int:
    builder = ApplicationBuilder().with_actions(step=step, last=last)
    builder = builder.with_transitions(
        ("step", "last", expr(f"count == {tasks - 1}")), ("step", "step")
    )
    builder = builder.with_state(count=0).with_entrypoint("step")
    builder = builder.with_identifiers(app_id=name, partition_key="bench").with_state_persister(
        persister
    )
    application = await builder.abuild()
    _, _, state = await application.arun(halt_after=["last"])
    return state["count"]


@asynccontextmanager
async def persister_at(address: str) -> AsyncIterator[Any]:
    if address.startswith("postgresql"):
        parts = urlsplit(address)
        persister = await AsyncPostgreSQLPersister.from_values(
            db_name=parts.path.lstrip("/"),
            user=parts.username,
            password=parts.password or "",
            host=parts.hostname,
            port=parts.port,
            use_pool=True,
            min_size=16,
            max_size=16,
        )
    else:
        persister = await AsyncSQLitePersister.from_values(db_path=address)
        await persister.connection.execute("PRAGMA journal_mode = WAL")
    await persister.initialize()
    try:
        yield persister
    finally:
        await persister.cleanup()


async def measure(address: str, work: Work) -> float:
    tasks = work.tasks // work.plans
    async with persister_at(address) as persister:
        await run(persister, "warm", 10)
        begun = time.perf_counter()
        names = [f"plan{n}" for n in range(work.plans)]
        counts = await asyncio.gather(*(run(persister, name, tasks) for name in names))
        took = time.perf_counter() - begun
        assert sum(counts) == work.tasks
        return took


main(lambda address, work: asyncio.run(measure(address, work)), "apache-burr")
