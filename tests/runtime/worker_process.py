"""A worker in a process of its own: ``worker_process.py DATABASE LEDGER``, until it is asked to
end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

import planfold


def tools(path: str) -> list[Any]:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def make(effect: Any) -> Any:
        @planfold.tool(name=effect, effect=effect)
        async def run(context: planfold.TaskContext) -> None:
            key = [context.idempotency_key, context.attempt]
            os.write(file, json.dumps(key).encode() + b"\n")
            await asyncio.sleep(0.002)  # work that others can overlap with

        return run

    return [make("once"), make("keyed")]


async def main(database: str, ledger: str) -> None:
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    async with planfold.open_app(database, tools=tools(ledger)) as app, app.worker(concurrency=4):
        await end.wait()


asyncio.run(main(*sys.argv[1:]))
