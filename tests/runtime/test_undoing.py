"""A plan is undone while workers run, on both databases."""

from __future__ import annotations

from typing import Any

import planfold
from planfold import PlanDraft, TaskDraft
from planfold.cli.approval_text import counted_specs
from planfold.cli.situation import situation_of
from planfold.executor import Executors
from planfold.log import events
from planfold.readmodels.task_details import remaining_draft, revision_details
from planfold.types import UndoDraft

WORLD: list[str] = []


@planfold.tool(effect="once")
async def make(name: str) -> dict[str, str]:
    WORLD.append(name)
    return {"id": f"id-{name}"}


@planfold.tool(effect="keyed")
async def drop(id: str) -> None:
    WORLD.remove(id.removeprefix("id-"))


@planfold.tool(effect="safe")
async def fail() -> None:
    raise ValueError("no")


def opened(database: str) -> Any:
    WORLD.clear()
    return planfold.open_app(database, tools=[make, drop, fail], executors=Executors())


def draft(*names: str, **fields: Any) -> PlanDraft:
    undo = UndoDraft(tool="drop", arguments={"id": "$self.id"})
    made = [
        TaskDraft(label=n, description=n, tool="make", arguments={"name": n}, undo=undo)
        for n in names
    ]
    last = TaskDraft(label="last", description="last", tool="fail", depends_on=list(names))
    return PlanDraft(tasks=[*made, last], **fields)


async def test_a_failed_plan_is_undone_and_made_again(each_database: str) -> None:
    async with opened(each_database) as app:
        plan_id = await app.submit(draft("a", "b", undo="always"), approved_by="ada")
        plan = await app.run(plan_id)
        assert (plan.status, WORLD, plan.summary.undone) == ("failed", [], 2)
        order = [x.event.task_ids for x in await app.log.read() if _is_undo(x)]
        ended = [x.event.task_id for x in await app.log.read() if _completes(x, (1, 2))]
        assert order == [tuple(reversed(ended))]
        [reason] = (await app.why(plan_id, "a")).reasons
        undo = plan.task(reason.by[0])
        assert (reason.kind, undo.undoes) == ("undone", plan.task("a").id)
        assert reason.since == undo.finished_at

        assert await app.retry(plan_id, "last")
        plan = await app.run(plan_id)
        assert (plan.status, WORLD, plan.summary.undone) == ("failed", [], 2)
        assert [plan.task(name).attempt for name in ("a", "b", "last")] == [2, 2, 2]


async def test_an_answer_decides_after_a_restart(each_database: str) -> None:
    async with opened(each_database) as app:
        plan_id = await app.submit(draft("a"), approved_by="ada")
        plan = await app.run(plan_id)
        [question] = plan.questions
    async with planfold.open_app(
        each_database, tools=[make, drop, fail], executors=Executors()
    ) as app:
        await app.answer(plan_id, question.task_id, "undo", by="ada")
        plan = await app.run(plan_id)
        assert (plan.status, WORLD, plan.task("a").undone) == ("failed", [], True)
        assert (await app.replay(plan_id)).difference is None


async def test_a_fork_makes_again_what_was_undone_later(each_database: str) -> None:
    async with opened(each_database) as app:
        plan_id = await app.submit(draft("a", undo="always"), approved_by="ada")
        await app.run(plan_id)
        fork = await app.fork(plan_id, at="last", dry_run=True)
        assert (fork.again, fork.effects) == ((1,), ())
        fork = await app.fork(plan_id, at="last")
        plan = await app.run(fork.plan_id)
        assert (plan.status, plan.task("a").attempt, WORLD) == ("failed", 2, [])


async def test_a_fork_that_keeps_answers_is_asked_itself_whether_to_undo(database: str) -> None:
    async with opened(database) as app:
        plan_id = await app.submit(draft("a"), approved_by="ada")
        [question] = (await app.run(plan_id)).questions
        await app.answer(plan_id, question.task_id, "undo")
        await app.run(plan_id)
        fork = await app.fork(plan_id, keep_answers=True, repeat=["a"])
        [question] = (await app.run(fork.plan_id)).questions
        assert question.question.startswith("The plan has failed. Undo what it did?")
        assert WORLD == ["a"]


async def test_undo_tasks_are_no_part_of_a_revision(database: str) -> None:
    async with opened(database) as app:
        plan_id = await app.submit(draft("a"), approved_by="ada")
        [question] = (await app.run(plan_id)).questions
        await app.answer(plan_id, question.task_id, "leave it")
        plan = await app.run(plan_id)
        left = remaining_draft((await app.planner(plan_id)).state, app.executors.toolbox)
        assert [task.label for task in left.tasks] == ["last"]

        more = TaskDraft(
            id=4, label="more", description="more", tool="make", arguments={"name": "b"}
        )
        await app.revise(plan_id, PlanDraft(tasks=[more]))
        fold = (await situation_of(app, plan_id)).fold
        assert [spec.label for spec in counted_specs(fold)] == ["a", "more"]
        assert [spec.label for spec in revision_details(fold).tasks] == ["a", "more"]
        assert [spec.label for spec in fold.approved] == ["a", "last"]

        await app.approve(plan_id, fold.state.revision_hash, by="ada")
        plan = await app.run(plan_id)
        assert (plan.status, plan.task("more").id, WORLD) == ("completed", 5, ["a", "b"])
        assert not plan.task("a").undone


def _is_undo(envelope: Any) -> bool:
    return isinstance(envelope.event, events.UndoPlanned)


def _completes(envelope: Any, ids: tuple[int, ...]) -> bool:
    event = envelope.event
    ends = isinstance(event, events.TaskStatusUpdated) and event.status == "completed"
    return ends and event.task_id in ids
