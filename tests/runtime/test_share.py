"""Workers in several processes get equal parts of the work, on both databases."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

import planfold
from planfold import PlanDraft, TaskDraft
from planfold.eventstore.queue import WorkerRecord
from planfold.runtime.share import KEEP_S, LOOK_S, OFFER_S, WorkShare
from planfold.runtime.slots import Slots
from testbed.patience import PATIENCE_S

KIND = ("step", "step")


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest) -> str:
    name = "database" if request.param == "sqlite" else "postgres_database"
    found: str = request.getfixturevalue(name)
    return found


def chain(length: int) -> PlanDraft:
    tasks = [
        TaskDraft(description=f"step {n}", tool="step", depends_on=[n - 1] if n > 1 else [])
        for n in range(1, length + 1)
    ]
    return PlanDraft(title="chain", tasks=tasks)


async def test_a_second_worker_gets_a_part_of_the_work(address: str) -> None:
    ran: Counter[str] = Counter()

    def step_of(name: str) -> Any:
        @planfold.tool(name="step", effect="safe")
        async def step() -> None:
            """Takes long enough for the other worker to claim something."""
            ran[name] += 1
            await asyncio.sleep(0.005)

        return step

    async with (
        planfold.open_app(address, tools=[step_of("one")]) as one,
        planfold.open_app(address, tools=[step_of("two")]) as two,
        one.worker(),
        two.worker(),
    ):
        for _ in range(50):  # they notice each other within a second
            plan_ids = [await one.submit(chain(20)) for _ in range(12)]
            await asyncio.gather(*(one.approve(plan_id) for plan_id in plan_ids))
            views = await asyncio.gather(*(one.result(plan_id) for plan_id in plan_ids))
            assert all(view.status == "completed" for view in views)
            if min(ran["one"], ran["two"]) >= 48:
                break
    assert min(ran["one"], ran["two"]) >= 48, ran


async def test_a_worker_that_claims_nothing_keeps_nothing_from_the_others(address: str) -> None:
    @planfold.tool(effect="safe")
    async def step() -> None:
        """Does nothing."""

    async with planfold.open_app(address, tools=[step]) as app:
        await app.store.queue.enter(WorkerRecord("suspended", concurrency=64))
        async with app.worker():
            plan_ids = [await app.submit(chain(10), approved_by="me") for _ in range(10)]
            views = await asyncio.gather(*(app.result(plan_id) for plan_id in plan_ids))
    assert all(view.status == "completed" for view in views)


class Others:
    """The part of a queue that knows the workers."""

    def __init__(self, *records: WorkerRecord) -> None:
        self.records = [*records]
        self.asked = 0

    async def workers(self) -> list[WorkerRecord]:
        self.asked += 1
        return self.records


def other(leased: int, **about: Any) -> WorkerRecord:
    return WorkerRecord("other", concurrency=64, leased=leased, **about)


@pytest.mark.parametrize(
    ("record", "share"),
    [
        (other(0), 5),
        (other(4), 7),
        (other(9), None),  # as many, but for one
        (other(20), None),
        (other(0, routes=("shell",)), None),
        (other(0, declined=("step",)), None),
        (other(0, plan_id="plan-1"), None),
        (WorkerRecord("other", concurrency=1, leased=1), None),  # it has no free place
        (WorkerRecord("me"), None),
    ],
)
async def test_what_a_worker_keeps(record: WorkerRecord, share: int | None) -> None:
    slots = Slots("me", 64)
    await WorkShare(Others(record), slots).review(0.0, [KIND] * 10)  # type: ignore[arg-type]
    assert slots.share == share


async def test_an_offer_that_is_not_taken_is_withdrawn() -> None:
    slots, queue = Slots("me", 64), Others(other(0))
    share = WorkShare(queue, slots)  # type: ignore[arg-type]
    assert not await share.review(0.0, [KIND] * 10)
    assert not await share.review(LOOK_S / 2, [KIND] * 10)
    assert (slots.share, queue.asked) == (5, 1)
    assert not await share.review(LOOK_S, [KIND] * 10)
    assert await share.review(OFFER_S, [KIND] * 10), "claim what they left"
    share.withdraw()
    assert slots.share is None
    assert not await share.review(KEEP_S, [KIND] * 10)
    assert slots.share is None
    assert not await share.review(KEEP_S + OFFER_S + 2 * LOOK_S, [KIND] * 10)
    assert slots.share == 5


async def test_what_is_taken_is_shared_until_it_is_equal() -> None:
    slots, queue = Slots("me", 64), Others(other(0))
    share = WorkShare(queue, slots)  # type: ignore[arg-type]
    await share.review(0.0, [KIND] * 10)
    queue.records = [other(2)]
    assert not await share.review(LOOK_S, [KIND] * 10)
    assert slots.share == 6
    queue.records = [other(5)]
    assert not await share.review(2 * LOOK_S, [KIND] * 5)
    assert slots.share is None


async def test_what_the_others_cannot_run_is_claimed_beside_long_tasks(address: str) -> None:
    """The second worker could run the long tasks, has none of them, and lacks the other tool."""
    began, over = asyncio.Event(), asyncio.Event()
    running = 0

    @planfold.tool(effect="safe")
    async def long() -> None:
        """Ends when it is told to."""
        nonlocal running
        running += 1
        if running == 4:
            began.set()
        await over.wait()

    @planfold.tool(effect="safe")
    async def rare() -> None:
        """Only the first worker has it."""

    tasks = [TaskDraft(description=f"{n}", tool="long") for n in range(4)]
    async with (
        planfold.open_app(address, tools=[long, rare]) as one,
        planfold.open_app(address, tools=[long, rare]) as other_process,
        one.worker(),
    ):
        await one.submit(PlanDraft(title="long", tasks=tasks), approved_by="me")
        await began.wait()
        await one.store.queue.enter(
            WorkerRecord("other", concurrency=64, declined=("rare",), routes=("long", "rare"))
        )
        try:
            for _ in range(5):  # seen by the first worker only in the queue
                draft = PlanDraft(title="rare", tasks=[TaskDraft(description="r", tool="rare")])
                plan_id = await other_process.submit(draft, approved_by="me")
                async with asyncio.timeout(PATIENCE_S):
                    assert (await other_process.result(plan_id)).status == "completed"
        finally:
            over.set()
