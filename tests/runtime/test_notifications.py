"""Notifications of plans: which events cause one, and that none is lost."""

from __future__ import annotations

import asyncio

import pytest

import planfold
from planfold import TaskDraft
from planfold.testing.clock import ManualClock
from planfold.types import Notification, UndoDraft
from plans import PLAN_ID, submit, task
from testbed.patience import PATIENCE_S


@planfold.tool(effect="safe")
async def found() -> list[int]:
    return [5]


@planfold.tool(effect="safe")
def fails() -> None:
    raise planfold.Permanent("no such host")


@planfold.tool(effect="safe")
def works() -> None:
    """Does nothing."""


class Inbox:
    """Keeps what is delivered; ``broken`` times it fails first."""

    def __init__(self, broken: int = 0) -> None:
        self.found: list[Notification] = []
        self.broken = broken
        self.calls = 0
        self.refused = asyncio.Event()
        self._changed = asyncio.Event()

    async def deliver(self, notification: Notification) -> None:
        self.calls += 1
        if self.calls <= self.broken:
            self.refused.set()
            raise OSError("the desk is closed")
        self.found.append(notification)
        self._changed.set()

    async def kinds(self, count: int) -> list[str]:
        """The kinds of the first ``count``, as soon as there are so many."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.found) < count:
                self._changed.clear()
                await self._changed.wait()
        return [each.kind for each in self.found]


QUESTION = TaskDraft(description="Deploy?", kind="clarification", choices=["yes", "no"])


async def test_a_person_is_notified_when_needed_and_at_the_end(database: str) -> None:
    inbox = Inbox()
    async with planfold.open_app(database, tools=[works]) as app:
        draft = planfold.PlanDraft(title="Release", tasks=[QUESTION, task("works")])
        async with app.log.notify("desk", inbox.deliver), app.worker():
            await app.submit(draft, plan_id=PLAN_ID)
            assert await inbox.kinds(1) == ["approval"]
            await app.approve(PLAN_ID, by="ada")
            assert await inbox.kinds(2) == ["approval", "question"]
            await app.answer(PLAN_ID, 1, "yes", by="ada")
            assert await inbox.kinds(3) == ["approval", "question", "completed"]
    approval, question, end = inbox.found
    assert approval.text == "Release waits for approval of 2 tasks"
    assert approval.command == "planfold approve p"
    assert (question.text, question.command) == (
        "Release asks: Deploy?",
        "planfold answer p 1 TEXT",
    )
    assert (question.task_id, question.choices) == (1, ("yes", "no"))
    assert (end.text, end.command) == ("Release is completed", "planfold show p")
    assert len({each.id for each in inbox.found}) == 3


async def test_a_failed_plan_says_why(database: str) -> None:
    inbox = Inbox()
    async with (
        planfold.open_app(database, tools=[fails]) as app,
        app.log.notify("desk", inbox.deliver, on=["failed"]),
        app.worker(),
    ):
        await submit(app, task("fails", description="Copy the backup"))
        await inbox.kinds(1)
    (failed,) = inbox.found
    assert failed.text == "a plan has failed: 1. Copy the backup: Permanent: no such host"
    assert failed.errors == ("1. Copy the backup: Permanent: no such host",)
    assert failed.command == "planfold why p"


async def test_a_plan_that_is_undone_asks_and_says_so(database: str) -> None:
    inbox = Inbox()
    async with (
        planfold.open_app(database, tools=[fails, works]) as app,
        app.log.notify("desk", inbox.deliver),
        app.worker(),
    ):
        made = task("works", effect="once", undo=UndoDraft(tool="works"))
        await submit(app, made, task("fails", depends_on=[1]))
        assert await inbox.kinds(1) == ["question"]
        await app.answer(PLAN_ID, 3, "undo", by="ada")
        assert await inbox.kinds(2) == ["question", "failed"]
    asked, end = inbox.found
    assert "asks: The plan has failed. Undo what it did? In this order: - 1: " in asked.text
    assert end.text.endswith("no such host (undone: 1 of 1)")


async def test_the_line_for_people_does_not_steer_their_terminal(database: str) -> None:
    inbox = Inbox()
    async with planfold.open_app(database) as app:
        draft = planfold.PlanDraft(title="\x1b[2JRelease\u202e\nnow", tasks=[QUESTION])
        async with app.log.notify("desk", inbox.deliver):
            await app.submit(draft, plan_id=PLAN_ID)
            await inbox.kinds(1)
    (approval,) = inbox.found
    assert approval.text == "\\x1b[2JRelease\\u202e now waits for approval of 1 task"
    assert approval.title == "\x1b[2JRelease\u202e\nnow"


async def test_a_plan_that_completed_without_a_task_names_it(database: str) -> None:
    inbox = Inbox()
    async with (
        planfold.open_app(database, tools=[fails]) as app,
        app.log.notify("desk", inbox.deliver, on=["completed"]),
        app.worker(),
    ):
        await submit(app, task("fails", description="Copy it", on_failure="continue"))
        await inbox.kinds(1)
    (end,) = inbox.found
    assert end.text == (
        "a plan is completed, but 1 task failed: 1. Copy it: Permanent: no such host"
    )
    assert end.errors == ("1. Copy it: Permanent: no such host",)


async def test_a_failed_plan_says_how_many_tasks_failed(database: str) -> None:
    inbox = Inbox()
    async with (
        planfold.open_app(database, tools=[fails]) as app,
        app.log.notify("desk", inbox.deliver, on=["failed"]),
        app.worker(),
    ):
        await submit(app, task("fails", description="Copy it"), task("fails"), task("fails"))
        await inbox.kinds(1)
    (end,) = inbox.found
    assert end.text.endswith(": Permanent: no such host; 2 more tasks failed")
    assert len(end.errors) == 3


async def test_items_are_named_as_people_write_them(database: str) -> None:
    inbox = Inbox()
    tasks = [
        task("found"),
        TaskDraft(description="Pay $item?", kind="clarification", for_each="$1"),
    ]
    async with (
        planfold.open_app(database, tools=[found]) as app,
        app.log.notify("desk", inbox.deliver, on=["question", "failed"]),
        app.worker(),
    ):
        await submit(app, *tasks)
        await inbox.kinds(1)
        await app.answer(PLAN_ID, "2[0]", "no idea", failed=True)
        await inbox.kinds(2)
    question, failed = inbox.found
    assert question.command == f"planfold answer {PLAN_ID} '2[0]' TEXT"
    assert "2[0]. Pay 5?: no idea" in failed.errors
    assert "more task" not in failed.text, "only the item failed, and so its map"


async def test_what_was_answered_or_approved_before_is_left_out(database: str) -> None:
    inbox = Inbox()
    async with planfold.open_app(database, tools=[works]) as app:
        async with app.worker():
            plan_id = await app.submit(planfold.PlanDraft(title="t", tasks=[QUESTION]))
            await app.approve(plan_id, by="ada")
            await app.answer(plan_id, 1, "yes", by="ada")
            await app.result(plan_id)
        async with app.log.notify("desk", inbox.deliver):
            assert await inbox.kinds(1) == ["completed"]


async def test_a_new_name_may_begin_at_the_end_of_the_log(database: str) -> None:
    inbox = Inbox()
    async with planfold.open_app(database, tools=[works]) as app, app.worker():
        await app.result(await submit(app, task("works")))
        end = await app.log.last_position()
        async with app.log.notify("desk", inbox.deliver, after=end):
            await submit(app, task("works"), plan_id="later")
            await inbox.kinds(1)
    assert [each.plan_id for each in inbox.found] == ["later"]


async def test_a_delivery_that_failed_is_tried_again_and_logged(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    inbox, clock = Inbox(broken=1), ManualClock()
    async with (
        planfold.open_app(database, tools=[works], clock=clock) as app,
        app.log.notify("desk", inbox.deliver),
        app.worker(),
    ):
        await submit(app, task("works"))
        async with asyncio.timeout(PATIENCE_S):
            await inbox.refused.wait()
        clock.advance(60)
        assert await inbox.kinds(1) == ["completed"]
    assert inbox.calls == 2
    assert "desk: event p#5 was not delivered: the desk is closed" in caplog.text


async def test_a_fork_that_waits_for_its_approval_is_reported(database: str) -> None:
    inbox = Inbox()
    async with planfold.open_app(database) as app, app.log.notify("desk", inbox.deliver):
        await app.submit("1. Run `true` {#a}", plan_id=PLAN_ID, approved_by="ada")
        await app.fork(PLAN_ID, repeat=["a"])  # it runs
        changed = await app.fork(PLAN_ID, changes={"a.argv": ["false"]}, repeat=["a"])
        await app.submit("1. Run `true`", plan_id="last")
        assert await inbox.kinds(2) == ["approval", "approval"]
    assert [each.plan_id for each in inbox.found] == [changed.plan_id, "last"]


async def test_one_approval_is_asked_for_once(database: str) -> None:
    """However often the tasks were changed before it could be delivered."""
    inbox = Inbox()
    async with planfold.open_app(database) as app:
        await app.submit("1. Run `true` {#a}", plan_id=PLAN_ID)
        await app.revise(PLAN_ID, "1. Run `false` {#a}")
        async with app.log.notify("desk", inbox.deliver):
            await app.submit("1. Run `true`", plan_id="last")
            await inbox.kinds(2)
    assert [each.plan_id for each in inbox.found] == [PLAN_ID, "last"]


async def test_old_ends_are_no_news(database: str) -> None:
    """An import brings plans that ended long ago; those that wait still wait."""
    inbox, clock = Inbox(), ManualClock()
    async with planfold.open_app(database, tools=[works], clock=clock) as app:
        async with app.worker():
            await app.result(await submit(app, task("works")))
        await app.submit("1. Run `true`", plan_id="waits")
        clock.advance(8 * 86_400)
        async with app.log.notify("desk", inbox.deliver):
            assert await inbox.kinds(1) == ["approval"]


async def test_a_pause_and_a_break_point_that_is_reached_are_reported(database: str) -> None:
    inbox = Inbox()
    tasks = [
        task("works", label="build"),
        task("works", label="check"),
        task("works", label="deploy", depends_on=["build", "check"]),
        TaskDraft(label="go", description="Go?", kind="clarification"),
        task("works", label="tell", depends_on=["deploy"]),
    ]
    async with (
        planfold.open_app(database, tools=[works]) as app,
        app.log.notify("desk", inbox.deliver, on=["paused"]),
        app.worker(),
    ):
        draft = planfold.PlanDraft(title="Release", tasks=tasks)
        await app.submit(draft, plan_id=PLAN_ID, approved_by="ada", pause_before=["deploy"])
        await inbox.kinds(1)  # while the question is open
        await app.pause(PLAN_ID, reason="lunch", by="bob")
        await inbox.kinds(2)
        await app.unpause(PLAN_ID, by="bob")
        await inbox.kinds(3)
        await app.unpause(PLAN_ID, by="bob")
        await app.answer(PLAN_ID, "go", "yes")
        await app.result(PLAN_ID)
        await app.submit(draft, plan_id="q", approved_by="ada", pause_before=["build", "check"])
        await inbox.kinds(4)
    assert [each.text for each in inbox.found] == [
        "Release is paused before 3 deploy by ada",
        "Release is paused by bob: lunch",
        "Release is paused before 3 deploy by ada",
        "Release is paused before 1 build and 1 more task by ada",
    ]
    first = inbox.found[0]
    assert (first.kind, first.task_id, first.command) == ("paused", 3, "planfold unpause p")


async def test_a_pause_that_was_lifted_before_is_left_out(database: str) -> None:
    inbox = Inbox()
    async with planfold.open_app(database, tools=[works]) as app:
        draft = planfold.PlanDraft(title="Release", tasks=[task("works", label="a")])
        await app.submit(draft, plan_id=PLAN_ID, approved_by="ada", pause_before=["a"])
        await app.pause(PLAN_ID, by="bob")
        for _ in range(2):
            await app.unpause(PLAN_ID, by="bob")
        await app.run(PLAN_ID)
        async with app.log.notify("desk", inbox.deliver):
            assert await inbox.kinds(1) == ["completed"]
