"""Plans that wait, on both backends: signals early, late and twice, in several processes."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import planfold
from planfold import PlanDraft, TaskDraft
from planfold.errors import CommandRejected, Conflict, CorruptLog
from planfold.log import Query
from planfold.runtime import signal_delivery, timers
from planfold.runtime.aggregate import SIGNALS
from planfold.signals.inbox import inbox_id
from planfold.testing import ManualClock
from testbed.patience import PATIENCE_S

Until = Callable[[Callable[[], object]], Awaitable[None]]


def paid(key: str | None, **fields: object) -> PlanDraft:
    wait = TaskDraft(
        label="paid",
        description="Wait for the payment",
        wait_for="payment.settled",
        key=key,
        **fields,  # type: ignore[arg-type]
    )
    return PlanDraft(title="Order", tasks=[wait])


async def test_a_signal_counts_whether_it_is_early_or_late(each_database: str) -> None:
    async with planfold.open_app(each_database) as app:
        late = await app.submit(paid("17"), approved_by="me")
        async with app.worker():
            await app.signal("payment.settled", "17", {"amount": 3})
            assert (await app.result(late)).task("paid").result == {"amount": 3}
            early = await app.submit(paid("17"), approved_by="me")
            assert (await app.result(early)).task("paid").result == {"amount": 3}


async def test_a_signal_is_given_once(each_database: str) -> None:
    async with planfold.open_app(each_database) as app:
        assert await app.signal("payment.settled", "17", 1, id="e") is True
        assert await app.signal("payment.settled", "17", 1, id="e") is False
        for other in (("payment.settled", "17", 2), ("payment.settled", "18", 1), ("x", "17", 1)):
            with pytest.raises(Conflict, match="was given to another signal; use an id of its own"):
                await app.signal(*other, id="e")
        assert await app.store.version(inbox_id("payment.settled", "17")) == 1
        assert len(await app.log.read(Query(stream_id=SIGNALS.stream_id))) == 1


@pytest.mark.parametrize(
    ("name", "key", "data", "why"),
    [
        ("two words", "1", None, "is not the name of a signal"),
        ("", "1", None, "is not the name of a signal"),
        ("n", "", None, "key must have 1 to 1,000 characters"),
        ("n", "x" * 1001, None, "key must have 1 to 1,000 characters"),
        ("n", "a\0", None, "key holds a NUL"),
        ("n", 1, None, "key must be a text"),
        ("n", "k", float("nan"), "data is not JSON"),
        ("n", "k", "x" * 2**20, "data is too large"),
    ],
)
async def test_what_is_no_signal_is_refused(
    database: str, name: str, key: str, data: object, why: str
) -> None:
    async with planfold.open_app(database) as app:
        with pytest.raises(CommandRejected, match=why):
            await app.signal(name, key, data)
        assert not await app.log.read(Query())


async def test_without_a_key_it_is_the_plan_s_id(database: str) -> None:
    async with planfold.open_app(database) as app:
        await app.submit(paid(None), plan_id="mine", approved_by="me")
        await app.submit(paid(None), plan_id="other", approved_by="me")
        async with app.worker():
            await app.signal("payment.settled", "mine", "yes")
            assert (await app.result("mine")).task("paid").result == "yes"
        assert (await app.view("other")).task("paid").waits_for == (
            "the signal 'payment.settled' whose key is the plan's id"
        )


async def test_time_passes_by_the_clock(each_database: str, until: Until) -> None:
    clock = ManualClock(1_000.0)
    async with planfold.open_app(each_database, clock=clock) as app:
        draft = paid("17", timeout=3_600, default={"amount": 0})
        draft.tasks.append(TaskDraft(description="a while", wait=7_200))
        plan_id = await app.submit(draft, approved_by="me")
        async with app.worker():

            async def waits() -> bool:
                return not (await app.planner(plan_id)).state.unregistered

            await until(waits)
            clock.advance(3_600)
            app.store.wakeup.notify("work")

            async def defaulted() -> bool:
                return (await app.view(plan_id)).task("paid").status == "completed"

            await until(defaulted)
            assert (await app.view(plan_id)).task("paid").result == {"amount": 0}
            assert (await app.status(plan_id)) == "running"
            clock.advance(3_600)
            assert (await app.result(plan_id)).status == "completed"


async def test_a_plan_that_is_run_alone_gets_its_signals(database: str) -> None:
    async with planfold.open_app(database) as app:
        await app.signal("payment.settled", "17", "early")
        plan_id = await app.submit(paid("17"), approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert plan.task("paid").result == "early"


async def test_an_old_signal_is_not_given(database: str) -> None:
    clock = ManualClock(1_000.0)
    settings = planfold.Settings(database=database, keep_signals_s=60.0)
    async with planfold.open_app(settings, clock=clock) as app:
        await app.signal("payment.settled", "17", "old")
        clock.advance(61)
        plan_id = await app.submit(paid("17"), approved_by="me")
        async with app.worker():
            await app.signal("payment.settled", "17", "new")
            assert (await app.result(plan_id)).task("paid").result == "new"


GIVER = """
import asyncio, sys
import planfold

async def main():
    async with planfold.open_app(sys.argv[1], load=False) as app:
        for key in sys.argv[2:]:
            await app.signal("payment.settled", key, {"key": key}, id=f"event-{key}")

