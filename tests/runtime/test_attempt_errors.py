"""What an executor of one's own raises is in the task's error, with its causes."""

from __future__ import annotations

import planfold
from planfold.errors import Permanent
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.planner.tasks import RetryPolicy
from plans import finish, processing, submit


async def test_causes_and_members_of_groups_are_in_the_error(database: str) -> None:
    async def execute(_: TaskContext) -> Outcome:
        try:
            raise FileNotFoundError("no settings file")
        except FileNotFoundError as fault:
            group = ExceptionGroup("two faults", [ValueError("the first"), KeyError("the second")])
            raise group from fault

    async with planfold.open_app(database, executors=processing(execute)) as app:
        await submit(app, planfold.TaskDraft(description="work it out"))
        error = (await finish(app)).task(1).error or ""
    assert all(part in error for part in ("no settings file", "the first", "the second"))


async def test_a_permanent_member_of_a_group_is_not_tried_again(database: str) -> None:
    async def execute(_: TaskContext) -> Outcome:
        raise ExceptionGroup("faults", [Permanent("the account is closed")])

    async with planfold.open_app(database, executors=processing(execute)) as app:
        draft = planfold.TaskDraft(description="work it out", retry=RetryPolicy(attempts=3, base=0))
        await submit(app, draft)
        task = (await finish(app)).task(1)
    assert (task.attempt, task.status) == (1, "failed")
    assert "the account is closed" in (task.error or "")
