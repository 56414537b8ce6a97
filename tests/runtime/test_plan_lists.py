"""Lists of plans by pages, and what is read of a long plan: on both databases."""

from __future__ import annotations

import pytest

import planfold
from planfold.cli.reason_text import explanation_lines
from planfold.errors import NotFound
from planfold.planner.tasks import NodeKind, PlanStatus
from planfold.readmodels import explanation
from planfold.runtime import mailbox, plan_lists, plan_reader
from planfold.testing.clock import ManualClock
from plans import PLAN_ID, submit, task


def asks(*depends_on: int) -> planfold.TaskDraft:
    return planfold.TaskDraft(
        description="which?", kind=NodeKind.Clarification, depends_on=list(depends_on)
    )


async def test_plans_come_the_newest_first_a_page_at_a_time(each_database: str) -> None:
    clock = ManualClock()
    async with planfold.open_app(each_database, clock=clock) as app:
        for number in range(7):
            title = f"{'Release' if number % 2 else 'Straße'} {number}"
            draft = planfold.PlanDraft(title=title, tasks=[planfold.TaskDraft(description="x")])
            approved = "ada" if number < 3 else None
            await app.submit(draft, plan_id=f"plan-{number}", approved_by=approved)
            clock.advance(10)
        await app.cancel("plan-0")

        async def ids(**choice: object) -> str:
            plans = await app.plans(**choice)  # type: ignore[arg-type]
            return "".join(plan.aggregate_id[-1] for plan in plans)

        began = clock() - 70
        assert await ids() == await ids(limit=None) == "6543210"
        assert await ids(limit=3) == "654"
        assert await ids(limit=3, after="plan-4") == "321"
        assert await ids(after="plan-0") == ""
        assert await ids(statuses=[PlanStatus.Cancelling]) == "0"
        assert await ids(statuses=[PlanStatus.Running, PlanStatus.Cancelling], limit=2) == "21"
        assert await ids(title="RELEASE", limit=2) == "53"
        assert await ids(title="strasse", limit=2, after="plan-4") == "20"
        assert await ids(since=began + 10, before=began + 40) == "321"
        assert await ids(since=began + 10, before=began + 40, after="plan-3", limit=1) == "2"
        assert await ids(before=began + 20, after="plan-5") == "10"
        with pytest.raises(NotFound, match="no plan 'plan-9'"):
            await app.plans(after="plan-9")
        assert [p.aggregate_id for p in await app.find_plans("plan-6")] == ["plan-6"]
        assert await app.find_plans("lan") == []


async def test_a_title_is_looked_for_behind_the_first_page(
    each_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_lists, "TITLES", 2)
    async with planfold.open_app(each_database) as app:
        for number in range(7):
            draft = planfold.PlanDraft(
                title="the one" if number in (0, 3) else "another",
                tasks=[planfold.TaskDraft(description="x")],
            )
            await app.submit(draft, plan_id=f"plan-{number}")
        for limit in (1, 2, 3, None):
            found = await app.plans(title="ONE", limit=limit)
            assert {p.aggregate_id for p in found} <= {"plan-0", "plan-3"}
            assert len(found) == min(limit or 2, 2)


async def test_a_long_plan_is_shown_from_its_snapshot(
    each_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read from a snapshot and the events after it is what the whole log says."""
    async with planfold.open_app(each_database) as app:
        await submit(
            app,
            asks(),
            asks(1),
            task("shell", arguments={"argv": ["true"]}, depends_on=[2]),
            asks(1),
        )
        await app.answer(PLAN_ID, 1, "yes")
        planner = await app.planner(PLAN_ID)
        await app.store.checkpoints.save_snapshot(
            PLAN_ID, planner.state.version, planner.snapshot()
        )
        await app.answer(PLAN_ID, 2, "yes")
        whole = await app.fold(PLAN_ID)
        why = await app.why(PLAN_ID)
    monkeypatch.setattr(plan_reader, "LONG_LOG", 3)
    async with planfold.open_app(each_database) as app:
        read = []
        load = app.store.load

        async def noted(aggregate_id: str, **more: object) -> object:
            read.append(more.get("after_version"))
            return await load(aggregate_id, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(app.store, "load", noted)
        monkeypatch.setattr(app.store, "read_versions", None)  # the log is not read
        long = await app.fold(PLAN_ID)
        assert long.state == whole.state
        assert read
        assert min(read) > 3
        found = await app.why(PLAN_ID)
        assert [(r.kind, r.tasks, r.text, r.since) for r in found.reasons] == [
            (r.kind, r.tasks, r.text, r.since) for r in why.reasons
        ]
        long.state.tasks.clear()  # it is the caller's own
        assert len((await app.planner(PLAN_ID)).state.tasks) == 4


async def test_a_long_plan_that_has_ended_keeps_a_snapshot(
    each_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "SNAPSHOT_EVERY", 6)
    monkeypatch.setattr(mailbox, "SNAPSHOT_AT_END", 3)
    async with planfold.open_app(each_database) as app:
        await submit(app, asks(), asks(1), asks(2))
        for number in (1, 2, 3):
            await app.answer(PLAN_ID, number, "yes")
        version = await app.store.version(PLAN_ID)
    async with planfold.open_app(each_database) as app:
        saved = await app.store.checkpoints.snapshot(PLAN_ID)
        assert saved is not None
        assert saved[0] == version


async def test_why_of_a_long_plan_looks_at_some_of_its_tasks(
    each_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with planfold.open_app(each_database) as app:
        await submit(app, asks(), asks(), asks(), asks(1))
        everything = await app.why(PLAN_ID)
        assert (everything.left_out, len(everything.reasons)) == (0, 3)
        monkeypatch.setattr(plan_reader, "LONG_LOG", 3)
        monkeypatch.setattr(explanation, "LOOKED_AT", 2)
        found = await app.why(PLAN_ID)
        assert [reason.tasks for reason in found.reasons] == [(1,), (2,)]
        assert found.left_out == 2
        lines = explanation_lines(found, None, 80)
        assert "and 2 more tasks" in "".join(text for text, _ in lines[-1])
        assert (await app.why(PLAN_ID, history=True)).left_out == 0
