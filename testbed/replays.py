"""What tests leave in a database is replayed: every command of every plan is decided again."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from planfold.app import open_app
from planfold.errors import PlanfoldError
from planfold.readmodels.replay import Replay


async def replays(database: str) -> list[Replay]:
    """A replay of each plan. Plans and databases that a test damaged are left out."""
    found: list[Replay] = []
    with suppress(PlanfoldError):
        async with open_app(database, create=False, load=False) as app:
            for plan in await app.plans(limit=None):
                with suppress(PlanfoldError):
                    found.append(await app.replay(plan.aggregate_id))
    return found


async def check_replays(database: str) -> None:
    """Raises AssertionError with the first difference of each plan that has one."""
    different = [replay for replay in await replays(database) if replay.difference is not None]
    if different:
        raise AssertionError("\n".join(map(repr, different)))


def check_replays_of(database: str) -> None:
    """The same for callers with an event loop of their own."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, check_replays(database)).result()
