"""``stall_timeout``: an attempt without progress ends; one that reports progress continues."""

from __future__ import annotations

import asyncio

import planfold
from planfold import Effect, PlanDraft, TaskContext, TaskDraft
from testbed.patience import PATIENCE_S

STALL_S = 2.0  # long beside every pause below, also on a busy machine


def shell(script: str, **fields: object) -> PlanDraft:
    task = TaskDraft(
        label="do",
        description="do",
        tool="shell",
        arguments={"argv": ["sh", "-c", script]},
        effect=Effect.Safe,
        stall_timeout=STALL_S,
        **fields,  # type: ignore[arg-type]
    )
    return PlanDraft(title="Stalls", tasks=[task])


async def test_a_process_that_hangs_is_ended(database: str) -> None:
    async with planfold.open_app(database) as app:
        draft = shell("echo begins; exec sleep 600")
        plan_id = await app.submit(draft, approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
    assert plan.status == "failed"
    assert plan.task("do").error == "stalled: no progress for 2 s"


async def test_a_process_that_prints_slowly_continues(database: str) -> None:
    """It takes longer than the limit in all, and never as long without a line."""
    async with planfold.open_app(database) as app:
        draft = shell(
            "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $$i; sleep 0.2; done", timeout=60
        )
        plan_id = await app.submit(draft, approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
    assert plan.status == "completed"
    assert plan.task("do").result["stdout"].count("\n") == 11


async def test_the_limit_on_the_whole_holds_beside_it(database: str) -> None:
    async with planfold.open_app(database) as app:
        draft = shell("while :; do echo x; sleep 0.05; done", timeout=1)
        plan_id = await app.submit(draft, approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
    assert plan.task("do").error == "timed out after 1 s"


@planfold.tool(effect="safe")
async def talks(how: str, context: TaskContext) -> str:
    """Progress of one kind, until more time has passed than the limit allows without any."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 1.2 * STALL_S
    number = 0
    while loop.time() < end:
        number += 1
        if how == "notes":
            await context.progress(f"note {number}")
        elif how == "steps":
            await context.once(str(number), lambda: 1)
        elif how == "touch":
            await asyncio.to_thread(context.touch)
        elif how == "inner":
            context.inner("call", {}).guarded({}, None).touch()
        await asyncio.sleep(STALL_S / 20)
    return how


async def test_what_counts_as_progress(database: str) -> None:
    kinds = ["notes", "steps", "touch", "inner", "nothing"]
    tasks = [
        TaskDraft(
            label=how,
            description=how,
            tool="talks",
            arguments={"how": how},
            stall_timeout=STALL_S,
            on_failure="continue",
        )
        for how in kinds
    ]
    async with planfold.open_app(database, tools=[talks]) as app:
        plan_id = await app.submit(PlanDraft(title="t", tasks=tasks), approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
    ended = [plan.task(how).status for how in kinds]
    assert ended == ["completed"] * 4 + ["failed"]


@planfold.tool(effect="once")
async def hangs() -> None:
    await asyncio.Event().wait()


async def test_the_outcome_of_an_effect_that_stalled_is_unknown(database: str) -> None:
    task = TaskDraft(label="do", description="do", tool="hangs", stall_timeout=0.1)
    async with planfold.open_app(database, tools=[hangs]) as app:
        plan_id = await app.submit(PlanDraft(title="t", tasks=[task]), approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
    assert plan.questions[0].then == "outcome"
    assert "stalled: no progress for 0.1 s" in plan.questions[0].question
