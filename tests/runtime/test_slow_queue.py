"""A queue that is slow to answer, and what runs meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import planfold
from planfold.planner.tasks import PlanStatus
from planfold.runtime import leases as leases_module
from plans import PLAN_ID, Until, submit, task


async def test_a_claim_without_an_answer_does_not_keep_leases_from_being_renewed(
    database: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(leases_module, "RENEW_EVERY_S", 0.1)
    monkeypatch.setattr(leases_module, "ANSWER_S", 0.1)
    monkeypatch.setattr(leases_module, "GIVE_UP_RENEWING_S", 1.0)
    contexts: list[planfold.TaskContext] = []
    gate = asyncio.Event()

    @planfold.tool(effect="safe")
    async def work(context: planfold.TaskContext) -> str:
        contexts.append(context)
        await gate.wait()
        return "done"

    async with planfold.open_app(database, tools=[work]) as app:
        await submit(app, task("work"))
        async with app.worker():
            await until(lambda: contexts)
            renew, renewals = app.store.queue.renew, []

            async def counted(owner: str) -> Any:
                renewals.append(asyncio.get_running_loop().time())
                return await renew(owner)

            async def hang(*_: Any, **__: Any) -> Any:
                await asyncio.Event().wait()

            monkeypatch.setattr(app.store.queue, "renew", counted)
            monkeypatch.setattr(app.store.queue, "claim", hang)
            await until(lambda: len(renewals) > 1 and renewals[-1] - renewals[0] > 1.2)
            assert not contexts[0].cancelled.is_set()
            gate.set()
            view = await app.result(PLAN_ID)
    assert (view.status, len(contexts)) == (PlanStatus.Completed, 1)
