"""A map of a sub-plan over a list that is found at run time, with a wait for a signal."""

import asyncio

import planfold
from planfold import Parameter, PlanDraft, TaskDraft


@planfold.tool(effect="safe")
def pictures() -> list[dict[str, str]]:
    """List the pictures."""
    return [{"name": "a.png"}, {"name": "b.png"}]


ONE = PlanDraft(
    title="Thumbnail of $params.name",
    params={"name": Parameter(description="the picture")},
    tasks=[
        TaskDraft(
            label="shrink",
            description="Shrink $params.name",
            tool="shell",
            arguments={"argv": ["echo", "small-$params.name"]},
            effect="safe",
        ),
    ],
)
ALL = PlanDraft(
    title="Thumbnails",
    tasks=[
        TaskDraft(label="list", description="List them", tool="pictures"),
        TaskDraft(
            label="thumbs",
            description="Shrink each",
            plan=ONE,
            arguments={"name": "$item.name"},
            for_each="$list",
            item_label="$item.name",
        ),
        TaskDraft(
            label="seen",
            description="Wait until a person has looked",
            wait_for="seen",
            key="thumbs",
            timeout=60,
            default={"by": "none"},
            depends_on=["thumbs"],
        ),
        TaskDraft(
            label="done",
            description="Say so",
            tool="shell",
            arguments={"argv": ["echo", "$thumbs[1].shrink.stdout", "$seen.by"]},
        ),
    ],
)


async def main() -> None:
    async with planfold.open_app("sqlite:///:memory:", tools=[pictures]) as app:
        plan_id = await app.submit(ALL, approved_by="me")
        await app.signal("seen", "thumbs", {"by": "ann"}, id="1")
        plan = await app.run(plan_id)
        assert plan.task("done").result["stdout"] == "small-b.png ann"


asyncio.run(main())
