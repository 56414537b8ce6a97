"""A worker process of the tests of shared limits. Each call of ``call`` appends its time to a file.

    python limits_driver.py DATABASE FILE [SECONDS]

It works until it is killed, or for so many seconds; ``hold`` never ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import planfold
from planfold import SharedLimit

LIMITS = {"api": SharedLimit(rate="60/min"), "lock": SharedLimit(concurrency=1)}


@planfold.tool(effect="safe", limit="api")
def call(file: str) -> None:
    note(file)


@planfold.tool(effect="safe", limit="lock")
async def hold(file: str) -> None:
    note(file)
    await asyncio.sleep(3600)


def note(file: str) -> None:
    out = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, f"{time.time()!r}\n".encode())
    os.close(out)


async def main(database: str, seconds: float = 3600.0) -> None:
    async with planfold.open_app(database, tools=[call, hold], limits=LIMITS) as app, app.worker():
        os.write(1, b"works\n")
        await asyncio.sleep(seconds)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(float, sys.argv[2:])))