asyncio.run(main())
"""


async def test_signals_of_another_process(each_database: str) -> None:
    async with planfold.open_app(each_database) as app:
        plans = [await app.submit(paid(str(n)), approved_by="me") for n in range(3)]
        async with app.worker():
            command = [sys.executable, "-c", GIVER, each_database, "2", "0", "1"]
            giver = await asyncio.create_subprocess_exec(*command)
            assert await giver.wait() == 0
            for number, plan_id in enumerate(plans):
                plan = await asyncio.wait_for(app.result(plan_id), PATIENCE_S)
                assert plan.task("paid").result == {"key": str(number)}


async def many(address: str, count: int) -> float:
    """Half of the signals come before their plan waits, each is sent twice; returns the seconds
    that it took from the first signal on."""
    order = list(range(count))
    random.shuffle(order)
    async with planfold.open_app(address) as app:

        async def submit(number: int) -> None:
            await app.submit(paid(f"key-{number}"), plan_id=f"p{number}", approved_by="me")

        async def give(number: int) -> bool:
            return await app.signal("payment.settled", f"key-{number}", number, id=f"e{number}")

        async def each(act: Callable[[int], Awaitable[object]], numbers: list[int]) -> list[object]:
            found: list[object] = []
            for first in range(0, len(numbers), 100):
                found += await asyncio.gather(*map(act, numbers[first : first + 100]))
            return found

        async with app.worker():
            early, late = order[: count // 2], order[count // 2 :]
            await each(submit, late)
            began = time.monotonic()
            twice = order * 2
            random.shuffle(twice)
            new, _ = await asyncio.gather(each(give, twice), each(submit, early))
            assert sum(map(bool, new)) == count
            for number in order:
                plan = await app.result(f"p{number}")
                assert plan.task("paid").result == number
        took = time.monotonic() - began
        for number in order:
            assert await app.store.version(f"p{number}") == 6, "delivered once"
        return took


@pytest.mark.slow
async def test_many_plans_and_signals_in_random_order(each_database: str) -> None:
    await many(each_database, 60)


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1_200)
async def test_ten_thousand_plans_and_signals_in_random_order(
    each_database: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("seconds", await many(each_database, 10_000))


WORKER = """
import asyncio, sys
import planfold

async def main():
    async with planfold.open_app(sys.argv[1], load=False) as app:
        async with app.worker():
            print("works", flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


def test_workers_that_are_killed_lose_no_signal(each_database: str, tmp_path: Path) -> None:
    """Each is killed at any moment while it delivers; the last one delivers the rest."""

    async def prepare() -> None:
        async with planfold.open_app(each_database) as app:
            for number in range(20):
                await app.submit(paid(f"{number}"), plan_id=f"p{number}", approved_by="me")
            for number in range(20):
                await app.signal("payment.settled", f"{number}", number, id=f"e{number}")

    async def finish() -> None:
        async with planfold.open_app(each_database) as app, app.worker():
            for number in range(20):
                plan = await asyncio.wait_for(app.result(f"p{number}"), PATIENCE_S)
                assert plan.task("paid").result == number
                assert await app.store.version(f"p{number}") == 6

    asyncio.run(prepare())
    for _ in range(2):
        worker = subprocess.Popen([sys.executable, "-c", WORKER, each_database], stdout=-1)
        assert worker.stdout is not None
        with worker.stdout:
            assert worker.stdout.readline()
            worker.kill()
            worker.wait()
    asyncio.run(finish())


async def test_a_signal_reaches_the_others_where_one_plan_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(signal_delivery, "AT_ONCE", 1)
    async with planfold.open_app(f"sqlite:///{tmp_path}/a.db") as app, app.worker():
        damaged = await _waiting(app, 1, until)  # it is the first to get the signal
        whole = await _waiting(app, 2, until)
        _refuse_streams(app, monkeypatch, damaged)
        await app.signal("payment.settled", "17", 1)
        assert (await app.result(whole)).task("paid").result == 1
        assert await app.status(damaged) == "running"


async def test_what_is_due_does_not_wait_for_signals_that_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(timers, "STUCK_PAUSE_S", 0.05)
    async with planfold.open_app(f"sqlite:///{tmp_path}/a.db") as app:
        _refuse_streams(app, monkeypatch, inbox_id("payment.settled", "17"))
        nap = TaskDraft(label="nap", description="Wait a moment", wait=0.01)
        plan = PlanDraft(title="Order", tasks=[*paid("17").tasks, nap])
        plan_id = await app.submit(plan, approved_by="me")

        async def rested() -> bool:
            return (await app.view(plan_id)).task("nap").status == "completed"

        async with app.worker():
            await until(rested)


async def _waiting(app: planfold.App, number: int, until: Until) -> str:
    """The id of a plan that is the ``number``th to wait."""
    plan_id = await app.submit(paid("17"), approved_by="me")

    async def waits() -> bool:
        head = await app.store.head(inbox_id("payment.settled", "17"))
        return head is not None and head.head["waiting"] == number

    await until(waits)
    return plan_id


def _refuse_streams(app: planfold.App, monkeypatch: pytest.MonkeyPatch, *streams: str) -> None:
    send = app.dispatcher.send

    async def refused(aggregate: Any, stream: str, *args: Any, **more: Any) -> Any:
        if stream in streams:
            raise CorruptLog(f"{stream}#1 is damaged")
        return await send(aggregate, stream, *args, **more)

    monkeypatch.setattr(app.dispatcher, "send", refused)
