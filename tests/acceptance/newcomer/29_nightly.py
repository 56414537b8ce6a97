"""A schedule that runs a plan with an undo each night."""

import asyncio

import planfold
from planfold import PlanDraft, SharedLimit, TaskDraft
from planfold.types import UndoDraft

DRAFT = PlanDraft(
    title="Nightly",
    undo="always",
    tasks=[
        TaskDraft(
            label="lock",
            description="Take the marker",
            tool="shell",
            arguments={"argv": ["mkdir", "marker"]},
            undo=UndoDraft(tool="shell", arguments={"argv": ["rmdir", "marker"]}),
            limits=["night"],
        ),
        TaskDraft(
            label="fail",
            description="Fail",
            tool="shell",
            arguments={"argv": ["false"]},
            depends_on=["lock"],
        ),
    ],
)


async def main() -> None:
    async with planfold.open_app(
        "sqlite:///:memory:", limits={"night": SharedLimit(concurrency=1)}
    ) as app:
        await app.add_schedule(
            "nightly", "30 2 * * MON-FRI", DRAFT, tz="Europe/Zurich", approved_by="ada"
        )
        plan_id = await app.run_schedule("nightly")
        plan = await app.run(plan_id)
        assert plan.status == "failed"
        assert plan.task("lock").undone
        assert "schedule=nightly" in plan.tags


asyncio.run(main())
