"""A changed answer stops what depends on the old one before it runs again: with a real worker."""

from __future__ import annotations

import asyncio
import threading

import planfold
from planfold.planner.commands import ChangeAnswer
from plans import PLAN_ID, Until, completed, running, task
from testbed.patience import PATIENCE_S

ROUNDS = 20


class Ledger:
    """Which runs of a tool began and ended. At most one may be open at any time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open = 0
        self.overlaps = 0
        self.places: list[str] = []

    def begin(self, place: str) -> None:
        with self.lock:
            self.open += 1
            self.overlaps += self.open > 1
            self.places.append(place)

    def end(self) -> None:
        with self.lock:
            self.open -= 1


def deployment() -> planfold.PlanDraft:
    question = planfold.TaskDraft(description="Where to?", label="where", kind="clarification")
    deploy = task("deploy", label="deploy", arguments={"place": "$where"}, depends_on=["where"])
    tell = task("tell", arguments={"place": "$deploy"}, depends_on=["deploy"])
    return planfold.PlanDraft(title="deploy", tasks=[question, deploy, tell])


@planfold.tool(effect="safe")
async def tell(place: str) -> str:
    return place


async def test_runs_of_a_once_tool_never_overlap(until: Until) -> None:
    ledger = Ledger()

    @planfold.tool(effect="once")
    async def deploy(place: str, context: planfold.TaskContext) -> str:
        ledger.begin(place)
        try:
            await context.cancelled.wait()  # it stops when it is asked to, but not at once
            for _ in range(5):
                await asyncio.sleep(0)
        finally:
            ledger.end()
        return place

    async with (
        planfold.open_app("sqlite:///:memory:", tools=[deploy, tell]) as app,
        app.worker(drain_s=0),
    ):
        await app.submit(deployment(), plan_id=PLAN_ID, approved_by="me")
        await until(lambda: waits(app))
        await app.answer(PLAN_ID, "where", "place 0")
        for number in range(1, ROUNDS):
            if number % 3 == 0:  # else perhaps before the attempt has begun
                known = len(ledger.places)
                await until(lambda known=known: ledger.open == 1 and len(ledger.places) >= known)
            await app.send(PLAN_ID, ChangeAnswer(1, f"place {number}", repeat=(2, 3)))
        await until(lambda: ledger.places and ledger.places[-1] == f"place {ROUNDS - 1}")
        assert ledger.overlaps == 0
        view = await app.view(PLAN_ID)
        assert view.task(3).attempt == 0
        assert view.questions == []
        assert len(ledger.places) >= 3


async def test_a_thread_that_is_still_running_keeps_the_next_attempt_waiting(until: Until) -> None:
    ledger, let_go = Ledger(), threading.Event()

    @planfold.tool(effect="once")
    def deploy(place: str) -> str:
        ledger.begin(place)
        if place == "old":
            let_go.wait(PATIENCE_S)
        ledger.end()
        return place

    async with planfold.open_app("sqlite:///:memory:", tools=[deploy, tell]) as app, app.worker():
        await app.submit(deployment(), plan_id=PLAN_ID, approved_by="me")
        await until(lambda: waits(app))
        await app.answer(PLAN_ID, "where", "old")
        await until(lambda: ledger.places == ["old"])
        await app.send(PLAN_ID, ChangeAnswer(1, "new", repeat=(2,)))
        assert await running(app, 2)
        let_go.set()
        await until(lambda: completed(app, 3))
        view = await app.view(PLAN_ID)
    assert (ledger.places, ledger.overlaps) == (["old", "new"], 0)
    assert view.task(3).result == "new"
    assert view.task("deploy").attempt == 2


async def waits(app: planfold.App) -> bool:
    return bool((await app.view(PLAN_ID)).questions)
