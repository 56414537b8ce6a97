"""A worker in a process of its own: ``remote_worker.py ADDRESS LEDGER LEASE_S``, until SIGTERM.

Its tools write one line to the ledger when they begin. ``linger`` waits for a file to appear.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import planfold
from planfold.backends.postgres import queue, store
from planfold.runtime import leases as leases_module


def shorten_leases(lease_s: float) -> None:
    """The same proportions, so that a test need not wait for minutes."""
    queue.LEASE_S = store.LEASE_S = lease_s
    leases_module.RENEW_EVERY_S = lease_s / 3
    leases_module.GIVE_UP_RENEWING_S = lease_s * 0.8


def tools(ledger: Path) -> list[Any]:
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(context: planfold.TaskContext) -> None:
        line = [context.plan_id, context.task.id, context.attempt, os.getpid()]
        os.write(file, json.dumps(line).encode() + b"\n")

    @planfold.tool(effect="once")
    async def once(context: planfold.TaskContext) -> int:
        note(context)
        await asyncio.sleep(0.01)  # work that others can overlap with
        return os.getpid()

    @planfold.tool(effect="safe")
    async def linger(context: planfold.TaskContext, until: str) -> int:
        note(context)
        while not os.path.exists(until):  # noqa: ASYNC110, ASYNC240 - a file sets no event
            await asyncio.sleep(0.01)
        return os.getpid()

    return [once, linger]


async def main(address: str, ledger: str, lease_s: str) -> None:
    shorten_leases(float(lease_s))
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    offered = tools(Path(ledger))
    async with planfold.open_app(address, tools=offered) as app, app.worker(concurrency=8):
        print("ready", flush=True)  # noqa: T201
        await end.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
