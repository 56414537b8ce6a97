"""Workers in several processes get equal parts of the work, on both databases."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import planfold
from planfold import PlanDraft, TaskDraft
from planfold.eventstore.queue import Lease, WorkerRecord
from planfold.runtime import share as share_module
from planfold.runtime.share import KEEP_S, LOOK_S, OFFER_S, WorkShare
from planfold.runtime.slots import Slots
from testbed.patience import PATIENCE_S

KIND = ("step", "step")
Until = Callable[[Callable[[], object]], Awaitable[None]]


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


async def test_what_waits_is_divided_equally(
    address: str, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_module, "OFFER_S", PATIENCE_S)  # the other one may be slow to claim
    runs: Counter[str] = Counter()
    over = asyncio.Event()

    def step_of(name: str) -> Any:
        @planfold.tool(name="step", effect="safe")
        async def step() -> None:
            """Ends on request."""
            runs[name] += 1
            await over.wait()

        return step

    async with (
        planfold.open_app(address, tools=[step_of("none")]) as app,
        planfold.open_app(address, tools=[step_of("one")]) as one,
        planfold.open_app(address, tools=[step_of("two")]) as two,
        one.worker() as first,
        two.worker() as second,
    ):
        await until(lambda: first._leases._share.others and second._leases._share.others)
        plan_ids = [await app.submit(chain(1)) for _ in range(20)]
        await asyncio.gather(*(app.approve(plan_id) for plan_id in plan_ids))
        await until(lambda: runs.total() == 20)
        assert runs == {"one": 10, "two": 10}
        over.set()
        await asyncio.gather(*(app.result(plan_id) for plan_id in plan_ids))


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
    """The parts of a queue that know the workers and how many tasks wait."""

    def __init__(self, *records: WorkerRecord, waiting: int = 0) -> None:
        self.records = [*records]
        self.free = waiting
        self.asked = self.counted = 0

    async def workers(self) -> list[WorkerRecord]:
        self.asked += 1
        return self.records

    async def waiting(self, upto: int) -> int:
        self.counted += 1
        return min(self.free, upto)


def other(leased: int, **about: Any) -> WorkerRecord:
    return WorkerRecord("other", concurrency=64, leased=leased, **about)


def leases_of(*plan_ids: str) -> list[Lease]:
    return [Lease(plan_id, 1, 1, "step", 1, 1, 0.0, "") for plan_id in plan_ids]


def share_of(queue: Others, running: int, concurrency: int = 64) -> tuple[WorkShare, Slots]:
    slots = Slots("me", concurrency)
    slots.running = running
    return WorkShare(queue, slots), slots  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "share"),
    [
        (other(0), 5),
        (other(4), 7),
        (other(9), None),  # as many, less one
        (other(20), None),
        (other(0, routes=("shell",)), None),
        (other(0, declined=("step",)), None),
        (other(0, plan_id="plan-1"), None),
        (WorkerRecord("other", concurrency=1, leased=1), None),  # it has no free place
        (WorkerRecord("me"), None),
    ],
)
async def test_what_a_worker_keeps(record: WorkerRecord, share: int | None) -> None:
    work_share, slots = share_of(Others(record), 10)
    await work_share.claimable(0.0, [KIND] * 10)
    assert slots.share == share


@pytest.mark.parametrize(
    ("records", "running", "waiting", "claims"),
    [
        ([], 0, 40, 64),
        ([other(0)], 0, 40, 20),
        ([other(0)], 20, 20, 0),
        ([other(20)], 0, 20, 20),  # they are all due here
        ([other(0)], 0, 1, 1),
        ([other(0)], 0, 0, 1),
        ([other(0)], 0, 41, 21),
        ([other(0)], 10, 50, 20),
        ([other(0), WorkerRecord("third", concurrency=64)], 0, 40, 14),
        ([other(0)], 0, 1_000, 64),  # enough for all
        ([WorkerRecord("other", concurrency=1, leased=1)], 0, 40, 40),  # it has no free place
    ],
)
async def test_what_a_worker_claims(
    records: list[WorkerRecord], running: int, waiting: int, claims: int
) -> None:
    work_share, _ = share_of(Others(*records, waiting=waiting), running)
    assert await work_share.claimable(0.0, [KIND] * running) == claims
    assert work_share.leaves == (claims < min(waiting, 64 - running))


async def test_where_enough_waits_for_all_it_is_not_counted_at_each_claim() -> None:
    queue = Others(other(0), waiting=1_000)
    work_share, _ = share_of(queue, 4, concurrency=8)
    for n in range(10):
        assert await work_share.claimable(n * LOOK_S / 10, [KIND] * 4) == 4
    assert (queue.asked, queue.counted) == (1, 1)


async def test_an_offer_that_is_not_taken_is_withdrawn() -> None:
    queue = Others(other(0), waiting=2)
    share, slots = share_of(queue, 10)
    assert await share.claimable(0.0, [KIND] * 10) == 0
    assert slots.share == 6
    assert await share.claimable(LOOK_S, [KIND] * 10) == 0
    assert await share.claimable(OFFER_S, [KIND] * 10) == 54, "claim what they left"
    share.claimed(leases_of("a", "b"), ())
    assert slots.share is None
    assert await share.claimable(KEEP_S, [KIND] * 10) == 54
    assert slots.share is None
    await share.claimable(KEEP_S + OFFER_S + 2 * LOOK_S, [KIND] * 10)
    assert slots.share == 6


async def test_an_offer_lasts_from_when_a_task_waits() -> None:
    """Long tasks have no successors for others to claim before they end."""
    queue = Others(other(0))
    share, slots = share_of(queue, 10)
    for n in range(4):
        await share.claimable(n * OFFER_S, [KIND] * 10)
        assert slots.share == 5
    queue.free = slots.running = 5
    for now in (4 * OFFER_S, 4 * OFFER_S + 2 * LOOK_S):
        assert await share.claimable(now, [KIND] * 5) == 0
    assert await share.claimable(5 * OFFER_S + LOOK_S, [KIND] * 5) == 59, "claim what they left"


async def test_a_part_that_is_not_claimed_by_the_others_is_claimed() -> None:
    queue = Others(other(0), waiting=40)
    share, slots = share_of(queue, 0)
    assert await share.claimable(0.0, []) == 20
    share.claimed(leases_of(*"abcdefghij"), ())
    slots.running, queue.free = 20, 20
    assert share.pause == LOOK_S
    assert await share.claimable(LOOK_S, [KIND] * 20) == 0
    assert await share.claimable(LOOK_S * 2, [KIND] * 20) == 0
    assert await share.claimable(LOOK_S * 3, [KIND] * 20) == 44
    share.claimed(leases_of(*"abcdefghij"), ())
    slots.running, queue.free = 40, 12
    assert await share.claimable(LOOK_S * 5, [KIND] * 40) == 24, "nothing is left to them now"


@pytest.mark.parametrize(("now_theirs", "part"), [(0, 9), (20, 18)])
async def test_what_comes_between_two_looks_is_divided_by_what_the_others_have_now(
    now_theirs: int, part: int
) -> None:
    queue = Others(other(20))
    work_share, _ = share_of(queue, 0)
    assert await work_share.claimable(0.0, []) == 1
    queue.records, queue.free = [other(now_theirs)], 18
    assert await work_share.claimable(LOOK_S / 2, []) == part


async def test_a_worker_that_claims_all_that_waits_takes_any_number_of_successors(
    address: str, until: Until
) -> None:
    gate = asyncio.Event()

    @planfold.tool(effect="safe")
    async def step() -> None:
        """Ends when the gate opens."""
        await gate.wait()

    async with planfold.open_app(address, tools=[step]) as app:
        await app.store.queue.enter(WorkerRecord("suspended", concurrency=64))
        plan_id = await app.submit(chain(2), approved_by="me")
        async with app.worker() as worker:
            await until(lambda: worker.running == 1)
            (slots,) = app.dispatcher.slots
            assert (slots.turns, slots.waiting) == (None, False)
            gate.set()
            await app.result(plan_id)


@pytest.mark.parametrize(
    ("records", "claimed", "here", "spread"),
    [
        ([other(0)], "aab", "", {"a"}),
        ([other(0)], "ab", "b", {"b"}),
        ([other(0)], "ab", "c", set()),
        ([], "aab", "b", set()),
    ],
)
async def test_a_plan_of_which_it_claims_several_tasks_is_spread_over_workers(
    records: list[WorkerRecord], claimed: str, here: str, spread: set[str]
) -> None:
    work_share, _ = share_of(Others(*records, waiting=1_000), 1)
    await work_share.claimable(0.0, [KIND])
    assert work_share.claimed(leases_of(*claimed), here) == spread


async def test_what_is_taken_is_shared_until_it_is_equal() -> None:
    queue = Others(other(0))
    share, slots = share_of(queue, 10)
    await share.claimable(0.0, [KIND] * 10)
    queue.records = [other(2)]
    assert await share.claimable(LOOK_S, [KIND] * 10) == 0
    assert slots.share == 6
    queue.records = [other(5)]
    assert await share.claimable(2 * LOOK_S, [KIND] * 5) == 1
    assert slots.share is None


async def test_what_the_others_cannot_run_is_claimed_beside_long_tasks(address: str) -> None:
    """The second worker could run the long tasks, has none of them, and lacks the other tool."""
    began, over = asyncio.Event(), asyncio.Event()
    running = 0

    @planfold.tool(effect="safe")
    async def long() -> None:
        """Ends on request."""
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
