"""Work on one plan: ``suspect_process.py ADDRESS PLAN LEDGER``. ``dies`` ends the process."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

import planfold


def tools(ledger: Path) -> list[object]:
    def note(line: str) -> None:
        with ledger.open("a") as file:
            file.write(f"{line}\n")

    together = threading.Barrier(2)

    @planfold.tool(effect="safe")
    def dies() -> None:
        note("dies")
        try:
            together.wait(0.2)  # its neighbour has begun, unless it runs alone
        except threading.BrokenBarrierError:
            note("dies alone")
        os._exit(7)

    @planfold.tool(effect="safe")
    def honest() -> int:
        note("honest")
        try:
            together.wait(0.2)
            threading.Event().wait()  # until the process ends
        except threading.BrokenBarrierError:
            note("honest alone")
        return 1

    return [dies, honest]


async def main(address: str, plan_id: str, ledger: str) -> None:
    async with planfold.open_app(address, tools=tools(Path(ledger))) as app:
        view = await app.run(plan_id)
        print(view.status.value)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
