"""A release with a break-point before the deployment."""

import asyncio

import planfold
from planfold import PlanDraft, RetryPolicy, TaskDraft

RELEASE = PlanDraft(
    title="Release",
    tags=["release", "team/web"],
    tasks=[
        TaskDraft(
            label="build",
            description="Build",
            tool="shell",
            arguments={"argv": ["echo", "built"]},
            retry=RetryPolicy(attempts=2),
            timeout=60,
            stall_timeout=10,
        ),
        TaskDraft(
            label="deploy",
            description="Deploy",
            tool="shell",
            arguments={"argv": ["echo", "$build.stdout"]},
        ),
    ],
)


async def main() -> None:
    async with planfold.open_app("sqlite:///:memory:") as app:
        plan_id = await app.submit(RELEASE, approved_by="ada", pause_before=["deploy"])
        plan = await app.run(plan_id)
        assert plan.status == "paused"
        await app.unpause(plan_id, by="ada")
        plan = await app.run(plan_id)
        assert plan.status == "completed"


asyncio.run(main())
