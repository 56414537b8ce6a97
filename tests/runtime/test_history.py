"""``App.replay``: a plan that ran is decided again from its log alone, on each database."""

from __future__ import annotations

import pytest

from planfold import NotFound, TaskDraft, open_app, tool
from planfold.planner import commands as c
from planfold.planner import events as e
from planfold.planner import outcomes
from planfold.planner.tasks import NodeKind, RetryPolicy
from plans import PLAN_ID, finish, submit, task


@tool(effect="safe")
def fail() -> None:
    """Fail."""
    raise RuntimeError("no")


@tool(effect="safe")
def work(n: int) -> int:
    """Work."""
    return n


async def _ran(database: str) -> None:
    async with open_app(database, tools=[fail, work]) as app:
        await submit(
            app,
            task("fail", retry=RetryPolicy(attempts=2, base=0.01), on_failure="continue"),
            task("work", arguments={"n": 3}),
            TaskDraft(description="Which?", kind=NodeKind.Clarification, depends_on=[2]),
        )
        await finish(app)
        await app.answer(PLAN_ID, 3, "this one, " + "and so on " * 50, by="ada")
        assert (await finish(app)).status == "completed"


async def test_a_plan_is_decided_again(each_database: str) -> None:
    await _ran(each_database)
    async with open_app(each_database, load=False) as app:
        found = await app.replay(PLAN_ID)
        assert found.difference is None
        assert found.checked == found.decisions > 5
        assert found.events == (await app.view(PLAN_ID)).version
        with pytest.raises(NotFound, match="there is no plan 'other'"):
            await app.replay("other")


async def test_another_decision_is_found(
    each_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _ran(each_database)
    monkeypatch.setattr(outcomes, "retry_delay", lambda *_: 5.0)
    async with open_app(each_database, load=False) as app:
        difference = (await app.replay(PLAN_ID)).difference
    assert difference is not None
    assert isinstance(difference.command, c.HandleExecutorEvent)
    assert isinstance(difference.expected, e.RetryScheduled)
    assert difference.actual.delay == 5.0
