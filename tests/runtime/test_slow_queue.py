"""A queue that is slow to answer, and what runs in that time."""

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


async def test_no_more_runs_at_once_than_concurrency_allows(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits take free places while a claim for the same places is running."""
    begun: list[int] = []
    most = running = 0

    @planfold.tool(effect="safe")
    async def work() -> int:
        nonlocal most, running
        begun.append(1)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return 1

    async with planfold.open_app(database, tools=[work]) as app:
        await submit(app, *(task("work") for _ in range(6)), plan_id="waiting")
        claim, asked, answer = app.store.queue.claim, asyncio.Event(), asyncio.Event()

        async def slow(*args: Any, **options: Any) -> Any:
            leases = await claim(*args, **options)
            if leases:
                asked.set()
                await answer.wait()
            return leases

        monkeypatch.setattr(app.store.queue, "claim", slow)
        async with app.worker(concurrency=2, drain_s=5):
            await asked.wait()
            await submit(app, task("work"), task("work"))
            answer.set()
            plans = [await app.result(plan_id) for plan_id in (PLAN_ID, "waiting")]
    assert [view.status for view in plans] == [PlanStatus.Completed] * 2
    assert (most, len(begun)) == (2, 8)


async def test_what_was_claimed_waits_for_no_long_task_while_another_worker_is_free(
    database: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """A commit takes the last free place while a claim for it is running."""
    monkeypatch.setattr(leases_module, "EVERY_S", 0.05)
    ran, gate = [], asyncio.Event()

    @planfold.tool(effect="safe")
    async def long() -> None:
        ran.append("long")
        await gate.wait()

    @planfold.tool(effect="safe")
    async def short() -> None:
        ran.append("short")

    async with (
        planfold.open_app(database, tools=[long, short]) as app,
        planfold.open_app(database, tools=[short]) as other,
    ):
        await submit(app, task("short"), plan_id="waiting")
        claim, asked, answer = app.store.queue.claim, asyncio.Event(), asyncio.Event()

        async def slow(*args: Any, **options: Any) -> Any:
            leases = await claim(*args, **options)
            asked.set()
            await answer.wait()
            return leases

        monkeypatch.setattr(app.store.queue, "claim", slow)
        async with app.worker(concurrency=1):
            await asked.wait()
            await submit(app, task("long"))
            await until(lambda: ran)
            answer.set()
            async with other.worker():
                assert (await other.result("waiting")).status is PlanStatus.Completed
            assert ran == ["long", "short"]
            gate.set()
            await app.result(PLAN_ID)


async def test_what_was_claimed_and_did_not_begin_is_given_back_as_not_started(
    database: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    runs, gate = [], asyncio.Event()

    @planfold.tool(effect="once")
    async def work() -> int:
        runs.append(1)
        await gate.wait()
        return 1

    async with planfold.open_app(database, tools=[work]) as app:
        await submit(app, task("work"), plan_id="waiting")
        claim, asked, answer = app.store.queue.claim, asyncio.Event(), asyncio.Event()

        async def slow(*args: Any, **options: Any) -> Any:
            leases = await claim(*args, **options)
            if leases:
                asked.set()
                await answer.wait()
            return leases

        monkeypatch.setattr(app.store.queue, "claim", slow)
        async with app.worker(concurrency=1, drain_s=5) as worker:
            await asked.wait()
            await submit(app, task("work"))
            await until(lambda: runs)
            answer.set()
            await until(lambda: worker.running == 1)
            gate.set()
        monkeypatch.undo()
        async with app.worker():
            plans = [await app.result(plan_id) for plan_id in (PLAN_ID, "waiting")]
    assert [view.status for view in plans] == [PlanStatus.Completed] * 2
    assert len(runs) == 2


async def test_a_full_worker_that_left_work_in_the_queue_soon_claims_it(
    database: str, until: Until
) -> None:
    """Each commit of a report takes the place that the task had; without a bound no claim would
    find one free while a long plan runs."""
    gate = asyncio.Event()

    @planfold.tool(effect="safe")
    async def work() -> int:
        await gate.wait()
        return 1

    async with planfold.open_app(database, tools=[work]) as app:
        await submit(app, task("work"), plan_id="long")
        async with app.worker(concurrency=1) as worker:
            await until(lambda: worker.running == 1)
            (slots,) = app.dispatcher.slots
            slots.turns = None
            await submit(app, task("work"), plan_id="short")
            await until(lambda: slots.turns == 1)
            gate.set()
            for plan_id in ("long", "short"):
                assert (await app.result(plan_id)).status is PlanStatus.Completed
