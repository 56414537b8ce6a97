"""A worker in a process of its own that never ends a task: ``holding_process.py DATABASE``."""

from __future__ import annotations

import asyncio
import sys

import planfold


@planfold.tool(effect="safe")
async def hold() -> None:
    await asyncio.Event().wait()


async def main(database: str) -> None:
    async with planfold.open_app(database, tools=[hold]) as app, app.worker():
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
