"""Plans with maps on both backends: from a list to its results, with people and retries."""

from __future__ import annotations

import asyncio

import pytest

import planfold
from planfold import Permanent, PlanDraft, TaskContext, TaskDraft
from planfold.errors import NotFound
from testbed.patience import PATIENCE_S

CLOSED = {"b"}


@planfold.tool(effect="safe")
async def names() -> list[str]:
    return ["a", "b", "c"]


@planfold.tool(effect="keyed")
async def post(name: str, context: TaskContext) -> str:
    if name in CLOSED:
        raise Permanent(f"{name} is closed")
    return context.idempotency_key


@planfold.tool(effect="safe")
async def approve(name: str, context: TaskContext) -> str:
    return await context.ask("may", f"Pay {name}?", choices=["yes", "no"])


TOOLS = [names, post, approve]


def plan_of(tool: str, **fields: object) -> PlanDraft:
    return PlanDraft(
        title="A map",
        tasks=[
            TaskDraft(label="names", description="find", tool="names"),
            TaskDraft(
                label="each",
                description=f"{tool} one",
                tool=tool,
                arguments={"name": "$item"},
                for_each="$names",
                item_label="$item",
                **fields,  # type: ignore[arg-type]
            ),
        ],
    )


async def test_a_map_from_its_list_to_its_result(
    each_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with planfold.open_app(each_database, tools=TOOLS) as app:
        draft = plan_of("post", on_item_failure="continue", concurrency=1)
        plan_id = await app.submit(draft, plan_id="p", approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        each = plan.task("each")
        assert (plan.status, each.status) == ("completed", "completed")
        assert each.result == ["p/2[0]/1", None, "p/2[2]/1"]
        assert each.error == "1 of 3 items did not complete: 2[1]: Permanent: b is closed"
        assert [(i.label, i.status) for i in each.items] == [
            *(("a", "completed"), ("b", "failed"), ("c", "completed"))
        ]
        assert plan.task("2[1]") is each.items[1]
        monkeypatch.setattr(f"{__name__}.CLOSED", set())
        assert await app.retry(plan_id, "each[1]")
    async with planfold.open_app(each_database, tools=TOOLS) as app:
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert plan.task("each").result == ["p/2[0]/1", "p/2[1]/1", "p/2[2]/1"]
        assert [item.attempt for item in plan.task("each").items] == [1, 2, 1]
        report = await app.replay(plan_id)
        assert report.difference is None


async def test_items_that_ask_hold_up_nothing_else(each_database: str) -> None:
    async with planfold.open_app(each_database, tools=TOOLS) as app:
        plan_id = await app.submit(plan_of("approve", concurrency=1), approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert [q.question for q in plan.questions] == ["Pay a?", "Pay b?", "Pay c?"]
        for key, text in (("2[2]", "yes"), ("each[0]", "no"), ("2[1]", "yes")):
            await app.answer(plan_id, key, text, by="ada")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert plan.task("each").result == ["no", "yes", "yes"]
        with pytest.raises(NotFound, match=r"no task '2\[3\]'; its tasks: 1 \(names\), 2 \(each\)"):
            await app.answer(plan_id, "2[3]", "yes")


async def test_a_fork_below_the_list_runs_the_items_again(each_database: str) -> None:
    async with planfold.open_app(each_database, tools=TOOLS) as app:
        draft = plan_of("post", on_item_failure="continue")
        plan_id = await app.submit(draft, plan_id="p", approved_by="me")
        await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        fork = await app.fork(plan_id, at="each", fork_id="f", approved_by="me")
        plan = await asyncio.wait_for(app.run(fork.plan_id), PATIENCE_S)
        assert plan.task("each").result == ["f/2[0]/1", None, "f/2[2]/1"]


async def test_other_plans_do_not_wait_for_a_large_map(each_database: str) -> None:
    """Workers take tasks of all plans in turn."""
    order: list[str] = []

    @planfold.tool(effect="keyed")
    async def note(who: str) -> None:
        order.append(who)

    @planfold.tool(effect="safe")
    async def many() -> list[int]:
        return list(range(300))

    each = TaskDraft(
        description="each",
        tool="note",
        arguments={"who": "item $index"},
        for_each="$1",
        concurrency=300,
    )
    large = PlanDraft(tasks=[TaskDraft(description="many", tool="many"), each])
    small = PlanDraft(
        tasks=[TaskDraft(description="one", tool="note", arguments={"who": "the other"})]
    )
    async with planfold.open_app(each_database, tools=[note, many]) as app:
        first = await app.submit(large, approved_by="me")
        async with app.worker(concurrency=2):
            while len(order) < 5:  # noqa: ASYNC110 - the tool sets no event
                await asyncio.sleep(0.001)
            begun = len(order)
            other = await app.submit(small, approved_by="me")
            await asyncio.wait_for(app.result(other), PATIENCE_S)
            assert order.index("the other") < begun + 100
            await asyncio.wait_for(app.result(first), PATIENCE_S)
    assert len(order) == 301


async def test_a_fork_with_another_list_asks_about_its_items(each_database: str) -> None:
    """Answers that are kept were about the elements of the other list."""
    draft = PlanDraft(
        tasks=[
            TaskDraft(label="which", description="Which?", kind="clarification"),
            TaskDraft(label="names", description="find", tool="names", depends_on=["which"]),
            TaskDraft(description="Pay $item?", kind="clarification", for_each="$names"),
        ]
    )
    async with planfold.open_app(each_database, tools=TOOLS) as app:
        plan_id = await app.submit(draft, approved_by="me")
        await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        await app.answer(plan_id, "which", "one")
        await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        for place in range(3):
            await app.answer(plan_id, f"3[{place}]", "yes")
        assert (await asyncio.wait_for(app.run(plan_id), PATIENCE_S)).task(3).result == ["yes"] * 3
        fork = await app.fork(plan_id, answers={"which": "other"}, keep_answers=True)
        plan = await asyncio.wait_for(app.run(fork.plan_id), PATIENCE_S)
        assert [q.question for q in plan.questions] == ["Pay a?", "Pay b?", "Pay c?"]
        assert (await app.replay(fork.plan_id)).difference is None


async def test_a_map_behind_another_one_runs_item_by_item(each_database: str) -> None:
    """The last item of the first map waits for the first one of the second."""
    seen = asyncio.Event()

    @planfold.tool(effect="safe")
    async def fetch(name: str) -> str:
        if name == "c":
            await asyncio.wait_for(seen.wait(), PATIENCE_S)
        return name.upper()

    @planfold.tool(effect="keyed")
    async def put(name: str, context: TaskContext) -> str:
        seen.set()
        return f"{name} under {context.idempotency_key}"

    tasks = [TaskDraft(label="names", description="find", tool="names")]
    for label, tool, of in (("fetch", "fetch", "names"), ("put", "put", "fetch")):
        each = TaskDraft(
            label=label,
            description=f"{label} $item",
            tool=tool,
            arguments={"name": "$item"},
            for_each=f"${of}",
            item_by_item=True if label == "put" else None,
        )
        tasks.append(each)
    async with planfold.open_app(each_database, tools=[names, fetch, put]) as app:
        draft = PlanDraft(title="Two maps", tasks=tasks)
        plan_id = await app.submit(draft, plan_id="p", approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert plan.task("put").result == [
            *("A under p/3[0]/1", "B under p/3[1]/1", "C under p/3[2]/1")
        ]
        assert [item.description for item in plan.task("put").items] == ["put A", "put B", "put C"]
        assert (await app.replay(plan_id)).difference is None


async def test_a_setting_shows_the_count_before_each_map(each_database: str) -> None:
    settings = planfold.Settings(database=each_database, preview_from=0.0)
    async with planfold.open_app(settings, tools=TOOLS) as app:
        plan_id = await app.submit(plan_of("post"), approved_by="me")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        [question] = plan.questions
        assert question.question == (
            'Run this for 3 items? post one (its max_items is 1,000; the first of the list: "a", '
            '"b", "c")'
        )
        await app.answer(plan_id, "each", "go on", by="ada")
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
        assert len(plan.task("each").items) == 3
