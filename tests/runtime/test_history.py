"""A plan that ran, from its log alone: decided again, and as it was earlier."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from planfold import NotFound, TaskDraft, open_app, tool
from planfold.eventstore.envelope import Query
from planfold.planner import commands as c
from planfold.planner import events as e
from planfold.planner import outcomes
from planfold.planner.planner import Planner
from planfold.planner.tasks import NodeKind, RetryPolicy
from planfold.readmodels.plan_view import plan_view
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


# --- as it was earlier --------------------------------------------------------------------------


async def test_a_plan_as_it_was_at_each_version_and_time(each_database: str) -> None:
    await _ran(each_database)
    async with open_app(each_database, load=False) as app:
        now = await app.view(PLAN_ID)
        events = await app.store.read(Query(aggregate_id=PLAN_ID))
        for envelope in events:
            view = await app.view(PLAN_ID, at=envelope.version)
            assert (view.version, view.updated_at) == (envelope.version, envelope.recorded_at)
            state = Planner()
            for earlier in events[: envelope.version]:
                state.recorded_at = earlier.recorded_at
                state.apply(earlier.event)
            assert view == plan_view(PLAN_ID, state.state)
        assert await app.view(PLAN_ID, at=now.version) == now
        last = datetime.fromtimestamp(events[-1].recorded_at + 1, UTC)
        assert await app.view(PLAN_ID, at=last) == now
        first = await app.view(PLAN_ID, at=datetime.fromtimestamp(events[0].recorded_at + 1e-5))
        assert first.status == "running"
        assert first.updated_at == events[0].recorded_at


async def test_a_time_or_version_that_the_plan_does_not_have(each_database: str) -> None:
    await _ran(each_database)
    async with open_app(each_database, load=False) as app:
        version = (await app.view(PLAN_ID)).version
        for at in (0, version + 1):
            with pytest.raises(NotFound, match=f"has no version {at}; its versions are 1 to"):
                await app.view(PLAN_ID, at=at)
        with pytest.raises(NotFound, match="had not begun at 2001"):
            await app.view(PLAN_ID, at=datetime(2001, 1, 1))
        with pytest.raises(NotFound, match="there is no plan 'other'"):
            await app.view("other", at=1)


# --- compared with another ----------------------------------------------------------------------


async def test_two_plans_and_two_versions_of_one(each_database: str) -> None:
    async with open_app(each_database, tools=[work]) as app:
        for plan_id, n in (("p", 1), ("q", 2)):
            await submit(app, task("work", arguments={"n": n}), plan_id=plan_id)
            await finish(app, plan_id)
        found = await app.diff("p", "q")
        assert found.divergence is not None
        assert found.divergence.versions == (1, 1)
        assert found.tasks[0].changes["result"] == (1, 2)
        assert (await app.diff("p", "p")).divergence is None
        earlier = await app.diff("p", "p", at=2)
        assert earlier.divergence is not None
        assert earlier.divergence.versions == (None, 3)
        assert earlier.tasks[0].changes["status"] == ("planned", "completed")
        with pytest.raises(NotFound, match="has no version 99"):
            await app.diff("p", "q", other_at=99)
