"""A worker that is killed before it sends one of the commands that sub-plans need:
``sub_plan_process.py DATABASE COMMAND``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import planfold
from planfold.runtime.sub_plans import SubPlans


@planfold.tool(effect="safe")
def echo(text: str) -> str:
    return text


async def main(database: str, killer: str) -> None:
    send = SubPlans._send

    async def dying(self: SubPlans, plan_id: str, command: Any, about: str) -> None:
        if type(command).__name__ == killer:
            os.kill(os.getpid(), signal.SIGKILL)
        await send(self, plan_id, command, about)

    SubPlans._send = dying  # type: ignore[method-assign]
    async with planfold.open_app(database, tools=[echo]) as app, app.worker():
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
