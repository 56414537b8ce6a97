"""``App.revise`` after a failure: another task in the place of the one that failed."""

from __future__ import annotations

import planfold
from planfold.planner.tasks import PlanStatus
from plans import finish, submit, task


@planfold.tool(effect="keyed")
async def build() -> dict[str, str]:
    raise planfold.Permanent("no compiler")


@planfold.tool(effect="keyed")
async def fetch() -> dict[str, str]:
    return {"file": "app.tar"}


@planfold.tool(effect="keyed")
async def deploy(file: str) -> str:
    return f"deployed {file}"


def steps(first: planfold.TaskDraft) -> planfold.PlanDraft:
    last = task("deploy", label="deploy", arguments={"file": "$app.file"})
    return planfold.PlanDraft(title="a plan", tasks=[first, last])


async def test_a_failed_task_is_replaced_and_its_dependents_run(each_database: str) -> None:
    async with planfold.open_app(each_database, tools=[build, fetch, deploy]) as app:
        plan_id = await submit(app, *steps(task("build", label="app")).tasks)
        assert (await finish(app)).status is PlanStatus.Failed
        revision = await app.revise(plan_id, steps(task("fetch", label="app")))
        assert await app.status(plan_id) is PlanStatus.AwaitingApproval
        await app.approve(plan_id, revision, by="me")
        plan = await finish(app)
        assert plan.status is PlanStatus.Completed
        assert [(t.id, t.label, t.status, t.superseded) for t in plan.tasks] == [
            (1, "app", "failed", True),
            (3, "app", "completed", False),
            (2, "deploy", "completed", False),
        ]
        assert plan.task("app").result == {"file": "app.tar"}
        assert plan.task("deploy").result == "deployed app.tar"
        assert await app.task_id(plan_id, "app") == 3


async def test_it_is_the_same_in_another_process(each_database: str) -> None:
    async with planfold.open_app(each_database, tools=[build, fetch, deploy]) as app:
        plan_id = await submit(app, *steps(task("build", label="app")).tasks)
        await finish(app)
        await app.revise(plan_id, steps(task("fetch", label="app")), approved_by="me")
    async with planfold.open_app(each_database, tools=[build, fetch, deploy]) as app:
        assert (await finish(app)).status is PlanStatus.Completed
